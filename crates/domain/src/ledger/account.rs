//! Accounts: a kind and, where named, a subject.

use crate::{
    calculation::DeductionKind,
    ids::{EscrowId, RecipientId},
    recipient::RailId,
};
use std::{fmt, str::FromStr};

/// An account of the ledger. Written as `kind` or `kind:subject`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Account {
    /// What the escrow service owes us for releases.
    EscrowReceivable,
    /// A release that is not split yet, or what came back of it.
    Escrow(EscrowId),
    /// Our money at a rail.
    Cash(RailId),
    /// What we owe a recipient.
    Payable(RecipientId),
    /// What the platform earned.
    PlatformFees,
    /// Tax on the platform fee, owed to the state.
    FeeTax,
    /// Tax withheld from recipients under a rule, owed to the state.
    TaxWithheld(String),
    /// What was taken off releases before the split.
    Deductions(DeductionKind),
    /// What is carried to a later batch because it is too small to be sent.
    Carried(RecipientId),
    /// What a recipient owes us.
    Debt(RecipientId),
    /// Sent over a rail, outcome not known yet.
    InTransit(RailId),
    /// What rails kept.
    RailCharges,
}

/// The text names no account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an account such as `payable:rec_ana` or `platform_fees`")]
pub struct InvalidAccount;

impl Account {
    /// The kind: one of twelve words.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::EscrowReceivable => "escrow_receivable",
            Self::Escrow(_) => "escrow",
            Self::Cash(_) => "cash",
            Self::Payable(_) => "payable",
            Self::PlatformFees => "platform_fees",
            Self::FeeTax => "fee_tax",
            Self::TaxWithheld(_) => "tax_withheld",
            Self::Deductions(_) => "deductions",
            Self::Carried(_) => "carried",
            Self::Debt(_) => "debt",
            Self::InTransit(_) => "in_transit",
            Self::RailCharges => "rail_charges",
        }
    }
    /// The subject; empty where the kind has none.
    pub fn subject(&self) -> &str {
        match self {
            Self::EscrowReceivable | Self::PlatformFees | Self::FeeTax | Self::RailCharges => "",
            Self::Escrow(escrow) => escrow.as_str(),
            Self::Cash(rail) | Self::InTransit(rail) => rail.as_str(),
            Self::Payable(recipient) | Self::Carried(recipient) | Self::Debt(recipient) => recipient.as_str(),
            Self::TaxWithheld(rule) => rule,
            Self::Deductions(kind) => kind.as_str(),
        }
    }

    /// The account of that kind and subject.
    ///
    /// # Errors
    /// If the kind is none of the twelve, or the subject is not what the kind needs.
    pub fn of(kind: &str, subject: &str) -> Result<Self, InvalidAccount> {
        let account = match kind {
            "escrow_receivable" => Self::EscrowReceivable,
            "escrow" => Self::Escrow(read(subject)?),
            "cash" => Self::Cash(read(subject)?),
            "payable" => Self::Payable(read(subject)?),
            "platform_fees" => Self::PlatformFees,
            "fee_tax" => Self::FeeTax,
            "tax_withheld" if !subject.is_empty() => Self::TaxWithheld(subject.to_owned()),
            "deductions" => {
                let kind = DeductionKind::ALL.into_iter().find(|kind| kind.as_str() == subject);
                Self::Deductions(kind.ok_or(InvalidAccount)?)
            }
            "carried" => Self::Carried(read(subject)?),
            "debt" => Self::Debt(read(subject)?),
            "in_transit" => Self::InTransit(read(subject)?),
            "rail_charges" => Self::RailCharges,
            _ => return Err(InvalidAccount),
        };
        // A kind without subject takes none, and a subject has one spelling.
        if account.subject() == subject { Ok(account) } else { Err(InvalidAccount) }
    }
}

fn read<T: FromStr>(subject: &str) -> Result<T, InvalidAccount> {
    subject.parse().map_err(|_| InvalidAccount)
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.subject() {
            "" => f.write_str(self.kind()),
            subject => write!(f, "{}:{subject}", self.kind()),
        }
    }
}
impl FromStr for Account {
    type Err = InvalidAccount;
    fn from_str(text: &str) -> Result<Self, InvalidAccount> {
        let (kind, subject) = text.split_once(':').unwrap_or((text, ""));
        Self::of(kind, subject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_read_back_as_written() {
        for text in [
            "escrow_receivable",
            "escrow:esc_1",
            "cash:simulator",
            "payable:rec_ana",
            "platform_fees",
            "fee_tax",
            "tax_withheld:us_nra",
            "deductions:psp_fee",
            "carried:rec_ana",
            "debt:rec_ana",
            "in_transit:simulator",
            "rail_charges",
        ] {
            assert_eq!(text.parse::<Account>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn anything_else_is_none() {
        for text in [
            "",
            "payable",
            "payable:",
            "payable:x",
            "platform_fees:x",
            "deductions:x",
            "tax_withheld",
            "gold:1",
            "escrow:507F1F77BCF86CD799439011",
        ] {
            assert_eq!(text.parse::<Account>(), Err(InvalidAccount), "{text}");
        }
    }
}
