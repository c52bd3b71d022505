//! Ballots, and what is voted for in them.

use core::fmt;

use quorate_core::{Batch, Configuration, Epoch, Kind, Label, NodeId, Position};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// No slot lies beyond: sums of two positions cannot overflow.
pub(crate) const POSITION_MAX: Position = Position(1 << 62);

/// A leadership's number: totally ordered, and unique because it names who uses it.
///
/// A member uses a ballot only after writing down that it promised it, and always a round above all that it
/// promised; so it never uses one twice, over restarts too (`RELIABILITY` P3).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Ballot {
    /// The round: compared first.
    pub round: u64,
    /// Who proposes in it; decides between equal rounds.
    pub node: NodeId,
}

impl Ballot {
    /// Below every ballot that is used.
    pub const ZERO: Self = Self {
        round: 0,
        node: NodeId::ZERO,
    };
    /// The last round there is.
    pub const ROUND_MAX: u64 = 1 << 62;

    /// The ballot as a leadership.
    pub const fn epoch(self) -> Epoch {
        Epoch {
            round: self.round,
            node: self.node,
        }
    }

    /// Whether a member can use it.
    pub(crate) fn is_used(self) -> bool {
        (1..=Self::ROUND_MAX).contains(&self.round) && self.node != NodeId::ZERO
    }
}

impl fmt::Display for Ballot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.epoch().fmt(f)
    }
}

/// What a run of slots holds.
///
/// `born` travels with the batch through every later ballot. It makes the epoch of what is chosen the same on all
/// members, and names the value: two values of one slot with the same `born` are the same value, so that nobody
/// compares bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Value {
    /// The ballot in which it was first proposed.
    pub born: Ballot,
    /// The commands, one a slot.
    pub batch: Batch,
}

impl Value {
    /// How many slots it takes.
    pub(crate) const fn slots(&self) -> u64 {
        self.batch.len()
    }

    /// The slots `from..to` of it, counted from its first.
    pub(crate) fn part(&self, from: u64, to: u64) -> Self {
        let whole = from == 0 && to == self.slots();
        Self {
            born: self.born,
            batch: if whole {
                self.batch.clone()
            } else {
                self.batch.slice(from, to)
            },
        }
    }

    /// Whether a member can have proposed it in `ballot`, or carried it on from an earlier one.
    pub(crate) fn is_sane(&self, ballot: Ballot) -> bool {
        let sequence = self.batch.label().sequence;
        let whole = || self.slots() == 1 && self.batch.configured().is_some();
        self.born.is_used()
            && self.born <= ballot
            && sequence.checked_add(self.slots()).is_some()
            && (!self.is_configuration() || whole())
    }

    /// Who the members are to be: what was handed out up to `after` says who they were, and what this follows from.
    ///
    /// The number of a configuration's label is the position of the configuration that it follows: so a proposer knows
    /// one that it must not carry on, because another has come between.
    pub(crate) fn configuration(
        born: Ballot,
        configuration: &Configuration,
        after: Position,
    ) -> Self {
        let label = Label {
            sequence: after.get(),
            ..Label::default()
        };
        let body = Batch::configuration(configuration).body();
        Self {
            born,
            batch: Batch::one(label, body).of_kind(Kind::Configuration),
        }
    }

    /// Whether it says who the members are.
    pub(crate) fn is_configuration(&self) -> bool {
        self.batch.kind() == Kind::Configuration
    }

    /// Whether it is a configuration that follows the one that stands at `configured`.
    pub(crate) fn follows(&self, configured: Position) -> bool {
        self.is_configuration() && self.batch.label().sequence == configured.get()
    }
}

/// What an acceptor says it has accepted: consecutive slots, one value, one ballot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// The first slot.
    pub first: Position,
    /// The ballot in which it was accepted.
    pub ballot: Ballot,
    /// What was accepted.
    pub value: Value,
}

impl Vote {
    /// The slot behind its last.
    pub(crate) fn end(&self) -> Position {
        self.first.plus(self.value.slots())
    }
}

/// How many slots consecutive values take.
pub(crate) fn slots(values: &[Value]) -> u64 {
    values.iter().map(Value::slots).sum()
}

/// The part of consecutive values from `first` on that lies in `low..=high`, and its first slot.
pub(crate) fn clip(
    first: Position,
    values: SmallVec<[Value; 1]>,
    low: Position,
    high: Position,
) -> (Position, SmallVec<[Value; 1]>) {
    let end = first.plus(slots(&values));
    if first >= low && end.prev() <= high {
        return (first, values);
    }
    let mut at = first;
    let mut kept = SmallVec::new();
    for value in values {
        let end = at.plus(value.slots());
        let (from, to) = (at.max(low), end.min(high.next()));
        if from < to {
            kept.push(value.part(from.get() - at.get(), to.get() - at.get()));
        }
        at = end;
    }
    (first.max(low), kept)
}

/// Writes values as `first..last@born`, one range for what was born together.
pub(crate) fn write_values(
    f: &mut fmt::Formatter<'_>,
    first: Position,
    values: &[Value],
) -> fmt::Result {
    if values.is_empty() {
        return f.write_str("nothing");
    }
    let mut at = first;
    let same = |a: &Value, b: &Value| (a.born, a.batch.kind()) == (b.born, b.batch.kind());
    for (index, group) in values.chunk_by(same).enumerate() {
        let last = at.plus(slots(group)).prev();
        let space = if index == 0 { "" } else { " " };
        write!(f, "{space}{}@{}", Span(at, last), group[0].born)?;
        write_kind(f, &group[0])?;
        at = last.next();
    }
    Ok(())
}

/// Writes behind a value what it is, if it is no command.
pub(crate) fn write_kind(f: &mut fmt::Formatter<'_>, value: &Value) -> fmt::Result {
    match value.batch.configured() {
        Some(configuration) => write!(f, "({configuration})"),
        None if value.batch.is_noop() => f.write_str("(noop)"),
        None => Ok(()),
    }
}

/// `first..last`, or one number.
pub(crate) struct Span(pub(crate) Position, pub(crate) Position);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(first, last) = self;
        if first == last {
            write!(f, "{first}")
        } else {
            write!(f, "{first}..{last}")
        }
    }
}
