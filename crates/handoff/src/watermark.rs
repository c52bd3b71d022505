//! One number that only rises, published by one thread and awaited by one task.

use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll};

use crate::sync::{Arc, Mutex, lock};
use crate::waker::{WakerSlot, wake};

/// Makes a watermark that stands at `start`, which the observer counts as already seen.
///
/// ```
/// use quorate_handoff::{Ended, watermark};
///
/// let (mut publisher, mut observer) = watermark(0);
/// publisher.publish(7);
/// publisher.publish(3); // lower than what is known: nothing moves
/// assert_eq!(observer.observe(), Ok(Some(7)));
/// assert_eq!(observer.observe(), Ok(None));
/// publisher.close();
/// assert_eq!(observer.observe(), Err(Ended::Closed));
/// ```
pub fn watermark(start: u64) -> (Publisher, Observer) {
    let level = Arc::new(Mutex::new(Level {
        mark: start,
        ended: None,
        observer: WakerSlot::default(),
    }));
    (
        Publisher {
            level: Arc::clone(&level),
        },
        Observer { level, seen: start },
    )
}

/// The thread that knows how far it has come. Dropping it without [`close`](Self::close) counts as
/// [`fail`](Self::fail), so that a thread that panics is never taken for one that finished.
#[derive(Debug)]
pub struct Publisher {
    level: Arc<Mutex<Level>>,
}

impl Publisher {
    /// Raises the mark to `mark` and wakes the observer if it sleeps; a lower or equal one changes
    /// nothing.
    pub fn publish(&mut self, mark: u64) {
        let mut level = lock(&self.level);
        if mark <= level.mark {
            return;
        }
        level.mark = mark;
        let sleeper = level.observer.take();
        drop(level);
        wake(sleeper);
    }

    /// Ends in order: the observer sees the last mark, then [`Ended::Closed`].
    pub fn close(self) {
        self.end(Ended::Closed);
    }

    /// Ends at once: the observer sees [`Ended::Failed`] and no mark any more, not even one published
    /// before that it had not yet seen.
    pub fn fail(self) {
        self.end(Ended::Failed);
    }

    /// The first end stays.
    fn end(&self, ended: Ended) {
        let mut level = lock(&self.level);
        level.ended.get_or_insert(ended);
        let sleeper = level.observer.take();
        drop(level);
        wake(sleeper);
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.end(Ended::Failed);
    }
}

/// The task that waits for the mark to rise.
#[derive(Debug)]
pub struct Observer {
    level: Arc<Mutex<Level>>,
    seen: u64,
}

impl Observer {
    /// The mark if it has risen since it was last seen, `None` if not. Never waits.
    pub fn observe(&mut self) -> Result<Option<u64>, Ended> {
        let news = lock(&self.level).news(self.seen)?;
        self.seen = news.unwrap_or(self.seen);
        Ok(news)
    }

    /// Ready with the mark once it has risen above what was last seen. Marks in between are skipped.
    ///
    /// Pending leaves this task's waker behind, in place of the one from an earlier call.
    pub fn poll_risen(&mut self, context: &Context<'_>) -> Poll<Result<u64, Ended>> {
        let mut level = lock(&self.level);
        if let Some(mark) = level.news(self.seen)? {
            self.seen = mark;
            return Poll::Ready(Ok(mark));
        }
        let stale = level.observer.register(context);
        drop(level);
        drop(stale);
        Poll::Pending
    }

    /// Waits as [`poll_risen`](Self::poll_risen) does; cancelling it loses nothing.
    pub async fn risen(&mut self) -> Result<u64, Ended> {
        poll_fn(|context| self.poll_risen(context)).await
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        let stale = lock(&self.level).observer.take();
        drop(stale);
    }
}

/// What both ends share, under one lock. Invariant: `mark` never falls, `ended` is never unset.
#[derive(Debug)]
struct Level {
    mark: u64,
    ended: Option<Ended>,
    observer: WakerSlot,
}

impl Level {
    /// A failure overtakes every mark; an orderly end comes after the last one.
    fn news(&self, seen: u64) -> Result<Option<u64>, Ended> {
        match self.ended {
            Some(Ended::Failed) => Err(Ended::Failed),
            _ if self.mark > seen => Ok(Some(self.mark)),
            Some(Ended::Closed) => Err(Ended::Closed),
            None => Ok(None),
        }
    }
}

/// How a watermark came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The publisher finished, and every mark was seen.
    Closed,
    /// The publisher failed or vanished; nothing further may be concluded from any mark.
    Failed,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "the publisher has finished",
            Self::Failed => "the publisher has failed",
        })
    }
}

impl std::error::Error for Ended {}
