//! Every order in which few things can happen, not only those that chance finds.
//!
//! [`explore`] walks through all states that a small cluster of any [`ReplicatedLog`] can reach within a [`Bound`]: who
//! bids for leadership, how many commands are proposed, how many members crash. The network is a set of all that was
//! ever said: each message may arrive late, never, or any number of times, in any order. Each disk is as slow as it
//! likes; a crash keeps what was synced and any prefix of the rest.
//!
//! What is chosen is read from the disks by [`Model::votes`], not asked of the log. In every state:
//! - one value a position and epoch, and one chosen value a position, for ever: votes are never taken back;
//! - what is handed out is chosen, in order, without a gap, after a restart too;
//! - what is chosen was proposed, or is a no-op;
//! - no assertion of the log fails.
//!
//! Time is coarse: every step is later than all patience allows, so nobody refuses a vote because it has just heard a
//! leader; that refusal would be one more lost message. Only a bid runs a timer. Two states that differ only in fields that
//! a model calls [irrelevant](Model::irrelevant) are one. Left out are reads, snapshots, compaction, full disks, learners,
//! and repetitions by a leader's timer: what a leader would say again may arrive anyway.
//!
//! A world is a few numbers: members, messages and steps are kept once each, and a step that was made before is looked
//! up. That is what `stateright` has no place for, whose states are whole values with a hash of their own.

mod cast;
mod space;

use std::fmt::Debug;
use std::time::Duration;

use quorate_core::{Epoch, NodeId, Position, ReplicatedLog, Status};

pub use cast::values;
pub use space::explore;

/// What the explorer has to know of a protocol.
pub trait Model {
    /// The log.
    type Log: ReplicatedLog + Clone + Debug;

    /// The config of one member.
    fn config(&self, id: NodeId, members: &[NodeId]) -> <Self::Log as ReplicatedLog>::Config;

    /// What a member that is about to bid has heard from the others: nothing that promises anything.
    fn before_bid(&self, id: NodeId, members: &[NodeId]) -> Heard<Self::Log>;

    /// What it hears at once when it has asked whether it may: nothing that promises anything.
    fn after_bid(&self, id: NodeId, members: &[NodeId], status: Status) -> Heard<Self::Log>;

    /// Whether a message is carried; others only make a member bid, or are repetitions.
    fn carries(&self, message: &<Self::Log as ReplicatedLog>::Message) -> bool;

    /// Every vote that a journal with these records ever cast, from its first record on.
    fn votes(&self, records: &[<Self::Log as ReplicatedLog>::Record]) -> Vec<Vote>;

    /// Names of fields, as `Debug` prints them, that decide nothing within a bound: what timers drew at random, what
    /// only timers look at.
    fn irrelevant(&self) -> &'static [&'static str];
}

/// Messages and who says them.
pub type Heard<L> = Vec<(NodeId, <L as ReplicatedLog>::Message)>;

/// A vote on a disk: a quorum of equal ones makes its value chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vote {
    /// For which position.
    pub position: Position,
    /// In which epoch.
    pub epoch: Epoch,
    /// For what.
    pub value: Value,
}

/// A command as the explorer tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value {
    /// The epoch in which it was proposed first.
    pub born: Epoch,
    /// The number of the proposal, from 1 on; zero: a no-op.
    pub proposal: u64,
}

/// What may happen, at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// How many members there are.
    pub members: u64,
    /// Who bids for leadership, each entry once, at any time, in any order.
    pub bids: Vec<NodeId>,
    /// Commands proposed, by whoever leads.
    pub proposals: u32,
    /// Crashes, of any members.
    pub crashes: u32,
    /// States, after which the search is given up.
    pub states: usize,
}

/// What was seen so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Different states.
    pub states: usize,
    /// Steps from one to another.
    pub steps: u64,
    /// States that are still to be looked at.
    pub open: usize,
    /// The longest way gone.
    pub depth: usize,
    /// Different states of single members.
    pub members: usize,
    /// Different messages.
    pub messages: usize,
    /// States in which something is chosen.
    pub chosen: usize,
    /// States in which a value was voted for in more than one epoch.
    pub carried: usize,
    /// States in which somebody has handed something out.
    pub handed_out: usize,
    /// Whether the limit was reached: there are more states.
    pub cut: bool,
}

/// What must not happen and did, with a way there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What is wrong.
    pub what: String,
    /// The steps, one a line.
    pub way: Vec<String>,
}

/// Longer than any patience.
const LEAP: Duration = Duration::from_secs(10);
