//! Where received payloads go.

use std::ops::ControlFlow;
use std::task::{Context, Poll};

use crate::frame::Received;

/// Takes payloads in the tasks that read them, so that no hop lies between the socket and whoever works on
/// them. [`Incoming`](crate::Incoming) is the sink for those who prefer a queue.
///
/// Every connection has a reader task, and each of them may call at the same time. Per peer and lane there is
/// one at a time: payloads come in the order sent, and none of an earlier [`Life`](quorate_core::Life) after
/// one of a later.
pub trait Sink: Send + Sync + 'static {
    /// Takes the payload out of `slot`, or leaves it there.
    ///
    /// * `Ready(Continue)`: taken.
    /// * `Ready(Break)`: nothing more is wanted; the connection is closed.
    /// * `Pending`: no room now. The waker of `context` is kept, one per peer and lane, and woken when there
    ///   is. Until then this connection is not read: its buffers fill, then the sender's outbox, and the
    ///   sender learns it as [`SendError::Full`](crate::SendError::Full). Memory stays bounded without a drop.
    ///
    /// Must be quick and must not block: a reader task runs it.
    fn poll_deliver(
        &self,
        context: &mut Context<'_>,
        slot: &mut Option<Received>,
    ) -> Poll<ControlFlow<()>>;

    /// A reader has handed over all that it had read and goes to wait: the moment to wake whoever works on it.
    fn on_pause(&self) {}

    /// The transport has stopped: nothing more will come. Called at least once.
    fn on_stop(&self) {}
}
