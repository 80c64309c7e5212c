//! Largest remainder, water-filling and the rule of the House, as the design words them.

use super::fraction::Fraction;

/// Largest remainder: everybody gets the whole units of their claim; the units that are left go, one each, to the
/// largest rests; ties to the first line, counted from `first` and going round. The claims sum to `amount`.
pub fn largest_remainder(amount: i128, claims: &[Fraction], first: usize) -> Vec<i128> {
    let mut shares: Vec<i128> = claims.iter().map(|claim| claim.down()).collect();
    let mut served = vec![false; claims.len()];
    for _ in 0..amount - shares.iter().sum::<i128>() {
        let winner = largest_rest(claims, &served, first).expect("fewer units are left than there are rests");
        served[winner] = true;
        shares[winner] += 1;
    }
    shares
}

fn largest_rest(claims: &[Fraction], served: &[bool], first: usize) -> Option<usize> {
    let mut winner: Option<usize> = None;
    for turn in 0..claims.len() {
        let line = (first + turn) % claims.len();
        if !served[line] && winner.is_none_or(|winner| claims[line].rest() > claims[winner].rest()) {
            winner = Some(line);
        }
    }
    winner
}

/// What each line can claim of `amount`: their part of all `weights`.
pub fn claims(amount: i128, weights: &[i128]) -> Vec<Fraction> {
    let sum: i128 = weights.iter().sum();
    weights.iter().map(|weight| Fraction::new(amount * weight, sum.max(1))).collect()
}

/// With a memory: each line claims what it got too little before, too. Nobody pays: who got so much that their claim is
/// below nothing gets nothing, and the others make do.
pub fn with_memory(amount: i128, claims: &[Fraction]) -> Vec<i128> {
    let mut shares: Vec<i128> = claims.iter().map(|claim| claim.down().max(0)).collect();
    let owed = |shares: &[i128], line: usize| claims[line].minus(Fraction::whole(shares[line]));
    while shares.iter().sum::<i128>() < amount {
        let mut winner = 0;
        for line in 1..claims.len() {
            if owed(&shares, line) > owed(&shares, winner) {
                winner = line;
            }
        }
        shares[winner] += 1;
    }
    while shares.iter().sum::<i128>() > amount {
        let mut loser: Option<usize> = None;
        for line in 0..claims.len() {
            if shares[line] > 0 && loser.is_none_or(|loser| owed(&shares, line) <= owed(&shares, loser)) {
                loser = Some(line);
            }
        }
        shares[loser.expect("somebody has something")] -= 1;
    }
    shares
}

/// What a line gets at least and at most.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub floor: i128,
    pub cap: Option<i128>,
}

/// Water-filling. Who is beyond a bound is put there and leaves with their amount and weight: those below their floor
/// first, if together they lack at least what those above their cap have too much. Then largest remainder for the rest.
pub fn water_filling(amount: i128, weights: &[i128], bounds: &[Bounds], first: usize) -> Vec<i128> {
    if bounds.iter().map(|bounds| bounds.floor).sum::<i128>() > amount {
        let floors: Vec<i128> = bounds.iter().map(|bounds| bounds.floor).collect();
        return largest_remainder(amount, &claims(amount, &floors), first);
    }
    let mut locked: Vec<Option<i128>> = vec![None; weights.len()];
    loop {
        let left = amount - locked.iter().flatten().sum::<i128>();
        let open: Vec<i128> =
            weights.iter().zip(&locked).map(|(weight, locked)| if locked.is_some() { 0 } else { *weight }).collect();
        if locked.iter().all(Option::is_some) {
            break;
        }
        let exact = claims(left, &open);
        let (mut lacking, mut spilling) = (Fraction::ZERO, Fraction::ZERO);
        let (mut below, mut above) = (Vec::new(), Vec::new());
        for line in (0..weights.len()).filter(|line| locked[*line].is_none()) {
            let floor = Fraction::whole(bounds[line].floor);
            let cap = bounds[line].cap.map(Fraction::whole);
            if exact[line] < floor {
                lacking = lacking.plus(floor.minus(exact[line]));
                below.push(line);
            } else if let Some(cap) = cap.filter(|cap| exact[line] > *cap) {
                spilling = spilling.plus(exact[line].minus(cap));
                above.push(line);
            }
        }
        if below.is_empty() && above.is_empty() {
            let shares = largest_remainder(left, &exact, first);
            return shares.iter().zip(&locked).map(|(share, locked)| locked.unwrap_or(*share)).collect();
        }
        if !below.is_empty() && lacking >= spilling {
            below.into_iter().for_each(|line| locked[line] = Some(bounds[line].floor));
        } else {
            above.into_iter().for_each(|line| locked[line] = bounds[line].cap);
        }
    }
    locked.into_iter().flatten().collect()
}

/// The rule of the House: who has no whole unit is lifted to one and comes last when the units that are left are given.
/// If the lifts take more than there is: water-filling with floors of one. With fewer units than lines nobody is lifted.
pub fn at_least_one(amount: i128, weights: &[i128], first: usize) -> Vec<i128> {
    let exact = claims(amount, weights);
    if amount < weights.len() as i128 {
        return largest_remainder(amount, &exact, first);
    }
    let lifted: Vec<i128> = exact.iter().map(|claim| claim.down().max(1)).collect();
    if lifted.iter().sum::<i128>() > amount {
        return water_filling(amount, weights, &vec![Bounds { floor: 1, cap: None }; weights.len()], first);
    }
    // Lifted lines are worth exactly their unit; what that costs is not there for the others.
    let worth: Vec<Fraction> =
        exact.iter().map(|claim| if claim.down() == 0 { Fraction::whole(1) } else { *claim }).collect();
    largest_remainder(amount, &worth, first)
}
