//! Members that call without being known (`Config::strangers_max`).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use common::*;
use quorate_core::{Incarnation, NodeId};
use quorate_transport::{
    Config, Denial, Doorkeeper, Event, HandshakeError, Incoming, Lane, LinkError, Received, Sink,
    Transport,
};

/// Members 1 and 2: the first is told where the second is, the second knows nobody.
async fn one_knows_two(strangers_max: usize) -> [(Transport, Incoming); 2] {
    let (a, from_b) = Transport::bind(config(1)).await.unwrap();
    let open = Config {
        strangers_max,
        ..config(2)
    };
    let (b, from_a) = Transport::bind(open).await.unwrap();
    a.set_peer(NodeId(2), b.address());
    [(a, from_b), (b, from_a)]
}

#[tokio::test]
async fn a_stranger_of_the_cluster_is_answered_where_it_says_it_is_and_forgotten_when_it_goes() {
    let [(a, mut from_b), (b, mut from_a)] = one_knows_two(4).await;
    connected(&a, 2).await;
    a.send(NodeId(2), control(1)).unwrap();
    assert_eq!(next(&mut from_a).await.from, NodeId(1));
    // 1 knows 2, so that 2 is let in there; 2 dials the address in the hello.
    connected(&b, 1).await;
    assert!(b.links().iter().all(|link| link.stranger));
    b.send(NodeId(1), control(2)).unwrap();
    assert_eq!(number(&next(&mut from_b).await), 2);
    a.remove_peer(NodeId(2));
    until("1 is forgotten", || b.links().is_empty()).await;
}

#[tokio::test]
async fn a_stranger_that_becomes_a_peer_stays_when_it_goes() {
    let [(a, _from_b), (b, _from_a)] = one_knows_two(4).await;
    connected(&a, 2).await;
    b.set_peer(NodeId(1), "");
    assert!(b.links().iter().all(|link| !link.stranger));
    // No address was given: it is the one that 1 has told.
    connected(&b, 1).await;
    a.shutdown(Duration::ZERO).await;
    until("the end is seen", || !b.is_connected(NodeId(1), Lane::Bulk)).await;
    assert_eq!(b.links().len(), 2);
}

#[tokio::test]
async fn no_more_strangers_are_let_in_than_there_is_room_for() {
    let (b, _incoming) = Transport::bind(Config {
        strangers_max: 1,
        ..config(9)
    })
    .await
    .unwrap();
    let mut first = config(1);
    first.peers.insert(NodeId(9), b.address().to_owned());
    let (first, _) = Transport::bind(first).await.unwrap();
    connected(&first, 9).await;
    let mut second = config(2);
    second.peers.insert(NodeId(9), b.address().to_owned());
    let (second, _) = Transport::bind(second).await.unwrap();
    until("the second is refused", || b.count(Event::WrongMember) > 0).await;
    assert!(!second.is_connected(NodeId(9), Lane::Control));
    // Its place is free once the first has gone.
    first.shutdown(Duration::ZERO).await;
    connected(&second, 9).await;
    assert_eq!(b.links().len(), 2);
}

/// Takes everything.
struct Nowhere;

impl Sink for Nowhere {
    fn poll_deliver(
        &self,
        _: &mut Context<'_>,
        slot: &mut Option<Received>,
    ) -> Poll<ControlFlow<()>> {
        *slot = None;
        Poll::Ready(ControlFlow::Continue(()))
    }
}

/// Remembers in memory; tells who disowned this member.
#[derive(Default)]
struct Book {
    met: Mutex<BTreeMap<NodeId, Incarnation>>,
    disowned_by: Mutex<Vec<NodeId>>,
}

impl Doorkeeper for Book {
    fn admit(&self, id: NodeId, incarnation: Incarnation) -> Result<(), Denial> {
        let mut met = self.met.lock().unwrap();
        let known = *met.entry(id).or_insert(incarnation);
        drop(met);
        self.recognise(id, incarnation)
            .map_err(|_| Denial::OtherDisk { known })
    }

    fn recognise(&self, id: NodeId, incarnation: Incarnation) -> Result<(), Denial> {
        match self.met.lock().unwrap().get(&id) {
            Some(known) if *known != incarnation => Err(Denial::OtherDisk { known: *known }),
            _ => Ok(()),
        }
    }

    fn on_disowned(&self, by: NodeId) {
        self.disowned_by.lock().unwrap().push(by);
    }
}

#[tokio::test]
async fn a_member_that_comes_back_with_another_disk_is_refused_and_told_so() {
    let book = Arc::new(Book::default());
    let b = Transport::bind_guarded(config(2), Arc::new(Nowhere), Arc::clone(&book) as _);
    let b = b.await.unwrap();
    b.set_peer(NodeId(1), "");
    let member = |life: u64, disk: u64| {
        let mut config = lived(1, life);
        config.incarnation = Incarnation(disk);
        config.peers.insert(NodeId(2), b.address().to_owned());
        config
    };
    let (first, _) = Transport::bind(member(1, 11)).await.unwrap();
    connected(&first, 2).await;
    connected(&b, 1).await;
    first.shutdown(Duration::ZERO).await;

    let own = Arc::new(Book::default());
    let second = Transport::bind_guarded(member(2, 12), Arc::new(Nowhere), Arc::clone(&own) as _);
    let second = second.await.unwrap();
    b.set_peer(NodeId(1), second.address());
    until("it is told", || !own.disowned_by.lock().unwrap().is_empty()).await;
    assert!(!second.is_connected(NodeId(2), Lane::Control));
    until("seen where it is dialled, too", || {
        b.links().iter().all(|link| {
            matches!(
                link.outgoing.last_error,
                Some(LinkError::Handshake(HandshakeError::OtherDisk { .. }))
            )
        })
    })
    .await;
    assert!(!b.is_connected(NodeId(1), Lane::Control));
    second.shutdown(Duration::ZERO).await;

    let (third, _) = Transport::bind(member(3, 11)).await.unwrap();
    connected(&third, 2).await;
}
