//! A clock that rings on time. Tokio's timers count milliseconds: too coarse where a commit takes less.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// A timer of the kernel's.
pub(crate) struct Pacer {
    timer: AsyncFd<OwnedFd>,
}

impl Pacer {
    /// A timer that is not set.
    ///
    /// # Errors
    /// If the system grants none.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        // SAFETY: an `OwnedFd` is open as long as it lives, is always the same, and lives in the `AsyncFd`.
        let timer = unsafe { AsyncFd::register(timer) }?;
        Ok(Self { timer })
    }

    /// Returns at `due`, or at once if that is over.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) async fn until(&self, due: Instant) -> io::Result<()> {
        loop {
            let left = due.saturating_duration_since(Instant::now());
            let Ok(value) = Timespec::try_from(left) else {
                return Err(io::ErrorKind::InvalidInput.into());
            };
            if left.is_zero() {
                return Ok(());
            }
            let once = Itimerspec {
                it_interval: Timespec::default(),
                it_value: value,
            };
            timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::empty(), &once)?;
            let mut ready = self.timer.readable().await?;
            // The count of rings says nothing more than that it rang.
            let read = |timer: &AsyncFd<OwnedFd>| {
                let read = rustix::io::read(timer.get_ref(), &mut [0; 8]);
                Ok(read?)
            };
            if let Ok(rang) = ready.try_io(read) {
                rang?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::in_this_thread;

    #[test]
    fn it_never_rings_early_and_once_for_each_time() {
        in_this_thread(async {
            let pacer = Pacer::new().expect("a timer");
            let begun = Instant::now();
            for turn in 1..=20 {
                let due = begun + Duration::from_micros(300) * turn;
                pacer.until(due).await.expect("it rings");
                assert!(Instant::now() >= due);
            }
            pacer.until(begun).await.expect("that is over");
        })
        .expect("a runtime");
    }
}
