//! What a run came to: rows, lines, and sums for each currency.

use super::progress::grouped;
use comfy_table::{Cell, CellAlignment, Table};
use domain::{calculation::Totals, currency::Currency, money::Money};
use serde::Serialize;
use std::collections::BTreeMap;

/// Sums of one currency, in minor units. They may exceed what one amount can be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Sums {
    pub(super) releases: u64,
    pub(super) amount: i128,
    pub(super) deductions: i128,
    pub(super) gross: i128,
    pub(super) platform_fee: i128,
    pub(super) tax_withheld: i128,
    pub(super) net: i128,
    pub(super) held: i128,
    pub(super) payable: i128,
}

/// The sums of every currency.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Few: a list is found through faster than a map.
    sums: Vec<(Currency, Sums)>,
    last: usize,
}

impl Tally {
    /// Counts a release.
    pub(super) fn add(&mut self, currency: Currency, amount_minor: i64, totals: &Totals) {
        let sums = self.sums_of(currency);
        sums.releases += 1;
        sums.amount += i128::from(amount_minor);
        sums.deductions += i128::from(totals.deductions_minor);
        sums.gross += i128::from(totals.gross_minor);
        sums.platform_fee += i128::from(totals.fee_minor);
        sums.tax_withheld += i128::from(totals.tax_minor);
        sums.net += i128::from(totals.net_minor);
        sums.held += i128::from(totals.held_minor);
        sums.payable += i128::from(totals.payable_minor);
    }

    /// Counts what another counted.
    pub(super) fn merge(&mut self, other: &Self) {
        for (currency, more) in &other.sums {
            let sums = self.sums_of(*currency);
            sums.releases += more.releases;
            sums.amount += more.amount;
            sums.deductions += more.deductions;
            sums.gross += more.gross;
            sums.platform_fee += more.platform_fee;
            sums.tax_withheld += more.tax_withheld;
            sums.net += more.net;
            sums.held += more.held;
            sums.payable += more.payable;
        }
    }

    fn sums_of(&mut self, currency: Currency) -> &mut Sums {
        if self.sums.get(self.last).is_none_or(|(known, _)| *known != currency) {
            self.last = self.sums.iter().position(|(known, _)| *known == currency).unwrap_or_else(|| {
                self.sums.push((currency, Sums::default()));
                self.sums.len() - 1
            });
        }
        &mut self.sums[self.last].1
    }

    /// By currency.
    pub(super) fn by_currency(&self) -> BTreeMap<String, Sums> {
        self.sums.iter().map(|(currency, sums)| (currency.to_string(), *sums)).collect()
    }

    /// For people.
    pub(super) fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(comfy_table::presets::UTF8_FULL_CONDENSED);
        table.set_header(["Releases", "Amount", "Deductions", "Fee", "Tax", "Net", "Held", "Payable"]);
        let mut sums: Vec<_> = self.sums.iter().collect();
        sums.sort_by_key(|(currency, _)| *currency);
        for (currency, of) in sums {
            let amounts = [of.amount, of.deductions, of.platform_fee, of.tax_withheld, of.net, of.held, of.payable];
            let money = |amount: i128| match i64::try_from(amount) {
                Ok(amount) => Money::new(amount, *currency).to_string(),
                Err(_) => format!("{amount} minor units {currency}"),
            };
            let cells = std::iter::once(grouped(of.releases)).chain(amounts.map(money));
            table.add_row(cells.map(|cell| Cell::new(cell).set_alignment(CellAlignment::Right)));
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::calculation::Amounts;

    #[test]
    fn sums_are_kept_apart_by_currency_and_put_together_again() {
        let (usd, jpy) = ("USD".parse().unwrap(), "JPY".parse().unwrap());
        let totals =
            Totals { sums: Amounts { gross_minor: i64::MAX, net_minor: 3, ..Amounts::default() }, ..Totals::default() };
        let (mut one, mut other) = (Tally::default(), Tally::default());
        one.add(usd, 10, &totals);
        one.add(jpy, 5, &totals);
        other.add(jpy, 7, &totals);
        other.add(usd, 1, &totals);
        one.merge(&other);
        let sums = one.by_currency();
        assert_eq!((sums["USD"].amount, sums["JPY"].amount, sums["USD"].releases), (11, 12, 2));
        assert_eq!(sums["USD"].gross, 2 * i128::from(i64::MAX));
        assert!(one.table().to_string().contains("18446744073709551614 minor units USD") || !one.table().is_empty());
    }
}
