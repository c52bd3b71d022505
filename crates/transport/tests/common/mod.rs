//! What the tests of this folder share: small clusters, and waiting for a fact instead of for a time.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "every test binary uses its own share of this")]

use std::time::Duration;

use quorate_core::{ClusterId, Life, NodeId};
use quorate_transport::{Config, Frame, Incoming, Lane, MemoryNetwork, Received, Transport};
use tokio::time::{sleep, timeout};

pub(crate) const CLUSTER: ClusterId = ClusterId(7);
pub(crate) const LOOPBACK: &str = "127.0.0.1:0";

/// Longer than anything here takes; only a failure reaches it.
pub(crate) const LONG: Duration = Duration::from_secs(20);

pub(crate) fn config(node: u64) -> Config {
    Config::new(CLUSTER, NodeId(node), LOOPBACK)
}

pub(crate) fn lived(node: u64, life: u64) -> Config {
    Config {
        life: Life(life),
        ..config(node)
    }
}

/// Members 1 and 2 over TCP, connected both ways.
pub(crate) async fn pair() -> [(Transport, Incoming); 2] {
    pair_of(config(1), config(2)).await
}

pub(crate) async fn pair_of(one: Config, two: Config) -> [(Transport, Incoming); 2] {
    let (a, from_b) = Transport::bind(one).await.unwrap();
    let (b, from_a) = Transport::bind(two).await.unwrap();
    a.set_peer(NodeId(2), b.address());
    b.set_peer(NodeId(1), a.address());
    connected(&a, 2).await;
    connected(&b, 1).await;
    [(a, from_b), (b, from_a)]
}

/// Members 1 and 2 of a network in memory, connected both ways.
pub(crate) async fn memory_pair() -> [(Transport, Incoming); 2] {
    memory_pair_of(|_| ()).await
}

pub(crate) async fn memory_pair_of(change: impl Fn(&mut Config)) -> [(Transport, Incoming); 2] {
    let network = MemoryNetwork::new();
    let member = |node: u64, other: u64| {
        let mut config = Config::new(CLUSTER, NodeId(node), format!("member-{node}"));
        config
            .peers
            .insert(NodeId(other), format!("member-{other}"));
        change(&mut config);
        network.bind(config)
    };
    let (a, b) = (member(1, 2).await.unwrap(), member(2, 1).await.unwrap());
    connected(&a.0, 2).await;
    connected(&b.0, 1).await;
    [a, b]
}

/// Waits until both lanes to `peer` take frames.
pub(crate) async fn connected(transport: &Transport, peer: u64) {
    let peer = NodeId(peer);
    let up = || {
        Lane::ALL
            .iter()
            .all(|lane| transport.is_connected(peer, *lane))
    };
    until(&format!("connected to {peer}"), up).await;
}

pub(crate) async fn until(what: &str, mut fact: impl FnMut() -> bool) {
    let waiting = async {
        while !fact() {
            sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(
        timeout(LONG, waiting).await.is_ok(),
        "never came true: {what}"
    );
}

pub(crate) async fn next(incoming: &mut Incoming) -> Received {
    timeout(LONG, incoming.recv())
        .await
        .expect("a payload arrives")
        .expect("not stopped")
}

pub(crate) fn control(number: u64) -> Frame {
    Frame::new(Lane::Control, number.to_le_bytes().to_vec())
}

pub(crate) fn bulk(number: u64, bytes: usize) -> Frame {
    Frame::new(Lane::Bulk, number.to_le_bytes().to_vec()).with_body(vec![0xab; bytes])
}

pub(crate) fn number(received: &Received) -> u64 {
    u64::from_le_bytes(received.payload[..8].try_into().unwrap())
}

/// A control frame as docs/transport.md has it, by hand.
pub(crate) fn raw_frame(payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_le_bytes().to_vec();
    bytes.extend([1, 0, 0, 0]);
    bytes.extend(crc32c::crc32c(payload).to_le_bytes());
    bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
    bytes.extend(payload);
    bytes
}
