//! Stories of money over weeks and years: the real use cases on every store, with a rail that does what it is told and
//! a clock that is moved by hand. After each of them the books must be balanced.

mod carried;
mod counted;
mod escheat;
mod held;
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
    held {
        a_placeholder_waits_until_somebody_registers_them
        a_held_line_leaves_in_its_own_batch_only
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
