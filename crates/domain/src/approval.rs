//! What exactly is approved, by whom, and how many approvals count.
//!
//! Whoever approves a batch approves what is to be sent: how much, to whom, over what details, not before when. All of
//! it is in one hash, so an approval of something that has changed since counts for nothing.

use crate::{
    currency::Currency,
    hash::{self, InvalidHash},
    ids::{BatchId, ItemId, RecipientId, Requester},
    policy::ApprovalPolicy,
    recipient::Destination,
    timestamp::Timestamp,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
    time::Duration,
};

/// What the hashed bytes start with. Bytes laid out in another way start with another word, so that a hash never stands
/// for two things.
const LAYOUT: &[u8] = b"payout-approval-1";

/// SHA-256 of what is to be sent of a batch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentHash([u8; 32]);

impl ContentHash {
    /// From the 32 bytes of the digest.
    pub fn of(digest: [u8; 32]) -> Self {
        Self(digest)
    }
    /// One hash of several items' hashes.
    pub fn of_all(items: &BTreeMap<ItemId, Self>) -> Self {
        let mut bytes = LAYOUT.to_vec();
        for (item, Self(hash)) in items {
            bytes.extend(item.uuid().as_bytes());
            bytes.extend(hash);
        }
        Self(Sha256::digest(&bytes).into())
    }
}
impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hash::write(&self.0, f)
    }
}
impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl FromStr for ContentHash {
    type Err = InvalidHash;
    fn from_str(text: &str) -> Result<Self, InvalidHash> {
        hash::parse(text).map(Self)
    }
}
impl Serialize for ContentHash {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for ContentHash {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// One payment as it is approved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApprovedItem<'a> {
    /// Which item.
    pub item: ItemId,
    /// Who is paid.
    pub recipient: &'a RecipientId,
    /// What is to be sent, in minor units.
    pub amount_minor: i64,
    /// Where to: its [`destination_hash`].
    pub destination: [u8; 32],
}

impl ApprovedItem<'_> {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.item.uuid().as_bytes().to_vec();
        put(&mut bytes, self.recipient.as_str().as_bytes());
        bytes.extend(self.amount_minor.to_be_bytes());
        bytes.extend(self.destination);
        bytes
    }
}

/// The hash of what is to be sent of a batch. The order of `items` does not matter.
///
/// Hashed are, one after another: the layout, the batch's 16 bytes, the currency, a zero or a one and the microseconds
/// of `execute_at`, the number of items, and of each in the order of their bytes: its 16 bytes, the recipient, the
/// amount, the hash of the destination. Numbers are big-endian and 8 bytes; what differs in length comes after its
/// length, so no two batches give the same bytes.
pub fn content_hash(
    batch: BatchId,
    currency: Currency,
    execute_at: Option<Timestamp>,
    items: &[ApprovedItem<'_>],
) -> ContentHash {
    let mut bytes = Vec::new();
    put(&mut bytes, LAYOUT);
    bytes.extend(batch.uuid().as_bytes());
    put(&mut bytes, currency.code().as_bytes());
    bytes.push(u8::from(execute_at.is_some()));
    bytes.extend(execute_at.map_or(0, Timestamp::unix_micros).to_be_bytes());
    bytes.extend(length(items.len()));
    let mut items: Vec<Vec<u8>> = items.iter().map(ApprovedItem::bytes).collect();
    items.sort_unstable();
    bytes.extend(items.concat());
    ContentHash(Sha256::digest(&bytes).into())
}

/// Something that differs in length, after its length.
fn put(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend(length(part.len()));
    bytes.extend(part);
}

fn length(count: usize) -> [u8; 8] {
    u64::try_from(count).unwrap_or(u64::MAX).to_be_bytes()
}

/// SHA-256 of where money goes: of the canonical JSON of rail and details, in which the order of keys does not matter.
pub fn destination_hash(destination: &Destination) -> [u8; 32] {
    // serde_json sorts the keys of a tree, at every depth.
    let canonical = json!({ "rail": destination.rail, "details": destination.details }).to_string();
    Sha256::digest(canonical.as_bytes()).into()
}

/// Somebody else than the maker said yes to exactly this, item by item: what is sent of a batch later is known by the
/// item, whatever became of the others meanwhile. It never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    batch: BatchId,
    maker: Requester,
    approver: Requester,
    items: BTreeMap<ItemId, ContentHash>,
    note: Option<String>,
    at: Timestamp,
}

/// Who scheduled a batch does not approve it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` scheduled this batch: somebody else must approve it")]
pub struct MakerIsChecker(pub Requester);

impl MakerIsChecker {
    /// Stable code of the refusal.
    pub fn code(&self) -> &'static str {
        "maker_is_checker"
    }
}

impl Approval {
    /// The yes of `approver` to what `maker` scheduled.
    ///
    /// # Errors
    /// If they are the same.
    pub fn try_new(
        batch: BatchId,
        maker: Requester,
        approver: Requester,
        items: BTreeMap<ItemId, ContentHash>,
        note: Option<String>,
        at: Timestamp,
    ) -> Result<Self, MakerIsChecker> {
        if approver == maker {
            return Err(MakerIsChecker(approver));
        }
        Ok(Self { batch, maker, approver, items, note, at })
    }

    /// The batch.
    pub fn batch(&self) -> BatchId {
        self.batch
    }
    /// Who scheduled it.
    pub fn maker(&self) -> &Requester {
        &self.maker
    }
    /// Who said yes.
    pub fn approver(&self) -> &Requester {
        &self.approver
    }
    /// What they saw: of each item the [`content_hash`] of it alone.
    pub fn items(&self) -> &BTreeMap<ItemId, ContentHash> {
        &self.items
    }
    /// One hash of all they saw.
    pub fn hash(&self) -> ContentHash {
        ContentHash::of_all(&self.items)
    }
    /// What they remarked.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }
    /// When they said it.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// Whether it has not run out at `now`; it runs out at the end of its validity, not after it.
    pub fn is_valid(&self, policy: &ApprovalPolicy, now: Timestamp) -> bool {
        policy.valid_for_seconds.is_none_or(|seconds| now.since(self.at) < Duration::from_secs(seconds))
    }
}

/// How many of the approvals of an item count now: those of what is to be sent as it is, of people who may approve, not
/// run out, and of each person one.
pub fn given(
    policy: &ApprovalPolicy,
    approvals: &[Approval],
    item: ItemId,
    current: ContentHash,
    now: Timestamp,
) -> u32 {
    let may_approve = |who: &Requester| policy.approvers.is_empty() || policy.approvers.contains(who);
    let counts = |approval: &&Approval| {
        approval.items.get(&item) == Some(&current) && may_approve(&approval.approver) && approval.is_valid(policy, now)
    };
    let people: BTreeSet<&Requester> = approvals.iter().filter(counts).map(|approval| &approval.approver).collect();
    u32::try_from(people.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn batch(number: u128) -> BatchId {
        BatchId::new(Uuid::from_u128(number))
    }
    fn at(second: i64) -> Timestamp {
        Timestamp::from_unix_micros(second * 1_000_000)
    }
    fn who(name: &str) -> Requester {
        name.parse().unwrap()
    }
    fn content(number: u8) -> ContentHash {
        ContentHash::of([number; 32])
    }

    fn item(number: u128) -> ItemId {
        ItemId::new(Uuid::from_u128(number))
    }
    fn saw(number: u8) -> BTreeMap<ItemId, ContentHash> {
        BTreeMap::from([(item(1), content(number))])
    }

    /// How many of `approvals` (who, what, when) count under a policy of approvers and validity.
    fn check(approvers: &str, valid_for: Option<u64>, approvals: &[(&str, u8, i64)], now: i64, count: u32) {
        let policy = ApprovalPolicy {
            rules: Vec::new(),
            approvers: approvers.split_whitespace().map(who).collect(),
            valid_for_seconds: valid_for,
        };
        let approval = |&(name, hash, second): &(&str, u8, i64)| {
            Approval::try_new(batch(1), who("usr_maker"), who(name), saw(hash), None, at(second)).unwrap()
        };
        let approvals: Vec<_> = approvals.iter().map(approval).collect();
        assert_eq!(given(&policy, &approvals, item(1), content(1), at(now)), count, "{approvals:?} at {now}");
    }

    #[test]
    fn an_approval_counts_once_for_what_it_was_given_by_whom_it_may_be_given_and_as_long_as_it_holds() {
        check("", None, &[], 0, 0);
        check("", None, &[("usr_ann", 1, 0), ("usr_bob", 1, 5)], 1_000_000, 2);
        check("", None, &[("usr_ann", 1, 0), ("usr_ann", 1, 5)], 10, 1);
        check("", None, &[("usr_ann", 2, 0), ("usr_bob", 1, 5)], 10, 1);
        check("usr_bob usr_cy", None, &[("usr_ann", 1, 0), ("usr_bob", 1, 5)], 10, 1);
        check("", Some(60), &[("usr_ann", 1, 0), ("usr_bob", 1, 5)], 59, 2);
        check("", Some(60), &[("usr_ann", 1, 0), ("usr_bob", 1, 5)], 60, 1);
        check("", Some(60), &[("usr_ann", 1, 0), ("usr_ann", 1, 50)], 60, 1);
        // Clocks of two machines may differ by a little.
        check("", Some(60), &[("usr_ann", 1, 5)], 4, 1);
    }

    #[test]
    fn who_made_it_does_not_approve_it() {
        let ann = || who("usr_ann");
        let refused = Approval::try_new(batch(1), ann(), ann(), saw(1), None, at(0)).unwrap_err();
        assert_eq!((refused.code(), refused), ("maker_is_checker", MakerIsChecker(ann())));
        let note = Some("checked".to_owned());
        let approval = Approval::try_new(batch(1), ann(), who("usr_bob"), saw(1), note, at(5)).unwrap();
        assert_eq!((approval.batch(), approval.maker(), approval.approver()), (batch(1), &ann(), &who("usr_bob")));
        assert_eq!((approval.items(), approval.note(), approval.at()), (&saw(1), Some("checked"), at(5)));
        assert_eq!(approval.hash(), ContentHash::of_all(&saw(1)));
        assert_ne!(approval.hash(), ContentHash::of_all(&saw(2)));
    }

    #[test]
    fn a_hash_is_read_back_as_written_and_nothing_else_is() {
        let hash = content(0xab);
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert_eq!(serde_json::from_str::<ContentHash>(&serde_json::to_string(&hash).unwrap()).unwrap(), hash);
        let upper = hash.to_string().to_uppercase();
        let signed = hash.to_string().replace("ab", "+a");
        for text in ["", "sha256:", "sha256:ab", upper.as_str(), &signed, &"\u{e9}".repeat(40)] {
            assert_eq!(text.parse::<ContentHash>(), Err(InvalidHash), "{text}");
        }
    }

    fn to(json: &str) -> Destination {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_destination_is_the_same_whatever_the_order_of_its_keys_and_another_if_anything_else_differs() {
        let hash = |json: &str| destination_hash(&to(json));
        let one = hash(
            r#"{"rail":"sepa_file","details":{"iban":"DE1","name":"Ann","address":{"city":"A","zip":["1","2"]}}}"#,
        );
        let same = hash(
            r#"{"details":{"address":{"zip":["1","2"],"city":"A"},"name":"Ann","iban":"DE1"},"rail":"sepa_file"}"#,
        );
        assert_eq!(one, same);
        for other in [
            r#"{"rail":"sepa_inst","details":{"iban":"DE1","name":"Ann","address":{"city":"A","zip":["1","2"]}}}"#,
            r#"{"rail":"sepa_file","details":{"iban":"DE2","name":"Ann","address":{"city":"A","zip":["1","2"]}}}"#,
            r#"{"rail":"sepa_file","details":{"iban":"DE1","name":"Ann","address":{"city":"A","zip":["2","1"]}}}"#,
            r#"{"rail":"sepa_file","details":{"iban":"DE1","name":"Ann","address":{"city":"A","zip":["1"]}}}"#,
            r#"{"rail":"sepa_file","details":{"iban":"DE1","name":"Ann","city":"A","zip":["1","2"]}}"#,
            r#"{"rail":"sepa_file"}"#,
        ] {
            assert_ne!(hash(other), one, "{other}");
        }
    }

    /// Both forms are promises: what was approved before an update is still approved after it.
    #[test]
    fn the_hashed_bytes_do_not_change() {
        let destination = to(r#"{"rail":"sepa_file","details":{"name":"Ann","iban":"DE1"}}"#);
        let canonical = r#"{"details":{"iban":"DE1","name":"Ann"},"rail":"sepa_file"}"#;
        assert_eq!(destination_hash(&destination), <[u8; 32]>::from(Sha256::digest(canonical)));

        let recipient: RecipientId = "rec_a".parse().unwrap();
        let item = ItemId::new(Uuid::from_u128(2));
        let items = [ApprovedItem { item, recipient: &recipient, amount_minor: 3, destination: [7; 32] }];
        let bytes = [
            &[0, 0, 0, 0, 0, 0, 0, 17][..],
            b"payout-approval-1",
            &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
            &[0, 0, 0, 0, 0, 0, 0, 3],
            b"USD",
            &[1, 0, 0, 0, 0, 0, 0, 0, 5],
            &[0, 0, 0, 0, 0, 0, 0, 1],
            &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2],
            &[0, 0, 0, 0, 0, 0, 0, 5],
            b"rec_a",
            &[0, 0, 0, 0, 0, 0, 0, 3],
            &[7; 32],
        ];
        let execute_at = Some(Timestamp::from_unix_micros(5));
        let found = content_hash(batch(1), "USD".parse().unwrap(), execute_at, &items);
        assert_eq!(found, ContentHash::of(Sha256::digest(bytes.concat()).into()));
    }

    /// The content of a batch with values of its own.
    #[derive(Clone, Debug, PartialEq)]
    struct Content {
        batch: u128,
        currency: &'static str,
        execute_at: Option<i64>,
        items: Vec<(u128, RecipientId, i64, [u8; 32])>,
    }

    impl Content {
        fn hash(&self) -> ContentHash {
            let item = |(item, recipient, amount_minor, destination): &'_ (u128, RecipientId, i64, [u8; 32])| {
                (ItemId::new(Uuid::from_u128(*item)), recipient.clone(), *amount_minor, *destination)
            };
            let owned: Vec<_> = self.items.iter().map(item).collect();
            let items: Vec<_> = owned
                .iter()
                .map(|(item, recipient, amount_minor, destination)| ApprovedItem {
                    item: *item,
                    recipient,
                    amount_minor: *amount_minor,
                    destination: *destination,
                })
                .collect();
            let execute_at = self.execute_at.map(Timestamp::from_unix_micros);
            content_hash(batch(self.batch), self.currency.parse().unwrap(), execute_at, &items)
        }

        /// This content with one thing changed.
        fn changed(&self, what: usize, item: usize) -> Self {
            let mut other = self.clone();
            let at = item % other.items.len();
            match what {
                0 => other.batch ^= 1,
                1 => other.currency = if other.currency == "USD" { "EUR" } else { "USD" },
                2 => other.execute_at = other.execute_at.map_or(Some(0), |_| None),
                3 => other.execute_at = Some(other.execute_at.unwrap_or(0) + 1),
                4 => other.items[at].0 ^= 1 << 100,
                5 => other.items[at].1 = format!("{}a", other.items[at].1).parse().unwrap(),
                6 => other.items[at].2 += 1,
                7 => other.items[at].3[31] ^= 1,
                8 => drop(other.items.remove(at)),
                _ => other.items.push(other.items[at].clone()),
            }
            other
        }
    }

    fn contents() -> impl Strategy<Value = Content> {
        let recipient = "[a-z]{2,4}_[a-z0-9]{1,6}".prop_map(|text| text.parse().unwrap());
        let items = prop::collection::vec((any::<u128>(), recipient, 1..1_000_000_i64, any::<[u8; 32]>()), 1..6);
        let currency = prop::sample::select(vec!["USD", "EUR", "JPY"]);
        (any::<u128>(), currency, prop::option::of(-5..5_i64), items)
            .prop_map(|(batch, currency, execute_at, items)| Content { batch, currency, execute_at, items })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn whatever_changes_in_a_batch_changes_its_hash(content in contents(), what in 0..10_usize, item in 0..6_usize) {
            let other = content.changed(what, item);
            prop_assert_ne!(content.hash(), other.hash(), "{:?} and {:?}", content, other);
        }

        #[test]
        fn the_order_of_items_does_not_change_the_hash(
            (content, items) in contents().prop_flat_map(|content| {
                let items = Just(content.items.clone()).prop_shuffle();
                (Just(content), items)
            }),
        ) {
            prop_assert_eq!(content.hash(), Content { items, ..content }.hash());
        }

        /// A part that grows at the cost of its neighbour is another content.
        #[test]
        fn what_is_moved_between_items_changes_the_hash(content in contents(), one in 0..6_usize, two in 0..6_usize) {
            let mut other = content.clone();
            let (one, two) = (one % other.items.len(), two % other.items.len());
            let (a, b) = (other.items[one].1.clone(), other.items[two].1.clone());
            (other.items[one].1, other.items[two].1) = (b, a);
            prop_assert_eq!(content.hash() == other.hash(), content == other);
        }
    }
}
