//! Each checker is shown the lie that it is there for.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use quorate_core::{Batch, Label, NodeId, RoleKind};

use super::*;
use crate::Run;

mod apart;

fn epoch(round: u64) -> Epoch {
    Epoch {
        round,
        ..Epoch::default()
    }
}

fn batch(command: &'static [u8]) -> Batch {
    Batch::one(Label::default(), bytes::Bytes::from_static(command))
}

fn run(accepted: u64, born: u64, command: &'static [u8]) -> Run {
    Run {
        accepted: epoch(accepted),
        born: epoch(born),
        batch: batch(command),
    }
}

/// In a chained log: the entry follows `after`.
fn entries(after: u64, round: u64, command: &'static [u8]) -> Vec<Remembered> {
    let mut said = promise(round, 1);
    said.push(Remembered::Accepted {
        first: Position(after + 1),
        runs: vec![run(round, round, command)],
        cuts: true,
    });
    said
}

fn promise(round: u64, vote: u64) -> Vec<Remembered> {
    vec![Remembered::Promise {
        epoch: epoch(round),
        vote: Some(NodeId(vote)),
    }]
}

fn commit(first: u64, round: u64, command: &'static [u8]) -> Committed {
    Committed {
        first: Position(first),
        epoch: epoch(round),
        batch: batch(command),
    }
}

fn three() -> Checkers {
    Checkers::new((3, 3, 3), Rules::majorities(3, true))
}

fn broken(verdict: Verdict) -> &'static str {
    verdict.unwrap_err().invariant
}

/// The entry is on the disks of `hosts`.
fn stored(checkers: &mut Checkers, hosts: &[usize], mark: u64, said: &[Remembered]) {
    for host in hosts {
        checkers
            .on_persist(*host, Mark(mark), 0, said.to_vec())
            .unwrap();
        checkers.on_synced(*host, Mark(mark)).unwrap();
    }
}

#[test]
fn a_commit_on_a_minority_of_disks_is_a_lie_even_if_a_write_is_under_way() {
    let mut checkers = three();
    stored(&mut checkers, &[0], 1, &entries(0, 1, b"a"));
    checkers
        .on_persist(1, Mark(1), 0, entries(0, 1, b"a"))
        .unwrap();
    assert!(broken(checkers.on_commit(0, epoch(1), &commit(1, 1, b"a"))).contains("B10"));
    checkers.on_synced(1, Mark(1)).unwrap();
    checkers
        .on_commit(0, epoch(1), &commit(1, 1, b"a"))
        .unwrap();
}

#[test]
fn a_synced_snapshot_stands_for_the_entries_it_covers() {
    let mut checkers = three();
    stored(&mut checkers, &[0], 1, &entries(0, 1, b"a"));
    assert!(broken(checkers.on_claims(1, &[Claim::Holds { upto: Position(1) }])).contains("D1"));
    checkers.on_snapshot(1, Position(1));
    checkers
        .on_claims(1, &[Claim::Holds { upto: Position(1) }])
        .unwrap();
    checkers
        .on_commit(0, epoch(1), &commit(1, 1, b"a"))
        .unwrap();
}

#[test]
fn a_truncated_entry_does_not_count_as_stored() {
    let mut checkers = three();
    stored(&mut checkers, &[0, 1], 1, &entries(0, 1, b"a"));
    stored(&mut checkers, &[1], 2, &entries(0, 2, b"b"));
    assert!(broken(checkers.on_commit(0, epoch(1), &commit(1, 1, b"a"))).contains("B10"));
}

#[test]
fn what_is_chosen_never_changes() {
    let mut checkers = three();
    stored(&mut checkers, &[0, 1], 1, &entries(0, 1, b"a"));
    checkers
        .on_commit(0, epoch(1), &commit(1, 1, b"a"))
        .unwrap();
    assert!(broken(checkers.on_commit(1, epoch(2), &commit(1, 2, b"b"))).contains("A1"));
    assert!(broken(checkers.on_commit(1, epoch(2), &commit(3, 2, b"b"))).contains("gap"));
}

#[test]
fn logs_that_do_not_match_are_seen() {
    let mut checkers = three();
    checkers
        .on_persist(0, Mark(1), 0, entries(0, 1, b"a"))
        .unwrap();
    assert!(broken(checkers.on_persist(1, Mark(1), 0, entries(0, 1, b"b"))).contains("R3"));
}

#[test]
fn a_second_vote_is_seen_also_in_another_life() {
    let mut checkers = three();
    stored(&mut checkers, &[0], 1, &promise(4, 1));
    let recovered = vec![(Mark(1), 0, promise(4, 1))];
    checkers.on_recovered(0, Position(0), recovered).unwrap();
    checkers.on_persist(0, Mark(2), 0, promise(4, 2)).unwrap();
    assert!(broken(checkers.on_synced(0, Mark(2))).contains("R5"));
}

#[test]
fn a_promise_spoken_before_it_is_synced_is_seen() {
    let mut checkers = three();
    checkers.on_persist(0, Mark(1), 0, promise(2, 3)).unwrap();
    let vote = Claim::Vote {
        epoch: epoch(2),
        vote: NodeId(3),
    };
    for claim in [Claim::Epoch(epoch(2)), vote.clone()] {
        assert!(broken(checkers.on_claims(0, &[claim])).contains("D1"));
    }
    assert!(broken(checkers.on_claims(0, &[Claim::Holds { upto: Position(1) }])).contains("D1"));
    checkers.on_synced(0, Mark(1)).unwrap();
    checkers
        .on_claims(0, &[Claim::Epoch(epoch(2)), vote])
        .unwrap();
    let other = Claim::Vote {
        epoch: epoch(2),
        vote: NodeId(2),
    };
    assert!(broken(checkers.on_claims(0, &[other])).contains("D1"));
}

#[test]
fn a_synced_record_that_is_altered_or_gone_is_seen() {
    for found in [vec![], vec![(Mark(1), 8, promise(1, 1))]] {
        let mut checkers = three();
        checkers.on_persist(0, Mark(1), 7, promise(1, 1)).unwrap();
        checkers.on_synced(0, Mark(1)).unwrap();
        assert!(broken(checkers.on_recovered(0, Position(0), found)).contains("B4"));
    }
}

#[test]
fn a_command_applied_twice_or_differently_is_seen() {
    let mut checkers = three();
    stored(&mut checkers, &[0, 1], 1, &entries(0, 1, b"a"));
    checkers
        .on_commit(0, epoch(1), &commit(1, 1, b"a"))
        .unwrap();
    checkers.on_applied(0, Position(1), 7).unwrap();
    checkers.on_applied(1, Position(1), 7).unwrap();
    assert!(broken(checkers.on_applied(2, Position(1), 8)).contains("A2"));
    assert!(broken(checkers.on_applied(2, Position(2), 7)).contains("S1"));
    assert!(broken(checkers.on_applied(2, Position(3), 9)).contains("chosen"));
}

fn shown(round: u64, committed: u64, digest: u64) -> Shown {
    Shown {
        status: Status {
            role: RoleKind::Follower,
            epoch: epoch(round),
            leader: None,
            last: Position(9),
            durable: Position(9),
            committed: Position(committed),
            compacted: Position(0),
            bytes: 0,
            configured: Position::ZERO,
        },
        applied: Position(committed),
        snapshot: Position(0),
        digest,
    }
}

#[test]
fn states_that_differ_go_back_or_lead_twice_are_seen() {
    let mut checkers = three();
    checkers.on_state(0, &shown(2, 5, 77), false).unwrap();
    checkers.on_state(1, &shown(2, 5, 77), false).unwrap();
    assert!(broken(checkers.on_state(2, &shown(2, 5, 78), false)).contains("A3"));
    assert!(broken(checkers.on_state(0, &shown(1, 5, 77), false)).contains("A4"));
    assert!(broken(checkers.on_state(1, &shown(2, 4, 1), false)).contains("A4"));
    let mut high = shown(2, 5, 77);
    high.applied = Position(6);
    assert!(broken(checkers.on_state(1, &high, false)).contains("A4"));
    let mut leader = shown(3, 5, 77);
    leader.status.role = RoleKind::Leader;
    stored(&mut checkers, &[0, 1], 1, &promise(3, 1));
    checkers.on_state(0, &leader, false).unwrap();
    assert!(broken(checkers.on_state(1, &leader, false)).contains("R1"));
}

#[test]
fn a_leader_without_votes_or_without_what_is_chosen_is_seen() {
    let mut checkers = three();
    stored(&mut checkers, &[0, 1], 1, &promise(1, 1));
    stored(&mut checkers, &[2], 1, &promise(1, 3));
    checkers.on_claims(0, &[Claim::Leads(epoch(1))]).unwrap();
    stored(&mut checkers, &[0, 1], 2, &entries(0, 1, b"a"));
    checkers
        .on_commit(0, epoch(1), &commit(1, 1, b"a"))
        .unwrap();
    stored(&mut checkers, &[0], 3, &promise(2, 1));
    assert!(broken(checkers.on_claims(0, &[Claim::Leads(epoch(2))])).contains("elects"));
    stored(&mut checkers, &[2], 2, &promise(3, 3));
    stored(&mut checkers, &[1], 3, &promise(3, 3));
    assert!(broken(checkers.on_claims(2, &[Claim::Leads(epoch(3))])).contains("R4"));
}

#[test]
fn a_leader_that_commits_what_is_of_a_former_term_is_seen() {
    let mut checkers = three();
    stored(&mut checkers, &[0, 1], 1, &entries(0, 1, b"a"));
    stored(&mut checkers, &[0, 1], 2, &promise(2, 1));
    checkers
        .on_commit(0, epoch(1), &commit(1, 1, b"a"))
        .unwrap();
    let mut leader = shown(2, 1, 0);
    leader.status.role = RoleKind::Leader;
    checkers.on_state(0, &leader, false).unwrap();
    assert!(broken(checkers.on_state(0, &leader, true)).contains("B8"));
}

#[test]
fn a_leader_that_proposes_another_value_than_is_chosen_is_seen() {
    let mut checkers = three();
    stored(&mut checkers, &[0, 1], 1, &entries(0, 1, b"a"));
    checkers
        .on_commit(0, epoch(1), &commit(1, 1, b"a"))
        .unwrap();
    let late = checkers.on_persist(2, Mark(1), 0, entries(0, 2, b"b"));
    assert!(broken(late).contains("R4"));
}

#[test]
fn an_epoch_belongs_to_one_life() {
    let mut checkers = three();
    let found = vec![(Mark(1), 0, promise(1, 1))];
    stored(&mut checkers, &[0, 1], 1, &promise(1, 1));
    let claims = [Claim::Seeks(epoch(1)), Claim::Leads(epoch(1))];
    checkers.on_claims(0, &claims).unwrap();
    checkers.on_recovered(0, Position(0), found).unwrap();
    for claim in claims {
        assert!(broken(checkers.on_claims(0, &[claim])).contains("P3"));
    }
}

#[test]
fn a_promise_that_goes_back_is_seen_also_over_a_restart() {
    let mut checkers = three();
    stored(&mut checkers, &[0], 1, &promise(4, 1));
    assert!(broken(checkers.on_persist(0, Mark(2), 0, promise(3, 1))).contains("P2"));
    // The record was reclaimed, and what stands in its place does not repeat it.
    for kept in [
        promise(3, 1),
        promise(4, 2),
        entries(0, 4, b"a")[1..].to_vec(),
    ] {
        let mut checkers = three();
        stored(&mut checkers, &[0], 1, &promise(4, 1));
        checkers.on_reclaimed(0, Mark(2));
        let found = vec![(Mark(2), 0, kept)];
        checkers.on_recovered(0, Position(0), found).unwrap_err();
    }
}
