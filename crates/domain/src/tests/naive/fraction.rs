//! Fractions as in school: a whole number over a whole number.

use std::cmp::Ordering;

/// `over / under`, with `under` above zero. It is never shortened unless it must be, so fractions over one denominator
/// stay over it.
#[derive(Clone, Copy, Debug)]
pub struct Fraction {
    over: i128,
    under: i128,
}

impl Fraction {
    pub const ZERO: Self = Self { over: 0, under: 1 };

    pub fn new(over: i128, under: i128) -> Self {
        assert!(under > 0);
        Self { over, under }
    }
    pub fn whole(number: i128) -> Self {
        Self { over: number, under: 1 }
    }
    /// Parts per million.
    pub fn ppm(parts: i128) -> Self {
        Self { over: parts, under: 1_000_000 }
    }
    fn shortened(self) -> Self {
        let divisor = greatest_common_divisor(self.over.abs(), self.under);
        Self { over: self.over / divisor, under: self.under / divisor }
    }

    pub fn plus(self, other: Self) -> Self {
        if self.under == other.under {
            return Self { over: self.over.checked_add(other.over).unwrap(), under: self.under };
        }
        let (a, b) = (self.shortened(), other.shortened());
        let shared = greatest_common_divisor(a.under, b.under);
        let (wider, narrower) = (b.under / shared, a.under / shared);
        let over = a.over.checked_mul(wider).unwrap().checked_add(b.over.checked_mul(narrower).unwrap()).unwrap();
        Self { over, under: a.under.checked_mul(wider).unwrap() }
    }
    pub fn minus(self, other: Self) -> Self {
        self.plus(Self { over: -other.over, under: other.under })
    }
    pub fn times(self, number: i128) -> Self {
        match self.over.checked_mul(number) {
            Some(over) => Self { over, under: self.under },
            None => {
                let short = self.shortened();
                let divisor = greatest_common_divisor(number.abs(), short.under);
                Self { over: short.over.checked_mul(number / divisor).unwrap(), under: short.under / divisor }
            }
        }
    }
    /// How many `1 / unit` it is, which must be a whole number of them.
    pub fn in_units_of_one_over(self, unit: i128) -> i128 {
        let many = self.times(unit);
        assert_eq!(many.over % many.under, 0, "{self:?} in units of 1/{unit}");
        many.over / many.under
    }

    /// The whole number below it.
    pub fn down(self) -> i128 {
        self.over.div_euclid(self.under)
    }
    /// The whole number above it.
    pub fn up(self) -> i128 {
        -Self { over: -self.over, under: self.under }.down()
    }
    /// What it has more than the whole number below it.
    pub fn rest(self) -> Self {
        Self { over: self.over.rem_euclid(self.under), under: self.under }
    }
    /// To the nearest whole number; the middle goes up.
    pub fn half_up(self) -> i128 {
        if self.rest() < Self::new(1, 2) { self.down() } else { self.up() }
    }
    /// To the nearest whole number; the middle goes to the even one.
    pub fn half_even(self) -> i128 {
        match self.rest().cmp(&Self::new(1, 2)) {
            Ordering::Less => self.down(),
            Ordering::Greater => self.up(),
            Ordering::Equal => self.down() + self.down().rem_euclid(2),
        }
    }
}

fn greatest_common_divisor(a: i128, b: i128) -> i128 {
    if b == 0 { a.max(1) } else { greatest_common_divisor(b, a % b) }
}

impl PartialEq for Fraction {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Fraction {}
impl PartialOrd for Fraction {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Fraction {
    /// Whole numbers first, then what is left of them, upside down: no product can be too large.
    fn cmp(&self, other: &Self) -> Ordering {
        if self.under == other.under {
            return self.over.cmp(&other.over);
        }
        let (a, b) = (self.down(), other.down());
        if a != b {
            return a.cmp(&b);
        }
        let (a, b) = (self.rest(), other.rest());
        match (a.over, b.over) {
            (0, 0) => Ordering::Equal,
            (0, _) => Ordering::Less,
            (_, 0) => Ordering::Greater,
            _ => Self::new(b.under, b.over).cmp(&Self::new(a.under, a.over)),
        }
    }
}

#[test]
fn fractions_are_compared_and_rounded_as_in_school() {
    let f = Fraction::new;
    assert!(f(1, 3) < f(1, 2) && f(2, 4) == f(1, 2) && f(-1, 3) > f(-1, 2) && f(i128::MAX, 2) > f(i128::MAX, 3));
    assert_eq!(
        [f(5, 2).half_up(), f(5, 2).half_even(), f(7, 2).half_even(), f(-1, 3).down(), f(1, 3).up()],
        [3, 2, 4, -1, 1]
    );
    assert!(f(1, 3).plus(f(1, 6)) == f(1, 2) && f(1, 2).minus(f(1, 3)) == f(1, 6));
}
