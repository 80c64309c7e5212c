//! What people and rails say of payments, and who did what.

use super::{fresh, read};
use app::{
    change::{PolicyVersion, Resolution, ResolutionState, Resolved, TakenEvent, Verdict},
    ports::rail::{About, RailEvent, Seen},
};
use domain::{
    approval::{Approval, ContentHash},
    audit::{Actor, AuditEntry},
    batch::Batch,
    ids::{AuditId, InstructionId, ItemId, ResolutionId},
    instruction::Instruction,
    policy::PolicySpec,
    timestamp::Timestamp,
};

/// Somebody's yes to that content of these items of a batch.
pub fn approval(batch: &Batch, approver: &str, items: &[ItemId], content: u8, at: Timestamp) -> Approval {
    let items = items.iter().map(|item| (*item, ContentHash::of([content; 32]))).collect();
    Approval::try_new(batch.id, batch.scheduled_by.clone(), read(approver), items, None, at).unwrap()
}

/// A policy that asks for as many approvals as its version says.
pub fn policy(version: u32, at: Timestamp) -> PolicyVersion {
    let spec: PolicySpec = serde_json::from_value(serde_json::json!({
        "approval": {
            "rules": [
                { "when": "amount", "currency": "USD", "from": 9_007_199_254_740_993_i64, "approvals": version },
                { "when": "new_destination", "approvals": 1 },
            ],
            "approvers": ["usr_ann"],
            "validForSeconds": 60,
        },
        "calendar": { "cron": "0 9 * * 1-5", "timeZone": "Europe/Berlin", "minimumAgeSeconds": 5 },
    }))
    .unwrap();
    PolicyVersion { version, spec, set_by: read("usr_operator"), set_at: at }
}

/// Somebody says that an item of an instruction was paid.
pub fn proposal(instruction: &Instruction, place: usize, at: Timestamp) -> Resolution {
    Resolution {
        id: ResolutionId::new(fresh()),
        item: instruction.items[place].item,
        instruction: instruction.id,
        outcome: Resolved::Paid,
        evidence: "statement 7".to_owned(),
        note: None,
        proposed_by: read("usr_ann"),
        proposed_at: at,
        state: ResolutionState::Proposed,
    }
}

/// An entry of the audit log.
pub fn audited(action: &str, at: Timestamp) -> AuditEntry {
    AuditEntry {
        id: AuditId::new(fresh()),
        at,
        actor: Actor::worker(),
        action: action.to_owned(),
        subject: "item_1".to_owned(),
        before: None,
        after: None,
    }
}

/// Something that a rail says of nothing in particular, under that name.
pub fn said(dedupe: &str, what: Seen) -> RailEvent {
    RailEvent {
        dedupe: dedupe.to_owned(),
        about: About::Item("WIRE".to_owned()),
        key: None,
        what,
        amount: None,
        occurred_at: None,
        evidence: [0xE7; 32],
    }
}

/// What the simulator said, and that it was known.
pub fn taken(event: RailEvent, instruction: Option<InstructionId>, at: Timestamp) -> Box<TakenEvent> {
    Box::new(TakenEvent { rail: read("simulator"), event, instruction, verdict: Verdict::Known, received_at: at })
}
