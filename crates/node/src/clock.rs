//! The two clocks of a member, and the one alarm that it sets.

use std::pin::Pin;
use std::task::Context;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use quorate_core::{Clock, Instant, Timestamp};
use tokio::time::{Instant as TokioInstant, Sleep, sleep_until};

/// Reads both clocks; the monotonic one counts from when this was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks {
    origin: TokioInstant,
}

impl Clocks {
    pub(crate) fn new() -> Self {
        Self {
            origin: TokioInstant::now(),
        }
    }

    pub(crate) fn read(&self) -> Clock {
        Clock {
            now: self.now(),
            wall: Timestamp(unix_time().as_millis() as u64),
        }
    }

    pub(crate) fn now(&self) -> Instant {
        let nanos = self.origin.elapsed().as_nanos();
        Instant::from_nanos(u64::try_from(nanos).expect("no member runs for 584 years"))
    }

    fn of_tokio(&self, at: Instant) -> TokioInstant {
        self.origin + at.since(Instant::ZERO)
    }
}

/// The wall clock; a clock that stands before 1970 counts as 1970.
pub(crate) fn unix_time() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// Wakes the core when its deadline comes.
///
/// The deadline moves with nearly every turn, mostly away. The timer is therefore left where it is as long as it
/// would ring early, and moved on only when it does.
#[derive(Debug)]
pub(crate) struct Alarm {
    clocks: Clocks,
    set: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Alarm {
    pub(crate) fn new(clocks: Clocks) -> Self {
        let set = clocks.now();
        Self {
            clocks,
            set,
            sleep: Box::pin(sleep_until(clocks.of_tokio(set))),
        }
    }

    /// Whether `deadline` has come; if not, the task is woken when it does.
    pub(crate) fn poll(&mut self, deadline: Instant, context: &mut Context<'_>) -> bool {
        if deadline < self.set {
            self.reset(deadline);
        }
        while self.sleep.as_mut().poll(context).is_ready() {
            if deadline <= self.clocks.now() {
                return true;
            }
            self.reset(deadline);
        }
        false
    }

    fn reset(&mut self, at: Instant) {
        self.set = at;
        self.sleep.as_mut().reset(self.clocks.of_tokio(at));
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use super::*;

    #[tokio::test]
    async fn the_alarm_rings_at_the_deadline_and_not_before() {
        let clocks = Clocks::new();
        let mut alarm = Alarm::new(clocks);
        for wait in [20, 5, 0, 30] {
            let deadline = clocks.now() + Duration::from_millis(wait);
            let far = deadline + Duration::from_mins(1);
            poll_fn(|context| {
                // A deadline that was further away a moment ago must not hide the near one.
                assert!(!alarm.poll(far, context));
                if alarm.poll(deadline, context) {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            })
            .await;
            assert!(clocks.now() >= deadline);
            assert!(clocks.now() < deadline + Duration::from_secs(10));
        }
    }
}
