//! The platform fee.

use super::{Check, FaultCode, scale::Ends};
use crate::{
    money::AMOUNT_MINOR_MAX,
    revenue_model::{
        Counted, Fee, FeeTiers, Scale,
        spec::{FeeBase, FeeScope, FeeSpec, FeeTiersSpec, TierBasis},
    },
};

impl Check {
    /// After the steps: only whom they pay can be exempt.
    pub(super) fn fee(&mut self, spec: Option<&FeeSpec>) -> Fee {
        let none = FeeSpec::default();
        let spec = spec.unwrap_or(&none);
        self.rate(spec.rate_ppm, "/platformFee/ratePpm");
        self.rate(spec.fee_tax_ppm, "/platformFee/feeTaxPpm");
        for (name, amount) in [("fixed", Some(spec.fixed)), ("min", Some(spec.min)), ("max", spec.max)] {
            self.fee_amount(amount.unwrap_or(0), format!("/platformFee/{name}"));
        }
        if spec.max.is_some_and(|max| spec.min > max) {
            let message = "the minimum lies above the maximum";
            self.faults.add(FaultCode::FeeMinExceedsMax, "/platformFee/min", message);
        }
        let tiers = spec.tiers.as_ref().map(|tiers| self.fee_tiers(tiers));
        if tiers.is_some() && (spec.rate_ppm > 0 || spec.scope == FeeScope::Line) {
            let message = "tiers stand in place of `ratePpm`, and measure the whole: leave `ratePpm` and `scope` out";
            self.faults.add(FaultCode::FeeTiersConflict, "/platformFee/tiers", message);
        }
        Fee {
            rate_ppm: spec.rate_ppm,
            fixed: spec.fixed,
            min: spec.min,
            max: spec.max,
            tiers,
            all_lines: spec.base == Some(FeeBase::Gross),
            scope: spec.scope,
            bearer: spec.bearer,
            exempt: self.exempt(spec),
            tax_ppm: spec.fee_tax_ppm,
        }
    }

    /// An amount that does not bind the model to a currency: a fee of 30 minor units is one in every currency.
    fn fee_amount(&mut self, amount: u64, pointer: String) {
        if amount > AMOUNT_MINOR_MAX.unsigned_abs() {
            let message = format!("an amount is at most {AMOUNT_MINOR_MAX}");
            self.faults.add(FaultCode::AmountOutOfRange, pointer, message);
        }
    }

    fn exempt(&mut self, spec: &FeeSpec) -> Vec<bool> {
        let mut exempt =
            vec![false; if spec.exempt_recipient_ids.is_empty() { 0 } else { self.names.recipients.len() }];
        for (at, recipient) in spec.exempt_recipient_ids.iter().enumerate() {
            match self.names.known(recipient) {
                Some(place) => exempt[place] = true,
                None => {
                    let message = format!("no step pays `{recipient}`");
                    let pointer = format!("/platformFee/exemptRecipientIds/{at}");
                    self.faults.add(FaultCode::UnknownRecipient, pointer, message);
                }
            }
        }
        exempt
    }

    fn fee_tiers(&mut self, spec: &FeeTiersSpec) -> FeeTiers {
        let ends: Vec<Ends> = spec.tiers.iter().map(|tier| Ends { from: tier.from, up_to: tier.up_to }).collect();
        let ends = self.ends(&ends, "/platformFee/tiers/tiers");
        for (at, tier) in spec.tiers.iter().enumerate() {
            self.rate(tier.rate_ppm, format!("/platformFee/tiers/tiers/{at}/ratePpm"));
            self.fee_amount(tier.flat, format!("/platformFee/tiers/tiers/{at}/flat"));
        }
        let before = match spec.basis {
            TierBasis::Amount => None,
            TierBasis::CumulativeAmount => Some(self.names.count(Counted::FeeBase { since: spec.since })),
        };
        FeeTiers {
            scale: Scale { mode: spec.mode, before, since: spec.since, ends },
            rates_ppm: spec.tiers.iter().map(|tier| tier.rate_ppm).collect(),
            flats: spec.tiers.iter().map(|tier| tier.flat).collect(),
        }
    }
}
