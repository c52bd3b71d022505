//! Two members that only talk, the far one in a thread and a runtime of its own.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quorate_core::{ClusterId, NodeId};
use quorate_transport::{Config, Frame, Lane, Received, SendError, Sink, Transport};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, oneshot};
use tokio::task::yield_now;
use tokio::time::sleep;

const NEAR: NodeId = NodeId(1);
const FAR: NodeId = NodeId(2);

/// The near member, and what came to both.
pub struct Pair {
    runtime: Runtime,
    near: Transport,
    arrived: Arc<Tally>,
    arrived_far: Arc<Tally>,
    frame: Frame,
}

impl Pair {
    /// Two connected members; each frame holds `size` bytes, at least 24. `echo`: the far one sends one back for each.
    ///
    /// # Panics
    /// If they cannot be started.
    pub fn new(size: usize, echo: bool) -> Self {
        let lane = if echo { Lane::Control } else { Lane::Bulk };
        let body = Bytes::from(vec![2; size - 24]);
        let frame = Frame::new(lane, Bytes::from(vec![1; 24])).with_body(body);
        let runtime = current_thread();
        let (arrived, arrived_far) = (Arc::<Tally>::default(), Arc::<Tally>::default());
        let near = runtime.block_on(bind(NEAR, Arc::clone(&arrived)));
        let (tell, address) = oneshot::channel();
        let (home, tally) = (near.address().to_owned(), Arc::clone(&arrived_far));
        let answer = echo.then(|| frame.clone());
        // It ends with the process.
        thread::spawn(move || {
            current_thread().block_on(async {
                let far = bind(FAR, Arc::clone(&tally)).await;
                far.set_peer(NEAR, home);
                tell.send(far.address().to_owned())
                    .expect("the near side waits");
                match answer {
                    Some(frame) => echoes(&far, &tally, &frame).await,
                    None => std::future::pending().await,
                }
            });
        });
        runtime.block_on(async {
            near.set_peer(FAR, address.await.expect("the far side starts"));
            let up = |link: &quorate_transport::LinkStatus| {
                link.outgoing.connected_for.is_some() && link.incoming.connected_for.is_some()
            };
            while !near.links().iter().all(up) {
                sleep(Duration::from_millis(1)).await;
            }
        });
        Self {
            runtime,
            near,
            arrived,
            arrived_far,
            frame,
        }
    }

    /// Sends a frame and waits for its answer, `rounds` times; how long that took.
    ///
    /// # Panics
    /// If a frame is refused.
    pub fn ask(&mut self, rounds: u64) -> Duration {
        let begun = Instant::now();
        self.runtime.block_on(async {
            for _ in 0..rounds {
                let next = self.arrived.count.load(Ordering::Acquire) + 1;
                self.near
                    .send(FAR, self.frame.clone())
                    .expect("there is room");
                self.arrived.reached(next).await;
            }
        });
        begun.elapsed()
    }

    /// Sends `frames`, each by a `send` of its own, and waits until all are there; how long that took.
    ///
    /// # Panics
    /// If a frame is refused but for want of room.
    pub fn pour(&mut self, frames: u64) -> Duration {
        let begun = Instant::now();
        self.runtime.block_on(async {
            let all = self.arrived_far.count.load(Ordering::Acquire) + frames;
            let mut left = frames;
            while left > 0 {
                for _ in 0..left.min(64) {
                    match self.near.send(FAR, self.frame.clone()) {
                        Ok(()) => left -= 1,
                        Err(SendError::Full) => sleep(Duration::from_millis(1)).await,
                        Err(error) => panic!("a frame was refused: {error}"),
                    }
                }
                yield_now().await;
            }
            while self.arrived_far.count.load(Ordering::Acquire) < all {
                sleep(Duration::from_micros(100)).await;
            }
        });
        begun.elapsed()
    }
}

fn current_thread() -> Runtime {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime starts")
}

async fn bind(node: NodeId, tally: Arc<Tally>) -> Transport {
    let config = Config::new(ClusterId(7), node, "127.0.0.1:0");
    let bound = Transport::bind_with(config, tally).await;
    bound.expect("a port is free")
}

async fn echoes(far: &Transport, tally: &Tally, frame: &Frame) {
    for round in 1.. {
        tally.reached(round).await;
        far.send(NEAR, frame.clone()).expect("there is room");
    }
}

/// Counts what arrives, in the task that reads it.
#[derive(Default)]
struct Tally {
    count: AtomicU64,
    changed: Notify,
}

impl Tally {
    async fn reached(&self, count: u64) {
        while self.count.load(Ordering::Acquire) < count {
            self.changed.notified().await;
        }
    }
}

impl Sink for Tally {
    fn poll_deliver(
        &self,
        _context: &mut Context<'_>,
        slot: &mut Option<Received>,
    ) -> Poll<ControlFlow<()>> {
        slot.take();
        self.count.fetch_add(1, Ordering::Release);
        Poll::Ready(ControlFlow::Continue(()))
    }

    fn on_pause(&self) {
        self.changed.notify_one();
    }
}
