//! What the server needs of the member behind it.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use quorate_core::{Failure, NodeId, ReadCall, ReadStamp, SessionId};
use quorate_node::{Applied, OrderError, Promoted};

use super::members::{MemberOrder, Ordered};
use super::order::{DirectOrder, PromoteOrder};
use crate::store::{KvStore, Reply};

/// The member that carries out what clients ask. Beside [`Node`](quorate_node::Node) only tests have one.
pub(crate) trait Member: Clone + Send + Sync + 'static {
    /// Hands a command in at the call: the order of calls is the order of the commands in the log. In a session it is
    /// applied once, however often it comes under its number.
    fn propose(
        &self,
        place: Option<(SessionId, u64)>,
        command: Bytes,
    ) -> impl Future<Output = Result<Applied<Reply>, Failure>> + Send + use<Self>;

    /// Opens a session that ends when log time has gone on so long without a command of it.
    fn open_session(
        &self,
        ttl: Duration,
    ) -> impl Future<Output = Result<SessionId, Failure>> + Send;

    /// Ends a session.
    fn close_session(&self, session: SessionId)
    -> impl Future<Output = Result<(), Failure>> + Send;

    /// Puts a question to the state, once it is fresh enough.
    fn read<R: Send + 'static>(
        &self,
        call: ReadCall,
        query: impl FnOnce(&KvStore) -> R + Send + 'static,
    ) -> impl Future<Output = Result<(R, ReadStamp), Failure>> + Send;

    /// What is known of the member: names and values, in the order to show them.
    fn fields(&self) -> impl Future<Output = Vec<(&'static str, String)>> + Send;

    /// The other members.
    fn peers(&self) -> Vec<NodeId>;

    /// The policy in force and how bulk goes to each peer: names and values, in the order to show them.
    fn policy(&self) -> impl Future<Output = Vec<(&'static str, String)>> + Send;

    /// Lets bulk leave in another way.
    fn direct(&self, order: DirectOrder) -> Result<(), Failure>;

    /// Asks the member to lead.
    fn promote(
        &self,
        order: PromoteOrder,
    ) -> impl Future<Output = Result<Promoted, OrderError>> + Send;

    /// Carries out what concerns who the members are.
    fn order(&self, order: MemberOrder)
    -> impl Future<Output = Result<Ordered, OrderError>> + Send;

    /// What is known of each member: names and values, in the order to show them.
    fn members(&self) -> impl Future<Output = Vec<Vec<(&'static str, String)>>> + Send;

    /// Puts a fault on links or on the disk, or takes it off.
    fn fault(&self, order: &FaultOrder);
}

/// A fault that is ordered, or its end.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum FaultOrder {
    Links(LinkFaultOrder),
    /// Every sync of this member's disk takes so much longer.
    Disk(Duration),
}

/// A fault to put on the ways between this member and others.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LinkFaultOrder {
    pub(crate) peers: Vec<NodeId>,
    pub(crate) inwards: bool,
    pub(crate) outwards: bool,
    pub(crate) kind: FaultKind,
}

/// What happens on the way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum FaultKind {
    Cut,
    Hold,
    /// A share is lost, 0 to 1.
    Drop(f64),
    Delay(Duration),
    Clear,
}
