//! Suites that anyone can run on their own log, state machine or disk.
//!
//! Each is a function that panics with what is wrong, and a macro that makes tests of it:
//!
//! ```
//! use bytes::Bytes;
//! use quorate_sim::{Ledger, LedgerMachine, Workload, conformance, machine_conformance};
//!
//! /// Commands that reach every corner of the machine.
//! fn commands() -> Vec<Bytes> {
//!     let ledger = Ledger::default();
//!     let mut rng = quorate_core::Rng::new(1);
//!     (1..50).filter_map(|number| ledger.command(&ledger.draw(&mut rng, number))).collect()
//! }
//!
//! machine_conformance!(ledger, LedgerMachine::default, commands);
//! # conformance::state_machine(LedgerMachine::default, &commands());
//! ```

mod disk;
mod machine;

use std::ops::Range;

pub use disk::disk;
pub use machine::state_machine;

use crate::{Ledger, Options, Plan, Protocol, run};

/// Runs a log under faults, one run a seed, with all checkers and the built-in workload; and every eighth seed
/// twice: the trace has to be the same.
///
/// # Panics
/// At the first seed that fails, with the invariant and what was seen.
pub fn replicated_log<P: Protocol>(protocol: &P, seeds: Range<u64>, options: &Options) {
    let options = options.of(protocol);
    for seed in seeds {
        let plan = Plan::draw(seed, &options);
        let report = run(protocol, &Ledger::drawn(seed), &plan, false);
        let name = protocol.name();
        if let Some(violation) = &report.violation {
            panic!(
                "{name}, seed {seed}, after {:?}: {violation}",
                report.simulated
            );
        }
        if seed % 8 == 0 {
            let again = run(protocol, &Ledger::drawn(seed), &plan, false);
            assert_eq!(
                again.hash, report.hash,
                "{name}, seed {seed}: two runs differ (law 1)"
            );
        }
    }
}

/// Tests a [`Protocol`](crate::Protocol): `log_conformance!(name, protocol, seeds)`.
#[macro_export]
macro_rules! log_conformance {
    ($name:ident, $protocol:expr, $seeds:expr) => {
        mod $name {
            #[allow(unused_imports, reason = "what the expressions need")]
            use super::*;

            #[test]
            fn it_keeps_every_invariant_under_faults() {
                let options = $crate::Options::default();
                $crate::conformance::replicated_log(&$protocol, $seeds, &options);
            }

            #[test]
            fn it_may_stop_but_does_not_lie_when_too_many_disks_decay() {
                let options = $crate::Options {
                    unsafe_disks: true,
                    ..$crate::Options::default()
                };
                $crate::conformance::replicated_log(&$protocol, $seeds, &options);
            }
        }
    };
}

/// Tests a [`StateMachine`](quorate_core::StateMachine): `machine_conformance!(name, make, commands)` with two functions.
#[macro_export]
macro_rules! machine_conformance {
    ($name:ident, $make:expr, $commands:expr) => {
        mod $name {
            #[allow(unused_imports, reason = "what the expressions need")]
            use super::*;

            #[test]
            fn it_is_deterministic_and_its_snapshots_hold() {
                $crate::conformance::state_machine($make, &$commands());
            }
        }
    };
}

/// Tests a [`Disk`](quorate_journal::Disk): `disk_conformance!(name, make)` with a function that gives an empty one.
#[macro_export]
macro_rules! disk_conformance {
    ($name:ident, $make:expr) => {
        mod $name {
            #[allow(unused_imports, reason = "what the expression needs")]
            use super::*;

            #[test]
            fn it_keeps_the_contract_of_a_disk_and_carries_a_journal() {
                $crate::conformance::disk($make);
            }
        }
    };
}
