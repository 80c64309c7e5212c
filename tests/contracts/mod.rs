//! What each port promises, one function a promise, run on every adapter.
//!
//! A promise knows nothing of the adapter: it gets a [`Bench`], talks to the ports and moves the time. On a
//! database time also runs by itself, so a promise leaves margins and never asserts an exact instant.

mod basis;
mod bench;
mod books;
mod clock;
mod control;
mod counter_races;
mod counters;
mod database_rules;
mod duplicates;
mod durability;
mod history;
mod idempotency;
mod jobs;
mod kept;
mod leases;
mod lines;
mod lists;
mod models;
mod neighbours;
mod outbox;
mod outcomes;
mod owed;
mod rails;
mod raises;
mod read_back;
mod recalled;
mod reversals;
mod reversed_books;
mod said;
mod sample;
mod size;
mod stale;
mod together;
mod waiting;
mod waking;

pub use bench::{Bench, Ports, memory, postgres, sqlite};

/// Longer than any promise takes: what takes longer waits for what never comes.
const HANGS: std::time::Duration = std::time::Duration::from_secs(300);

/// A named test of each promise, for one adapter.
macro_rules! contract {
    ($adapter:ident; $($topic:ident { $($promise:ident)+ })+) => {
        mod $adapter {$(
            mod $topic {$(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $promise() {
                    let bench = crate::contracts::bench::$adapter().await;
                    let kept = crate::contracts::$topic::$promise(&bench);
                    tokio::time::timeout(crate::contracts::HANGS, kept).await.expect("it comes to an end");
                }
            )+}
        )+}
    };
}

/// A named test of each promise, for every adapter.
macro_rules! on_every_adapter {
    ($($promises:tt)+) => {
        contract! { memory; $($promises)+ }
        contract! { sqlite; $($promises)+ }
        contract! { postgres; $($promises)+ }
    };
}

on_every_adapter! {
    read_back {
        a_batch_is_read_back_as_written
        items_are_read_back_in_every_state
        instructions_are_read_back_in_every_state
        a_model_version_is_read_back_as_written
        a_recipient_is_read_back_as_written
        transactions_are_read_back_as_written
        events_are_read_back_as_written
        what_nobody_wrote_is_absent
        a_write_counts_the_revision_and_is_seen_everywhere
        an_update_changes_only_what_may_change
        only_unresolved_instructions_are_loaded_for_execution
        a_batch_is_read_as_of_one_moment
        a_rail_that_paused_is_told_until_it_takes_what_is_sent_later
    }
    duplicates {
        a_second_batch_for_an_escrow_leaves_nothing_behind
        a_second_model_of_one_version_leaves_nothing_behind
        a_recipient_registered_twice_leaves_nothing_behind
        a_second_live_instruction_for_an_item_leaves_nothing_behind
        an_accepted_instruction_still_occupies_its_item
        a_refused_instruction_no_longer_occupies_its_item
        an_instruction_may_be_replaced_in_the_change_that_refuses_it
        a_job_that_exists_leaves_nothing_behind
        nothing_is_posted_twice
        a_name_drawn_twice_leaves_nothing_behind
        one_change_may_not_contradict_itself
        a_row_without_its_batch_leaves_nothing_behind
        of_32_releases_of_one_escrow_one_is_booked
    }
    stale {
        a_stale_batch_leaves_nothing_behind
        a_stale_item_leaves_nothing_behind
        a_stale_instruction_leaves_nothing_behind
        a_stale_recipient_leaves_nothing_behind
        a_stale_resolution_leaves_nothing_behind
        what_does_not_exist_cannot_be_changed
        the_same_row_twice_in_a_change_is_stale
        of_many_writers_of_one_revision_one_wins
        of_many_writers_of_a_recipient_one_wins
        the_lease_is_looked_at_first_then_revisions_then_keys
    }
    together {
        each_of_many_at_once_gets_its_own_answer
        one_that_the_database_refuses_costs_only_itself
        each_of_many_who_read_at_once_finds_what_was_committed_before
        nobody_who_gave_up_waiting_takes_others_along
    }
    jobs {
        a_job_is_handed_out_as_it_was_enqueued
        a_job_goes_to_one_worker
        a_claimed_job_is_handed_out_again_only_after_its_lease
        a_job_does_not_run_before_its_time
        the_oldest_job_is_handed_out_first
        a_finished_job_is_gone
        a_job_to_be_done_again_is_due_when_it_said
        work_that_goes_on_keeps_its_lease
        a_job_given_back_is_due_after_its_delay
        jobs_that_are_long_done_are_forgotten_a_few_at_a_time_and_no_others
    }
    leases {
        a_lost_lease_leaves_nothing_behind
        an_expired_lease_is_lost_before_anybody_claims_it
        a_lease_that_was_used_up_is_lost
        a_lease_that_was_given_back_is_lost
        a_lease_of_an_unknown_job_is_lost
        an_extended_lease_lasts_longer
        a_lost_lease_cannot_be_extended
        a_lost_lease_cannot_give_the_job_back
        of_many_workers_under_one_lease_one_finishes
    }
    waking {
        a_finished_job_that_is_woken_runs_again
        a_woken_job_does_not_run_before_its_time
        a_job_is_woken_earlier_but_never_later
        a_job_woken_under_its_lease_runs_again_after_it_finishes
        a_job_woken_under_its_lease_runs_at_once_instead_of_later
        a_job_woken_under_its_lease_stays_with_its_worker
        a_job_woken_after_its_lease_ran_out_is_due
        waking_is_forgotten_once_the_job_is_claimed
        a_forgotten_job_that_is_woken_runs_again
        a_lease_of_before_a_job_was_forgotten_stays_lost
        of_many_who_wake_forgotten_jobs_nobody_is_refused_and_each_is_made_once
        a_job_that_is_forgotten_while_it_is_woken_is_due
    }
    waiting {
        waiting_ends_after_its_time
        waiting_ends_when_a_job_is_committed
        waiting_ends_when_a_job_is_woken
        a_job_committed_between_claim_and_wait_is_not_missed
    }
    outbox {
        events_are_handed_out_in_their_order
        an_event_goes_to_one_relay
        an_event_that_was_named_earlier_and_committed_later_is_handed_out
        a_published_event_is_not_handed_out_again
        what_a_relay_did_not_publish_comes_back_after_its_lease
        a_refused_change_publishes_nothing
        publishing_twice_changes_nothing
        only_published_events_are_listed
        what_was_published_long_ago_is_forgotten_a_few_at_a_time_but_for_alarms
    }
    idempotency {
        a_key_is_claimed_once_and_answered_alike
        another_request_does_not_get_the_key
        each_operation_has_keys_of_its_own
        of_many_claimers_one_gets_the_key
        a_claim_that_ran_out_is_free_for_any_request
        a_claim_that_was_lost_leaves_nothing_behind
        a_claim_that_ran_out_stores_its_answer_if_nobody_else_came
        a_claim_that_was_given_up_is_free_at_once
        only_who_has_a_claim_gives_it_up
        a_refused_change_stores_no_answer
        an_answer_is_stored_once_under_a_claim
        whoever_sees_what_was_done_sees_its_answer
        an_answer_without_a_claim_takes_the_key
        of_many_answers_without_a_claim_one_is_stored
        old_keys_are_forgotten_a_few_at_a_time
    }
    models {
        a_project_is_unknown_until_a_model_is_stored
        a_draft_makes_a_project_known_but_is_never_in_force
        a_version_is_in_force_from_its_first_instant_until_before_its_last
        of_the_versions_that_cover_an_instant_the_newest_is_in_force
        the_newest_version_may_be_a_draft
    }
    basis {
        a_basis_is_what_each_of_its_parts_is_alone
        a_basis_may_be_of_any_size
    }
    lists {
        batches_are_listed_newest_first_and_filtered
        models_are_listed_newest_first
        transactions_are_listed_newest_first_and_filtered
        events_are_listed_newest_first_and_filtered
        held_batches_are_paged_in_order
        recipients_are_found_by_their_names
    }
    books {
        empty_books_hold_nothing
        scheduling_is_in_the_books
        sending_paying_and_refusing_are_in_the_books
        an_item_in_doubt_is_in_transit
        currencies_are_kept_apart
        what_a_rail_kept_of_what_came_back_is_in_the_books
        every_hold_is_owed
        sums_may_exceed_what_one_amount_can_be
        executed_answers_for_the_instructions_asked_about
        books_are_read_as_of_one_moment
    }
    lines {
        lines_are_read_back_as_written
        inputs_are_read_back_as_written
        a_place_in_a_batch_is_taken_once
        a_line_without_its_batch_or_item_leaves_nothing_behind
        whoever_had_a_line_is_known
        what_was_carried_is_paid_by_a_batch_of_its_own
        a_release_that_nothing_is_left_of_has_no_lines
    }
    counters {
        a_counter_is_the_sum_of_its_movements
        movements_are_read_back_as_written
        a_counter_that_moved_since_it_was_read_leaves_nothing_behind
        a_counter_that_was_made_meanwhile_leaves_nothing_behind
        a_counter_that_does_not_exist_has_no_revision
        whoever_did_not_look_adds_to_whatever_is_there
        what_is_held_still_does_not_move
        many_counters_move_in_one_change
        the_same_counter_twice_in_a_change_is_stale
        a_counter_that_would_not_fit_leaves_nothing_behind
        a_movement_without_its_batch_leaves_nothing_behind
        revisions_of_counters_are_looked_at_before_keys
        counters_are_found_by_their_names
        the_counters_of_a_recipient_are_nobody_elses
        the_cause_of_a_movement_is_only_told
    }
    counter_races {
        movements_in_opposite_orders_are_neither_lost_nor_stuck
        of_many_who_make_a_counter_one_wins
        of_many_who_move_a_counter_they_read_one_wins
        of_two_who_move_what_the_other_holds_still_one_wins
    }
    raises {
        what_raised_a_counter_is_summed_by_batch_newest_first
        what_a_batch_moved_back_is_no_raise_of_it
        what_was_moved_back_in_part_keeps_its_place
        a_raise_says_why_and_since_when
    }
    reversals {
        reversals_are_read_back_as_written
        lines_of_reversals_are_read_back_as_written
        where_the_money_came_from_may_be_told_later_but_once
        a_batch_is_read_with_all_that_was_taken_back_of_it
        a_reversal_is_booked_once
        of_many_who_book_one_reversal_one_does
        what_belongs_to_nothing_leaves_nothing_behind
        an_item_is_let_go_once
        a_reversal_changes_of_an_item_what_it_took_and_nothing_else
        a_movement_names_its_reversal
        a_batch_for_reversal_is_read_as_of_one_moment
    }
    owed {
        what_is_owed_is_summed_by_currency_and_status
        the_newest_of_what_is_owed_is_listed
        what_a_reversal_took_is_not_owed
    }
    reversed_books {
        what_is_carried_and_owed_back_is_in_the_books
        what_was_taken_back_is_in_the_books
        what_the_platform_gave_back_is_in_the_books
        what_nobody_claimed_is_in_the_books
        what_was_taken_back_is_kept_apart_by_currency
        sums_of_what_was_taken_back_may_exceed_what_one_amount_can_be
    }
    clock {
        the_clock_moves_forward
        the_steady_clock_never_goes_back
    }
    outcomes {
        an_item_of_an_instruction_is_let_go_alone
        what_was_given_up_may_turn_out_to_be_paid
        what_was_given_up_and_sent_anew_is_not_paid_twice
        what_one_lets_go_another_takes_in_the_same_change
        an_instruction_is_unresolved_until_all_of_it_is_known
        strays_are_those_of_the_batch
        revisions_are_looked_at_before_what_is_occupied
    }
    said {
        what_a_rail_said_is_taken_once
        whatever_a_rail_can_say_is_taken
        only_names_that_were_taken_are_known
        of_many_who_are_told_the_same_one_takes_it
        what_is_said_of_nothing_of_ours_leaves_nothing_behind
        whoever_is_paid_there_is_found
    }
    control {
        approvals_are_read_back_oldest_first
        the_same_approval_twice_leaves_nothing_behind
        an_approval_names_who_scheduled_the_batch
        the_newest_policy_is_in_force
        a_policy_of_one_version_is_set_once
        where_somebody_was_paid_is_said_as_often_as_one_likes
        many_who_pay_the_same_people_are_neither_stuck_nor_refused
        a_resolution_is_read_back_in_every_state
        one_proposal_of_an_item_waits_at_a_time
        nobody_confirms_what_they_proposed
        a_resolution_is_about_an_item_of_the_instruction
        of_many_who_confirm_one_does
        the_audit_log_is_read_back_as_written
        the_audit_log_is_listed_newest_first_and_filtered
        batches_to_be_paid_are_paged_in_order
        a_job_that_applies_a_policy_is_handed_out
    }
    size {
        a_batch_of_ten_thousand_items_is_kept
        many_rows_change_in_one_commit
    }
    history {
        any_history_has_the_same_outcome_as_in_memory
    }
}
