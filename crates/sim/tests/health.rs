//! A leader that serves badly without failing gives way, over every log that elects one; and leadership comes to rest.

#[path = "../examples/sim/logs.rs"]
mod logs;

use std::collections::BTreeMap;
use std::time::Duration;

use logs::{PaxosProtocol, PrimaryBackupProtocol, RaftProtocol};
use quorate_sim::{
    Clients, Fault, Ledger, Moment, NetworkMix, Options, Plan, Planned, Protocol, Report, run,
};

const SEED: u64 = 8;
/// When the fault begins, after the beginning of the run.
const FROM: Duration = Duration::from_secs(20);
/// For how long.
const LASTS: Duration = Duration::from_mins(1);

/// Three members, quick disks, short links and busy clients; and these faults.
fn plan(faults: impl IntoIterator<Item = Fault>) -> Plan {
    // Of this seed Multi-Paxos makes majorities of both quorums.
    let mut plan = Plan::draw(SEED, &Options::default());
    (plan.members, plan.learners, plan.core) = (3, 0, 0b111);
    plan.limits.election_timeout = Duration::from_millis(500);
    plan.limits.heartbeat_interval = Duration::from_millis(100);
    plan.limits.window_bytes = 1 << 20;
    plan.limits.window_messages = 64;
    plan.limits.uncommitted_bytes = 1 << 20;
    plan.limits.log_bytes = 64 << 20;
    plan.around.pending_max = 1024;
    plan.around.pending_bytes = 1 << 20;
    plan.around.backlog_bytes = 1 << 20;
    plan.around.batch_bytes = 16 << 10;
    plan.around.snapshot_every = 1 << 20;
    plan.around.sync = (Duration::from_millis(1), Duration::from_millis(2));
    plan.around.told_late = Duration::from_micros(10);
    plan.around.timer_grain = Duration::from_nanos(1);
    plan.around.in_step = false;
    plan.network = NetworkMix {
        delay: (Duration::from_micros(200), Duration::from_micros(400)),
        ordered: true,
    };
    plan.clients = Clients {
        count: 4,
        think: Duration::from_millis(20),
        patience: Duration::from_secs(5),
        retries: 3,
        sessions: None,
    };
    let planned = |fault| Planned {
        at: Moment::START.after(FROM),
        lasts: LASTS,
        fault,
    };
    plan.faults = faults.into_iter().map(planned).collect();
    plan.heals = Moment::START.after(FROM + LASTS);
    plan
}

fn slow_disk(member: usize) -> Fault {
    let by = Duration::from_millis(50);
    Fault::SlowDisk { member, by }
}

/// Whatever leaves this member is late.
fn slow_links(from: usize) -> Vec<Fault> {
    let by = Duration::from_millis(100);
    let others = (0..3).filter(|to| *to != from);
    others.map(|to| Fault::SlowLink { from, to, by }).collect()
}

fn sound<P: Protocol>(protocol: &P, plan: &Plan) -> Report {
    let ledger = Ledger {
        keys: 3,
        reads: 10,
        filling: 64,
    };
    let report = run(protocol, &ledger, plan, true);
    assert_eq!(report.violation, None);
    report
}

/// Hand-overs that were completed: when, and why.
fn hand_overs(report: &Report) -> Vec<(Moment, String)> {
    let lines = report.lines.iter();
    let done =
        lines.filter(|line| line.text.starts_with("gives way") && line.text.contains("Done"));
    done.map(|line| (line.at, line.text.clone())).collect()
}

/// The median time from a request at its member to its reply, for writes that were asked in this part of the run.
fn median(report: &Report, (from, until): (Moment, Moment)) -> Duration {
    let mut asked = BTreeMap::new();
    let mut took = Vec::new();
    for line in &report.lines {
        let mut words = line.text.split(' ');
        match (words.next(), words.next()) {
            (Some("asked"), Some(number)) if line.at >= from && line.at < until => {
                asked.insert(number, line.at);
            }
            (Some("reply"), Some(number)) => {
                took.extend(asked.remove(number).map(|at| line.at.0 - at.0));
            }
            _ => {}
        }
    }
    took.sort_unstable();
    assert!(took.len() > 50, "{} replies", took.len());
    Duration::from_nanos(took[took.len() / 2])
}

fn after(duration: Duration) -> Moment {
    Moment::START.after(duration)
}

/// Only who led when the fault began gives way, and does so once.
fn one_of_three<P: Protocol>(
    protocol: &P,
    faults: impl Fn(usize) -> Vec<Fault>,
    why: &str,
) -> (Report, Moment) {
    let mut found = Vec::new();
    for member in 0..3 {
        let report = sound(protocol, &plan(faults(member)));
        let moved = hand_overs(&report);
        assert!(moved.len() < 2, "{moved:?}");
        for (at, text) in moved {
            assert!(text.contains(why), "{text}");
            found.push((report.clone(), at));
        }
    }
    assert_eq!(found.len(), 1, "one of the three led");
    found.remove(0)
}

fn a_slow_disk_gives_way<P: Protocol>(protocol: &P) {
    let (_, at) = one_of_three(protocol, |member| vec![slow_disk(member)], "slow disk");
    assert!(
        at < after(FROM + Duration::from_secs(10)),
        "{at} is late: three election timeouts make it sure"
    );
}

fn slow_links_give_way<P: Protocol>(protocol: &P) {
    let (report, at) = one_of_three(protocol, slow_links, "slow links");
    let second = Duration::from_secs(1);
    let before = median(&report, (after(second * 5), after(FROM)));
    let during = median(&report, (after(FROM), at));
    let afterwards = median(&report, (at.after(second), after(FROM + LASTS)));
    assert!(during > 10 * before, "{before:?}, then {during:?}");
    assert!(
        afterwards < 3 * before,
        "{before:?}, {during:?}, then {afterwards:?}"
    );
}

fn leadership_rests<P: Protocol>(protocol: &P) {
    let report = sound(protocol, &plan((0..3).map(slow_disk)));
    let moved = hand_overs(&report);
    assert!(moved.is_empty(), "all are as slow: {moved:?}");
}

#[test]
fn a_leader_whose_disk_turns_slow_gives_way() {
    a_slow_disk_gives_way(&RaftProtocol);
    a_slow_disk_gives_way(&PaxosProtocol);
}

#[test]
fn a_leader_whose_links_turn_slow_gives_way_and_writes_are_quick_again() {
    slow_links_give_way(&RaftProtocol);
    slow_links_give_way(&PaxosProtocol);
}

#[test]
fn where_all_disks_are_slow_leadership_stays_where_it_is() {
    leadership_rests(&RaftProtocol);
    leadership_rests(&PaxosProtocol);
}

#[test]
fn a_primary_that_was_appointed_stays_however_slow_it_is() {
    for member in 0..3 {
        let mut faults = slow_links(member);
        faults.push(slow_disk(member));
        let report = sound(&PrimaryBackupProtocol, &plan(faults));
        assert!(hand_overs(&report).is_empty());
    }
}
