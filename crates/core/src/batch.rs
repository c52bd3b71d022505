//! The unit that travels: a batch of commands, shared by reference from the proposer to every disk.

mod builder;
mod hollow;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{Configuration, Life, NodeId, Timestamp};

pub use self::builder::BatchBuilder;
pub use self::hollow::Hollow;

/// Who proposed the first command of a batch, and under which number.
///
/// The commands of a batch carry consecutive numbers, so one label names them all. `(origin, life, sequence)`
/// is unique for ever: the state machine's side applies each at most once ([`Replica`](crate::Replica)),
/// and the origin finds its waiting client by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Label {
    /// The member whose client sent the commands.
    pub origin: NodeId,
    /// That member's run.
    pub life: Life,
    /// The number of the first command; the next one's is one higher.
    pub sequence: u64,
    /// Log time as stamped by the leader that proposed the batch; zero: none.
    pub time: Timestamp,
}

/// A batch of commands: bodies and a table of lengths, shared by every clone.
///
/// A clone or a [slice](Self::slice) is a pointer and a range, and costs one reference count, whatever the batch holds:
/// batches are moved and cloned at every step of every commit. Every command takes one
/// [`Position`](crate::Position) of the log. A [no-op](Self::noop) takes one position and holds no command.
#[derive(Clone)]
pub struct Batch {
    whole: Arc<Whole>,
    /// The first command of the whole that belongs to this slice.
    first: u32,
    /// How many positions this slice takes.
    count: u32,
}

/// A batch as it was built.
#[derive(Clone)]
struct Whole {
    label: Label,
    body: Bytes,
    /// Where commands end in the body; none: there is one command at the most.
    ends: Option<Box<[u32]>>,
    kind: Kind,
    /// Decoded from a header; the body has yet to be attached.
    hollow: bool,
}

/// What a batch holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// Nothing.
    Noop,
    /// Commands for the state machine.
    #[default]
    Commands,
    /// Commands for the state machine, each behind a header that says to whose session it belongs: for
    /// [`Replica`](crate::Replica), which answers what was applied before without applying it again.
    Session,
    /// A [`Configuration`].
    Configuration,
}

impl Batch {
    /// The largest body of one batch in bytes. Configured limits lie far below.
    pub const BYTES_MAX: usize = u32::MAX as usize;

    /// A batch of one position and no command, which advances log time to `time` when applied.
    pub fn noop(time: Timestamp) -> Self {
        let label = Label {
            time,
            ..Label::default()
        };
        Self::whole(
            Whole {
                label,
                body: Bytes::new(),
                ends: None,
                kind: Kind::Noop,
                hollow: false,
            },
            1,
        )
    }

    fn whole(whole: Whole, count: u32) -> Self {
        Self {
            whole: Arc::new(whole),
            first: 0,
            count,
        }
    }

    /// A batch of one position that says who the members are behind it.
    pub fn configuration(configuration: &Configuration) -> Self {
        let body = postcard::to_extend(configuration, Vec::new())
            .expect("a vector takes all, and these types serialize without failing");
        Self::one(Label::default(), body.into()).of_kind(Kind::Configuration)
    }

    /// The same as a batch of another kind: how commands are marked as those of sessions.
    ///
    /// # Panics
    /// If the batch is a no-op, or should become one.
    pub fn of_kind(mut self, kind: Kind) -> Self {
        assert!(
            !self.is_noop() && kind != Kind::Noop,
            "a no-op holds no command"
        );
        Arc::make_mut(&mut self.whole).kind = kind;
        self
    }

    /// What it holds.
    pub fn kind(&self) -> Kind {
        self.whole.kind
    }

    /// Who the members are behind it, if it says so.
    pub fn configured(&self) -> Option<Configuration> {
        if self.whole.kind != Kind::Configuration || self.whole.hollow {
            return None;
        }
        let body = self.body();
        let (configuration, rest) = postcard::take_from_bytes::<Configuration>(&body).ok()?;
        (rest.is_empty() && configuration.is_sane()).then_some(configuration)
    }

    /// A batch of one command; `body` is not copied.
    ///
    /// # Panics
    /// If `body` is longer than [`Self::BYTES_MAX`].
    pub fn one(label: Label, body: Bytes) -> Self {
        assert!(
            body.len() <= Self::BYTES_MAX,
            "a batch body is limited to 4 GiB"
        );
        Self::whole(
            Whole {
                label,
                body,
                ends: None,
                kind: Kind::Commands,
                hollow: false,
            },
            1,
        )
    }

    /// Who proposed the first command of this slice.
    pub fn label(&self) -> Label {
        let whole = self.whole.label;
        Label {
            sequence: whole.sequence + u64::from(self.first),
            ..whole
        }
    }

    /// The same commands stamped with `time`. Shares the bodies; all the rest only if nobody else has the batch.
    pub fn stamped(mut self, time: Timestamp) -> Self {
        Arc::make_mut(&mut self.whole).label.time = time;
        self
    }

    /// How many positions it takes: at least one.
    pub const fn len(&self) -> u64 {
        self.count as u64
    }

    /// Never: a batch takes at least one position.
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// Whether this is a no-op.
    pub fn is_noop(&self) -> bool {
        matches!(self.whole.kind, Kind::Noop)
    }

    /// Bytes of the commands in this slice.
    pub fn bytes(&self) -> u64 {
        let (start, end) = self.span();
        (end - start) as u64
    }

    /// What it weighs in a budget: the bytes and a flat charge per batch and per command for what surrounds them.
    pub fn weight(&self) -> u64 {
        self.bytes() + 64 + 4 * self.len()
    }

    /// The bodies of this slice, one after the other; shared, not copied.
    pub fn body(&self) -> Bytes {
        let (start, end) = self.span();
        self.whole.body.slice(start..end)
    }

    /// The `index`th command of this slice.
    ///
    /// # Panics
    /// If the batch is a no-op or `index` is not below [`Self::len`].
    pub fn command(&self, index: u64) -> &[u8] {
        assert!(
            index < self.len(),
            "command {index} of a batch of {}",
            self.count
        );
        assert!(!self.is_noop(), "a no-op holds no command");
        let at = self.first + index as u32;
        &self.whole.body[self.whole.start_of(at)..self.whole.start_of(at + 1)]
    }

    /// The commands with their sequence numbers, in order. A no-op has none.
    pub fn commands(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let count = if self.is_noop() { 0 } else { self.len() };
        let sequence = self.label().sequence;
        (0..count).map(move |index| (sequence + index, self.command(index)))
    }

    /// The positions `from..to` of this batch, counted from its first. Shares everything.
    ///
    /// # Panics
    /// If the range is empty or reaches past the end.
    pub fn slice(&self, from: u64, to: u64) -> Self {
        assert!(
            from < to && to <= self.len(),
            "slice {from}..{to} of a batch of {}",
            self.count
        );
        let mut slice = self.clone();
        slice.first += from as u32;
        slice.count = (to - from) as u32;
        slice
    }

    /// The first command at or past `from` at which a slice that starts at `from` would weigh more than
    /// `weight`; at least one past `from`, so that progress is always possible.
    pub fn fit(&self, from: u64, weight: u64) -> u64 {
        let whole = &self.whole;
        if whole.ends.is_none() {
            return self.len();
        }
        let base = whole.start_of(self.first + from as u32) as u64;
        let (mut low, mut high) = (from + 1, self.len());
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            let bytes = whole.start_of(self.first + middle as u32) as u64 - base;
            if bytes + 64 + 4 * (middle - from) <= weight {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        low
    }

    /// The same batch without its body.
    pub fn hollow(&self) -> Hollow {
        let lengths = if self.is_noop() {
            Vec::new()
        } else {
            self.lengths().collect()
        };
        Hollow {
            label: self.label(),
            kind: self.kind(),
            lengths,
        }
    }

    /// Whether the body still has to be [attached](Self::attach).
    pub(crate) fn is_hollow(&self) -> bool {
        self.whole.hollow
    }

    /// Gives a hollow batch its body: the next bytes of `rest`, which is advanced. False: too short, or not what the
    /// kind of the batch promises.
    pub(crate) fn attach(&mut self, rest: &mut Bytes) -> bool {
        if !self.whole.hollow {
            return true;
        }
        let ends = self.whole.ends.as_ref();
        let length = ends
            .and_then(|ends| ends.last())
            .map_or(0, |end| *end as usize);
        if rest.len() < length {
            return false;
        }
        let whole = Arc::make_mut(&mut self.whole);
        whole.body = rest.split_to(length);
        whole.hollow = false;
        whole.ends.take_if(|ends| ends.len() == 1);
        self.kind() != Kind::Configuration || self.configured().is_some()
    }

    fn span(&self) -> (usize, usize) {
        if self.is_noop() {
            return (0, 0);
        }
        (
            self.whole.start_of(self.first),
            self.whole.start_of(self.first + self.count),
        )
    }

    fn lengths(&self) -> impl Iterator<Item = u32> {
        (0..self.count).map(move |index| {
            let at = self.first + index;
            (self.whole.start_of(at + 1) - self.whole.start_of(at)) as u32
        })
    }
}

impl Whole {
    /// Where the command `index` begins in the body; where the last one ends.
    fn start_of(&self, index: u32) -> usize {
        match &self.ends {
            _ if index == 0 => 0,
            None => self.body.len(),
            Some(ends) => ends[index as usize - 1] as usize,
        }
    }
}

impl PartialEq for Batch {
    fn eq(&self, other: &Self) -> bool {
        self.label() == other.label()
            && self.kind() == other.kind()
            && self.count == other.count
            && self.lengths().eq(other.lengths())
            && self.body() == other.body()
    }
}

impl Eq for Batch {}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            Kind::Noop => return f.write_str("noop"),
            Kind::Configuration => {
                return match self.configured() {
                    Some(configuration) => write!(f, "members {configuration}"),
                    None => f.write_str("members"),
                };
            }
            Kind::Commands => {}
            Kind::Session => f.write_str("session ")?,
        }
        let Label {
            origin,
            life,
            sequence,
            ..
        } = self.label();
        write!(
            f,
            "{origin}.{life}#{sequence}+{} ({} B)",
            self.count,
            self.bytes()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(commands: &[&[u8]]) -> Batch {
        let mut builder = BatchBuilder::new();
        for command in commands {
            builder.push(command);
        }
        let label = Label {
            origin: NodeId(1),
            life: Life(2),
            sequence: 10,
            time: Timestamp(5),
        };
        builder.finish(label).expect("commands were pushed")
    }

    #[test]
    fn a_slice_keeps_bodies_and_numbers() {
        let whole = batch(&[b"a", b"", b"ccc", b"dd"]);
        let slice = whole.slice(1, 3);
        let commands: Vec<_> = slice.commands().collect();
        assert_eq!(commands, [(11, &b""[..]), (12, &b"ccc"[..])]);
        assert_eq!(&slice.body()[..], b"ccc");
        assert_eq!(slice.slice(1, 2).command(0), b"ccc");
        assert_eq!(slice.slice(1, 2), whole.slice(2, 3));
        assert_eq!(slice.bytes(), 3);
    }

    #[test]
    fn a_fit_is_the_longest_prefix_within_the_weight() {
        let whole = batch(&[&[0; 100], &[0; 100], &[0; 100]]);
        assert_eq!(whole.fit(0, whole.weight()), 3);
        assert_eq!(whole.fit(0, whole.weight() - 1), 2);
        assert_eq!(whole.fit(0, 1), 1);
        assert_eq!(whole.fit(1, whole.slice(1, 3).weight()), 3);
        assert_eq!(whole.fit(2, 1), 3);
    }

    #[test]
    fn a_hollow_batch_takes_its_own_body_back_and_no_other_length() {
        for whole in [
            batch(&[b"a", b"", b"ccc", b"dd"]).slice(1, 4),
            batch(&[b"alone"]),
            Batch::noop(Timestamp(7)),
        ] {
            let hollow = whole.hollow();
            assert_eq!((hollow.len(), hollow.bytes()), (whole.len(), whole.bytes()));
            assert_eq!(hollow.label(), whole.label());
            assert_eq!(hollow.clone().fill(whole.body()), Some(whole));
            assert_eq!(hollow.fill(Bytes::from_static(b"nine byte")), None);
        }
    }

    #[test]
    fn a_configuration_takes_a_position_and_is_read_back() {
        let three = Configuration::founding(&[1, 2, 3].map(NodeId), &[]);
        let whole = Batch::configuration(&three);
        assert_eq!(whole.len(), 1);
        assert_eq!(whole.configured(), Some(three));
        let back = whole.hollow().fill(whole.body());
        assert_eq!(back, Some(whole.clone()));
        let zeros = Bytes::from(alloc::vec![0; whole.bytes() as usize]);
        assert_eq!(whole.hollow().fill(zeros), None);
        assert_eq!(batch(&[b"a"]).configured(), None);
    }

    #[test]
    fn a_noop_takes_a_position_and_holds_nothing() {
        let noop = Batch::noop(Timestamp(7));
        assert_eq!(
            (noop.len(), noop.bytes(), noop.commands().count()),
            (1, 0, 0)
        );
        assert_eq!(noop.label().time, Timestamp(7));
    }
}
