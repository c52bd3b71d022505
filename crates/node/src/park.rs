//! How this member's own threads wait: parked, until their queue has something.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use quorate_handoff::{BatchReceiver, Closed};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The waker of this thread.
pub(crate) fn waker() -> Waker {
    Waker::from(Arc::new(Unpark(thread::current())))
}

/// Sleeps until `queue` has something (true) or `patience` has passed (false).
///
/// # Errors
/// The queue is closed and empty.
pub(crate) fn wait<T>(
    queue: &mut BatchReceiver<T>,
    waker: &Waker,
    patience: Option<Duration>,
) -> Result<bool, Closed> {
    let until = patience.map(|patience| Instant::now() + patience);
    loop {
        if let Poll::Ready(ready) = queue.poll_ready(&Context::from_waker(waker)) {
            return ready.map(|()| true);
        }
        let Some(until) = until else {
            thread::park();
            continue;
        };
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        thread::park_timeout(left);
    }
}

/// Drives a future to its end on this thread.
pub(crate) fn block_on<F: Future>(future: F, waker: &Waker) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(waker)) {
            return output;
        }
        thread::park();
    }
}

#[cfg(test)]
mod tests {
    use quorate_handoff::batch_queue;

    use super::*;

    #[test]
    fn a_thread_wakes_for_an_item_for_the_end_and_after_its_patience() {
        let (sender, mut queue) = batch_queue(16);
        let producer = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            sender.push(7, 1).expect("there is room");
            thread::sleep(Duration::from_millis(20));
        });
        let waker = waker();
        assert_eq!(
            wait(&mut queue, &waker, Some(Duration::from_millis(1))),
            Ok(false)
        );
        assert_eq!(wait(&mut queue, &waker, None), Ok(true));
        let mut items = Vec::new();
        queue.take(&mut items);
        assert_eq!(wait(&mut queue, &waker, None), Err(Closed));
        assert_eq!(items, [7]);
        producer.join().expect("it does not panic");
    }
}
