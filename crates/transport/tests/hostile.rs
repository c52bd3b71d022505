//! Peers that are broken or mean: each costs itself its connection, and the others nothing
//! (`RELIABILITY` N1, N2). The hellos and frames here are written by hand, after docs/transport.md.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::*;
use quorate_core::NodeId;
use quorate_transport::{Config, Event, Incoming, Lane, SendError, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// A hello as docs/transport.md has it.
struct RawHello {
    versions: [u8; 2],
    lane: u8,
    numbers: [u64; 6],
}

impl RawHello {
    /// Member 1 calls member 2: cluster, from, to, incarnation, life, dial.
    fn good(lane: u8, dial: u64) -> Self {
        Self {
            versions: [1, 1],
            lane,
            numbers: [CLUSTER.get(), 1, 2, 1, 1, dial],
        }
    }

    fn bytes(&self, mark: [u8; 8]) -> Vec<u8> {
        self.bytes_with(mark, 0)
    }

    /// With the length of an address.
    fn bytes_with(&self, mark: [u8; 8], address: u16) -> Vec<u8> {
        let mut bytes = mark.to_vec();
        bytes.extend([self.versions[0], self.versions[1], self.lane, 0]);
        bytes.extend(self.numbers.iter().flat_map(|number| number.to_le_bytes()));
        bytes.extend(address.to_le_bytes());
        bytes.extend([0; 2]);
        bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }
}

/// Connects to `target` and says hello; returns the stream and the verdict.
async fn call(target: &Transport, hello: &RawHello) -> (TcpStream, u8) {
    let mut stream = TcpStream::connect(target.address()).await.unwrap();
    stream.write_all(&hello.bytes(*b"QUORATE>")).await.unwrap();
    let mut answer = [0; 68];
    timeout(LONG, stream.read_exact(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&answer[..8], b"QUORATE<");
    (stream, answer[11])
}

/// The other side closes: end of stream or a reset, after beats at most.
async fn closed(stream: &mut TcpStream) {
    let mut rest = [0; 256];
    let reading = async { while matches!(stream.read(&mut rest).await, Ok(1..)) {} };
    assert!(
        timeout(LONG, reading).await.is_ok(),
        "the connection stays open"
    );
}

/// Member 2, that knows a member 1 which nobody is.
async fn target(change: impl FnOnce(&mut Config)) -> (Transport, Incoming) {
    let mut config = config(2);
    change(&mut config);
    let (b, incoming) = Transport::bind(config).await.unwrap();
    b.set_peer(NodeId(1), "127.0.0.1:1");
    (b, incoming)
}

#[tokio::test]
async fn a_hand_made_hello_and_frame_are_understood() {
    let (b, mut incoming) = target(|_| ()).await;
    let (mut stream, verdict) = call(&b, &RawHello::good(0, 1)).await;
    assert_eq!(verdict, 0);
    stream.write_all(&raw_frame(b"by hand")).await.unwrap();
    let received = next(&mut incoming).await;
    assert_eq!((received.from, received.lane), (NodeId(1), Lane::Control));
    assert_eq!(&received.payload[..], b"by hand");
}

#[tokio::test]
async fn every_kind_of_wrong_hello_has_its_verdict_and_its_count() {
    let (b, _incoming) = target(|_| ()).await;
    let change = |place: usize, to: u64| {
        let mut hello = RawHello::good(0, 1);
        hello.numbers[place] = to;
        hello
    };
    let version = RawHello {
        versions: [2, 9],
        ..RawHello::good(0, 1)
    };
    let seated = call(&b, &change(4, 5)).await;
    assert_eq!(seated.1, 0, "life 5 is welcome");
    let wrong = [
        (change(0, 99), 1, Event::WrongCluster),
        (change(2, 3), 2, Event::WrongMember),
        (change(1, 8), 3, Event::WrongMember),
        (version, 4, Event::WrongVersion),
        (change(1, 2), 5, Event::WrongMember),
        (change(4, 4), 6, Event::PastLife),
        (change(4, 5), 7, Event::PastLife),
        (
            RawHello {
                numbers: [CLUSTER.get(), 1, 2, 6, 5, 2],
                ..RawHello::good(0, 2)
            },
            8,
            Event::WrongMember,
        ),
    ];
    for (hello, verdict, event) in wrong {
        let before = b.count(event);
        let (mut stream, said) = call(&b, &hello).await;
        assert_eq!(said, verdict, "{event:?}");
        closed(&mut stream).await;
        until("it is counted", || b.count(event) == before + 1).await;
    }
    assert_eq!(b.count(Event::Welcomed), 1);
}

#[tokio::test]
async fn an_address_behind_a_hello_is_checked_before_it_is_believed() {
    let listener = TcpListener::bind(LOOPBACK).await.unwrap();
    let told = listener.local_addr().unwrap().to_string();
    let (b, _incoming) = target(|config| config.strangers_max = 1).await;
    b.remove_peer(NodeId(1));
    let say = async |address: &[u8], length: u16, checksum: u32| {
        let mut stream = TcpStream::connect(b.address()).await.unwrap();
        let mut bytes = RawHello::good(0, 1).bytes_with(*b"QUORATE>", length);
        bytes.extend(address);
        bytes.extend(checksum.to_le_bytes());
        stream.write_all(&bytes).await.unwrap();
        stream
    };
    let sum = crc32c::crc32c(told.as_bytes());
    let strange = b"a\nb";
    let long = vec![b'x'; 300];
    let wrong: [(&[u8], u16, u32); 3] = [
        (told.as_bytes(), told.len() as u16, sum ^ 1),
        (strange, 3, crc32c::crc32c(strange)),
        (&long, 300, crc32c::crc32c(&long)),
    ];
    for (number, (address, length, checksum)) in (1..).zip(wrong) {
        closed(&mut say(address, length, checksum).await).await;
        until("counted", || b.count(Event::BadHandshake) == number).await;
    }
    assert!(b.links().is_empty());
    let mut good = say(told.as_bytes(), told.len() as u16, sum).await;
    let mut answer = [0; 68];
    good.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer[11], 0, "welcome");
    let (mut back, _) = timeout(LONG, listener.accept()).await.unwrap().unwrap();
    back.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer[..8], b"QUORATE>");
}

#[tokio::test]
async fn noise_lengths_and_checksums_end_the_connection_and_deliver_nothing() {
    let (b, mut incoming) = target(|_| ()).await;
    let mut dial = 0;
    let mut flipped = raw_frame(b"payload");
    flipped[20] ^= 1;
    let mut oversized = raw_frame(b"");
    oversized[..4].copy_from_slice(&u32::MAX.to_le_bytes());
    let own = crc32c::crc32c(&oversized[..12]).to_le_bytes();
    oversized[12..].copy_from_slice(&own);
    let mut wrong_lane = raw_frame(b"");
    wrong_lane[5] = 1;
    let own = crc32c::crc32c(&wrong_lane[..12]).to_le_bytes();
    wrong_lane[12..].copy_from_slice(&own);
    for bytes in [vec![0x5a; 64], flipped, oversized, wrong_lane] {
        dial += 1;
        let (mut stream, verdict) = call(&b, &RawHello::good(0, dial)).await;
        assert_eq!(verdict, 0);
        stream.write_all(&bytes).await.unwrap();
        closed(&mut stream).await;
        until("counted", || b.count(Event::BadFrame) == dial).await;
    }
    let mut noise = TcpStream::connect(b.address()).await.unwrap();
    noise.write_all(&[b'G'; 200]).await.unwrap();
    closed(&mut noise).await;
    let mut altered = RawHello::good(0, 9).bytes(*b"QUORATE>");
    altered[30] ^= 4;
    let mut stream = TcpStream::connect(b.address()).await.unwrap();
    stream.write_all(&altered).await.unwrap();
    closed(&mut stream).await;
    until("counted", || b.count(Event::BadHandshake) == 2).await;
    assert!(incoming.try_recv().is_none());
}

#[tokio::test]
async fn a_slow_handshake_is_cut_off() {
    let quick = |config: &mut Config| {
        config.timing.handshake_timeout = Duration::from_millis(100);
    };
    let (b, _incoming) = target(quick).await;
    let mut stream = TcpStream::connect(b.address()).await.unwrap();
    stream
        .write_all(&RawHello::good(0, 1).bytes(*b"QUORATE>")[..40])
        .await
        .unwrap();
    closed(&mut stream).await;
    assert_eq!(b.count(Event::SlowHandshake), 1);
}

#[tokio::test]
async fn a_crowd_that_says_nothing_does_not_keep_a_good_peer_out() {
    let (b, _incoming) = target(|config| config.handshakes_max = 8).await;
    let mut crowd = Vec::new();
    for _ in 0..100 {
        crowd.push(TcpStream::connect(b.address()).await.unwrap());
    }
    let (_good, verdict) = call(&b, &RawHello::good(0, 1)).await;
    assert_eq!(verdict, 0);
    assert!(
        b.count(Event::Crowded) >= 92,
        "{} pushed out",
        b.count(Event::Crowded)
    );
    for stream in &mut crowd[..90] {
        closed(stream).await;
    }
}

#[tokio::test]
async fn a_storm_of_reconnects_leaves_one_connection_and_the_last() {
    let (b, mut incoming) = target(|_| ()).await;
    let mut streams = Vec::new();
    for dial in 1..=300 {
        let (mut stream, verdict) = call(&b, &RawHello::good(0, dial)).await;
        assert_eq!(verdict, 0);
        stream
            .write_all(&raw_frame(&dial.to_le_bytes()))
            .await
            .unwrap();
        streams.push(stream);
    }
    let mut last = streams.pop().unwrap();
    for stream in &mut streams {
        closed(stream).await;
    }
    last.write_all(&raw_frame(&301u64.to_le_bytes()))
        .await
        .unwrap();
    let mut latest = 0;
    while latest < 301 {
        let number = number(&next(&mut incoming).await);
        assert!(number > latest, "{number} after {latest}");
        latest = number;
    }
    assert_eq!(b.count(Event::Replaced), 299);
}

#[tokio::test]
async fn half_open_connections_die_of_their_silence_on_both_sides() {
    let impatient = |config: &mut Config| {
        config.timing.beat_every = Duration::from_millis(20);
        config.timing.silence_max = Duration::from_millis(200);
    };
    let (b, mut incoming) = target(impatient).await;
    let (mut stream, verdict) = call(&b, &RawHello::good(1, 1)).await;
    assert_eq!(verdict, 0);
    closed(&mut stream).await;
    until("the reader gave up", || b.count(Event::Silent) == 1).await;
    // And one that welcomes the other's dial, and then never says a word.
    let listener = TcpListener::bind(LOOPBACK).await.unwrap();
    b.set_peer(NodeId(1), listener.local_addr().unwrap().to_string());
    let (mut stream, _) = listener.accept().await.unwrap();
    welcome_by_hand(&mut stream, 1).await;
    until("the writer gave up", || b.count(Event::Silent) == 2).await;
    closed(&mut stream).await;
    assert!(incoming.try_recv().is_none());
}

/// Answers a hello as `node` would; returns a beat of that lane.
async fn welcome_by_hand(stream: &mut TcpStream, node: u64) -> Vec<u8> {
    let mut hello = [0; 68];
    stream.read_exact(&mut hello).await.unwrap();
    let number = |at: usize| u64::from_le_bytes(hello[at..at + 8].try_into().unwrap());
    let numbers = [CLUSTER.get(), node, number(20), 1, 1, number(52)];
    let answer = RawHello {
        versions: [1, 1],
        lane: hello[10],
        numbers,
    };
    stream.write_all(&answer.bytes(*b"QUORATE<")).await.unwrap();
    let mut beat = vec![0, 0, 0, 0, 1, hello[10], 1, 0, 0, 0, 0, 0];
    beat.extend(crc32c::crc32c(&beat).to_le_bytes());
    beat
}

#[tokio::test]
async fn a_peer_that_reads_nothing_fills_its_outbox_and_loses_its_connection() {
    let listener = TcpListener::bind(LOOPBACK).await.unwrap();
    let mut config = config(1);
    config.bulk.frame_bytes_max = 1 << 20;
    config.bulk.outbox_bytes_max = 4 << 20;
    config.timing.beat_every = Duration::from_millis(50);
    config.timing.stall_max = Duration::from_millis(400);
    config
        .peers
        .insert(NodeId(2), listener.local_addr().unwrap().to_string());
    let (a, _incoming) = Transport::bind(config).await.unwrap();
    // Welcomes both lanes, keeps saying that it lives, reads no frame.
    let peer = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let beat = welcome_by_hand(&mut stream, 2).await;
                while stream.write_all(&beat).await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            });
        }
    });
    connected(&a, 2).await;
    let mut full = 0;
    until("it is given up", || {
        full += u64::from(a.send(NodeId(2), bulk(0, 500_000)) == Err(SendError::Full));
        let link = a
            .links()
            .into_iter()
            .find(|link| link.lane == Lane::Bulk)
            .unwrap();
        assert!(
            link.bytes_waiting <= 4 << 20,
            "{} bytes wait",
            link.bytes_waiting
        );
        a.count(Event::Stalled) >= 1
    })
    .await;
    assert!(full > 0);
    assert_eq!(a.count(Event::Silent), 0);
    peer.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_link_goes_on_while_its_listener_is_attacked() {
    let [(a, _from_b), (b, mut from_a)] = pair().await;
    let address = b.address().to_owned();
    let attack = tokio::spawn(async move {
        let mut rng = quorate_core::Rng::new(99);
        for _ in 0..300 {
            let Ok(mut stream) = TcpStream::connect(&address).await else {
                continue;
            };
            let mut bytes = match rng.below(3) {
                0 => Vec::new(),
                1 => b"QUORATE>".to_vec(),
                _ => RawHello::good(rng.below(3) as u8, 0).bytes(*b"QUORATE>"),
            };
            bytes.extend((0..rng.below(200)).map(|_| rng.below(256) as u8));
            let _ = stream.write_all(&bytes).await;
        }
    });
    let mut expected = 0;
    for count in 0..20_000 {
        until("there is room", || {
            a.send(NodeId(2), control(count)).is_ok()
        })
        .await;
        while let Some(received) = from_a.try_recv() {
            assert_eq!(number(&received), expected);
            expected += 1;
        }
    }
    attack.await.unwrap();
    while expected < 20_000 {
        assert_eq!(number(&next(&mut from_a).await), expected);
        expected += 1;
    }
    assert!(b.count(Event::BadHandshake) > 50);
    assert!(b.links().iter().all(|link| link.incoming.connects == 1));
}
