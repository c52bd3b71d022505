//! What a log gives its outputs to.

use alloc::vec::Vec;
use core::fmt::{self, Debug};

use super::{Output, ReplicatedLog};
use crate::NodeId;

/// Where a log puts its outputs; the driver empties it.
pub struct Outbox<L: ReplicatedLog> {
    outputs: Vec<Output<L::Message, L::Record>>,
}

impl<L: ReplicatedLog> Outbox<L> {
    /// An empty one.
    pub const fn new() -> Self {
        Self {
            outputs: Vec::new(),
        }
    }

    /// Appends an output.
    pub fn push(&mut self, output: Output<L::Message, L::Record>) {
        self.outputs.push(output);
    }

    /// Appends a message.
    pub fn send(&mut self, to: NodeId, message: L::Message) {
        self.push(Output::Send { to, message });
    }

    /// Takes all outputs, oldest first; the capacity stays.
    pub fn drain(&mut self) -> impl Iterator<Item = Output<L::Message, L::Record>> {
        self.outputs.drain(..)
    }

    /// How many outputs wait.
    pub fn len(&self) -> usize {
        self.outputs.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.outputs.is_empty()
    }
}

impl<L: ReplicatedLog> Default for Outbox<L> {
    fn default() -> Self {
        Self::new()
    }
}

impl<L: ReplicatedLog> Debug for Outbox<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.outputs).finish()
    }
}
