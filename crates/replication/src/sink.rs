//! The receiving end of a link: what has arrived, what of it is done, and what is asked for.

use alloc::collections::VecDeque;

use quorate_core::{Flow, Mark};

use crate::Budget;
use crate::borrow::Waiting;

#[derive(Clone, Debug)]
pub(crate) struct Sink<M> {
    /// How the source sends.
    pub(crate) flow: Flow,
    arrivals: VecDeque<Arrival>,
    /// The number of the oldest arrival.
    first: u64,
    /// Of what the source sent: everything up to here is on this disk, or was lost on the way.
    done: u64,
    /// What it was last told of that; none: it has to be told whatever it is.
    told: Option<u64>,
    /// Messages that wait for bodies, or behind one that does, in the order of their arrival.
    pub(crate) queue: VecDeque<Waiting<M>>,
    /// Their bytes.
    queued: u64,
}

/// Something of bulk that arrived.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    stamp: u64,
    /// With this write on disk it is done. None: the log has not got it yet.
    mark: Option<Mark>,
}

impl<M> Sink<M> {
    pub(crate) fn new() -> Self {
        Self {
            flow: Flow::Push,
            arrivals: VecDeque::new(),
            first: 0,
            done: 0,
            told: Some(0),
            queue: VecDeque::new(),
            queued: 0,
        }
    }

    /// Takes note of something that arrived. Returns its number; none: it counts as done, or as lost, already.
    pub(crate) fn arrive(&mut self, stamp: u64) -> Option<u64> {
        (stamp > self.done).then(|| {
            self.arrivals.push_back(Arrival { stamp, mark: None });
            self.first + self.arrivals.len() as u64 - 1
        })
    }

    /// The log has it, and has written all that follows from it up to `written`; or it is given up.
    pub(crate) fn land(&mut self, number: u64, written: Mark) {
        let arrival = self.arrivals.get_mut((number - self.first) as usize);
        arrival.expect("it has not landed before").mark = Some(written);
    }

    /// Counts what is done now that everything up to `durable` is on disk.
    pub(crate) fn settle(&mut self, durable: Mark) {
        while let Some(arrival) = self.arrivals.front() {
            if arrival.mark.is_none_or(|mark| mark > durable) {
                break;
            }
            self.done = self.done.max(arrival.stamp);
            self.arrivals.pop_front();
            self.first += 1;
        }
    }

    /// The source wants to know what is done.
    pub(crate) fn ask(&mut self) {
        self.told = None;
    }

    /// Whether the source has to be told, if nothing else is said to it.
    pub(crate) fn is_owed(&self) -> bool {
        self.told != Some(self.done)
    }

    /// What the source is told now: what is done, and up to where it may send when asked to.
    pub(crate) fn tell(&mut self, budget: &Budget) -> (u64, u64) {
        self.told = Some(self.done);
        (self.done, self.done.saturating_add(budget.fetch_bytes))
    }

    /// Whether a message of so many bytes may wait for bodies here. Who respects the window never asks in vain.
    pub(crate) fn has_room(&self, bytes: u64, budget: &Budget) -> bool {
        let most = budget.window_max.max(budget.fetch_bytes).saturating_mul(2);
        self.arrivals.len() < budget.messages_max.saturating_mul(2)
            && (self.queue.is_empty() || self.queued.saturating_add(bytes) <= most)
    }

    pub(crate) fn enqueue(&mut self, waiting: Waiting<M>) {
        self.queued += waiting.bytes;
        self.queue.push_back(waiting);
    }

    /// The next message, if it waits for nothing any more.
    pub(crate) fn dequeue(&mut self) -> Option<Waiting<M>> {
        let ready = self.queue.front()?.is_complete();
        if !ready {
            return None;
        }
        let waiting = self.queue.pop_front()?;
        self.queued -= waiting.bytes;
        Some(waiting)
    }

    /// Gives up everything that waits: it counts as lost on the way.
    pub(crate) fn give_up(&mut self, written: Mark) {
        for waiting in core::mem::take(&mut self.queue) {
            if let Some(number) = waiting.arrival {
                self.land(number, written);
            }
        }
        self.queued = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn done_is_what_is_on_disk_in_the_order_of_arrival() {
        let mut sink: Sink<()> = Sink::new();
        let numbers = [100, 200, 300].map(|stamp| sink.arrive(stamp).expect("new"));
        sink.land(numbers[0], Mark(1));
        sink.land(numbers[2], Mark(1));
        sink.settle(Mark(0));
        assert!(!sink.is_owed());
        sink.settle(Mark(1));
        let budget = Budget::default();
        assert_eq!(sink.tell(&budget), (100, 100 + budget.fetch_bytes));
        sink.land(numbers[1], Mark(2));
        sink.settle(Mark(2));
        assert_eq!((sink.is_owed(), sink.tell(&budget).0), (true, 300));
        assert_eq!(sink.arrive(300), None);
        sink.ask();
        assert!(sink.is_owed());
    }
}
