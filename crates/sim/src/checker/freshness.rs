//! How old what reads saw may be: told from replies and true time alone.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_core::{Position, ReadCall, ReadLevel, ReadStamp};

use super::{Verdict, Violation};
use crate::Moment;

/// What was acknowledged when, and which reads wait.
#[derive(Debug, Default)]
pub(crate) struct Freshness {
    /// The highest position answered for at some time, both rising.
    acknowledged: Vec<(Moment, Position)>,
    /// The highest position that each client was answered for.
    clients: BTreeMap<u64, Position>,
    /// When each read last came to a member, and what it asked for.
    reads: BTreeMap<usize, (Moment, ReadCall)>,
}

impl Freshness {
    /// A command of this client, at `at`, is acknowledged by the member that it asked.
    pub(crate) fn on_reply(&mut self, now: Moment, client: Option<u64>, at: Position) {
        let last = self.acknowledged.last();
        if last.is_none_or(|(_, highest)| *highest < at) {
            self.acknowledged.push((now, at));
        }
        if let Some(client) = client {
            let own = self.clients.entry(client).or_default();
            *own = at.max(*own);
        }
    }

    /// A read of this client comes to a member. Every other one that may be old asks to see what the client has written.
    pub(crate) fn on_asked(
        &mut self,
        now: Moment,
        (request, client): (usize, Option<u64>),
        level: ReadLevel,
    ) -> ReadCall {
        let own = client.and_then(|client| self.clients.get(&client).copied());
        let wanted = !level.is_linearizable() && request.is_multiple_of(2);
        let call = level.after(own.filter(|_| wanted).unwrap_or_default());
        self.reads.insert(request, (now, call));
        call
    }

    /// A read is answered from the state that ends at `applied`.
    pub(crate) fn on_answer(
        &mut self,
        request: usize,
        applied: Position,
        stamp: &ReadStamp,
    ) -> Verdict {
        let Some((asked, call)) = self.reads.remove(&request) else {
            return Ok(());
        };
        let behind = match call.level {
            ReadLevel::Linearizable | ReadLevel::Lease => Some(Duration::ZERO),
            ReadLevel::Bounded(within) => Some(within),
            ReadLevel::Local => None,
        };
        let floor = |behind| self.acknowledged_before(asked, behind);
        let promised = behind.map_or(Position::ZERO, floor);
        let stamped = stamp.behind.map_or(Position::ZERO, floor);
        let least = promised.max(stamped).max(call.after);
        if stamp.applied == applied && applied >= least {
            return Ok(());
        }
        let what =
            format!("#{request} {call:?}: {stamp} of a state up to {applied}, {least} is due");
        Err(Violation::new(
            "a read is as fresh as it says (R12, T2)",
            what,
        ))
    }

    /// The highest position that was acknowledged so long before, as the slowest clock of a run tells time: by nine tenths.
    fn acknowledged_before(&self, asked: Moment, behind: Duration) -> Position {
        let nanos = u64::try_from(behind.as_nanos()).unwrap_or(u64::MAX);
        let slow = nanos.saturating_add(nanos / 9 + 1);
        let upto = Moment(asked.0.saturating_sub(slow));
        let count = self.acknowledged.partition_point(|(at, _)| *at < upto);
        count
            .checked_sub(1)
            .map_or(Position::ZERO, |last| self.acknowledged[last].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: u64 = 1_000_000;

    fn answer(level: ReadLevel, asked: u64, applied: u64, behind: Option<u64>) -> Verdict {
        let mut freshness = Freshness::default();
        for at in 1..=10 {
            freshness.on_reply(Moment(at * 10 * MILLI), Some(1), Position(at));
        }
        let asked = Moment(asked * MILLI);
        freshness.on_asked(asked, (1, Some(1)), level);
        let applied = Position(applied);
        let stamp = ReadStamp {
            level,
            applied,
            behind: behind.map(Duration::from_millis),
        };
        freshness.on_answer(1, applied, &stamp)
    }

    #[test]
    fn a_bounded_read_may_miss_what_was_acknowledged_within_its_bound_and_no_more() {
        let bounded = ReadLevel::Bounded(Duration::from_millis(45));
        assert_eq!(answer(bounded, 105, 5, Some(45)), Ok(()));
        assert!(answer(bounded, 105, 4, Some(45)).is_err());
        assert!(answer(bounded, 105, 5, Some(9)).is_err(), "it says less");
    }

    #[test]
    fn a_linearizable_read_misses_nothing_that_was_acknowledged_before() {
        for level in [ReadLevel::Linearizable, ReadLevel::Lease] {
            assert_eq!(answer(level, 55, 5, Some(0)), Ok(()));
            assert!(answer(level, 55, 4, Some(0)).is_err());
        }
        assert_eq!(answer(ReadLevel::Local, 105, 0, None), Ok(()));
    }

    #[test]
    fn a_read_sees_what_its_client_has_written_if_it_asks_for_that() {
        let mut freshness = Freshness::default();
        freshness.on_reply(Moment(1), Some(7), Position(3));
        let call = freshness.on_asked(Moment(2), (2, Some(7)), ReadLevel::Local);
        assert_eq!(call.after, Position(3));
        let stamp = ReadStamp {
            level: ReadLevel::Local,
            applied: Position(2),
            behind: None,
        };
        assert!(freshness.on_answer(2, Position(2), &stamp).is_err());
    }
}
