//! Scripts: what happens is written in `cases/*.script`, everything that was said and written in `*.trace` beside it.
//!
//! `UPDATE_EXPECT=1 cargo test -p quorate-paxos --test scripts` writes the traces anew, to be reviewed as a diff. The
//! commands of a script are those of [`stage::Stage::run`].
#![allow(unreachable_pub)] // Modules that several test programs share.
#![allow(clippy::unwrap_used)] // A test that cannot go on has failed.

#[path = "../support/image.rs"]
mod image;
#[path = "../support/member.rs"]
mod member;
mod operators;
mod stage;

use std::path::Path;

use expect_test::expect_file;

fn play(name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts/cases");
    let script = std::fs::read_to_string(folder.join(format!("{name}.script"))).unwrap();
    let mut stage = stage::Stage::default();
    for line in script.lines() {
        stage.run(line);
    }
    expect_file![folder.join(format!("{name}.trace"))].assert_eq(stage.trace());
}

macro_rules! scripts {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            play(stringify!($name));
        }
    )*};
}

scripts! {
    a_leader_is_elected_and_a_command_is_chosen
    slot_9_is_chosen_while_7_is_a_hole_and_then_7_is_filled
    later_slots_are_chosen_while_an_earlier_one_is_delayed
    one_promise_set_holds_votes_of_three_ballots
    proposers_duel_and_one_of_them_leads
    a_slot_is_accepted_again_while_the_lower_write_is_in_flight
    a_lagging_member_leads_and_learns_what_it_never_saw
    promises_in_pieces_are_interrupted_by_a_higher_ballot
    slots_that_are_forgotten_are_never_taken_for_empty
    a_follower_far_behind_installs_a_snapshot
    reads_wait_for_a_quorum_that_was_asked_after_they_came
    four_promise_and_two_choose
    quorum_loss_moves_the_lead_to_the_one_who_hears_a_quorum
    the_only_one_who_hears_a_quorum_leads_with_the_shortest_log
    in_a_chain_the_leader_stays
    a_restart_remembers_what_is_chosen
    a_change_that_lies_behind_another_is_not_carried_on
    a_hand_over_ends_the_lease
    a_hand_over_that_cannot_be_is_refused_or_given_up
    a_leader_that_is_removed_hands_over
    a_learner_joins_catches_up_and_votes
    a_lease_ends_before_anybody_else_can_lead
    a_proposer_that_lags_two_configurations_learns_them_one_by_one
    a_removed_member_that_bids_disturbs_nobody
    a_snapshot_brings_the_members_along
    a_stop_sign_that_a_majority_accepted_survives_its_leader
    a_stop_sign_that_a_minority_accepted_gives_way
    a_stop_sign_that_a_minority_accepted_is_completed
    a_voter_is_replaced_in_one_step
    all_voters_are_replaced_by_members_that_know_nothing
    leadership_is_handed_over
    leases_outlive_a_restart_of_those_who_gave_them
    members_change_while_earlier_slots_are_in_flight
    the_preferred_voter_leads
}

/// docs/paxos.md shows parts of a trace: line by line as they stand in it, and in its order.
#[test]
fn the_trace_in_the_documentation_is_a_real_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("../../docs/paxos.md")).unwrap();
    let name = "later_slots_are_chosen_while_an_earlier_one_is_delayed.trace";
    let (_, after) = page.split_once(name).expect("the page names the trace");
    let block = after.split("```").nth(1).expect("and shows parts of it");
    let trace = std::fs::read_to_string(root.join("tests/scripts/cases").join(name)).unwrap();
    let mut lines = trace.lines();
    for shown in block.lines().skip(1).filter(|line| line.trim() != "…") {
        assert!(lines.any(|line| line == shown), "not in the trace: {shown}");
    }
}
