//! What must be true at the end, whoever was killed on the way.

use super::callers::{self, Told};
use super::deployment::Provider;
use crate::bench::databases::Databases;
use crate::bench::ids;
use crate::bench::rivals;
use crate::bench::sqlite::Sqlite;
use crate::failure::{Attempt, Failure, Result};
use crate::process;
use crate::server;
use crate::workspace::Workspace;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// How many of a long list are shown.
const SHOWN_MAX: usize = 5;

/// Where all of it is written.
pub struct Evidence<'a> {
    /// Where our binary is.
    pub workspace: &'a Workspace,
    /// The server of the database.
    pub databases: &'a Databases,
    /// The database.
    pub url: &'a str,
    /// The shell for the provider's book.
    pub sqlite: &'a Sqlite,
}

impl Evidence<'_> {
    /// One batch for each escrow, and it is the one that everybody was told of; each item paid once and nothing else, in
    /// the provider's own book; the books balance.
    pub fn judge(&self, told: &[Told], orders: usize, provider: Provider) -> Result<()> {
        let escrows = callers::escrows(orders);
        require_equal("answers", told.len(), orders)?;
        let acknowledged = acknowledged(told)?;
        require_equal("escrows that were acknowledged", acknowledged.len(), escrows)?;

        let booked: BTreeMap<String, u128> =
            self.rows("SELECT escrow_id, id FROM batches", |[escrow, id]| Some((escrow.to_owned(), uuid(id)?)))?;
        require_equal("batches", self.count("SELECT count(*) FROM batches")?, escrows)?;
        require_same("batches by escrow", &booked, &acknowledged)?;

        let items = "SELECT id, payable_minor FROM items WHERE status = 'paid'";
        let items: BTreeMap<u128, i64> = self.rows(items, |[id, amount]| Some((uuid(id)?, amount.parse().ok()?)))?;
        require_equal("items", self.count("SELECT count(*) FROM items")?, 2 * escrows)?;
        require_equal("items that are paid", items.len(), 2 * escrows)?;
        let intents = "SELECT id, 0 FROM instructions";
        let intents: BTreeMap<u128, i64> = self.rows(intents, |[id, _]| Some((uuid(id)?, 0)))?;

        self.verify(&provider)?;
        self.judge_book(&provider.stop()?, &items, &intents)
    }

    /// The provider executed each item once, nothing else, and nothing under a key whose intent is not stored.
    fn judge_book(&self, book: &Path, items: &BTreeMap<u128, i64>, intents: &BTreeMap<u128, i64>) -> Result<()> {
        let executed = "SELECT item_id, executes_minor, idempotency_key FROM transfers JOIN events \
                        ON transfer_id = transfers.id AND what = 'paid'";
        let mut paid = BTreeMap::new();
        for line in self.sqlite.ask(book, executed)?.lines() {
            let (item, amount, key) = read_transfer(line)
                .ok_or_else(|| Failure::new(format!("`{line}` is not as a transfer of the provider should be")))?;
            if paid.insert(item, amount).is_some() {
                return Err(Failure::new(format!("paid twice: {line}")));
            }
            if !intents.contains_key(&key) {
                return Err(Failure::new(format!("sent although its intent is not stored: {line}")));
            }
        }
        require_same("items in the provider's book", &paid, items)?;
        let transfers = self.sqlite.ask(book, "SELECT count(*) FROM transfers")?;
        require_equal("orders in the provider's book", transfers.parse().unwrap_or_default(), items.len())
    }

    fn verify(&self, provider: &Provider) -> Result<()> {
        let data = self.workspace.empty_workshop("data/bench-verify")?;
        let mut command = server::disburse(&rivals::release_binary(self.workspace)?, &data, Some(self.url));
        command.args(["verify", "--simulator-url", &provider.url()]);
        process::announce(&command);
        process::capture(&mut command).map(|said| println!("{}", said.lines().last().unwrap_or_default()))
    }

    fn count(&self, statement: &str) -> Result<usize> {
        self.databases.postgres().ask(self.url, statement)?.parse().attempting(|| statement.to_owned())
    }

    /// Rows of two columns.
    fn rows<K: Ord, V>(&self, statement: &str, read: impl Fn([&str; 2]) -> Option<(K, V)>) -> Result<BTreeMap<K, V>> {
        let answer = self.databases.postgres().ask(self.url, statement)?;
        let row = |line: &str| line.split_once('|').and_then(|(first, second)| read([first, second]));
        let rows =
            answer.lines().map(|line| row(line).ok_or_else(|| Failure::new(format!("`{line}` of `{statement}`"))));
        rows.collect()
    }
}

/// The batch of each escrow, if everybody was told of the same and nobody was told twice that it is new.
fn acknowledged(told: &[Told]) -> Result<BTreeMap<String, u128>> {
    let (mut batches, mut new) = (BTreeMap::new(), BTreeSet::new());
    for told in told {
        let escrow = callers::escrow_id(told.escrow);
        let batch = ids::decode(&told.batch).ok_or_else(|| Failure::new(format!("`{}` is no id", told.batch)))?;
        if batches.insert(escrow.clone(), batch).is_some_and(|before| before != batch) {
            return Err(Failure::new(format!("{escrow} is two batches, one of them {}", told.batch)));
        }
        if told.is_new && !new.insert(told.escrow) {
            return Err(Failure::new(format!("{escrow} was booked twice: 201 was answered twice")));
        }
    }
    Ok(batches)
}

/// An item, what was executed, and the key.
fn read_transfer(line: &str) -> Option<(u128, i64, u128)> {
    let [item, amount, key] = line.split('|').collect::<Vec<_>>().try_into().ok()?;
    Some((ids::decode(item)?, amount.parse().ok()?, ids::decode(key)?))
}

/// An id as PostgreSQL writes it.
fn uuid(text: &str) -> Option<u128> {
    u128::from_str_radix(&text.replace('-', ""), 16).ok()
}

fn require_equal(what: &str, found: usize, expected: usize) -> Result<()> {
    if found == expected { Ok(()) } else { Err(Failure::new(format!("{what}: {found}, and not {expected}"))) }
}

fn require_same<K, V>(what: &str, found: &BTreeMap<K, V>, expected: &BTreeMap<K, V>) -> Result<()>
where
    K: Ord + std::fmt::Debug,
    V: PartialEq + std::fmt::Debug,
{
    let missing: Vec<_> = expected.iter().filter(|(key, value)| found.get(key) != Some(value)).collect();
    let unknown: Vec<_> = found.iter().filter(|(key, _)| !expected.contains_key(key)).collect();
    if missing.is_empty() && unknown.is_empty() {
        return Ok(());
    }
    let shown = |list: &[(&K, &V)]| format!("{:?}", &list[..list.len().min(SHOWN_MAX)]);
    Err(Failure::new(format!(
        "{what}: {} missing or other, such as {}; {} unknown, such as {}",
        missing.len(),
        shown(&missing),
        unknown.len(),
        shown(&unknown),
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(escrow: usize, batch: &str, is_new: bool) -> Told {
        Told { escrow, batch: batch.into(), is_new }
    }

    const ONE: &str = "bat_00000000000000000000000001";
    const TWO: &str = "bat_00000000000000000000000002";

    #[test]
    fn an_escrow_is_one_batch_whoever_is_told() {
        let batches = acknowledged(&[told(0, ONE, true), told(1, TWO, false), told(0, ONE, false)]).unwrap();
        assert_eq!(batches.into_values().collect::<BTreeSet<_>>(), BTreeSet::from([1, 2]));
        for bad in [[told(0, ONE, true), told(0, TWO, false)], [told(0, ONE, true), told(0, ONE, true)]] {
            assert!(acknowledged(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn both_ways_of_writing_an_id_are_one_number() {
        assert_eq!(uuid("01937a5b-0c3d-7e2f-8a3b-4c5d6e7f8085"), ids::decode("item_01jdx5p31xfrqrmetcbnq7z045"));
        assert_eq!(uuid("batch"), None);
    }

    #[test]
    fn what_is_missing_other_or_unknown_is_named() {
        let expected = BTreeMap::from([(1, 10), (2, 20)]);
        assert_eq!(require_same("items", &expected, &expected), Ok(()));
        for found in [[(1, 10)].to_vec(), vec![(1, 10), (2, 21)], vec![(1, 10), (2, 20), (3, 30)]] {
            assert!(require_same("items", &found.into_iter().collect(), &expected).is_err());
        }
    }
}
