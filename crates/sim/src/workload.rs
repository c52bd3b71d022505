//! What clients do, to which state machine, and what they may see: the user's part of a simulation.

use std::fmt::Debug;

use bytes::Bytes;
use quorate_core::{Position, ReadLevel, Rng, StateMachine};

use crate::linearizability::Operation;

/// How an operation ended, for the client that asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was answered.
    Answered,
    /// It surely had no effect.
    Refused,
    /// It may have had one, or may yet.
    Unknown,
}

/// What a read saw, and where in the log.
#[derive(Clone, Copy, Debug)]
pub struct Glimpse<'a, I, O> {
    /// What was asked.
    pub input: &'a I,
    /// The last position that the state included.
    pub at: Position,
    /// What it saw.
    pub output: &'a O,
}

/// A state machine, what clients ask of it, and how their history is judged.
///
/// [`Ledger`](crate::Ledger) is the built-in one.
pub trait Workload {
    /// What is replicated.
    type Machine: StateMachine;
    /// What a client asks.
    type Input: Clone + Debug;
    /// What it is told.
    type Output: Clone + Debug;

    /// The state before the first command.
    fn machine(&self) -> Self::Machine;

    /// What a client asks next. `number` is unique in the run.
    fn draw(&self, rng: &mut Rng, number: u64) -> Self::Input;

    /// What a client asks behind its `last` operation, which ended so; none: nothing more. `number` is unique in the run.
    fn next(
        &self,
        rng: &mut Rng,
        number: u64,
        _client: u64,
        _last: Option<(&Self::Input, Ended)>,
    ) -> Option<Self::Input> {
        Some(self.draw(rng, number))
    }

    /// Whether clients go on after all faults until they have nothing more to ask; only then comes the end.
    fn goes_on(&self) -> bool {
        false
    }

    /// The command that asks so; none: it is a read. Every command of a run has to differ from all others, as
    /// with `number` in it: that a command is applied twice is recognised by its bytes.
    fn command(&self, input: &Self::Input) -> Option<Bytes>;

    /// How fresh the answer to this read has to be. What is not linearizable is none of [`judge`](Self::judge)'s business.
    fn level(&self, _input: &Self::Input) -> ReadLevel {
        ReadLevel::Linearizable
    }

    /// What the client makes of the reply to its command.
    fn answer(
        &self,
        input: &Self::Input,
        reply: <Self::Machine as StateMachine>::Reply,
    ) -> Self::Output;

    /// Runs a read.
    fn query(&self, machine: &Self::Machine, input: &Self::Input) -> Self::Output;

    /// What is asked at the end, after all faults: reads of everything, and a write.
    fn closing(&self, number: u64) -> Vec<Self::Input>;

    /// Judges the history. `called` and `at` are nanoseconds of virtual time.
    ///
    /// # Errors
    /// What is wrong with it.
    fn judge(&self, history: &[Operation<Self::Input, Self::Output>]) -> Result<(), String>;

    /// Judges what every read of any level claims: to see exactly the commands that were `applied` up to where it was
    /// answered. They come in the order of their positions, each once.
    ///
    /// # Errors
    /// What is wrong.
    fn judge_glimpses(
        &self,
        _applied: &[(Position, &Self::Input)],
        _glimpses: &[Glimpse<'_, Self::Input, Self::Output>],
    ) -> Result<(), String> {
        Ok(())
    }
}
