//! A leader that gives way by itself, and one that does not.

use std::time::Duration;

use quorate_core::{
    Change, Configuration, Effect, Epoch, Event, Health, Mark, NodeId, Parcel, Rejection, Rest,
    Unfit,
};

use crate::support::{Bench, Order};

const DISK: Duration = Duration::from_millis(1);

/// Member 1 leads members 2 and 3 and has rested.
fn leading() -> Bench {
    let mut bench = Bench::new();
    let three = Configuration::founding(&[1, 2, 3].map(NodeId), &[]);
    bench.order(Order::Members(three)).order(Order::Lead(1));
    bench.after(20_000);
    bench.seen();
    bench
}

/// Half a second in which this member's writes take so many milliseconds, and the others say how theirs are. Who was told to
/// lead.
fn half_a_second(bench: &mut Bench, own_millis: u64, other: Option<Duration>) -> Option<u64> {
    bench.order(Order::Matched(0));
    for _ in 0..5 {
        bench.order(Order::Write);
        let Some(mark) = written(bench) else {
            panic!("a write")
        };
        bench.after(own_millis).event(Event::Durable { upto: mark });
        bench.after(100 - own_millis);
    }
    let rounds = bench.out.iter().filter_map(|effect| match effect {
        Effect::Send {
            to: NodeId(3),
            parcel: Parcel::Health { round, .. },
        } => Some(*round),
        _ => None,
    });
    for round in rounds.collect::<Vec<_>>() {
        let health = Health {
            disk: other,
            link: None,
        };
        let rest = Rest::default();
        bench.receive(
            3,
            Parcel::HealthSeen {
                round,
                health,
                rest,
            },
        );
    }
    bench.out.drain(..).find_map(|effect| match effect {
        Effect::Send {
            parcel: Parcel::Log(Order::Handed(_, to)),
            ..
        } => to,
        _ => None,
    })
}

fn written(bench: &Bench) -> Option<Mark> {
    bench.out.iter().rev().find_map(|effect| match effect {
        Effect::Persist { mark, .. } => Some(*mark),
        _ => None,
    })
}

/// After how many half seconds of that it hands over, of so many at most.
fn hands_over_after(bench: &mut Bench, own_millis: u64, other: Duration, most: u32) -> Option<u32> {
    (0..most).find(|_| half_a_second(bench, own_millis, Some(other)).is_some())
}

#[test]
fn a_leader_whose_disk_has_been_slow_for_a_while_gives_way_to_one_whose_disk_is_not() {
    let mut bench = leading();
    assert_eq!(hands_over_after(&mut bench, 2, DISK, 20), None);
    let after = hands_over_after(&mut bench, 50, DISK, 20);
    // A median of nine has to change first, at five writes in half a second.
    assert!(
        after.is_some_and(|halves| (6..=10).contains(&halves)),
        "{after:?}"
    );
}

#[test]
fn one_slow_write_among_many_is_no_reason() {
    let mut bench = leading();
    for _ in 0..20 {
        assert_eq!(half_a_second(&mut bench, 2, Some(DISK)), None);
        bench.order(Order::Write);
        let mark = written(&bench).expect("a write");
        bench.after(900).event(Event::Durable { upto: mark });
    }
}

#[test]
fn a_write_that_hangs_is_reason_enough() {
    let mut bench = leading();
    assert_eq!(hands_over_after(&mut bench, 2, DISK, 6), None);
    bench.order(Order::Write);
    let mut told = Vec::new();
    for _ in 0..12 {
        bench.order(Order::Matched(0)).after(500);
        let health = Health {
            disk: Some(DISK),
            link: None,
        };
        let rest = Rest::default();
        bench.receive(
            3,
            Parcel::Health {
                round: 1,
                health,
                rest,
            },
        );
        told.extend(bench.seen());
    }
    assert!(
        told.iter()
            .any(|line| line == "Hand-over to 3, slow disk: Ordered"),
        "{told:?}"
    );
}

#[test]
fn where_all_are_slow_or_nobody_else_is_heard_leadership_stays() {
    let mut bench = leading();
    let slow = Duration::from_millis(40);
    assert_eq!(hands_over_after(&mut bench, 50, slow, 40), None);
    for _ in 0..20 {
        assert_eq!(half_a_second(&mut bench, 50, None), None);
    }
}

#[test]
fn who_is_behind_or_silent_does_not_take_over() {
    let mut bench = leading();
    let commands = vec![&b"a"[..]; 5000];
    bench.order(Order::Commit(crate::support::foreign(2, 0, &commands)));
    assert_eq!(hands_over_after(&mut bench, 50, DISK, 20), None);
}

#[test]
fn each_hand_over_that_soon_follows_on_another_comes_later() {
    let mut bench = leading();
    let mut halves = Vec::new();
    for epoch in 2..6 {
        halves.push(hands_over_after(&mut bench, 50, DISK, 1000).expect("a slow disk"));
        bench.order(Order::Follow(2 * epoch, 3));
        bench.order(Order::Lead(2 * epoch + 1));
    }
    // 10 s, 20 s and 40 s of rest, in half seconds.
    assert!(halves[0] < 10, "{halves:?}");
    assert!(
        halves[1] >= 19 && halves[2] >= 39 && halves[3] >= 79,
        "{halves:?}"
    );
}

#[test]
fn a_new_leader_rests_as_long_as_the_last_one_would_have() {
    let mut bench = leading();
    bench.order(Order::Follow(2, 3));
    let mut other = leading();
    assert!(hands_over_after(&mut other, 50, DISK, 20).is_some());
    let told = (0..3).find_map(|_| {
        half_a_second(&mut other, 50, Some(DISK));
        other.order(Order::Write).after(600);
        other.out.drain(..).find_map(|effect| match effect {
            Effect::Send { parcel, .. } if matches!(parcel, Parcel::Health { .. }) => Some(parcel),
            _ => None,
        })
    });
    let Some(Parcel::Health { rest, health, .. }) = told else {
        panic!("it tells others")
    };
    assert_ne!(rest, Rest::default());
    bench.receive(
        3,
        Parcel::Health {
            round: 1,
            health,
            rest,
        },
    );
    bench.order(Order::Lead(3));
    assert!(hands_over_after(&mut bench, 50, DISK, 1000) >= Some(15));
}

#[test]
fn a_leader_gives_way_to_a_voter_of_higher_priority_that_is_well() {
    let mut bench = leading();
    let preferred = Configuration::founding(&[1, 2, 3].map(NodeId), &[])
        .changed(&Change::Prefer(NodeId(3), 7))
        .unwrap();
    bench.order(Order::Members(preferred.clone()));
    let slow = Duration::from_millis(60);
    assert_eq!(
        hands_over_after(&mut bench, 2, slow, 20),
        None,
        "its disk is slow"
    );
    assert!(hands_over_after(&mut bench, 2, DISK, 20).is_some());
    let own = preferred.changed(&Change::Prefer(NodeId(1), 7)).unwrap();
    let mut bench = leading();
    bench.order(Order::Members(own));
    assert_eq!(hands_over_after(&mut bench, 2, DISK, 40), None);
}

#[test]
fn what_became_of_it_is_told_and_a_refused_hand_over_is_ordered_again() {
    let mut bench = leading();
    assert!(hands_over_after(&mut bench, 50, DISK, 20).is_some());
    bench.order(Order::HandedOver(Err(Rejection::Unfit(Unfit::Silent(
        NodeId(3),
    )))));
    assert_eq!(
        bench.seen(),
        ["Hand-over to 3, slow disk: Refused(Unfit(Silent(NodeId(3))))"]
    );
    assert!(hands_over_after(&mut bench, 50, DISK, 100).is_some());
    let epoch = Epoch {
        round: 2,
        node: NodeId(3),
    };
    bench.order(Order::HandedOver(Ok((NodeId(3), epoch))));
    let seen = bench.seen();
    assert!(
        seen[0].starts_with("Hand-over to 3, slow disk: Done"),
        "{seen:?}"
    );
}

#[test]
fn nothing_is_told_while_nothing_is_written() {
    let mut bench = leading();
    bench.after(1000).after(1000);
    assert_eq!(bench.replica.deadline(), None);
    assert_eq!(bench.seen(), [""; 0]);
}
