//! The logs that are simulated: the one place that names them all.

#[path = "paxos.rs"]
mod paxos;
#[path = "raft.rs"]
mod raft;

pub(crate) use paxos::PaxosProtocol;
pub(crate) use raft::RaftProtocol;

/// Expands `$each!(name, protocol, …)` once for each log.
#[allow(unused_macros, reason = "the command line names the logs itself")]
macro_rules! each_log {
    ($each:ident $(, $more:expr)*) => {
        $each!(raft, $crate::logs::RaftProtocol $(, $more)*);
        $each!(paxos, $crate::logs::PaxosProtocol $(, $more)*);
    };
}
#[allow(unused_imports, reason = "the command line names the logs itself")]
pub(crate) use each_log;
