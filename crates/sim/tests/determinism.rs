//! A seed is the whole truth: the same in a second run, and in another process.

#[path = "../examples/sim/raft.rs"]
mod raft;

use std::process::Command;

use quorate_sim::{Ledger, Options, Plan, run};

const SEEDS: std::ops::Range<u64> = 0..12;

fn hashes() -> Vec<String> {
    let hash = |seed| {
        let plan = Plan::draw(seed, &Options::default());
        let report = run(
            &raft::RaftProtocol,
            &Ledger::drawn(seed),
            &plan,
            seed % 2 == 0,
        );
        format!("{seed} {:016x} {}", report.hash, report.events)
    };
    SEEDS.map(hash).collect()
}

#[test]
fn two_runs_and_another_process_agree_in_every_event() {
    let here = hashes();
    assert_eq!(hashes(), here, "the same process, once more");
    let other = Command::new(std::env::current_exe().expect("this test"))
        .args(["--ignored", "--exact", "prints_the_hashes", "--nocapture"])
        .output()
        .expect("this test again");
    let printed = String::from_utf8_lossy(&other.stdout);
    for line in &here {
        assert!(
            printed.contains(line.as_str()),
            "{line} is not in\n{printed}"
        );
    }
    let mut distinct = here;
    distinct.sort_by_key(|line| line.split(' ').nth(1).map(str::to_owned));
    distinct.dedup_by_key(|line| line.split(' ').nth(1).map(str::to_owned));
    assert_eq!(
        distinct.len() as u64,
        SEEDS.end,
        "each seed has a trace of its own"
    );
}

/// What the other process does.
#[test]
#[ignore = "run by the test above, in a process of its own"]
fn prints_the_hashes() {
    for line in hashes() {
        println!("{line}");
    }
}
