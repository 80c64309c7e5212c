//! Writes down what each answer means.

use super::{Answer, Heard, Ports, look_again::Looks};
use crate::{
    payouts::{
        batch_work::BatchWork,
        cancel_lines::Cancelling,
        conclude::{self, Conclusion, Contradiction, Facts},
    },
    ports::{
        Dice, Ids, PayoutRepository, StoreError,
        rail::{RailEvent, RailProfile, Seen},
        repository::StoredCounter,
    },
};
use domain::{
    audit::Actor,
    counter::CounterKey,
    ids::{ItemId, Requester},
    instruction::Instruction,
    recipient::RailId,
    timestamp::Timestamp,
};
use std::collections::{BTreeSet, HashMap, HashSet};

/// What is known beside the batch, when answers are written down.
pub(crate) struct Known {
    strays: BTreeSet<ItemId>,
    debts: HashMap<CounterKey, StoredCounter>,
    cancelling: Option<Cancelling>,
    told_before: HashSet<(RailId, String)>,
}

impl Known {
    /// Reads only what is needed: mostly nothing.
    pub(super) async fn read(
        ports: Ports<'_>,
        work: &BatchWork<'_>,
        heard: &[Heard],
        strays: Vec<ItemId>,
    ) -> Result<Self, StoreError> {
        let said = heard.iter().flat_map(|heard| match &heard.answer {
            Answer::Said { events, .. } => events.iter().map(|event| (&heard.before.value, event)).collect(),
            _ => Vec::new(),
        });
        Self::of_events(ports.repository, work, said.collect(), strays).await
    }

    /// The same for what was said of instructions.
    pub(crate) async fn of_events(
        repository: &dyn PayoutRepository,
        work: &BatchWork<'_>,
        said: Vec<(&Instruction, &RailEvent)>,
        strays: Vec<ItemId>,
    ) -> Result<Self, StoreError> {
        let mut debts = HashMap::new();
        if !strays.is_empty() {
            let recipients = strays.iter().filter_map(|id| Some(work.item(*id)?.recipient.clone()));
            let keys: Vec<CounterKey> =
                recipients.map(|recipient| CounterKey::debt(&recipient, work.batch().currency)).collect();
            debts = repository.counters(&keys).await?.into_iter().map(|debt| (debt.key.clone(), debt)).collect();
        }
        let recalls = said.iter().any(|(_, event)| event.what == Seen::Recalled);
        let cancelling =
            if recalls { Cancelling::read(repository, work.batch().id, Requester::worker()).await? } else { None };
        let mut told_before = HashSet::new();
        for (instruction, event) in said {
            let parts = conclude::parts_of(event, instruction);
            if parts.is_empty() || parts.iter().any(|part| !conclude::is_credible(event, part, instruction)) {
                let names = std::slice::from_ref(&event.dedupe);
                let known = repository.taken_events(&instruction.rail, names).await?;
                told_before.extend(known.into_iter().map(|name| (instruction.rail.clone(), name)));
            }
        }
        Ok(Self { strays: strays.into_iter().collect(), debts, cancelling, told_before })
    }

    /// As whoever concludes needs it.
    pub(crate) fn facts<'a>(
        &'a self,
        rail: &'a RailProfile,
        (ids, dice): (&'a dyn Ids, &'a dyn Dice),
        at: Timestamp,
    ) -> Facts<'a> {
        let Self { strays, debts, cancelling, .. } = self;
        Facts { rail, strays, debts, cancelling: cancelling.as_ref(), ids, dice, at }
    }
}

/// The second write: what each answer means.
pub(super) fn write_answers(
    ports: Ports<'_>,
    work: &mut BatchWork<'_>,
    heard: Vec<Heard>,
    known: &Known,
    now: Timestamp,
    looks: &mut Looks,
) -> Result<Conclusion, Contradiction> {
    let mut into = Conclusion::default();
    for Heard { before, rail, answer } in heard {
        let Some(rail) = rail else { continue };
        let facts = known.facts(&rail, (ports.ids, ports.dice), now);
        let mut instruction = before.value.clone();
        work.acts(Actor::rail(&rail.id));
        match answer {
            Answer::Said { reference, events } => {
                let was_told = events.len();
                for event in &events {
                    let is_new = !known.told_before.contains(&(rail.id.clone(), event.dedupe.clone()));
                    instruction = conclude::hear(work, &mut into, facts, instruction, event, (false, is_new))?;
                }
                // A saying that is not believed leaves us in doubt, and so does one about nothing of this.
                if was_told == 0 || instruction.is_acknowledged() {
                    instruction = conclude::acknowledge(work, &mut into, facts, instruction, reference.as_ref())?;
                }
            }
            Answer::Refused { reason, class } => {
                instruction = conclude::refused(work, &mut into, facts, instruction, (&reason, class))?;
            }
            Answer::Absent => {
                work.acts(Actor::worker());
                instruction = conclude::absent(work, &mut into, facts, instruction)?;
            }
            Answer::NotSent => {
                instruction = instruction.not_sent();
                if looks.waiting_for_days.contains(&instruction.id) {
                    conclude::not_taken(&mut into, facts, &instruction);
                }
            }
            Answer::Unknown => {
                work.acts(Actor::worker());
                conclude::unknown(work, &instruction, now)?;
            }
        }
        if instruction.is_open() {
            looks.at_unresolved(work, &instruction, ports.dice);
        }
        conclude::write_down(&mut into, &before, instruction);
    }
    work.acts(Actor::worker());
    Ok(into)
}
