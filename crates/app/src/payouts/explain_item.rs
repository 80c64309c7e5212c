//! Why an item's amount is what it is: the batch is calculated again from what was stored with it, cent by cent.

use crate::{
    failure::{Class, Failure},
    ports::{PayoutQueries, PayoutRepository, StoreError},
    revenue::facts::Inputs,
};
use domain::{
    batch::{Batch, BatchLine, Release},
    calculation::{self, Column, Detail, ExplanationLine, Operation, Request},
    day::Day,
    ids::ItemId,
    item::Item,
    money::Money,
};

/// The explanation of an item.
#[derive(Clone, Debug, PartialEq)]
pub struct ItemExplanation {
    /// The item.
    pub item: Item,
    /// Its batch.
    pub batch: Batch,
    /// Its line of the batch.
    pub line: BatchLine,
    /// What is about its recipient, or about the whole.
    pub lines: Vec<ExplanationLine>,
}

/// Why there is no explanation.
#[derive(Debug, thiserror::Error)]
pub enum ExplainItemError {
    /// There is no such item.
    #[error("there is no item `{0}`")]
    ItemNotFound(ItemId),
    /// The store cannot be used, or what it holds does not give the same cents again.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Failure for ExplainItemError {
    fn code(&self) -> &'static str {
        match self {
            Self::ItemNotFound(_) => "item_not_found",
            Self::Store(error) => error.code(),
        }
    }
    fn class(&self) -> Class {
        match self {
            Self::ItemNotFound(_) => Class::NotFound,
            Self::Store(error) => error.class(),
        }
    }
}

/// Explains an item. Writes nothing.
///
/// # Errors
/// See [`ExplainItemError`].
pub async fn explain_item(
    repository: &dyn PayoutRepository,
    queries: &dyn PayoutQueries,
    id: ItemId,
) -> Result<ItemExplanation, ExplainItemError> {
    let details = queries.item(id).await?.ok_or(ExplainItemError::ItemNotFound(id))?;
    let corrupt = |what: &str| StoreError::Corrupt(format!("item {id}: {what}"));
    let batch = queries.batch(details.item.batch).await?.ok_or_else(|| corrupt("its batch is not there"))?.batch;
    let (inputs, lines) = repository.batch_inputs(batch.id).await?.ok_or_else(|| corrupt("its batch has no inputs"))?;
    let line = lines.into_iter().find(|line| line.item == Some(id)).ok_or_else(|| corrupt("it has no line"))?;
    let explained = match batch.release() {
        Some(release) => explain(queries, &batch, release, Inputs::read(inputs.inputs)?, &line).await?,
        None => of_carry(&line),
    };
    Ok(ItemExplanation { item: details.item, batch, line, lines: explained })
}

/// What was carried is paid as it is: the line says it all.
fn of_carry(line: &BatchLine) -> Vec<ExplanationLine> {
    let BatchLine { carried_in_minor: carried, recovered_minor: recovered, carried_forward_minor: forward, .. } = *line;
    let parts = [
        (Column::CarriedIn, Operation::Carry, carried, "carried before"),
        (Column::Recovered, Operation::Recover, recovered, "oldest debt first"),
        (Column::CarriedForward, Operation::Granularity, forward, "rail granularity"),
        (Column::Payable, Operation::Difference, line.payable_minor, "carried in - recovered - carried forward"),
    ];
    let parts = parts.into_iter().filter(|(_, _, value, _)| *value > 0).zip(1..);
    let explained = parts.map(|((column, operation, value, rule), seq)| ExplanationLine {
        seq,
        step: None,
        recipient: Some(line.recipient.clone()),
        column,
        operation,
        numerator: (column == Column::Payable).then(|| format!("{carried}-{recovered}-{forward}")),
        denominator: None,
        floor: None,
        remainder: None,
        extra_unit: None,
        value,
        rule: rule.to_owned(),
    });
    explained.collect()
}

async fn explain(
    queries: &dyn PayoutQueries,
    batch: &Batch,
    release: &Release,
    inputs: Inputs,
    line: &BatchLine,
) -> Result<Vec<ExplanationLine>, StoreError> {
    let corrupt = |what: String| StoreError::Corrupt(format!("batch {}: {what}", batch.id));
    let version = queries.model(&release.project, release.model_version).await?;
    let version = version.ok_or_else(|| corrupt("its model is not there".to_owned()))?;
    let model = version.model().map_err(|faults| corrupt(format!("its model has faults: {faults:?}")))?;
    let calculation = calculation::calculate(Request {
        amount: Money::new(batch.amount_minor, batch.currency),
        deductions: &inputs.deductions,
        day: Day::of(release.as_of),
        model: &model,
        parties: &inputs.parties(model.recipients().len()),
        counts: &inputs.counts,
        detail: Detail::Full,
    });
    let calculation = calculation.map_err(|error| corrupt(error.to_string()))?;
    let again = calculation.lines.iter().find(|again| again.recipient == line.recipient);
    let again = again.map(|again| BatchLine::of(batch.id, line.seq, again, line.item));
    if again.as_ref() != Some(line) {
        return Err(corrupt("calculated again, it gives other cents than were booked".to_owned()));
    }
    let is_ours = |found: &ExplanationLine| found.recipient.as_ref().is_none_or(|who| *who == line.recipient);
    Ok(calculation.explanation.into_iter().filter(is_ours).collect())
}
