//! The calculation without names and without copies: for those who split millions of releases.

use super::{
    Amounts, CalculationError, Detail, Party, TaxTaken, Totals, Withholding,
    explanation::Explanation,
    fee, laws, settlement, waterfall, withholding,
    work::{Notice, Work},
};
use crate::{currency::Currency, day::Day, ids::RecipientId, recipient::HoldReason, revenue_model::RevenueModel};
use std::borrow::Cow;

/// What is released.
#[derive(Clone, Copy, Debug)]
pub struct Release {
    /// Minor units; greater than zero.
    pub amount_minor: i64,
    /// What a unit is.
    pub currency: Currency,
    /// What reduces the pool before anything is split.
    pub deductions_minor: i64,
    /// The day on which it was earned, in UTC.
    pub day: Day,
}

/// Splits releases by one model, one after the other. It keeps its lists, so nothing is allocated per release.
///
/// ```
/// use domain::{calculation::{Calculator, Release}, revenue_model::ModelSpec};
///
/// let spec: ModelSpec = serde_json::from_str(
///     r#"{"steps":[{"type":"share","lines":[{"recipientId":"rec_ana","percent":"70"},{"recipientId":"rec_ben","percent":"30"}]}],
///         "platformFee":{"ratePpm":50000}}"#,
/// ).unwrap();
/// let model = spec.check().unwrap();
/// let mut calculator = Calculator::new(&model);
/// let release = Release {
///     amount_minor: 200_000,
///     currency: "USD".parse().unwrap(),
///     deductions_minor: 0,
///     day: "2026-01-31".parse().unwrap(),
/// };
/// let split = calculator.split(&release, &[]).unwrap();
/// let net: Vec<(String, i64)> = split.lines().map(|(who, line)| (who.to_string(), line.net_minor)).collect();
/// assert_eq!(net, [("rec_ana".to_owned(), 133_000), ("rec_ben".to_owned(), 57_000)]);
/// ```
#[derive(Clone, Debug)]
pub struct Calculator<'m> {
    model: &'m RevenueModel,
    parties: Cow<'m, [Party]>,
    /// For which day and currency the parties were made, if they are made here.
    strangers: Option<(Currency, Day)>,
    work: Work,
}

impl<'m> Calculator<'m> {
    /// For recipients of whom nothing is known: they are paid in full, but for placeholders and the model's default
    /// tax profile.
    pub fn new(model: &'m RevenueModel) -> Self {
        Self { model, parties: Cow::Borrowed(&[]), strangers: None, work: Work::default() }
    }

    /// The same with what is known of the recipients, in the order of [`RevenueModel::recipients`].
    pub fn with_parties(model: &'m RevenueModel, parties: &'m [Party]) -> Self {
        let strangers = None;
        Self { model, parties: Cow::Borrowed(parties), strangers, work: Work::default() }
    }

    /// Splits one release. `counts` is what the model counted so far, in the order of [`RevenueModel::counted`]; empty
    /// means that nothing was. The result lives until the next call.
    ///
    /// # Errors
    /// See [`CalculationError`].
    pub fn split(&mut self, release: &Release, counts: &[i64]) -> Result<Split<'_>, CalculationError> {
        self.know_strangers(release);
        let totals = self.run(release, counts, &mut Explanation::new(Detail::None, &[]))?;
        Ok(Split { model: self.model, work: &self.work, totals })
    }

    /// Whoever is not known is a placeholder, or taxed by default, or simply paid.
    fn know_strangers(&mut self, release: &Release) {
        let is_made_here = matches!(self.parties, Cow::Owned(_)) || self.parties.is_empty();
        let wanted = Some((release.currency, release.day));
        if is_made_here && self.strangers != wanted {
            self.parties = Cow::Owned(strangers(self.model, release.currency, release.day));
            self.strangers = wanted;
        }
    }

    pub(super) fn run(
        &mut self,
        release: &Release,
        counts: &[i64],
        explanation: &mut Explanation<'_>,
    ) -> Result<Totals, CalculationError> {
        let pool = check(self.model, release)?;
        let Self { model, parties, work, .. } = self;
        let counted = model.counted().len();
        let counts = (0..counted).map(|at| counts.get(at).copied().unwrap_or(0));
        work.begin(model.recipients().len(), counts);
        if pool == 0 {
            work.notices.push(Notice::NothingToSplit);
        }
        waterfall::run(model, pool, release.day, work, explanation)?;
        fee::take(model, release.day, work, explanation);
        withholding::take(parties, work, explanation);
        settlement::settle(parties, model.settlement().recovery_ppm, work, explanation)?;

        let totals = totals(release, work)?;
        laws::assert(release.amount_minor, &totals, &work.lines, &work.taxes)?;
        Ok(totals)
    }

    pub(super) fn work(&self) -> &Work {
        &self.work
    }
    pub(super) fn parties(&self) -> &[Party] {
        &self.parties
    }
}

/// What to assume of the recipients of a model when nobody is registered.
pub fn strangers(model: &RevenueModel, currency: Currency, day: Day) -> Vec<Party> {
    let has_placeholders = (0..model.recipients().len()).any(|place| model.is_placeholder(place));
    if model.default_tax().is_none() && !has_placeholders {
        return Vec::new();
    }
    let rules = model.default_tax().map(|profile| profile.rules_for(currency, day)).unwrap_or_default();
    let tax: Vec<Withholding> =
        rules.into_iter().map(|rule| Withholding { rule: rule.clone(), year_to_date_minor: 0 }).collect();
    let party = |place| Party {
        hold: model.is_placeholder(place).then_some(HoldReason::RecipientPlaceholder),
        tax: tax.clone(),
        ..Party::default()
    };
    (0..model.recipients().len()).map(party).collect()
}

/// The pool that is split.
fn check(model: &RevenueModel, release: &Release) -> Result<i64, CalculationError> {
    match model.currency() {
        Some(model) if model != release.currency => {
            return Err(CalculationError::CurrencyMismatch { model, amount: release.currency });
        }
        _ => {}
    }
    if release.amount_minor <= 0 {
        return Err(CalculationError::AmountNotPositive);
    }
    let pool = release.amount_minor.checked_sub(release.deductions_minor);
    pool.filter(|pool| (0..=release.amount_minor).contains(pool)).ok_or(CalculationError::DeductionsExceedAmount)
}

fn totals(release: &Release, work: &Work) -> Result<Totals, CalculationError> {
    let mut sums = Amounts::default();
    let (mut carried_in, mut carried_forward, mut payable) = (0i128, 0i128, 0i128);
    for line in &work.lines {
        sums.gross_minor += line.gross_minor;
        sums.feeable_minor += line.feeable_minor;
        sums.fee_minor += line.fee_minor;
        sums.fee_tax_minor += line.fee_tax_minor;
        sums.tax_minor += line.tax_minor;
        sums.net_minor += line.net_minor;
        sums.recovered_minor += line.recovered_minor;
        sums.held_minor += line.held_minor;
        carried_in += i128::from(line.carried_in_minor);
        carried_forward += i128::from(line.carried_forward_minor);
        payable += i128::from(line.payable_minor);
    }
    // These three alone hold money of other releases, so that they may exceed this one.
    let fits = |sum: i128| i64::try_from(sum).map_err(|_| CalculationError::CarriedOutOfRange);
    sums.carried_in_minor = fits(carried_in)?;
    sums.carried_forward_minor = fits(carried_forward)?;
    sums.payable_minor = fits(payable)?;
    let (deductions_minor, fee_elsewhere_minor) = (release.deductions_minor, work.fee_elsewhere_minor);
    Ok(Totals { deductions_minor, sums, fee_elsewhere_minor })
}

/// What a release came to. It lives until the next one is split.
#[derive(Clone, Copy, Debug)]
pub struct Split<'a> {
    model: &'a RevenueModel,
    work: &'a Work,
    totals: Totals,
}

impl<'a> Split<'a> {
    /// Every recipient and what they get, in order of first appearance.
    pub fn lines(&self) -> impl Iterator<Item = (&'a RecipientId, &'a Amounts)> {
        self.model.recipients().iter().zip(&self.work.lines)
    }
    /// The sums of the columns.
    pub fn totals(&self) -> Totals {
        self.totals
    }
    /// What the model counts, as it is after this release: the next one is split with it.
    pub fn counts(&self) -> &'a [i64] {
        &self.work.counts
    }
    /// What each rule withheld.
    pub fn taxes(&self) -> &'a [TaxTaken] {
        &self.work.taxes
    }
}
