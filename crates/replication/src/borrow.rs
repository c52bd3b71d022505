//! Messages that wait for their bodies, and whom to ask for them.
//!
//! Whoever was sent the body with the message is asked first, then the other members in turn, the source last: only it
//! is sure to have it, and it has enough to do. A message whose bodies nobody has counts as lost on the way; the log
//! then sends what is needed now.

use alloc::vec::Vec;
use core::time::Duration;

use quorate_core::{Batch, Carry, Instant, NodeId};
use smallvec::SmallVec;

use crate::frame::{Void, Want};

/// A message that waits for bodies, or behind one that does.
#[derive(Clone, Debug)]
pub(crate) struct Waiting<M> {
    /// Its number at the [`Sink`](crate::sink::Sink).
    pub(crate) arrival: Option<u64>,
    pub(crate) message: M,
    /// Bytes of its bodies, there or missing.
    pub(crate) bytes: u64,
    needs: Vec<Need>,
}

#[derive(Clone, Debug)]
struct Need {
    void: Void,
    found: Option<Batch>,
    /// The question under way: its number, who was asked, until when.
    asked: Option<(u64, NodeId, Instant)>,
    tried: SmallVec<[NodeId; 4]>,
    patience: Duration,
}

/// What to do about a message that waits.
pub(crate) enum Step {
    /// Ask this member.
    Ask(NodeId, Want),
    /// Nobody has it.
    GiveUp,
}

impl<M: Carry> Waiting<M> {
    pub(crate) fn new(
        arrival: Option<u64>,
        message: M,
        bytes: u64,
        voids: Vec<Void>,
        patience: Duration,
    ) -> Self {
        let needs = voids.into_iter().map(|void| Need {
            found: None,
            asked: None,
            tried: SmallVec::new(),
            patience: patience + Duration::from_micros(void.hollow.bytes()),
            void,
        });
        Self {
            arrival,
            message,
            bytes,
            needs: needs.collect(),
        }
    }

    /// Takes every body that `find` has.
    pub(crate) fn find(&mut self, find: impl Fn(&Void) -> Option<Batch>) {
        for need in self.needs.iter_mut().filter(|need| need.found.is_none()) {
            need.found = find(&need.void);
        }
    }

    /// The answer to question `number`. Whether it brought what was asked for; none: it was not asked here.
    pub(crate) fn on_lent(&mut self, number: u64, pieces: &[Batch]) -> Option<bool> {
        let asked = |need: &&mut Need| need.asked.is_some_and(|(asked, ..)| asked == number);
        let need = self.needs.iter_mut().find(asked)?;
        need.asked = None;
        if need.found.is_none() {
            need.found = need.void.fill(pieces);
        }
        Some(need.found.is_some())
    }

    /// The next step for a body that is still missing and not under way. Who is `busy` lends what it was asked for.
    pub(crate) fn step(
        &mut self,
        now: Instant,
        (source, others): (NodeId, &[NodeId]),
        busy: impl Fn(NodeId) -> bool,
        number: &mut u64,
    ) -> Option<Step> {
        let mut needs = self.needs.iter_mut();
        let need = needs.find_map(|need| need.is_due(now, &busy).then_some(need))?;
        let Some(holder) = need.next_holder(source, others) else {
            return Some(Step::GiveUp);
        };
        *number += 1;
        need.tried.push(holder);
        need.asked = Some((*number, holder, now + need.patience));
        need.patience *= 2;
        Some(Step::Ask(holder, need.void.want(*number, Some(holder))))
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        let open = self.needs.iter().filter(|need| need.found.is_none());
        open.filter_map(|need| need.asked.map(|(.., until)| until))
            .min()
    }

    /// The message with all its bodies.
    pub(crate) fn complete(mut self) -> M {
        let mut index = 0;
        let needs = &mut self.needs;
        self.message.batches_mut(&mut |batch| {
            let need = needs.iter_mut().find(|need| need.void.index == index);
            if let Some(found) = need.and_then(|need| need.found.take()) {
                *batch = found;
            }
            index += 1;
        });
        self.message
    }
}

impl<M> Waiting<M> {
    pub(crate) fn is_complete(&self) -> bool {
        self.needs.iter().all(|need| need.found.is_some())
    }
}

impl Need {
    /// Whether somebody is to be asked. A body stands in a queue behind others as long as its holder lends at all.
    fn is_due(&mut self, now: Instant, busy: impl Fn(NodeId) -> bool) -> bool {
        if self.found.is_some() {
            return false;
        }
        match &mut self.asked {
            Some((.., until)) if *until > now => false,
            Some((_, holder, until)) if busy(*holder) => {
                *until = now + self.patience;
                false
            }
            Some(_) | None => true,
        }
    }

    /// Who comes next; none: all were asked.
    fn next_holder(&self, source: NodeId, others: &[NodeId]) -> Option<NodeId> {
        let fresh = |id: &NodeId| !self.tried.contains(id);
        let turn = self.void.first.get() as usize % others.len().max(1);
        let hinted = self.void.holder;
        hinted
            .into_iter()
            .chain(others.iter().cycle().skip(turn).take(others.len()).copied())
            .chain([source])
            .find(fresh)
    }
}
