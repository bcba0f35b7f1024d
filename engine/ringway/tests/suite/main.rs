//! The same scenarios on the simulated kernel and on the real one.
//!
//! A scenario is an async function over [`stage::Stage`]: two engines, one session between them,
//! and the way their bytes take, which can be cut, muted, closed and slowed. [`on_sim`] and
//! [`on_uring`] are the two grounds it stands on; each ends with a check that nothing is left:
//! no stream, session, connection, op, descriptor, lease, pipe or task. The list below says which
//! scenario answers which line of docs/TESTING.md.

#[path = "../simulated/scene.rs"]
#[allow(dead_code, reason = "the other suite uses the rest")]
mod scene;
#[path = "../simulated/seeds.rs"]
#[allow(dead_code, reason = "the other suite uses the rest")]
mod seeds;

mod bodies;
mod bulk;
mod disk;
mod ends;
mod flaky;
mod memory;
mod on_sim;
mod on_uring;
mod reconnect;
mod records;
mod relay;
mod remains;
mod replay;
#[path = "../pair/rest.rs"]
mod rest;
mod stage;
mod stuck;

/// Makes each scenario two tests, `sim::NAME` and `uring::NAME`; `with` names what changes its setup.
macro_rules! on_both_kernels {
    ($($place:ident: $($name:ident $(with $setup:ident)?),+;)+) => {
        mod sim {
            $($(#[test] fn $name() {
                on_both_kernels!(@run on_sim, $place, $name $(, $setup)?);
            })+)+
        }
        mod uring {
            $($(#[test] fn $name() {
                on_both_kernels!(@run on_uring, $place, $name $(, $setup)?);
            })+)+
        }
    };
    (@run $ground:ident, $place:ident, $name:ident) => {
        crate::$ground::run(&crate::stage::Setup::default(), crate::$place::$name);
    };
    (@run $ground:ident, $place:ident, $name:ident, $setup:ident) => {
        crate::$ground::run(&crate::$place::$setup(), crate::$place::$name);
    };
}

on_both_kernels! {
    replay:
        large_replays_both_ways_at_once_through_small_buffers_complete with small_buffers,
        a_link_that_dies_again_and_again_at_half_of_a_replay_still_makes_progress with slow_link,
        a_half_open_connection_is_taken_over_and_what_comes_late_on_it_is_ignored,
        a_hundred_thousand_streams_resume_while_another_session_goes_on with many_streams;
    memory:
        a_producer_faster_than_its_link_stays_at_the_cap_and_small_messages_pass with slow_link,
        at_the_cap_while_disconnected_a_sender_told_to_fail_fails_and_the_others_wait with small_cap,
        an_idle_session_answers_at_once_and_keeps_its_connection;
    ends:
        a_restarted_peer_is_an_unknown_session_and_never_a_start_at_zero,
        concurrent_closes_are_one_close_and_all_return,
        a_drain_of_a_session_that_is_over_returns_at_once,
        a_close_while_cut_is_told_to_the_peer_at_the_next_connection,
        a_close_while_nobody_answers_the_redial_returns,
        a_peer_that_keeps_sending_cannot_hold_up_a_drain with short_drain,
        a_half_close_lets_everything_of_the_other_way_arrive;
    remains:
        what_was_not_acked_is_given_back_when_the_peer_has_restarted,
        what_was_not_acked_is_given_back_when_the_resume_window_is_over with short_window;
    bodies:
        a_sink_that_cannot_take_more_stops_the_sender_with_its_cause,
        a_refusal_in_the_middle_of_a_gibibyte_reaches_the_sender_as_it_was_said,
        a_record_above_the_readers_limit_is_refused_with_both_numbers_and_kept;
    records:
        batches_beyond_the_cap_arrive_whole_and_in_order_although_connections_are_cut with small_cap,
        of_a_batch_that_is_refused_at_the_cap_only_the_beginning_arrives with small_cap,
        a_batch_that_is_given_up_while_it_waits_leaves_what_was_accepted with small_cap;
    disk:
        a_file_that_passes_no_page_cache_arrives_identical_over_cuts with past_the_cache;
    stuck:
        a_very_slow_reader_that_lives_is_never_timed_out with small_window,
        readers_that_never_read_do_not_stop_their_neighbours with small_window;
    reconnect:
        three_wishes_to_reconnect_are_one_attempt,
        wishes_that_wait_share_one_attempt_and_its_result,
        a_wish_does_not_wait_for_an_attempt_that_hangs,
        a_broken_connection_is_replaced_once,
        an_error_of_an_older_connection_does_not_touch_the_newer_one;
    bulk:
        large_replays_both_ways_over_several_connections_complete with three_with_small_buffers,
        a_set_of_connections_that_dies_again_and_again_makes_progress with three_slow,
        a_half_open_set_of_connections_is_taken_over_as_one with three,
        bodies_that_nobody_takes_do_not_stop_messages_and_neighbours with three_with_small_windows,
        a_small_message_passes_a_body_that_saturates_its_link with three_slow,
        several_large_bodies_use_every_bulk_connection_and_stay_in_order with three_slow,
        the_numbers_of_a_session_are_those_of_all_its_connections,
        a_body_that_is_cut_in_the_middle_is_counted_once with three_slow,
        without_bulk_connections_large_bodies_take_the_message_connection with none,
        where_no_second_connection_is_to_be_had_bodies_flow_all_the_same;
}
