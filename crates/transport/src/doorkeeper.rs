//! Who may come in, beyond what a hello alone can show.

use quorate_core::{Incarnation, NodeId};

/// Knows which disk is whose. A member that comes back without its disk has forgotten what it promised; it must not be
/// taken for the one that it was (`RELIABILITY` A7, C7), and only those who met that one can tell.
pub trait Doorkeeper: Send + Sync + 'static {
    /// Member `id` calls, with this disk. Asked before the first frame of a connection is handed over; whoever says yes
    /// has to remember it for good, so that nobody else is let in under that name. May block: it is asked on a thread
    /// that may.
    ///
    /// # Errors
    /// [`Denial`]: the connection is refused.
    fn admit(&self, id: NodeId, incarnation: Incarnation) -> Result<(), Denial>;

    /// Member `id` was dialled and answers with this disk. Nothing need be remembered; must not block.
    ///
    /// # Errors
    /// [`Denial`]: the connection is closed before a frame leaves.
    fn recognise(&self, id: NodeId, incarnation: Incarnation) -> Result<(), Denial>;

    /// `by` refuses this member, because it has met it with another disk.
    fn on_disowned(&self, by: NodeId);
}

/// Why a member is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// It was here with another disk.
    OtherDisk {
        /// Which.
        known: Incarnation,
    },
    /// It cannot be remembered.
    Unable,
}

/// Lets everybody in.
pub(crate) struct Open;

impl Doorkeeper for Open {
    fn admit(&self, _: NodeId, _: Incarnation) -> Result<(), Denial> {
        Ok(())
    }

    fn recognise(&self, _: NodeId, _: Incarnation) -> Result<(), Denial> {
        Ok(())
    }

    fn on_disowned(&self, _: NodeId) {}
}
