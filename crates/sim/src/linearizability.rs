//! Whether a history of concurrent operations can be explained by some order of them: linearizability (Herlihy
//! and Wing 1990), decided by the search of Wing and Gong (1993) with Lowe's memory of what was tried (2017).
//!
//! Usable on its own, for any [`Model`]:
//!
//! ```
//! use quorate_sim::linearizability::{Model, Operation, Outcome, Verdict, check};
//!
//! /// One cell. `Some` writes, `None` reads.
//! struct Cell;
//!
//! impl Model for Cell {
//!     type State = u64;
//!     type Input = Option<u64>;
//!     type Output = u64;
//!
//!     fn initial(&self) -> u64 {
//!         0
//!     }
//!
//!     fn step(&self, state: &u64, input: &Option<u64>, output: Option<&u64>) -> Option<u64> {
//!         match input {
//!             Some(written) => Some(*written),
//!             None => output.is_none_or(|read| read == state).then_some(*state),
//!         }
//!     }
//! }
//!
//! let operation = |input, called, at, output| Operation {
//!     input,
//!     called,
//!     outcome: Outcome::Returned { at, output },
//! };
//! let write = operation(Some(7), 0, 1, 0);
//! let fresh = operation(None, 2, 3, 7);
//! let stale = operation(None, 2, 3, 0);
//! assert_eq!(check(&Cell, &[write.clone(), fresh]), Verdict::Linearizable);
//! assert!(matches!(check(&Cell, &[write, stale]), Verdict::Impossible(_)));
//! ```
//!
//! Histories of ten thousand operations with unknown outcomes take well under a second where operations leave a
//! [mark](Model::mark) and states have a [top](Model::top); the search is bounded by [`STEPS_MAX`] and says so if it is not enough.

mod search;

use std::collections::BTreeMap;
use std::fmt;
use std::hash::Hash;

use search::Search;

/// How many steps the search takes before it says [`Verdict::Undecided`].
pub const STEPS_MAX: u64 = 20_000_000;

/// What a single-threaded object does.
pub trait Model {
    /// The object's state.
    type State: Clone + Eq + Hash;
    /// What an operation asks.
    type Input;
    /// What it answers.
    type Output;

    /// The state before the first operation.
    fn initial(&self) -> Self::State;

    /// The state after the operation, if it can answer so in `state`; no output: the answer is not known.
    fn step(
        &self,
        state: &Self::State,
        input: &Self::Input,
        output: Option<&Self::Output>,
    ) -> Option<Self::State>;

    /// A name, unique in the history, of what the operation leaves behind: the value written, if no value is
    /// written twice. To be given only if later outputs either [show](Self::shows) it or are as if the operation
    /// had never been: then one whose outcome is unknown can be left out if nothing shows it, and has to have
    /// happened before the first output that does. This is what keeps long histories tractable.
    fn mark(&self, _input: &Self::Input) -> Option<u64> {
        None
    }

    /// The marks that this output shows.
    fn shows(&self, _input: &Self::Input, _output: &Self::Output) -> Vec<u64> {
        Vec::new()
    }

    /// What is on top in this state, if a state that has lost it never has it on top again: the newest item of a list,
    /// the value of a cell in which no value is written twice, the value of a counter that only grows.
    fn top(&self, _state: &Self::State) -> Option<u64> {
        None
    }

    /// What has to be on [top](Self::top), before the operation, for this output. With it the search sees at once that
    /// a change comes too early, instead of when the output that it spoils is due.
    fn needs(&self, _input: &Self::Input, _output: &Self::Output) -> Option<u64> {
        None
    }

    /// Whether two operations do the same to every state: of several such with unknown outcomes only the first is
    /// tried.
    fn interchangeable(&self, _one: &Self::Input, _other: &Self::Input) -> bool {
        false
    }
}

/// One operation of one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation<I, O> {
    /// What it asks.
    pub input: I,
    /// When it began. Any clock that all clients share.
    pub called: u64,
    /// What became of it.
    pub outcome: Outcome<O>,
}

/// What became of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<O> {
    /// It was answered.
    Returned {
        /// When. An operation that begins at this very time counts as concurrent.
        at: u64,
        /// With what.
        output: O,
    },
    /// It may have happened at any time since it began, or may yet, or never.
    Unknown,
}

/// What the search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is an order that explains everything.
    Linearizable,
    /// There is none.
    Impossible(Impossible),
    /// The search was given up after [`STEPS_MAX`] steps.
    Undecided,
}

/// Where the best attempt at an order got stuck.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impossible {
    /// The longest order found, as indices into the history.
    pub explained: Vec<usize>,
    /// The operation that had returned by then and fits nowhere.
    pub stuck: usize,
}

impl fmt::Display for Impossible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { explained, stuck } = self;
        let tail = &explained[explained.len().saturating_sub(8)..];
        write!(
            f,
            "operation {stuck} fits nowhere behind {tail:?} and those before"
        )
    }
}

/// Searches an order for the whole history.
pub fn check<M: Model>(model: &M, history: &[Operation<M::Input, M::Output>]) -> Verdict {
    let all: Vec<usize> = (0..history.len()).collect();
    Search::new(model, history, &all).run()
}

/// Searches an order for each key on its own: linearizability is local, so that this decides the whole (Herlihy and
/// Wing, theorem 1). The first verdict that is not [`Verdict::Linearizable`] is given, with its key.
pub fn check_by_key<M: Model, K: Ord>(
    model: &M,
    history: &[Operation<M::Input, M::Output>],
    key: impl Fn(&M::Input) -> K,
) -> Result<(), (K, Verdict)> {
    let mut parts: BTreeMap<K, Vec<usize>> = BTreeMap::new();
    for (index, operation) in history.iter().enumerate() {
        parts.entry(key(&operation.input)).or_default().push(index);
    }
    for (key, part) in parts {
        match Search::new(model, history, &part).run() {
            Verdict::Linearizable => {}
            verdict => return Err((key, verdict)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
