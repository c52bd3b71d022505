//! Results of a run that never was, for the tests of what is made of them.

use std::time::Duration;

use quorate_load::{Latency, Measured, Tally};

use super::contender::Contender;
use super::faults::Fault;
use super::machine::Machine;
use super::results::{About, Cost, Event, Limits, Load, Results, Slot, Steady, Trial, Waited};

/// Some of everything, with names that have to be escaped.
pub(crate) fn results() -> Results {
    let contenders: Vec<_> = [
        "raft",
        "paxos/pull",
        "primary-backup/mixed/all",
        "raft/push/quorum/local",
    ]
    .map(|policy| Contender::Quorate(policy.parse().expect("it makes sense")))
    .into_iter()
    .chain([
        Contender::Etcd("3.4.23".to_owned()),
        Contender::Redis("<7> & \"8\"".to_owned()),
    ])
    .collect();
    let mut steady = Vec::new();
    for round in 0..2 {
        for contender in 0..contenders.len() {
            for (members, payload, load) in [
                (3, 256, Load::Closed(1)),
                (3, 256, Load::Closed(64)),
                (3, 256, Load::Open(2000)),
                (3, 16, Load::Closed(64)),
                (5, 256, Load::Closed(64)),
            ] {
                steady.push(one(round, contender, (members, payload, load)));
            }
        }
    }
    Results {
        about: about(),
        trials: (0..4).map(trial).collect(),
        contenders,
        skipped: vec!["nobody, <for> no reason".to_owned()],
        limits: vec![
            Limits {
                sync: Waited {
                    quickest_us: 200.0,
                    median_us: 250.0,
                },
                round_trip: Waited {
                    quickest_us: 30.0,
                    median_us: 35.0,
                },
            };
            2
        ],
        steady,
    }
}

fn about() -> About {
    About {
        command: "cargo xtask compare --quick".to_owned(),
        commit: "0123456789ab".to_owned(),
        date: "2000-01-01 00:00 UTC".to_owned(),
        minutes: 1.5,
        seed: 1,
        rounds: 2,
        seconds: 1.0,
        members: 3,
        payload: 256,
        machine: Machine {
            processor: "Some, \"fast\" <one>".to_owned(),
            cores: 2,
            ..Machine::default()
        },
    }
}

fn one(round: u32, contender: usize, (members, payload, load): (u16, usize, Load)) -> Steady {
    let mut latency = Latency::default();
    for step in 1..=200 {
        latency.record(Duration::from_micros(step * (100 + contender as u64)));
    }
    let done = 900 + 100 * contender as u64 + u64::from(round);
    let tally = Tally {
        done,
        ..Tally::default()
    };
    Steady {
        contender,
        round,
        members,
        payload,
        load,
        measured: Measured {
            seconds: 1.0,
            tally,
            latency,
            whole: tally,
        },
        cost: Cost {
            cpu_us: 40.0 * f64::from(members),
            sent_bytes: Some(700.0),
            messages: (contender < 4).then_some(0.5),
            disk_bytes: 4096.0,
        },
    }
}

fn trial(contender: usize) -> Trial {
    let event = |fault, from_ms| Event {
        fault,
        leader: 1,
        from_ms,
        to_ms: from_ms + 500.0,
        restart_ms: None,
        outage_ms: 300.0 + contender as f64,
        recovered_ms: (contender != 1).then_some(400.0),
        stale_ms: 0.0,
    };
    let slot = |number: u64| Slot {
        served: if (10..13).contains(&number) { 0 } else { 50 },
        failed: 0,
        p50_us: (number != 11).then_some(800 + number),
        p99_us: Some(5000),
    };
    Trial {
        contender,
        number: 0,
        rate: 500,
        tally: Tally::default(),
        latency: Latency::default(),
        slot_ms: 100,
        slots: (0..40).map(slot).collect(),
        events: vec![event(Fault::Kill, 1000.0), event(Fault::SlowLinks, 2500.0)],
        lost: contender as u64 / 2,
        extra: 0,
        written: 1600,
        read: 400,
        stale: 0,
        stale_ms: 0.0,
        broken: Vec::new(),
    }
}
