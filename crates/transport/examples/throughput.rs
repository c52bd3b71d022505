//! The transport against bare TCP on loopback: the time of a round trip, and a stream in one direction, for
//! payloads of 64 bytes and of 4 KiB. Each side has a thread and a runtime of its own, as two members have.
//! Prints a ratio for each; nothing is written to disk.
//!
//! `cargo run --release -p quorate-transport --example throughput [ping|stream]`

use std::error::Error;
use std::future::Future;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quorate_core::{ClusterId, NodeId};
use quorate_transport::{Config, Frame, Lane, Received, SendError, Sink, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufWriter};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::{Notify, oneshot};
use tokio::task::yield_now;
use tokio::time::sleep;

const SIZES: [usize; 2] = [64, 4096];
const ROUNDS: u64 = 20_000;
const STREAM_FOR: Duration = Duration::from_secs(2);
const NEAR: NodeId = NodeId(1);
const FAR: NodeId = NodeId(2);

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let only = std::env::args().nth(1);
    if only.as_deref() != Some("stream") {
        for size in SIZES {
            let (bare, ours) = (bare_ping_pong(size).await?, ping_pong(size).await?);
            let ratio = bare.as_secs_f64() / ours.as_secs_f64();
            println!(
                "round trip {size:>4} B: bare {bare:.1?}, transport {ours:.1?}, ratio {ratio:.2}"
            );
        }
    }
    if only.as_deref() != Some("ping") {
        for size in SIZES {
            let (bare, ours) = (bare_stream(size).await?, stream(size).await?);
            let megabytes = |rate: f64| rate * size as f64 / 1e6;
            println!(
                "stream {size:>4} B: bare {:.2} M/s ({:.0} MB/s), transport {:.2} M/s ({:.0} MB/s), ratio {:.2}",
                bare / 1e6,
                megabytes(bare),
                ours / 1e6,
                megabytes(ours),
                ours / bare
            );
        }
    }
    Ok(())
}

/// Runs the far side in a thread and a runtime of its own.
fn elsewhere<F>(far: impl FnOnce() -> F + Send + 'static) -> thread::JoinHandle<Outcome<()>>
where
    F: Future<Output = Outcome<()>>,
{
    thread::spawn(|| {
        Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(far())
    })
}

fn end(far: thread::JoinHandle<Outcome<()>>) -> Outcome<()> {
    far.join().map_err(|_| "the far side panicked")?
}

async fn bare_ping_pong(size: usize) -> Outcome<Duration> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let far = elsewhere(move || async move {
        listener.set_nonblocking(true)?;
        let (mut stream, _) = TcpListener::from_std(listener)?.accept().await?;
        stream.set_nodelay(true)?;
        let mut buffer = vec![0; size];
        while stream.read_exact(&mut buffer).await.is_ok() {
            stream.write_all(&buffer).await?;
        }
        Ok(())
    });
    let mut near = TcpStream::connect(address).await?;
    near.set_nodelay(true)?;
    let mut buffer = vec![0; size];
    let begun = Instant::now();
    for _ in 0..ROUNDS {
        near.write_all(&buffer).await?;
        near.read_exact(&mut buffer).await?;
    }
    let took = begun.elapsed() / ROUNDS as u32;
    drop(near);
    end(far)?;
    Ok(took)
}

/// Payloads a second through bare TCP, written and read 64 KiB at a time.
async fn bare_stream(size: usize) -> Outcome<f64> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let far = elsewhere(move || async move {
        listener.set_nonblocking(true)?;
        let (mut stream, _) = TcpListener::from_std(listener)?.accept().await?;
        let mut buffer = vec![0; 1 << 16];
        while stream.read(&mut buffer).await? > 0 {}
        Ok(())
    });
    let mut near = BufWriter::with_capacity(1 << 16, TcpStream::connect(address).await?);
    let payload = vec![0xab; size];
    let mut sent = 0u64;
    let begun = Instant::now();
    while begun.elapsed() < STREAM_FOR {
        for _ in 0..64 {
            near.write_all(&payload).await?;
        }
        sent += 64;
    }
    near.shutdown().await?;
    end(far)?;
    Ok(sent as f64 / begun.elapsed().as_secs_f64())
}

/// The two members: the near one here, the far one elsewhere, which echoes if `echo` is set.
struct Pair {
    near: Transport,
    arrived: Arc<Tally>,
    arrived_far: Arc<Tally>,
    stop: oneshot::Sender<()>,
    far: thread::JoinHandle<Outcome<()>>,
}

impl Pair {
    async fn new(echo: Option<Frame>) -> Outcome<Self> {
        let arrived = Arc::new(Tally::default());
        let near = bind(NEAR, Arc::clone(&arrived)).await?;
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, address) = oneshot::channel();
        let (home, arrived_far) = (near.address().to_owned(), Arc::new(Tally::default()));
        let tally = Arc::clone(&arrived_far);
        let far = elsewhere(move || async move {
            let transport = bind(FAR, Arc::clone(&tally)).await?;
            transport.set_peer(NEAR, home);
            tell.send(transport.address().to_owned())?;
            tokio::select! {
                _ = stopped => {}
                done = answer(&transport, &tally, echo) => done?,
            }
            transport.shutdown(STREAM_FOR).await;
            Ok(())
        });
        near.set_peer(FAR, address.await?);
        let up = |link: &quorate_transport::LinkStatus| {
            link.outgoing.connected_for.is_some() && link.incoming.connected_for.is_some()
        };
        while !near.links().iter().all(up) {
            sleep(Duration::from_millis(1)).await;
        }
        Ok(Self {
            near,
            arrived,
            arrived_far,
            stop,
            far,
        })
    }

    async fn end(self) -> Outcome<()> {
        self.near.shutdown(STREAM_FOR).await;
        // The far side may have ended by itself.
        let _ = self.stop.send(());
        end(self.far)
    }
}

async fn answer(transport: &Transport, tally: &Tally, echo: Option<Frame>) -> Outcome<()> {
    let Some(frame) = echo else {
        return std::future::pending().await;
    };
    for round in 1.. {
        tally.reached(round).await;
        transport.send(NEAR, frame.clone())?;
    }
    Ok(())
}

async fn ping_pong(size: usize) -> Outcome<Duration> {
    let frame = Frame::new(Lane::Control, Bytes::from(vec![0; size]));
    let pair = Pair::new(Some(frame.clone())).await?;
    let begun = Instant::now();
    for round in 1..=ROUNDS {
        pair.near.send(FAR, frame.clone())?;
        pair.arrived.reached(round).await;
    }
    let took = begun.elapsed() / ROUNDS as u32;
    pair.end().await?;
    Ok(took)
}

/// Payloads a second from one member to the other, each sent by a `send` of its own.
async fn stream(size: usize) -> Outcome<f64> {
    let pair = Pair::new(None).await?;
    let (head, body) = (Bytes::from(vec![1; 24]), Bytes::from(vec![2; size - 24]));
    let mut sent = 0;
    let begun = Instant::now();
    while begun.elapsed() < STREAM_FOR {
        for _ in 0..64 {
            let frame = Frame::new(Lane::Bulk, head.clone()).with_body(body.clone());
            match pair.near.send(FAR, frame) {
                Ok(()) => sent += 1,
                Err(SendError::Full) => sleep(Duration::from_millis(1)).await,
                Err(error) => return Err(error.into()),
            }
        }
        yield_now().await;
    }
    while pair.arrived_far.count.load(Ordering::Acquire) < sent {
        sleep(Duration::from_micros(100)).await;
    }
    let rate = sent as f64 / begun.elapsed().as_secs_f64();
    pair.end().await?;
    Ok(rate)
}

async fn bind(node: NodeId, tally: Arc<Tally>) -> Outcome<Transport> {
    let config = Config::new(ClusterId(7), node, "127.0.0.1:0");
    Ok(Transport::bind_with(config, tally).await?)
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
