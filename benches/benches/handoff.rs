//! quorate-handoff beside what tokio and std offer for the same hand-over.
//!
//! Run with `cargo bench -p quorate-benches --bench handoff`. Each figure is the time for a whole run,
//! and criterion's throughput line is items handed over a second.
#![allow(missing_docs, reason = "criterion's macros generate the public items")]

use std::future::Future;
use std::hint::black_box;
use std::sync::mpsc as std_mpsc;
use std::thread;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use quorate_handoff::{BatchReceiver, BatchSender, batch_queue, watermark};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};

/// A command as it would travel: a shared batch's address and a few numbers.
type Item = [u64; 4];

/// Room in items; every item weighs one in the batch queue, so that all bounds are equal.
const ROOM: usize = 4096;
const ITEMS: u64 = 200_000;

/// An asynchronous hand-over from many producers to one consumer.
trait Lane {
    const NAME: &str;
    type Sender: Clone + Send + 'static;
    type Receiver: Send + 'static;
    fn open() -> (Self::Sender, Self::Receiver);
    fn send(sender: &mut Self::Sender, item: Item) -> impl Future<Output = ()> + Send;
    /// Sleeps until there is something, takes what there is; 0 once all senders are gone.
    fn receive(
        receiver: &mut Self::Receiver,
        batch: &mut Vec<Item>,
    ) -> impl Future<Output = usize> + Send;
}

struct Batch;

impl Lane for Batch {
    const NAME: &str = "batch_queue";
    type Sender = BatchSender<Item>;
    type Receiver = BatchReceiver<Item>;
    fn open() -> (Self::Sender, Self::Receiver) {
        batch_queue(ROOM)
    }
    async fn send(sender: &mut Self::Sender, item: Item) {
        sender
            .push_when_room(item, 1)
            .await
            .expect("the consumer outlives the producers");
    }
    async fn receive(receiver: &mut Self::Receiver, batch: &mut Vec<Item>) -> usize {
        match receiver.ready().await {
            Ok(()) => receiver.take(batch),
            Err(_closed) => 0,
        }
    }
}

struct TokioBounded;

impl Lane for TokioBounded {
    const NAME: &str = "tokio_bounded";
    type Sender = mpsc::Sender<Item>;
    type Receiver = mpsc::Receiver<Item>;
    fn open() -> (Self::Sender, Self::Receiver) {
        mpsc::channel(ROOM)
    }
    async fn send(sender: &mut Self::Sender, item: Item) {
        sender
            .send(item)
            .await
            .expect("the consumer outlives the producers");
    }
    async fn receive(receiver: &mut Self::Receiver, batch: &mut Vec<Item>) -> usize {
        receiver.recv_many(batch, ROOM).await
    }
}

struct TokioUnbounded;

impl Lane for TokioUnbounded {
    const NAME: &str = "tokio_unbounded";
    type Sender = mpsc::UnboundedSender<Item>;
    type Receiver = mpsc::UnboundedReceiver<Item>;
    fn open() -> (Self::Sender, Self::Receiver) {
        mpsc::unbounded_channel()
    }
    async fn send(sender: &mut Self::Sender, item: Item) {
        sender
            .send(item)
            .expect("the consumer outlives the producers");
    }
    async fn receive(receiver: &mut Self::Receiver, batch: &mut Vec<Item>) -> usize {
        receiver.recv_many(batch, ROOM).await
    }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("a runtime can be built")
}

/// Producer tasks send `ITEMS` together; the consumer task adds them up.
async fn transfer<L: Lane + 'static>(producers: u64) -> u64 {
    let (sender, mut receiver) = L::open();
    for _ in 0..producers {
        tokio::spawn(produce::<L>(sender.clone(), ITEMS / producers));
    }
    drop(sender);
    let consumer = tokio::spawn(async move {
        let mut batch = Vec::with_capacity(ROOM);
        let mut sum = 0;
        while L::receive(&mut receiver, &mut batch).await > 0 {
            sum += batch.drain(..).map(|item| item[0]).sum::<u64>();
        }
        sum
    });
    consumer.await.expect("the consumer does not panic")
}

async fn produce<L: Lane>(mut sender: L::Sender, count: u64) {
    for n in 0..count {
        L::send(&mut sender, [n; 4]).await;
    }
}

/// The same with threads on both sides: std's channel has no asynchronous end.
fn transfer_std(producers: u64) -> u64 {
    let (sender, receiver) = std_mpsc::sync_channel::<Item>(ROOM);
    let threads: Vec<_> = (0..producers)
        .map(|_| {
            let sender = sender.clone();
            thread::spawn(move || {
                for n in 0..ITEMS / producers {
                    sender
                        .send([n; 4])
                        .expect("the consumer outlives the producers");
                }
            })
        })
        .collect();
    drop(sender);
    let sum = receiver.iter().map(|item| item[0]).sum();
    for thread in threads {
        thread.join().expect("a producer does not panic");
    }
    sum
}

fn throughput(c: &mut Criterion) {
    let mut group = c.benchmark_group("handoff/throughput");
    group
        .throughput(Throughput::Elements(ITEMS))
        .sample_size(20);
    for producers in [1, 4] {
        throughput_of::<Batch>(&mut group, producers);
        throughput_of::<TokioBounded>(&mut group, producers);
        throughput_of::<TokioUnbounded>(&mut group, producers);
        group.bench_function(BenchmarkId::new("std_sync_channel", producers), |b| {
            b.iter(|| black_box(transfer_std(producers)));
        });
    }
    group.finish();
}

type Group<'a> = criterion::BenchmarkGroup<'a, criterion::measurement::WallTime>;

fn throughput_of<L: Lane + 'static>(group: &mut Group<'_>, producers: u64) {
    let runtime = runtime();
    group.bench_function(BenchmarkId::new(L::NAME, producers), |b| {
        b.iter(|| black_box(runtime.block_on(transfer::<L>(producers))));
    });
}

/// Producer and consumer in turn on one thread: the bare cost of an item, 64 to a turn.
fn uncontended(c: &mut Criterion) {
    const TURN: u64 = 64;
    let mut group = c.benchmark_group("handoff/uncontended");
    group.throughput(Throughput::Elements(TURN));
    uncontended_of::<Batch>(&mut group, TURN);
    uncontended_of::<TokioBounded>(&mut group, TURN);
    uncontended_of::<TokioUnbounded>(&mut group, TURN);
    group.finish();
}

fn uncontended_of<L: Lane>(group: &mut Group<'_>, turn: u64) {
    let runtime = Builder::new_current_thread()
        .build()
        .expect("a runtime can be built");
    group.bench_function(L::NAME, |b| {
        b.iter_custom(|turns| {
            runtime.block_on(async {
                let (mut sender, mut receiver) = L::open();
                let mut batch = Vec::with_capacity(ROOM);
                let begin = Instant::now();
                for n in 0..turns {
                    for _ in 0..turn {
                        L::send(&mut sender, [n; 4]).await;
                    }
                    black_box(L::receive(&mut receiver, &mut batch).await);
                    batch.clear();
                }
                begin.elapsed()
            })
        });
    });
}

/// Two tasks that sleep until the other has spoken: one round trip.
fn ping_pong(c: &mut Criterion) {
    let mut group = c.benchmark_group("handoff/ping_pong");
    ping_pong_of::<Batch>(&mut group);
    ping_pong_of::<TokioBounded>(&mut group);
    ping_pong_of::<TokioUnbounded>(&mut group);
    group.finish();
}

fn ping_pong_of<L: Lane + 'static>(group: &mut Group<'_>) {
    let runtime = runtime();
    group.bench_function(L::NAME, |b| {
        b.iter_custom(|rounds| runtime.block_on(round_trips::<L>(rounds)));
    });
}

async fn round_trips<L: Lane + 'static>(rounds: u64) -> Duration {
    let (mut question, mut questions) = L::open();
    let (mut answer, mut answers) = L::open();
    tokio::spawn(async move {
        let mut batch = Vec::with_capacity(ROOM);
        while L::receive(&mut questions, &mut batch).await > 0 {
            L::send(&mut answer, batch[0]).await;
            batch.clear();
        }
    });
    let asker = tokio::spawn(async move {
        let mut batch = Vec::with_capacity(ROOM);
        let begin = Instant::now();
        for n in 0..rounds {
            L::send(&mut question, [n; 4]).await;
            L::receive(&mut answers, &mut batch).await;
            batch.clear();
        }
        begin.elapsed()
    });
    asker.await.expect("the asker does not panic")
}

/// What the journal thread pays for a mark that the core picks up in its next turn.
fn mark_published(c: &mut Criterion) {
    let mut group = c.benchmark_group("handoff/mark_published");
    group.bench_function("watermark", |b| {
        let (mut publisher, mut observer) = watermark(0);
        let mut mark = 0;
        b.iter(|| {
            mark += 1;
            publisher.publish(mark);
            black_box(observer.observe())
        });
    });
    group.bench_function("tokio_watch", |b| {
        let (sender, mut receiver) = watch::channel(0_u64);
        let mut mark = 0;
        b.iter(|| {
            mark += 1;
            sender.send_if_modified(|known| raise(known, mark));
            black_box(
                receiver
                    .has_changed()
                    .map(|_| *receiver.borrow_and_update()),
            )
        });
    });
    group.finish();
}

fn raise(known: &mut u64, mark: u64) -> bool {
    let risen = mark > *known;
    *known = mark.max(*known);
    risen
}

/// A task asks a thread, by the same std channel each time, and sleeps until the mark has risen.
fn mark_awaited(c: &mut Criterion) {
    let mut group = c.benchmark_group("handoff/mark_awaited");
    let runtime = Builder::new_current_thread()
        .build()
        .expect("a runtime can be built");
    group.bench_function("watermark", |b| {
        b.iter_custom(|rounds| {
            let (mut publisher, mut observer) = watermark(0);
            let publish = move |mark| publisher.publish(mark);
            let risen = async move || observer.risen().await.expect("the thread lives");
            runtime.block_on(asked_and_awaited(rounds, publish, risen))
        });
    });
    group.bench_function("tokio_watch", |b| {
        b.iter_custom(|rounds| {
            let (sender, mut receiver) = watch::channel(0);
            let publish = move |mark| {
                sender.send_if_modified(|known| raise(known, mark));
            };
            let risen = async move || {
                receiver.changed().await.expect("the thread lives");
                *receiver.borrow_and_update()
            };
            runtime.block_on(asked_and_awaited(rounds, publish, risen))
        });
    });
    group.finish();
}

async fn asked_and_awaited(
    rounds: u64,
    mut publish: impl FnMut(u64) + Send + 'static,
    mut risen: impl AsyncFnMut() -> u64,
) -> Duration {
    let (asked, asks) = std_mpsc::channel();
    let journal = thread::spawn(move || {
        for mark in asks {
            publish(mark);
        }
    });
    let begin = Instant::now();
    for mark in 1..=rounds {
        asked.send(mark).expect("the thread listens");
        black_box(risen().await);
    }
    let elapsed = begin.elapsed();
    drop(asked);
    journal.join().expect("the thread does not panic");
    elapsed
}

criterion_group!(
    handoff,
    uncontended,
    throughput,
    ping_pong,
    mark_published,
    mark_awaited
);
criterion_main!(handoff);
