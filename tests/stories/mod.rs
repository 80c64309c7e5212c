//! Stories of money over weeks and years: the real use cases on every store, with a rail that does what it is told and
//! a clock that is moved by hand. After each of them the books must be balanced.

mod carried;
mod counted;
mod escheat;
mod execution;
mod held;
mod history;
mod outage;
mod people;
mod rail;
mod reversed;
mod stage;

/// A named test of each story, for one store.
macro_rules! stories_on {
    ($store:ident; $($topic:ident { $($story:ident)+ })+) => {
        mod $store {$(
            mod $topic {$(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $story() {
                    let bench = crate::contracts::$store().await;
                    let stage = crate::stories::stage::Stage::new(&bench);
                    crate::stories::$topic::$story(&stage).await;
                    stage.assert_balanced().await;
                }
            )+}
        )+}
    };
}

macro_rules! on_every_store {
    ($($stories:tt)+) => {
        stories_on! { memory; $($stories)+ }
        stories_on! { sqlite; $($stories)+ }
        stories_on! { postgres; $($stories)+ }
    };
}

on_every_store! {
    carried {
        what_is_below_the_minimum_is_carried_until_it_is_enough
        a_lower_minimum_pays_what_was_carried_without_a_release
        an_operator_pays_what_is_carried_whatever_the_minimum
        residues_of_a_rails_granularity_are_carried
        a_debt_comes_before_what_is_carried
    }
    counted {
        an_advance_is_recouped_once_over_many_releases
        of_many_releases_at_once_each_cent_of_an_advance_is_recouped_once
        tiers_go_on_where_the_last_release_ended_also_in_a_new_version
        ties_take_turns
        tax_is_withheld_once_the_year_has_passed_its_threshold
        a_reversal_moves_back_what_was_counted
        what_was_booked_is_explained_cent_by_cent_years_later
    }
    escheat {
        what_nobody_claims_goes_to_the_others_after_its_days
        what_nobody_claims_goes_to_the_platform_after_its_days
        what_nobody_claims_stays_held_unless_the_model_says_otherwise
        who_comes_in_time_gets_all_of_it
    }
    execution {
        what_is_sent_is_settled_and_what_is_refused_is_owed
        a_refusal_that_may_pass_is_retried_under_new_keys_and_not_for_ever
        a_refusal_that_asks_for_the_recipient_holds_the_item
        a_refusal_because_of_us_pauses_the_rail_and_uses_up_nothing
        what_was_lost_is_proven_absent_and_paid_once
        what_was_executed_in_silence_is_doubt_until_the_rail_speaks
        what_is_taken_is_settled_later
        a_doubt_ends_when_the_rail_says_that_it_has_it
        what_comes_back_is_owed_again_and_paid_again
        what_comes_back_in_part_is_carried
        a_message_is_taken_once_in_whatever_order_it_comes
        a_message_that_the_rail_did_not_sign_changes_nothing
        another_amount_is_never_believed
        a_late_success_pays_what_was_given_up
        a_late_success_after_a_retry_is_a_debt_and_set_off_if_the_retry_is_refused
        a_late_success_after_a_cancellation_is_a_debt
        what_never_left_waits_and_is_paid_once
    }
    people {
        an_operator_holds_and_releases
        what_is_cancelled_goes_back_to_the_escrow
        a_batch_is_cancelled_with_the_lines_that_have_no_item
        what_was_carried_in_is_carried_again_after_a_cancellation
        what_the_rail_has_is_cancelled_with_its_proof_only
        what_never_left_is_given_up_unsent
        a_retry_of_somebody_who_may_not_be_paid_is_held
        two_people_say_what_became_of_a_doubt
        whoever_made_a_batch_does_not_approve_it
        an_approval_is_of_what_was_seen_and_of_nothing_else
        so_many_as_the_policy_asks_for_must_approve
        what_needs_no_approval_any_more_is_paid_without_one
        a_batch_whose_rail_does_not_answer_is_not_cancelled_and_says_so
        a_calendar_decides_when_a_batch_is_due
    }
    held {
        a_placeholder_waits_until_somebody_registers_them
        a_held_line_leaves_in_its_own_batch_only
        what_waits_for_its_recipient_is_not_released_past_them
        what_an_operator_lets_go_waits_for_its_recipient_and_says_so
    }
    reversed {
        what_was_not_sent_shrinks
        what_was_paid_becomes_a_debt_and_the_next_release_recovers_it
        what_is_in_flight_waits_until_it_is_known
        what_is_in_flight_and_refused_is_taken_from_what_is_owed
        what_was_carried_is_taken_before_a_debt_is_made
        a_full_reversal_in_parts_leaves_nothing
        the_platform_or_one_recipient_may_bear_it
        a_fee_that_is_kept_is_borne_by_the_recipient
        more_than_is_left_is_refused_and_leaves_nothing_behind
        of_many_reversals_at_once_no_cent_is_reversed_twice
    }
}
