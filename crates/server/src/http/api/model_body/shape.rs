//! What the specification shows of a model. Values are read and written elsewhere; a test holds the names together.

use crate::http::{
    api::words::{Count, OpenEnd, Whole},
    scalars::Sc,
    shown::Described,
};
use domain::{
    day::Day,
    ids::RecipientId,
    revenue_model::{
        StepKey,
        spec::{
            Fallback, FeeBase, FeeBearer, FeeOnRefund, FeeScope, FeeSpec, Per, SettlementSpec, StepSpec, TierBasis,
            TierMode,
        },
    },
};
use poem_openapi::{Object, Union};

impl Described for StepSpec {
    type Shape = Step;
}
impl Described for FeeSpec {
    type Shape = PlatformFee;
}
impl Described for SettlementSpec {
    type Shape = Settlement;
}

/// A clause of the model.
#[derive(Debug, Union)]
#[oai(discriminator_name = "type", one_of, rename_all = "snake_case")]
pub enum Step {
    Fixed(FixedStep),
    Recoup(RecoupStep),
    Share(ShareStep),
    Tiers(TiersStep),
    Remainder(RemainderStep),
    RecoupFromShare(RecoupFromShareStep),
}

/// An amount, each time or once, before anything that follows.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase")]
pub struct FixedStep {
    /// Needed if `per` is `lifetime`.
    key: Option<Sc<StepKey>>,
    /// How much, in minor units; above zero.
    amount: Sc<Whole>,
    /// `calculation`, if absent.
    per: Option<Sc<Per>>,
    /// Who gets it, if it is one.
    recipient_id: Option<Sc<RecipientId>>,
    /// Whether that one is not known yet; what they get is held until somebody registers them.
    placeholder: Option<bool>,
    /// Who gets which part of it, if it is several. They have no limits.
    #[oai(validator(max_items = 100000))]
    lines: Option<Vec<ShareLine>>,
    /// Whether the platform takes its fee of it; `true`, if absent.
    feeable: Option<bool>,
}

/// Gives back what was advanced, in proportion to what is outstanding, and then nothing more.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase")]
pub struct RecoupStep {
    /// Needed, unless there is a `crossCollateralId`.
    key: Option<Sc<StepKey>>,
    /// Who advanced how much.
    #[oai(validator(max_items = 100000))]
    lines: Vec<RecoupLine>,
    /// What they get back of it, in parts per million: 1,000,000 is what they gave, 1,200,000 is 120 % of it. 1,000,000,
    /// if absent.
    multiple_ppm: Option<Sc<Whole>>,
    /// The part of the pool that may be used for it, in parts per million; all of it, if absent.
    rate_ppm: Option<Sc<Whole>>,
    /// Counts together with every step of every project that says the same.
    cross_collateral_id: Option<Sc<StepKey>>,
    /// Whether the platform takes its fee of it; `true`, if absent.
    feeable: Option<bool>,
}

/// Divides the pool, or a portion of it, among its lines.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase")]
pub struct ShareStep {
    /// Needed if a line has a `lifetimeMax`.
    key: Option<Sc<StepKey>>,
    /// The part of the pool that is divided, in parts per million; all of it, if absent.
    portion_ppm: Option<Sc<Whole>>,
    /// Who gets which part. Percentages (`ppm`, `percent`, `bps`) add up to 100 %, or one line has `remaining`.
    #[oai(validator(max_items = 100000))]
    lines: Vec<ShareLine>,
    /// Whether the platform takes its fee of it; `true`, if absent. A line may say otherwise.
    feeable: Option<bool>,
}

/// Divides the whole pool, at parts that depend on how much it is.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase")]
pub struct TiersStep {
    /// Needed if `basis` is `cumulative_amount`.
    key: Option<Sc<StepKey>>,
    basis: Sc<TierBasis>,
    mode: Sc<TierMode>,
    /// Only what is earned from this day on is counted.
    since: Option<Sc<Day>>,
    /// From the lowest to the highest; the last one is open.
    #[oai(validator(max_items = 10000))]
    tiers: Vec<Tier>,
    /// Whether the platform takes its fee of it; `true`, if absent.
    feeable: Option<bool>,
}

/// Gives all that is left to one.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase")]
pub struct RemainderStep {
    /// Who gets it.
    recipient_id: Sc<RecipientId>,
    /// Whether they are not known yet; what they get is held until somebody registers them.
    placeholder: Option<bool>,
    /// Whether the platform takes its fee of it; `true`, if absent.
    feeable: Option<bool>,
}

/// Moves a part of what one got to another until that one has its target (an advance of a label). Done when the pool is
/// empty, wherever it is listed.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase")]
pub struct RecoupFromShareStep {
    key: Option<Sc<StepKey>>,
    /// Whose share is used.
    from_recipient_id: Sc<RecipientId>,
    /// Who gets it.
    to_recipient_id: Sc<RecipientId>,
    /// Until so much was moved, in minor units; above zero.
    target: Sc<Whole>,
    /// The part of the share that may be used, in parts per million; all of it, if absent.
    rate_ppm: Option<Sc<Whole>>,
}

/// One recipient's part: exactly one of `ppm`, `percent`, `bps`, `weight`, `remaining`.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase")]
pub struct ShareLine {
    recipient_id: Sc<RecipientId>,
    /// Parts per million: 1,000,000 is 100 %.
    ppm: Option<Sc<Whole>>,
    /// Percent as a decimal string, at most four decimals.
    #[oai(validator(pattern = r"^-?[0-9]{1,9}(\.[0-9]{1,9})?$"))]
    percent: Option<String>,
    /// Basis points: 10,000 is 100 %.
    bps: Option<Sc<Whole>>,
    /// Relative to the other lines: three lines of weight 1 are exact thirds.
    weight: Option<Sc<Whole>>,
    /// What the percentages of the other lines leave.
    remaining: Option<bool>,
    /// At least so much, as long as there is enough, in minor units. Lines of a `share` step only.
    min: Option<Sc<Whole>>,
    /// At most so much of one release, in minor units. Lines of a `share` step only.
    max: Option<Sc<Whole>>,
    /// At most so much of all releases together, in minor units. Lines of a `share` step only.
    lifetime_max: Option<Sc<Whole>>,
    /// Whether the platform takes its fee of it; as the step says, if absent.
    feeable: Option<bool>,
    /// Whether the recipient is not known yet; what they get is held until somebody registers them.
    placeholder: Option<bool>,
}

/// Who advanced how much.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase")]
pub struct RecoupLine {
    recipient_id: Sc<RecipientId>,
    /// Minor units; above zero.
    principal: Sc<Whole>,
    /// Whether the recipient is not known yet; what they get is held until somebody registers them.
    placeholder: Option<bool>,
}

/// A tier: who gets which part of what lies within it.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase")]
pub struct Tier {
    /// Where it begins, for readers, in minor units: it must be the end of the tier before.
    from: Option<Sc<Whole>>,
    /// Where it ends, inclusive, in minor units. The last tier has no end: `null`, or absent.
    up_to: Option<OpenEnd>,
    /// Percentages that add up to 100 %; a part of zero is allowed.
    #[oai(validator(max_items = 100000))]
    lines: Vec<ShareLine>,
}

/// What the platform keeps: `clamp(rate of the base + fixed, min, max)`, never more than the base, and the tax on it.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase")]
pub struct PlatformFee {
    /// Parts per million of the base; 0, if absent.
    rate_ppm: Option<Sc<Count>>,
    /// Minor units; 0, if absent.
    fixed: Option<Sc<Count>>,
    /// Minor units; 0, if absent.
    min: Option<Sc<Count>>,
    /// Minor units; unlimited, if absent.
    max: Option<Sc<Count>>,
    /// In place of `ratePpm`.
    tiers: Option<PlatformFeeTiers>,
    /// All lines but those that say `feeable: false`, if absent.
    base: Option<Sc<FeeBase>>,
    /// `total`, if absent.
    scope: Option<Sc<FeeScope>>,
    /// `recipients`, if absent.
    bearer: Option<Sc<FeeBearer>>,
    /// Whose lines are left out.
    #[oai(validator(max_items = 100000))]
    exempt_recipient_ids: Option<Vec<Sc<RecipientId>>>,
    /// Tax on the fee (VAT, GST), in parts per million of it; taken together with it. 0, if absent.
    fee_tax_ppm: Option<Sc<Count>>,
    /// `returned`, if absent.
    fee_on_refund: Option<Sc<FeeOnRefund>>,
}

/// Tiers of the platform fee.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase")]
pub struct PlatformFeeTiers {
    basis: Sc<TierBasis>,
    mode: Sc<TierMode>,
    /// Only what is earned from this day on is counted.
    since: Option<Sc<Day>>,
    /// From the lowest to the highest; the last one is open.
    #[oai(validator(max_items = 10000))]
    tiers: Vec<PlatformFeeTier>,
}

/// A tier of the platform fee.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase")]
pub struct PlatformFeeTier {
    /// Where it begins, for readers, in minor units: it must be the end of the tier before.
    from: Option<Sc<Whole>>,
    /// Where it ends, inclusive, in minor units. The last tier has no end: `null`, or absent.
    up_to: Option<OpenEnd>,
    /// Parts per million of what lies within it; 0, if absent.
    rate_ppm: Option<Sc<Count>>,
    /// Added when it is entered, in minor units; 0, if absent.
    flat: Option<Sc<Count>>,
}

/// What happens to net amounts that are not simply paid.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase")]
pub struct Settlement {
    /// The part of a net amount that a recipient's debt may take, in parts per million; all of it, if absent.
    recovery_ppm: Option<Sc<Count>>,
    /// Days after which a line that is still held goes the way of `fallback`; 1,095, if absent.
    #[oai(validator(minimum(value = "0"), maximum(value = "4294967295")))]
    escheat_after_days: Option<u32>,
    /// `remain_held`, if absent.
    fallback: Option<Sc<Fallback>>,
}
