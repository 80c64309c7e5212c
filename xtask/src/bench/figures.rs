//! Medians, percentiles, and numbers as people read them.

/// The one in the middle; of an even number, the mean of the two. Nothing of nothing.
pub fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = figures.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.get(middle), sorted.len() % 2) {
        (None, _) => f64::NAN,
        (Some(one), 1) => *one,
        (Some(one), _) => (sorted[middle - 1] + one) / 2.0,
    }
}

/// A rate, an amount of time: with thousands apart, and only as many places as it deserves.
pub fn shown(figure: f64) -> String {
    let places = match figure.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{figure:.places$}");
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), String::new()), |(w, r)| (w, format!(".{r}")));
    let mut apart = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && digit.is_ascii_digit() && (whole.len() - at).is_multiple_of(3) && !apart.ends_with('-') {
            apart.push(',');
        }
        apart.push(digit);
    }
    apart + &rest
}

/// What is wanted of a ratio.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    /// So much or more.
    AtLeast(f64),
    /// So much or less.
    AtMost(f64),
}

/// A row of a table of goals: what, how much is wanted, how much it is, and whether that is enough.
pub fn judged(what: &str, goal: Goal, figure: f64) -> String {
    let (word, bound, is_met) = match goal {
        Goal::AtLeast(bound) => ("at least", bound, figure >= bound),
        Goal::AtMost(bound) => ("at most", bound, figure <= bound),
    };
    let met = if is_met { "yes" } else { "**no**" };
    format!("| {what} | {word} {} | {} | {met} |\n", plain(bound), shown(figure))
}

/// The head of a table of goals.
pub const GOALS: &str = "| goal | wanted | measured | met |\n|---|---|---|---|\n";

/// A bound as it was written.
fn plain(bound: f64) -> String {
    format!("{bound}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_one_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median([]).is_nan());
    }

    #[test]
    fn a_figure_has_as_many_places_as_it_deserves() {
        for (figure, expected) in
            [(1_234_567.8, "1,234,568"), (123.4, "123"), (12.34, "12.3"), (1.234, "1.23"), (0.1234, "0.123")]
        {
            assert_eq!(shown(figure), expected);
        }
        assert_eq!(shown(-1_234.0), "-1,234");
        assert_eq!(shown(-123.0), "-123");
    }

    #[test]
    fn a_goal_is_met_or_not() {
        assert_eq!(judged("a", Goal::AtLeast(8.0), 9.0), "| a | at least 8 | 9.00 | yes |\n");
        assert_eq!(judged("b", Goal::AtMost(0.125), 0.2), "| b | at most 0.125 | 0.200 | **no** |\n");
        assert!(judged("c", Goal::AtLeast(8.0), f64::NAN).contains("**no**"));
    }
}
