//! Which connection of a peer is the one in use, by lane.
//!
//! A later life takes all seats of an earlier one; a later dial of the same life takes the seat of its lane.
//! Who takes a seat waits until all who had to leave are really gone before it lets the first frame in: a
//! frame of the past can then not come after one of the present (`RELIABILITY` N4).

use quorate_core::{Incarnation, Life};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::error::{HandshakeError, Refusal};
use crate::frame::Lane;
use crate::handshake::Hello;

/// The seats of one peer.
#[derive(Debug, Default)]
pub(crate) struct Seats {
    latest: Option<(Life, Incarnation)>,
    lanes: [Seat; 2],
    leaving: Vec<CancellationToken>,
}

#[derive(Debug, Default)]
struct Seat {
    dial: u64,
    occupant: Option<Occupant>,
}

#[derive(Debug)]
struct Occupant {
    cancel: CancellationToken,
    left: CancellationToken,
}

/// A seat that was taken. It is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Admission {
    /// Cancelled when the seat goes to another.
    pub(crate) cancel: CancellationToken,
    /// Cancelled, each, when one of those who had to leave is gone.
    pub(crate) before: Vec<CancellationToken>,
    _left: DropGuard,
}

impl Seats {
    /// Gives the seat to `hello`, unless a later one has been here. `gone` ends with the peer itself.
    pub(crate) fn admit(
        &mut self,
        hello: &Hello,
        gone: &CancellationToken,
    ) -> Result<Admission, (Refusal, HandshakeError)> {
        let (latest, known) = self.latest.unwrap_or((Life::ZERO, hello.incarnation));
        if hello.life < latest {
            let error = HandshakeError::PastLife {
                theirs: hello.life,
                latest,
            };
            return Err((Refusal::PastLife, error));
        }
        if hello.life > latest || self.latest.is_none() {
            self.latest = Some((hello.life, hello.incarnation));
            for lane in Lane::ALL {
                self.vacate(lane);
            }
            self.lanes = Default::default();
        } else if hello.incarnation != known {
            let error = HandshakeError::Twin {
                theirs: hello.incarnation,
                known,
            };
            return Err((Refusal::Twin, error));
        } else if hello.dial <= self.lanes[hello.lane.index()].dial {
            return Err((Refusal::Overtaken, HandshakeError::Overtaken));
        }
        self.vacate(hello.lane);
        let cancel = gone.child_token();
        let left = CancellationToken::new();
        let occupant = Occupant {
            cancel: cancel.clone(),
            left: left.clone(),
        };
        self.lanes[hello.lane.index()] = Seat {
            dial: hello.dial,
            occupant: Some(occupant),
        };
        self.leaving.retain(|left| !left.is_cancelled());
        Ok(Admission {
            cancel,
            before: self.leaving.clone(),
            _left: left.drop_guard(),
        })
    }

    fn vacate(&mut self, lane: Lane) {
        if let Some(occupant) = self.lanes[lane.index()].occupant.take() {
            occupant.cancel.cancel();
            self.leaving.push(occupant.left);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use quorate_core::NodeId;

    use super::*;
    use crate::config::Config;

    fn hello(life: u64, lane: Lane, dial: u64) -> Hello {
        let mut config = Config::new(1.into(), NodeId(1), "");
        config.life = Life(life);
        Hello::new(&config, NodeId(2), lane, dial)
    }

    #[test]
    fn a_later_life_takes_both_seats_and_waits_for_both_to_be_left() {
        let (mut seats, gone) = (Seats::default(), CancellationToken::new());
        let control = seats.admit(&hello(1, Lane::Control, 1), &gone).unwrap();
        let bulk = seats.admit(&hello(1, Lane::Bulk, 1), &gone).unwrap();
        let next = seats.admit(&hello(2, Lane::Control, 1), &gone).unwrap();
        assert!(control.cancel.is_cancelled() && bulk.cancel.is_cancelled());
        assert_eq!(next.before.len(), 2);
        drop(control);
        assert_eq!(
            next.before
                .iter()
                .filter(|left| left.is_cancelled())
                .count(),
            1
        );
        drop(bulk);
        assert!(next.before.iter().all(CancellationToken::is_cancelled));
        let refused = seats.admit(&hello(1, Lane::Bulk, 9), &gone).unwrap_err();
        assert_eq!(refused.0, Refusal::PastLife);
    }

    #[test]
    fn one_that_waits_hands_its_waiting_on_to_the_one_that_takes_its_seat() {
        let (mut seats, gone) = (Seats::default(), CancellationToken::new());
        let first = seats.admit(&hello(1, Lane::Bulk, 1), &gone).unwrap();
        let second = seats.admit(&hello(1, Lane::Bulk, 2), &gone).unwrap();
        drop(second);
        let third = seats.admit(&hello(1, Lane::Bulk, 3), &gone).unwrap();
        assert!(
            third.before.iter().any(|left| !left.is_cancelled()),
            "the first still reads"
        );
        drop(first);
        assert!(third.before.iter().all(CancellationToken::is_cancelled));
    }

    #[test]
    fn an_older_dial_and_a_twin_are_refused() {
        let (mut seats, gone) = (Seats::default(), CancellationToken::new());
        let seat = seats.admit(&hello(1, Lane::Control, 5), &gone).unwrap();
        let older = seats.admit(&hello(1, Lane::Control, 4), &gone).unwrap_err();
        assert_eq!(older.0, Refusal::Overtaken);
        let twin = Hello {
            incarnation: Incarnation(9),
            ..hello(1, Lane::Control, 6)
        };
        assert_eq!(seats.admit(&twin, &gone).unwrap_err().0, Refusal::Twin);
        assert!(!seat.cancel.is_cancelled());
    }
}
