//! What happens to what is left: a debt is recovered, a hold waits, what is too small is carried, the rest is sent.

use super::{
    CalculationError, Column, Operation, Party,
    explanation::Explanation,
    work::{Amounts, Notice, Work},
};
use crate::{
    apportion::rates::{multiple_down, rate_down},
    revenue_model::WHOLE_PPM,
};

pub(super) fn settle(
    parties: &[Party],
    recovery_ppm: u64,
    work: &mut Work,
    explanation: &mut Explanation<'_>,
) -> Result<(), CalculationError> {
    let (mut has_gross, mut has_net) = (false, false);
    for who in 0..work.lines.len() {
        let line = &mut work.lines[who];
        line.net_minor = line.gross_minor - line.fee_minor - line.tax_minor;
        has_gross |= line.gross_minor > 0;
        has_net |= line.net_minor > 0;
        match parties.get(who) {
            Some(party) => {
                let notice = of_party(who, party, recovery_ppm, line)?;
                work.notices.extend(notice);
            }
            None => line.payable_minor = line.net_minor,
        }
        if explanation.is_full() {
            explain(who, parties.get(who), recovery_ppm, &work.lines[who], explanation);
        }
    }
    if has_gross && !has_net {
        work.notices.push(Notice::NothingPayable);
    }
    Ok(())
}

fn of_party(
    who: usize,
    party: &Party,
    recovery_ppm: u64,
    line: &mut Amounts,
) -> Result<Option<Notice>, CalculationError> {
    line.recovered_minor = party.debt_minor.max(0).min(rate_down(line.net_minor, recovery_ppm));
    let rest = line.net_minor - line.recovered_minor;
    if party.hold.is_some() {
        line.held_minor = rest;
        return Ok(Some(Notice::Held { who }));
    }
    let carried = party.carried_minor.max(0);
    let available = carried.checked_add(rest).ok_or(CalculationError::CarriedOutOfRange)?;
    let sent = if available < party.minimum_minor { 0 } else { multiple_down(available, party.granularity_minor) };
    if sent == 0 && rest == 0 {
        // Nothing new and nothing to send: what is carried stays where it is.
        return Ok(None);
    }
    line.carried_in_minor = carried;
    line.payable_minor = sent;
    line.carried_forward_minor = available - sent;
    Ok((line.carried_forward_minor > 0).then_some(Notice::Carried { who }))
}

fn explain(who: usize, party: Option<&Party>, recovery_ppm: u64, line: &Amounts, explanation: &mut Explanation<'_>) {
    let Amounts { gross_minor: gross, fee_minor: fee, tax_minor: tax, net_minor: net, .. } = *line;
    let Amounts { carried_in_minor: carried, recovered_minor: recovered, held_minor: held, .. } = *line;
    let (forward, payable) = (line.carried_forward_minor, line.payable_minor);
    let rule = "gross - fee - tax";
    explanation.computed(who, Column::Net, Operation::Difference, net, rule, || format!("{gross}-{fee}-{tax}"));
    if let Some(party) = party {
        if recovered > 0 {
            let how = || format!("min({},{net}*{recovery_ppm}/{WHOLE_PPM})", party.debt_minor);
            explanation.computed(who, Column::Recovered, Operation::Recover, recovered, "oldest debt first", how);
        }
        if let Some(reason) = party.hold {
            let how = || format!("{net}-{recovered}");
            explanation.computed(who, Column::Held, Operation::Hold, held, reason.as_str(), how);
        }
        if carried > 0 {
            explanation.value(None, Some(who), Column::CarriedIn, Operation::Carry, carried, "carried before");
        }
        if forward > 0 {
            let available = || format!("{net}+{carried}-{recovered}");
            if payable == 0 && forward < party.minimum_minor {
                let how = || format!("{}<{}", available(), party.minimum_minor);
                explanation.computed(who, Column::CarriedForward, Operation::Carry, forward, "below minimum", how);
            } else {
                let how = || format!("({}) mod {}", available(), party.granularity_minor);
                let rule = "rail granularity";
                explanation.computed(who, Column::CarriedForward, Operation::Granularity, forward, rule, how);
            }
        }
    }
    let how = || format!("{net}+{carried}-{recovered}-{held}-{forward}");
    let rule = "net + carried in - recovered - held - carried forward";
    explanation.computed(who, Column::Payable, Operation::Difference, payable, rule, how);
}
