//! A deterministic simulator of replicated logs, in which networks, disks, clocks and processes fail, with checkers
//! that share no code with what they check.
//!
//! What runs in it is what runs in production: [`Replica`](quorate_core::Replica) over any
//! [`ReplicatedLog`](quorate_core::ReplicatedLog), the journal and the snapshot store of `quorate-journal` on a simulated
//! [`Disk`](quorate_journal::Disk), and every message and record through the codec. One agenda, one seed, virtual time:
//! no thread, no clock, no async runtime takes part, so that a seed is the same run everywhere.
//!
//! - [`Plan::draw`] makes a run of a seed: cluster, limits, workload, and a list of [faults](Fault);
//! - [`run`] runs it, checks after every event, and gives a [`Report`];
//! - [`Campaign`] runs many; [`shrink`] leaves out the faults that a failure does not need; [`space_time`] draws its trace;
//! - [`linearizability`] judges what clients saw, and is usable on its own;
//! - [`differential`] runs one script through several logs and compares what they make of it;
//! - [`explore`] walks through every order of few events;
//! - [`conformance`] makes suites of it for any log, state machine or disk;
//! - [`mutants`] puts known bugs back and counts the seeds until they are found.
//!
//! # Your own state machine, your own log
//! Implement [`Workload`] for what is replicated and asked, [`Protocol`] for a log. Both are small; the built-in workload
//! is [`Ledger`], and the files in `examples/sim` are the protocols that the simulator's command line runs.
//!
//! # A run
//! ```text
//!   0 s                            faults begin and end                      heals       +10 election timeouts
//!   ├── clients write and read ──────────────────────────────────────────────┤── quiet ──┤ a leader ─┤ served ─┤ equal
//! ```
//! Safety is checked after every event; in the end there has to be a leader without any new request, then writes and
//! reads on every healed member are served, then all are equal, and the history is linearizable.
//!
//! docs/testing.md says what is covered, what is not, and what was found.
#![forbid(unsafe_code)]

mod agenda;
mod campaign;
mod checker;
mod client;
mod clock;
pub mod conformance;
mod diagram;
pub mod differential;
mod disk;
pub mod explore;
mod host;
mod ledger;
pub mod linearizability;
pub mod mutants;
mod network;
mod plan;
mod protocol;
mod run;
mod shrink;
mod tap;
mod trace;
mod workload;
mod world;

pub use agenda::Moment;
pub use campaign::{
    ACCEPTED_AGAIN, ACCEPTED_BEHIND_A_HOLE, CHANGES, CHOSEN_BEHIND_A_HOLE, Campaign, HANDOVERS,
    JOINT, PROMOTIONS, RARE, Summary,
};
pub use checker::Violation;
pub use diagram::space_time;
pub use disk::{Rot, Survival};
pub use ledger::{Entry, Key, Ledger, LedgerMachine, LedgerReply, LedgerSnapshot, Seen};
pub use plan::{
    Act, Around, Blow, Clients, Fault, HOSTS_MAX, MEMBERS_MAX, NetworkMix, Options, Plan, Planned,
};
pub use protocol::{Claim, Cluster, Limits, Member, Protocol, Remembered, Rules, Run};
pub use run::{Report, run};
pub use shrink::shrink;
pub use trace::Line;
pub use workload::{Ended, Glimpse, Workload};
