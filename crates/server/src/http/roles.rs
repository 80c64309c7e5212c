//! Who may do what: one table of permissions and roles.
//!
//! A token names a role, an operation takes a permission ([`Auth`](super::auth::Auth)), and
//! [`Permission::admitted`] is the only place where the two meet. The specification, `docs/roles.md` and the
//! sentence of a refusal are written from it.

pub mod may;

use super::problem::Problem;

/// What the bearer of a token is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Looks at payouts.
    Viewer,
    /// Looks at everything, the books and the audit log included.
    Auditor,
    /// Runs payouts from day to day.
    Operator,
    /// Says yes to what others have scheduled.
    Approver,
    /// Whoever is responsible for the deployment.
    Admin,
    /// Another service, such as the one that releases escrows.
    System,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 6] = [Self::Viewer, Self::Auditor, Self::Operator, Self::Approver, Self::Admin, Self::System];

    /// The word in a token.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Auditor => "auditor",
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Admin => "admin",
            Self::System => "system",
        }
    }

    /// The role of that name. Case counts: `Admin` is nobody.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }
}

/// What an operation takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Calculate, which writes nothing and reads nothing but models and recipients.
    Calculate,
    /// Read batches, items, explanations, models, recipients, balances, reversals, events, and the simulator's book.
    Read,
    /// Read the ledger and the trial balance.
    ReadBooks,
    /// Read who did what.
    ReadAudit,
    /// Schedule what an escrow released.
    Schedule,
    /// Take back what was released.
    Reverse,
    /// Decide who gets which part.
    PublishModel,
    /// Decide where somebody's money goes.
    RegisterRecipient,
    /// Pay what is too small to be paid by itself.
    PayCarried,
    /// Hold, release, cancel and retry.
    Operate,
    /// Say what became of a payment whose outcome is unknown.
    Resolve,
    /// Say yes to what waits for approval.
    Approve,
    /// Decide what has to be approved.
    SetPolicy,
    /// Switch the simulator's faults and move the test clock, in test mode.
    Simulate,
}

/// Who holds a permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// Anybody with a good token, in a role that we have never heard of, too.
    Anybody,
    /// These, and nobody else.
    Only(&'static [Role]),
}

impl Permission {
    /// The table. A row that is not here does not compile, and a role that is not in a row may not.
    pub fn admitted(self) -> Admitted {
        use Admitted::{Anybody, Only};
        use Role::{Admin, Approver, Auditor, Operator, System, Viewer};
        match self {
            Self::Calculate => Anybody,
            Self::Read => Only(&[Viewer, Auditor, Operator, Approver, Admin, System]),
            Self::ReadBooks => Only(&[Auditor, Operator, Approver, Admin, System]),
            Self::ReadAudit => Only(&[Auditor, Admin]),
            Self::Schedule => Only(&[Admin, System]),
            Self::Reverse => Only(&[Admin, System]),
            Self::PublishModel => Only(&[Admin, System]),
            Self::RegisterRecipient => Only(&[Operator, Admin, System]),
            Self::PayCarried => Only(&[Operator, Admin, System]),
            Self::Operate => Only(&[Operator, Admin]),
            Self::Resolve => Only(&[Operator, Approver, Admin]),
            Self::Approve => Only(&[Approver, Admin]),
            Self::SetPolicy => Only(&[Admin]),
            Self::Simulate => Only(&[Operator, Admin, System]),
        }
    }

    /// Whether a caller in this role may; `None` is a role that we have never heard of.
    pub fn admits(self, role: Option<Role>) -> bool {
        match (self.admitted(), role) {
            (Admitted::Anybody, _) => true,
            (Admitted::Only(roles), Some(role)) => roles.contains(&role),
            (Admitted::Only(_), None) => false,
        }
    }

    /// The word in the specification.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Calculate => "calculate",
            Self::Read => "read",
            Self::ReadBooks => "read_books",
            Self::ReadAudit => "read_audit",
            Self::Schedule => "schedule",
            Self::Reverse => "reverse",
            Self::PublishModel => "publish_model",
            Self::RegisterRecipient => "register_recipient",
            Self::PayCarried => "pay_carried",
            Self::Operate => "operate",
            Self::Resolve => "resolve",
            Self::Approve => "approve",
            Self::SetPolicy => "set_policy",
            Self::Simulate => "simulate",
        }
    }

    /// The permission of that name.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|permission| permission.as_str() == word)
    }

    /// What whoever holds it may do, as in "may schedule payouts".
    pub fn deed(self) -> &'static str {
        match self {
            Self::Calculate => "calculate what an amount would come to",
            Self::Read => "read what is stored, the books and the audit log aside",
            Self::ReadBooks => "read the ledger and the trial balance",
            Self::ReadAudit => "read the audit log",
            Self::Schedule => "schedule payouts",
            Self::Reverse => "take back what was released",
            Self::PublishModel => "store a revenue model",
            Self::RegisterRecipient => "register a recipient",
            Self::PayCarried => "pay what is carried for a recipient",
            Self::Operate => "hold, release, cancel or retry a payment",
            Self::Resolve => "say what became of a payment whose outcome is unknown",
            Self::Approve => "approve what waits for it",
            Self::SetPolicy => "say what has to be approved",
            Self::Simulate => "switch the simulator's faults and move the test clock",
        }
    }

    /// Who may, in a sentence.
    pub fn sentence(self) -> String {
        match self.admitted() {
            Admitted::Anybody => format!("Any role may {}.", self.deed()),
            Admitted::Only(roles) => format!("Only {} may {}.", listed(roles, "and"), self.deed()),
        }
    }

    /// The code of the 403. Scheduling has always had its own.
    pub fn refusal_code(self) -> &'static str {
        match self {
            Self::Schedule => "not_system",
            Self::Calculate
            | Self::Read
            | Self::ReadBooks
            | Self::ReadAudit
            | Self::Reverse
            | Self::PublishModel
            | Self::RegisterRecipient
            | Self::PayCarried
            | Self::Operate
            | Self::Resolve
            | Self::Approve
            | Self::SetPolicy
            | Self::Simulate => Problem::Forbidden.code(),
        }
    }
}

/// Roles in a row of words: "`viewer`, `admin` and `system`".
pub fn listed(roles: &[Role], last: &str) -> String {
    let quoted = |role: &Role| format!("`{}`", role.as_str());
    match roles {
        [] => "nobody".to_owned(),
        [only] => quoted(only),
        [others @ .., one] => {
            format!("{} {last} {}", others.iter().map(quoted).collect::<Vec<_>>().join(", "), quoted(one))
        }
    }
}

#[cfg(test)]
mod tests;
