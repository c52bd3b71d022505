//! A seed is the whole truth: the same in a second run, in another process, and in another build.

#[path = "../examples/sim/logs.rs"]
mod logs;

use std::path::PathBuf;
use std::process::Command;

use quorate_sim::{Ledger, Options, Plan, Protocol, run};

const SEEDS: std::ops::Range<u64> = 0..20;

/// What `--hashes` prints.
fn hashes<P: Protocol>(protocol: &P) -> Vec<String> {
    let hash = |seed| {
        let plan = Plan::draw(seed, &Options::default().of(protocol));
        // Whether anybody reads the trace makes no difference.
        let report = run(protocol, &Ledger::drawn(seed), &plan, seed % 2 == 0);
        format!("{seed} {:016x} {}", report.hash, report.events)
    };
    SEEDS.map(hash).collect()
}

/// The hashes as committed, which an optimised build has to print as well: with `--hashes --seeds 20`.
fn committed(name: &str, hashes: &[String]) -> String {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "hashes", name]
        .iter()
        .collect();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, hashes.join("\n") + "\n").expect("a file of this crate");
    }
    std::fs::read_to_string(&path).expect("a file of this crate")
}

macro_rules! determinism {
    ($name:ident, $protocol:expr) => {
        mod $name {
            use super::*;

            #[test]
            fn two_runs_and_another_process_agree_in_every_event() {
                let here = hashes(&$protocol);
                let child = concat!(stringify!($name), "::prints_the_hashes");
                let other = Command::new(std::env::current_exe().expect("this test"))
                    .args(["--ignored", "--exact", child, "--nocapture"])
                    .output()
                    .expect("this test again");
                let printed = String::from_utf8_lossy(&other.stdout);
                for line in &here {
                    assert!(
                        printed.contains(line.as_str()),
                        "{line} is not in\n{printed}"
                    );
                }
                let mut distinct: Vec<_> = here.iter().map(|line| line.split(' ').nth(1)).collect();
                distinct.sort_unstable();
                distinct.dedup();
                assert_eq!(
                    distinct.len(),
                    here.len(),
                    "each seed has a trace of its own"
                );
            }

            /// Builds differ in nothing. Where the log, the plans or the simulator are changed, so are the hashes:
            /// `UPDATE_EXPECT=1` writes them anew.
            #[test]
            fn every_build_gives_the_hashes_that_are_committed() {
                let here = hashes(&$protocol);
                let committed = committed(concat!(stringify!($name), ".txt"), &here);
                assert_eq!(here, committed.lines().collect::<Vec<_>>());
            }

            /// What the other process does.
            #[test]
            #[ignore = "run by the test above, in a process of its own"]
            fn prints_the_hashes() {
                for line in hashes(&$protocol) {
                    println!("{line}");
                }
            }
        }
    };
}

logs::each_log!(determinism);
