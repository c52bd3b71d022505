//! Lies of logs whose positions are decided one by one.

use super::*;

/// Where positions are decided one by one: the value is accepted, in the promised epoch.
fn accepted(at: u64, (accepted, born): (u64, u64), command: &'static [u8]) -> Vec<Remembered> {
    vec![Remembered::Accepted {
        first: Position(at),
        runs: vec![run(accepted, born, command)],
        cuts: false,
    }]
}

fn apart() -> Checkers {
    Checkers::new((3, 3, 3), Rules::majorities(3, false))
}

#[test]
fn a_quorum_of_disks_in_one_epoch_chooses_before_anybody_says_so() {
    let mut checkers = apart();
    stored(&mut checkers, &[0, 1, 2], 1, &promise(1, 1));
    stored(&mut checkers, &[0], 2, &accepted(1, (1, 1), b"a"));
    assert!(broken(checkers.on_commit(0, epoch(1), &commit(1, 1, b"a"))).contains("B10"));
    stored(&mut checkers, &[1], 2, &accepted(1, (1, 1), b"a"));
    checkers
        .on_commit(0, epoch(1), &commit(1, 1, b"a"))
        .unwrap();
    // The others go on to later epochs with the same value: it stays chosen.
    stored(&mut checkers, &[2], 2, &promise(2, 3));
    stored(&mut checkers, &[2], 3, &accepted(1, (2, 1), b"a"));
    checkers.on_persist(2, Mark(4), 0, promise(3, 3)).unwrap();
    let other = checkers.on_persist(2, Mark(5), 0, accepted(1, (3, 3), b"b"));
    assert!(broken(other).contains("P5"));
}

#[test]
fn acceptances_in_different_epochs_are_not_one_choice() {
    let mut checkers = apart();
    for (host, round) in [(0, 1), (1, 2)] {
        stored(&mut checkers, &[host], 1, &promise(round, 1));
        stored(&mut checkers, &[host], 2, &accepted(1, (round, 1), b"a"));
    }
    assert!(broken(checkers.on_commit(0, epoch(2), &commit(1, 1, b"a"))).contains("A5"));
}

#[test]
fn a_later_proposal_that_was_made_before_the_choice_is_seen_with_the_choice() {
    let mut checkers = apart();
    stored(&mut checkers, &[0, 1], 1, &promise(1, 1));
    stored(&mut checkers, &[2], 1, &promise(2, 3));
    stored(&mut checkers, &[2], 2, &accepted(1, (2, 2), b"b"));
    stored(&mut checkers, &[0], 2, &accepted(1, (1, 1), b"a"));
    checkers
        .on_persist(1, Mark(2), 0, accepted(1, (1, 1), b"a"))
        .unwrap();
    assert!(broken(checkers.on_synced(1, Mark(2))).contains("P5"));
}

#[test]
fn a_second_value_in_one_ballot_is_seen_written_or_sent() {
    let mut checkers = apart();
    stored(&mut checkers, &[0, 1], 1, &promise(1, 1));
    stored(&mut checkers, &[0], 2, &accepted(3, (1, 1), b"a"));
    let second = checkers.on_persist(1, Mark(2), 0, accepted(3, (1, 1), b"b"));
    assert!(broken(second).contains("P20"));
    let sent = Claim::Proposes {
        first: Position(3),
        runs: vec![run(1, 1, b"c")],
    };
    assert!(broken(checkers.on_claims(0, &[sent])).contains("P20"));
}

#[test]
fn what_is_accepted_below_the_promise_is_seen() {
    let mut checkers = apart();
    stored(&mut checkers, &[0], 1, &promise(2, 1));
    for round in [1, 3] {
        let other = checkers.on_persist(0, Mark(2), 0, accepted(1, (round, 1), b"a"));
        assert!(broken(other).contains("P2"));
    }
}

#[test]
fn an_acknowledgement_in_another_epoch_than_that_of_the_disk_is_seen() {
    let mut checkers = apart();
    stored(&mut checkers, &[0], 1, &promise(1, 1));
    stored(&mut checkers, &[0], 2, &accepted(2, (1, 1), b"a"));
    stored(&mut checkers, &[0], 3, &promise(2, 2));
    let claim = |round, first, end| Claim::Accepted {
        epoch: epoch(round),
        first: Position(first),
        end: Position(end),
    };
    checkers.on_claims(0, &[claim(1, 2, 3)]).unwrap();
    for lie in [claim(2, 2, 3), claim(1, 1, 3), claim(1, 2, 4)] {
        assert!(broken(checkers.on_claims(0, &[lie])).contains("D1"));
    }
}

#[test]
fn a_promise_that_leaves_out_or_alters_what_is_on_disk_is_seen() {
    let mut checkers = apart();
    stored(&mut checkers, &[0], 1, &promise(1, 1));
    stored(&mut checkers, &[0], 2, &accepted(2, (1, 1), b"a"));
    stored(&mut checkers, &[0], 3, &accepted(4, (1, 1), b"b"));
    let vote = |at, round, command| (Position(at), run(round, 1, command));
    let tells = |first, end: Option<u64>, runs: &[(Position, Run)]| Claim::Tells {
        first: Position(first),
        end: end.map(Position),
        runs: runs.to_vec(),
    };
    let truths = [
        tells(1, None, &[vote(2, 1, b"a"), vote(4, 1, b"b")]),
        tells(1, Some(4), &[vote(2, 1, b"a")]),
        tells(3, None, &[vote(4, 1, b"b")]),
        tells(5, None, &[]),
    ];
    checkers.on_claims(0, &truths).unwrap();
    let lies = [
        tells(1, None, &[vote(2, 1, b"a")]),
        tells(1, None, &[vote(4, 1, b"b")]),
        tells(1, Some(4), &[vote(2, 2, b"a")]),
        tells(1, Some(4), &[vote(2, 1, b"b")]),
        tells(3, None, &[vote(3, 1, b"x"), vote(4, 1, b"b")]),
        tells(3, None, &[]),
    ];
    for lie in lies {
        assert!(broken(checkers.on_claims(0, &[lie])).contains("P14"));
    }
    let base = Remembered::Base {
        upto: Position(2),
        keeps: true,
    };
    stored(&mut checkers, &[0], 4, &[base]);
    let forgotten = tells(2, None, &[vote(4, 1, b"b")]);
    assert!(broken(checkers.on_claims(0, &[forgotten])).contains("P14"));
}

#[test]
fn a_snapshot_that_is_not_there_and_a_choice_that_nobody_made_are_seen() {
    let mut checkers = apart();
    let upto = Position(1);
    assert!(broken(checkers.on_claims(0, &[Claim::Covers { upto }])).contains("D1"));
    assert!(broken(checkers.on_claims(0, &[Claim::Chosen { upto }])).contains("P8"));
    let hint = vec![Remembered::Chosen { upto }];
    assert!(broken(checkers.on_persist(0, Mark(1), 0, hint.clone())).contains("D3"));
    stored(&mut checkers, &[0, 1], 1, &promise(1, 1));
    stored(&mut checkers, &[0, 1], 2, &accepted(1, (1, 1), b"a"));
    checkers
        .on_commit(0, epoch(1), &commit(1, 1, b"a"))
        .unwrap();
    checkers.on_snapshot(0, upto);
    checkers
        .on_claims(0, &[Claim::Covers { upto }, Claim::Chosen { upto }])
        .unwrap();
    stored(&mut checkers, &[0], 3, &hint);
    // The disk of another does not hold what its record knows to be chosen.
    checkers.on_persist(2, Mark(1), 0, hint).unwrap();
    assert!(broken(checkers.on_synced(2, Mark(1))).contains("D3"));
}

#[test]
fn holes_and_votes_renewed_are_marked() {
    let mut checkers = apart();
    stored(&mut checkers, &[0, 1], 1, &promise(1, 1));
    stored(&mut checkers, &[0, 1], 2, &accepted(2, (1, 1), b"a"));
    stored(&mut checkers, &[0], 3, &promise(2, 2));
    stored(&mut checkers, &[0], 4, &accepted(2, (2, 1), b"a"));
    assert_eq!(checkers.marks().len(), 3);
}
