//! Who leads by which appointment, in which of its starts; and places in a log that know it.
//!
//! An appointment is a *round* that the operator gives to a *member*. A primary that starts again cannot know how much it
//! had said before it was on its disk, so it must not go on under the same name: each start of the same appointment is an
//! epoch of its own. Round and start share [`Epoch::round`], a million to one, so that people can still read them:
//! `2000003.7` is the third restart of member 7's appointment number 2.
//!
//! The order is that of [`Epoch`]: by round, then start, then member. Higher wins.

use core::fmt;

use quorate_core::{Epoch, NodeId, Position, SnapshotMeta};
use serde::{Deserialize, Serialize};

/// How many starts one appointment can have, the first included.
pub const STARTS: u64 = 1_000_000;

/// The last round there can be.
pub const ROUND_MAX: u64 = u64::MAX / 4 / STARTS;

/// The last position there can be: far enough from overflow that adding a batch to it is harmless.
pub(crate) const POSITION_MAX: Position = Position(u64::MAX / 4);

/// The first start of the appointment of `node` by `round`. None: no such round.
pub const fn appoint(round: u64, node: NodeId) -> Option<Epoch> {
    if round == 0 || round > ROUND_MAX {
        return None;
    }
    let round = round * STARTS;
    Some(Epoch { round, node })
}

/// The round of the appointment that an epoch belongs to; zero: none.
pub const fn appointment(epoch: Epoch) -> u64 {
    epoch.round / STARTS
}

/// Whether two epochs are starts of one appointment.
pub(crate) fn is_same_appointment(one: Epoch, other: Epoch) -> bool {
    one.node == other.node && appointment(one) == appointment(other)
}

/// The next start of the same appointment. None: it has had too many; the operator is to give another round.
pub(crate) const fn again(epoch: Epoch) -> Option<Epoch> {
    let Epoch { round, node } = epoch;
    if (round + 1).is_multiple_of(STARTS) {
        return None;
    }
    Some(Epoch {
        round: round + 1,
        node,
    })
}

/// Before the first appointment.
pub(crate) const NOBODY: Epoch = Epoch {
    round: 0,
    node: NodeId::ZERO,
};

/// Whether an epoch is nobody's, or one that [`appoint`] and later starts can give.
pub(crate) fn is_sane(epoch: Epoch) -> bool {
    let round = appointment(epoch);
    epoch == NOBODY || (round > 0 && round <= ROUND_MAX && epoch.node != NodeId::ZERO)
}

/// A position and the epoch of the entry there: only one member appends in an epoch, so two logs that agree in a point
/// agree in everything before it. Written `position@epoch`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Point {
    /// Where.
    pub position: Position,
    /// The epoch in which the entry there was proposed.
    pub epoch: Epoch,
}

impl Point {
    /// Before the first entry.
    pub const START: Self = Self {
        position: Position::ZERO,
        epoch: NOBODY,
    };

    /// Whether a log that ends here has something that one that ends at `other` may lack: the later epoch wins, then the
    /// longer log, as in Raft (5.4.1).
    pub fn is_ahead_of(self, other: Self) -> bool {
        (self.epoch, self.position) > (other.epoch, other.position)
    }

    /// Whether a log may have such a point.
    pub(crate) fn is_sane(self) -> bool {
        self.position <= POSITION_MAX
            && is_sane(self.epoch)
            && (self.position == Position::ZERO) == (self.epoch == NOBODY)
    }
}

impl From<SnapshotMeta> for Point {
    /// The last entry that the snapshot includes.
    fn from(snapshot: SnapshotMeta) -> Self {
        Self {
            position: snapshot.position,
            epoch: snapshot.epoch,
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.position, Named(self.epoch))
    }
}

/// An epoch for people: `round.member`, with `+n` for the nth start again.
pub struct Named(pub Epoch);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(epoch) = self;
        if *epoch == NOBODY {
            return f.write_str("0");
        }
        write!(f, "{}.{}", appointment(*epoch), epoch.node)?;
        match epoch.round % STARTS {
            0 => Ok(()),
            starts => write!(f, "+{starts}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    fn named(round: u64, node: u64, starts: u64) -> Epoch {
        let mut epoch = appoint(round, NodeId(node)).expect("a round");
        for _ in 0..starts {
            epoch = again(epoch).expect("few starts");
        }
        epoch
    }

    #[test]
    fn a_later_appointment_is_above_every_start_of_an_earlier() {
        assert!(named(1, 9, 3) < named(2, 1, 0));
        assert!(named(1, 1, 0) < named(1, 2, 0));
        assert!(named(1, 2, 0) < named(1, 2, 1));
        assert_eq!(appointment(named(7, 2, 5)), 7);
    }

    #[test]
    fn rounds_and_starts_end() {
        assert_eq!(
            (appoint(0, NodeId(1)), appoint(u64::MAX, NodeId(1))),
            (None, None)
        );
        let last = Epoch {
            round: 3 * STARTS - 1,
            node: NodeId(1),
        };
        assert_eq!((appointment(last), again(last)), (2, None));
    }

    #[test]
    fn epochs_are_written_for_people() {
        let texts = [NOBODY, named(2, 7, 0), named(2, 7, 3)].map(|epoch| Named(epoch).to_string());
        assert_eq!(texts, ["0", "2.7", "2.7+3"]);
    }
}
