//! The 35 properties of the revenue-engine design, section 7f. Each is driven over 10,000 random cases, unless it is a
//! single fact; [`TABLE`] says which test holds which.

mod apportionment;
mod fees;
mod laws;
mod models;
mod reversals;
mod tiers;
mod versions;
mod waterfall;

use proptest::prelude::*;

/// How every property is driven.
pub fn config() -> ProptestConfig {
    ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() }
}

/// The number of a property, and the file and the name of the test that holds it.
const TABLE: [(usize, &str, &str); 35] = [
    (1, "laws", "the_laws_hold_for_every_model"),
    (2, "laws", "the_same_input_gives_the_same_result_to_the_byte"),
    (3, "apportionment", "every_share_lies_within_a_unit_of_its_quota"),
    (4, "apportionment", "no_weight_no_money"),
    (5, "apportionment", "equal_weights_differ_by_one_unit_at_most"),
    (6, "apportionment", "a_larger_weight_never_gets_less"),
    (7, "apportionment", "the_order_of_lines_decides_ties_and_nothing_else"),
    (8, "apportionment", "scaling_the_weights_changes_nothing"),
    (9, "apportionment", "a_whole_round_more_gives_everybody_their_weight_more"),
    (10, "apportionment", "no_other_division_is_closer"),
    (11, "fees", "no_line_pays_more_than_it_has_and_together_they_pay_the_fee"),
    (12, "fees", "more_money_never_means_a_smaller_fee"),
    (13, "fees", "the_fee_lies_within_its_limits_unless_there_is_less"),
    (14, "fees", "tax_never_takes_more_than_the_fee_left"),
    (15, "apportionment", "caps_and_floors_hold_and_only_full_lines_leave_anything"),
    (16, "waterfall", "a_step_gets_something_only_when_those_before_are_satisfied"),
    (17, "waterfall", "how_money_is_cut_into_releases_does_not_matter"),
    (18, "waterfall", "nothing_counted_ever_passes_its_target"),
    (19, "tiers", "marginal_entitlements_add_up_and_volume_ones_do_not"),
    (20, "tiers", "every_unit_lies_in_the_tier_whose_end_it_does_not_pass"),
    (21, "reversals", "reversals_sum_up_and_a_full_one_leaves_nothing"),
    (22, "apportionment", "with_a_memory_nobody_drifts_by_a_unit"),
    (23, "apportionment", "turns_give_everybody_the_same_number_of_odd_units"),
    (24, "fees", "the_middle_is_rounded_up"),
    (25, "laws", "the_largest_amounts_overflow_nothing"),
    (26, "apportionment", "ten_thousand_lines_are_a_matter_of_milliseconds"),
    (27, "versions", "unknown_fields_are_refused_and_the_order_of_keys_does_not_matter"),
    (28, "versions", "a_version_is_in_force_from_its_first_instant_until_before_its_last"),
    // It is about what is stored, so the service itself is asked.
    (29, "tests/stories/counted.rs", "what_was_booked_is_explained_cent_by_cent_years_later"),
    (30, "versions", "every_currency_of_the_table_is_accepted_and_every_other_refused"),
    (31, "laws", "the_explanation_sums_to_every_column"),
    (32, "laws", "what_is_owed_is_recovered_held_carried_or_paid"),
    (33, "models", "no_json_is_a_reason_to_panic"),
    (34, "fees", "who_is_exempt_pays_nothing_and_adds_nothing"),
    (35, "apportionment", "the_alabama_paradox_is_real_and_stays"),
];

#[test]
fn no_property_is_missing() {
    let source = |file: &str| match file {
        "apportionment" => include_str!("apportionment.rs"),
        "fees" => include_str!("fees.rs"),
        "laws" => include_str!("laws.rs"),
        "models" => include_str!("models.rs"),
        "reversals" => include_str!("reversals.rs"),
        "tiers" => include_str!("tiers.rs"),
        "versions" => include_str!("versions.rs"),
        "waterfall" => include_str!("waterfall.rs"),
        other => panic!("{other}"),
    };
    for (at, (number, file, test)) in TABLE.into_iter().enumerate() {
        assert_eq!(number, at + 1);
        if number == 29 {
            // Batches are stored elsewhere: it is a story of the whole service.
            let story = include_str!("../../../../../tests/stories/counted.rs");
            assert!(story.contains(&format!("fn {test}(")), "{file} has no story `{test}`");
            continue;
        }
        let text = source(file);
        let place = text.find(&format!("fn {test}(")).unwrap_or_else(|| panic!("{file}.rs has no test `{test}`"));
        let said = format!("/// Property {number}: ");
        let before = &text[..place];
        let comment = before.rfind("\n\n").map_or(before, |start| &before[start..]);
        assert!(comment.contains(&said) && comment.contains("#[test]"), "{file}.rs: `{test}` is property {number}");
    }
}
