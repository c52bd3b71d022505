//! No more is taken than is completed soon, and who is refused learns when to come again.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use quorate_core::{
    Batch, Effect, Epoch, Failure, Label, Life, NodeId, Parcel, Position, Rejection, Ticket,
};

use crate::support::{Bench, Order};

static COMMAND: [u8; 60 << 10] = [7; 60 << 10];

/// A leader that completes one such command every ten milliseconds, about 6 MB/s, while others wait; then none does.
fn busy() -> Bench {
    let mut bench = Bench::new();
    bench.order(Order::Lead(1));
    let mut waiting = VecDeque::new();
    for number in 0..220 {
        if number < 200 {
            bench.submit(number, &COMMAND);
        }
        waiting.extend(bench.handed().into_iter().map(|(_, _, batch)| batch));
        if number >= 20 {
            bench.order(Order::Commit(waiting.pop_front().unwrap()));
            bench.after(10);
        }
    }
    assert_eq!(bench.replica.open(), (0, 0, 0));
    bench.seen();
    bench
}

/// How many are taken until one is refused, and what that one is told.
fn fill(bench: &mut Bench, from: u64) -> (u64, Duration) {
    for number in from..from + 10_000 {
        bench.submit(number, &COMMAND);
        let refused = bench.out.iter().find_map(|effect| match effect {
            Effect::Fail {
                failure: Failure::Overloaded { retry_after },
                ..
            } => Some(*retry_after),
            _ => None,
        });
        if let Some(retry_after) = refused {
            return (number - from, retry_after);
        }
    }
    panic!("nothing is refused")
}

fn forward(bench: &mut Bench, attempt: u64, sequence: u64) -> Option<Rejection> {
    let label = Label {
        origin: NodeId(2),
        life: Life(5),
        sequence,
        ..Label::default()
    };
    let parcel = Parcel::Forward {
        epoch: Epoch {
            round: 1,
            ..Epoch::default()
        },
        attempt,
        batch: Batch::one(label, Bytes::from_static(&COMMAND)),
    };
    bench.seen();
    bench.receive(2, parcel);
    bench.out.iter().find_map(|effect| match effect {
        Effect::Send {
            parcel: Parcel::Refused { why, .. },
            ..
        } => Some(*why),
        _ => None,
    })
}

#[test]
fn what_is_taken_is_what_is_completed_within_a_quarter_of_a_second() {
    let mut bench = busy();
    let (taken, _) = fill(&mut bench, 1000);
    assert!((23..=26).contains(&taken), "{taken}");
}

#[test]
fn who_is_refused_later_is_told_to_come_later() {
    let mut bench = busy();
    fill(&mut bench, 1000);
    bench.seen();
    let mut told = Vec::new();
    for number in 0..40 {
        bench.submit(5000 + number, &COMMAND);
        told.extend(bench.out.drain(..).filter_map(|effect| match effect {
            Effect::Fail {
                failure: Failure::Overloaded { retry_after },
                ..
            } => Some(retry_after),
            _ => None,
        }));
    }
    assert!(told.is_sorted() && told.len() == 40, "{told:?}");
    // Ten milliseconds each, as they were completed.
    assert!(
        told[39] > Duration::from_millis(350) && told[39] < Duration::from_millis(450),
        "{told:?}"
    );
}

#[test]
fn room_is_there_again_as_soon_as_something_is_completed() {
    let mut bench = busy();
    fill(&mut bench, 1000);
    let handed = bench.handed();
    let half = handed.len() as u64 / 2;
    for (_, _, batch) in handed.into_iter().take(half as usize) {
        bench.order(Order::Commit(batch));
    }
    bench.seen();
    let (taken, _) = fill(&mut bench, 20_000);
    assert!(taken >= half, "{taken} of {half}");
}

#[test]
fn little_to_do_does_not_lower_what_may_be_taken() {
    let mut bench = busy();
    for _ in 0..50 {
        bench.after(100);
    }
    bench.submit(900, b"a");
    bench.seen();
    let (taken, _) = fill(&mut bench, 1000);
    assert!((22..=26).contains(&taken), "{taken}");
}

#[test]
fn who_asks_for_little_at_a_time_may_come_with_much_at_once() {
    let mut bench = Bench::new();
    bench.order(Order::Lead(1));
    for number in 0..100 {
        bench.submit(number, &COMMAND);
        for (_, _, batch) in bench.handed() {
            bench.order(Order::Commit(batch));
        }
        bench.after(10).seen();
    }
    // Nobody ever waited: what could be completed is not known.
    assert!(fill(&mut bench, 1000).0 > 1000);
}

#[test]
fn what_others_forward_counts_until_it_is_applied_or_another_leads() {
    let mut bench = busy();
    let mut taken = Vec::new();
    let refused = (0..1000).find_map(|number| {
        let refused = forward(&mut bench, number + 1, number);
        taken.extend(bench.handed());
        refused
    });
    let Some(Rejection::Overloaded { retry_after }) = refused else {
        panic!("{refused:?}")
    };
    assert!(retry_after >= Duration::from_millis(10), "{retry_after:?}");
    assert!((23..=26).contains(&taken.len()), "{}", taken.len());
    assert_eq!(fill(&mut bench, 1000).0, 0, "one budget for all");
    let (_, _, first) = taken.remove(0);
    bench.order(Order::Commit(first));
    assert_eq!(forward(&mut bench, 2000, 2000), None, "one was applied");
    assert!(forward(&mut bench, 2001, 2001).is_some());
    bench.order(Order::Follow(2, 2)).order(Order::Lead(3));
    bench.seen();
    assert!(fill(&mut bench, 30_000).0 > 20, "it may never be applied");
}

#[test]
fn a_forward_that_the_log_refuses_takes_nothing() {
    let mut bench = busy();
    for number in 0..100 {
        bench.order(Order::Refuse(Rejection::NoRoom));
        let refused = forward(&mut bench, number + 1, number);
        assert_eq!(refused, Some(Rejection::NoRoom));
    }
    assert!(fill(&mut bench, 1000).0 > 20);
}

#[test]
fn a_client_is_told_what_the_leader_told_its_member() {
    let mut bench = Bench::new();
    bench.order(Order::Follow(1, 2)).submit(7, b"a");
    let attempt = bench.handed()[0].1;
    let retry_after = Duration::from_millis(321);
    let why = Rejection::Overloaded { retry_after };
    bench.receive(2, Parcel::Refused { attempt, why });
    let failure = Failure::Overloaded { retry_after };
    assert!(bench.out.iter().any(|effect| matches!(
        effect,
        Effect::Fail { ticket: Ticket(7), failure: told } if *told == failure
    )));
    assert_eq!(bench.replica.applied(), Position::ZERO);
}
