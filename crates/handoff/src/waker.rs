//! One place for the waker of one sleeping task.

use std::task::{Context, Waker};

/// Holds the waker of a task that sleeps, or nothing while it runs.
///
/// It lives inside the mutex that guards what the task waits for, so that "nothing is there" and
/// "wake me" are one step: that is the whole argument against lost wake-ups.
///
/// Waking or dropping a waker can run foreign code (the last waker of a task drops the task, and with
/// it perhaps the other end of this very queue). So wakers only ever leave the slot by value, and
/// the caller lets go of the lock before it wakes or drops them.
#[derive(Debug, Default)]
pub(crate) struct WakerSlot(Option<Waker>);

impl WakerSlot {
    /// Puts the task of `context` to sleep here; hands back a stale waker to be dropped unlocked.
    #[must_use = "a waker is dropped only after the lock is released"]
    pub(crate) fn register(&mut self, context: &Context<'_>) -> Option<Waker> {
        match &self.0 {
            Some(waker) if waker.will_wake(context.waker()) => None,
            _ => self.0.replace(context.waker().clone()),
        }
    }

    /// Takes the sleeper out, to be woken after the lock is released.
    #[must_use = "a sleeper taken out must be woken"]
    pub(crate) fn take(&mut self) -> Option<Waker> {
        self.0.take()
    }
}

/// Wakes a sleeper, if there was one. Never call it under a lock.
pub(crate) fn wake(sleeper: Option<Waker>) {
    if let Some(waker) = sleeper {
        waker.wake();
    }
}
