//! x
#![forbid(unsafe_code)]
mod agenda;
mod campaign;
mod checker;
mod client;
mod clock;
mod diagram;
mod disk;
mod host;
mod ledger;
pub mod linearizability;
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
pub use campaign::{Campaign, RARE, Summary};
pub use checker::Violation;
pub use diagram::space_time;
pub use disk::{CallFault, Rot, Survival};
pub use ledger::{Entry, Key, Ledger, LedgerMachine, LedgerReply, LedgerSnapshot, Seen};
pub use plan::{Around, Clients, Fault, MEMBERS_MAX, NetworkMix, Options, Plan, Planned};
pub use protocol::{Claim, Limits, Member, Protocol, Remembered};
pub use run::{Report, run};
pub use shrink::shrink;
pub use trace::Line;
pub use workload::Workload;
