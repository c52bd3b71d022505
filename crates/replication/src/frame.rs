//! What linked members say to each other.
//!
//! ```text
//!  push                              pull                               mixed
//!  source          receiver          source          receiver          source        receiver       holder
//!    │ Carried(entries) │              │    Carried() grant │             │ Hollow(void)  │              │
//!    ├─────────────────►│ persist      │◄───────────────────┤             ├──────────────►│ Ask          │
//!    │ Carried(entries) │              │ (long poll)        │             │               ├─────────────►│
//!    ├─────────────────►│ persist      │ Carried(entries)   │             │               │         Lend │
//!    │  Carried(ack)    │              ├───────────────────►│ persist     │               │◄─────────────┤
//!    │◄─────────────────┤ on disk      │ Carried(ack) grant │             │  Carried(ack) │ verify,
//!    │  done: window ↑  │              │◄───────────────────┤ on disk     │◄──────────────┤ persist, on disk
//! ```
//! Every frame begins with a [`Head`]: cumulative counters, so that a frame that is lost, repeated or overtaken costs
//! nothing but time; and the runs of both ends, so that a counter of a former life is never believed.

use alloc::vec::Vec;
use core::fmt;

use quorate_core::{
    Batch, Carry, Epoch, Flow, Hollow, Life, Message, NodeId, Position, SnapshotMeta,
};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// One frame on a link.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Frame<M> {
    /// The counters of the link.
    pub head: Head,
    /// What is carried.
    pub body: Body<M>,
}

/// The counters of a link, both ways. Bytes are those of command bodies, and a fixed charge for every message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The sender's run.
    pub life: Life,
    /// Bytes of bulk that it has sent to the receiver in this run, those of this frame included.
    pub sent: u64,
    /// How it sends them.
    pub flow: Flow,
    /// The receiver's run as far as the sender has heard; zero: not at all. The rest speaks of that run.
    pub heard: Life,
    /// Of the receiver's `sent`: up to here everything is on the sender's disk, or was lost on the way.
    pub done: u64,
    /// And up to here it may send by pull: what is done and the sender's budget beyond it.
    pub grant: u64,
}

/// What a frame carries.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Body<M> {
    /// Messages of the log: any number of control, or one of bulk. None: the head is all there is to say: this is a
    /// fetch, or an acknowledgement.
    Carried(SmallVec<[M; 1]>),
    /// A message of the log without some of its bodies.
    Hollow {
        /// The message, with an empty batch in place of each that is missing.
        message: M,
        /// What is missing.
        voids: Vec<Void>,
    },
    /// What has become of everything that I sent before this? Travels behind bulk; answered at once.
    Probe,
    /// Lend me these bodies.
    Ask(SmallVec<[Want; 1]>),
    /// The body that was asked for under this number, in pieces; none: it is not here.
    Lend {
        /// The asker's number.
        number: u64,
        /// The pieces, in order.
        pieces: Vec<Batch>,
    },
    /// A learner asks for what is chosen.
    Pull(Pull),
    /// What is chosen.
    Page(Page),
}

/// A batch that is missing from a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Void {
    /// Which batch of the message.
    pub index: u32,
    /// The position of its first command.
    pub first: Position,
    /// The batch without its body.
    pub hollow: Hollow,
    /// XXH3-128 of the body.
    pub fingerprint: u128,
    /// Who was sent the body with the message, and so is the first to ask.
    pub holder: Option<NodeId>,
}

/// A body that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Want {
    /// Echoed in the answer.
    pub number: u64,
    /// The position of the first command.
    pub first: Position,
    /// How many positions.
    pub count: u64,
    /// The bytes of the body.
    pub bytes: u64,
    /// Who proposed the first command, in which run, under which number: together unique for ever.
    pub origin: (NodeId, Life, u64),
    /// The body is on its way to the holder, or ought to be: it may wait for it a little before it answers.
    pub expected: bool,
}

/// A learner's standing request: what is chosen from `from` on, up to `grant` bytes in all, now and as it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pull {
    /// Which stream of pages this is; a higher one replaces it and begins anew at `from`.
    pub stream: u64,
    /// Where the stream begins.
    pub from: Position,
    /// Bytes that may be sent in the stream.
    pub grant: u64,
}

/// A page of a learner's stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The stream.
    pub stream: u64,
    /// The position of the first command of the page, or where the next page will begin.
    pub first: Position,
    /// What is chosen there, run by run.
    pub runs: SmallVec<[(Epoch, Batch); 1]>,
    /// Bytes sent in the stream, those of this page included.
    pub sent: u64,
    /// Up to where the sender knows entries to be chosen.
    pub committed: Position,
    /// The highest epoch it knows of.
    pub epoch: Epoch,
    /// Who leads in it.
    pub leader: Option<NodeId>,
    /// The sender has forgotten what comes next: this snapshot stands for it.
    pub gone: Option<SnapshotMeta>,
}

/// What a message weighs on a link beside its bodies, so that empty commands are bounded, too.
pub(crate) const CHARGE: u64 = 64;

/// The body bytes of a message or a record.
pub(crate) fn body_bytes<C: Carry>(carrier: &C) -> u64 {
    let mut bytes = 0;
    carrier.batches(&mut |batch| bytes += batch.bytes());
    bytes
}

impl<M: Message> Message for Frame<M> {
    fn is_bulk(&self) -> bool {
        match &self.body {
            Body::Carried(messages) => messages.iter().any(Message::is_bulk),
            // Behind the entries sent before them, for they speak of these.
            Body::Hollow { .. } | Body::Probe => true,
            Body::Lend { pieces, .. } => !pieces.is_empty(),
            Body::Page(page) => !page.runs.is_empty(),
            Body::Ask(_) | Body::Pull(_) => false,
        }
    }
}

impl<M: Carry> Carry for Frame<M> {
    fn batches(&self, visit: &mut dyn FnMut(&Batch)) {
        match &self.body {
            Body::Carried(messages) => messages.iter().for_each(|one| one.batches(visit)),
            Body::Hollow { message, .. } => message.batches(visit),
            Body::Lend { pieces, .. } => pieces.iter().for_each(visit),
            Body::Page(page) => page.runs.iter().for_each(|(_, batch)| visit(batch)),
            Body::Probe | Body::Ask(_) | Body::Pull(_) => {}
        }
    }

    fn batches_mut(&mut self, visit: &mut dyn FnMut(&mut Batch)) {
        match &mut self.body {
            Body::Carried(messages) => messages.iter_mut().for_each(|one| one.batches_mut(visit)),
            Body::Hollow { message, .. } => message.batches_mut(visit),
            Body::Lend { pieces, .. } => pieces.iter_mut().for_each(visit),
            Body::Page(page) => page.runs.iter_mut().for_each(|(_, batch)| visit(batch)),
            Body::Probe | Body::Ask(_) | Body::Pull(_) => {}
        }
    }
}

impl fmt::Display for Head {
    /// Only what is not at its beginning.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sent {}", self.flow, self.sent)?;
        if self.heard > Life::ZERO {
            write!(f, " done {} grant {}", self.done, self.grant)?;
        }
        Ok(())
    }
}

impl<M: fmt::Display> fmt::Display for Frame<M> {
    /// One line for traces: what is carried, then the head.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.body {
            Body::Carried(messages) if messages.is_empty() => f.write_str("Fetch")?,
            Body::Carried(messages) => {
                for (index, message) in messages.iter().enumerate() {
                    let join = if index == 0 { "" } else { " + " };
                    write!(f, "{join}{message}")?;
                }
            }
            Body::Hollow { message, voids } => {
                write!(f, "Hollow {message}; lacks")?;
                voids.iter().try_for_each(|void| write!(f, " {void}"))?;
            }
            Body::Probe => f.write_str("Probe")?,
            Body::Ask(wants) => {
                f.write_str("Ask")?;
                wants.iter().try_for_each(|want| write!(f, " {want}"))?;
            }
            Body::Lend { number, pieces } if pieces.is_empty() => {
                write!(f, "Lend #{number}: not here")?;
            }
            Body::Lend { number, pieces } => {
                let bytes: u64 = pieces.iter().map(Batch::bytes).sum();
                write!(f, "Lend #{number}: {bytes} B")?;
            }
            Body::Pull(pull) => pull.fmt(f)?,
            Body::Page(page) => return page.fmt(f),
        }
        write!(f, " | {}", self.head)
    }
}

impl fmt::Display for Void {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}+{} ({} B)",
            self.first,
            self.hollow.len(),
            self.hollow.bytes()
        )?;
        self.holder
            .map_or(Ok(()), |holder| write!(f, " of {holder}"))
    }
}

impl fmt::Display for Want {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "#{}: {}+{} ({} B)",
            self.number, self.first, self.count, self.bytes
        )
    }
}

impl fmt::Display for Pull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Pull stream {} from {} grant {}",
            self.stream, self.from, self.grant
        )
    }
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Page stream {} at {}", self.stream, self.first)?;
        let count: u64 = self.runs.iter().map(|(_, batch)| batch.len()).sum();
        write!(
            f,
            "+{count} sent {} chosen {} epoch {}",
            self.sent, self.committed, self.epoch
        )?;
        if let Some(meta) = self.gone {
            write!(f, " gone up to {}", meta.position)?;
        }
        Ok(())
    }
}
