//! Learners that wish for a vote.

use quorate_core::{
    Change, ChangeError, Configuration, Effect, Member, NodeId, Parcel, Rejection, Wish,
};

use crate::support::{Bench, Order, foreign};

/// A leader of members 1 and 2, with learner 3 that wishes so, behind 5000 positions.
fn with_wish(wish: Wish) -> Bench {
    let two = Configuration::founding(&[NodeId(1), NodeId(2)], &[]);
    let add = Change::Add(Member::learner(NodeId(3), "").wishing(wish));
    let mut bench = Bench::new();
    bench.order(Order::Lead(1));
    let commands = vec![&b"a"[..]; 5000];
    bench.order(Order::Commit(foreign(2, 0, &commands)));
    bench.order(Order::Members(two.changed(&add).unwrap()));
    bench.seen();
    bench
}

/// What the log was told to change while a second and a half go by, in which the learner is heard at `matched`.
fn changes(bench: &mut Bench, matched: u64) -> Vec<(u64, Change)> {
    let mut changes = Vec::new();
    for _ in 0..15 {
        bench.order(Order::Matched(matched)).after(100);
        changes.extend(bench.out.drain(..).filter_map(|effect| match effect {
            Effect::Send {
                parcel: Parcel::Log(Order::Changed(ticket, change)),
                ..
            } => Some((ticket, change)),
            _ => None,
        }));
    }
    changes
}

#[test]
fn a_learner_gets_the_vote_that_it_wishes_for_once_it_has_been_close_behind_for_a_while() {
    let mut bench = with_wish(Wish::Vote);
    assert_eq!(changes(&mut bench, 100), [], "far behind");
    let ordered = changes(&mut bench, 4990);
    let [(ticket, Change::Promote(NodeId(3)))] = ordered[..] else {
        panic!("one order at a time: {ordered:?}")
    };
    let seen = bench.order(Order::Reconfigured(ticket)).seen();
    assert_eq!(seen, ["Wish of 3: Granted(Position(5000))"]);
    let three = Configuration::founding(&[1, 2, 3].map(NodeId), &[]);
    bench.order(Order::Members(three));
    assert_eq!(changes(&mut bench, 5000), []);
    assert_eq!(bench.replica.deadline(), None, "nobody wishes anything");
}

#[test]
fn a_learner_that_is_heard_no_more_or_falls_back_meanwhile_waits_anew() {
    let mut bench = with_wish(Wish::Vote);
    bench.order(Order::Matched(4990)).after(900);
    bench.order(Order::Matched(100)).after(300);
    bench.order(Order::Matched(4990)).after(900);
    assert!(bench.seen().iter().all(|line| !line.contains("Changed")));
    bench.after(5000).after(5000);
    assert!(
        bench.seen().iter().all(|line| !line.contains("Changed")),
        "silent"
    );
}

#[test]
fn a_refused_wish_is_ordered_again() {
    let mut bench = with_wish(Wish::Replace(NodeId(2)));
    bench.order(Order::Refuse(Rejection::Change(ChangeError::UnderWay)));
    assert_eq!(changes(&mut bench, 5000), []);
    let ordered = changes(&mut bench, 5000);
    let replace = Change::Replace {
        old: NodeId(2),
        new: NodeId(3),
    };
    assert!(
        matches!(&ordered[..], [(_, change)] if *change == replace),
        "{ordered:?}"
    );
}

#[test]
fn who_is_to_be_replaced_and_gone_already_is_in_nobodys_way() {
    let mut bench = with_wish(Wish::Replace(NodeId(9)));
    let ordered = changes(&mut bench, 5000);
    assert!(
        matches!(ordered[..], [(_, Change::Promote(NodeId(3)))]),
        "{ordered:?}"
    );
}

#[test]
fn only_a_leader_grants_wishes() {
    let mut bench = with_wish(Wish::Vote);
    bench.order(Order::Follow(2, 2));
    assert_eq!(changes(&mut bench, 5000), []);
}
