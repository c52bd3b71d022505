//! The real member behind the server.

use std::collections::BTreeMap;
use std::future::Future;

use bytes::Bytes;
use quorate_core::{Failure, NodeId, ReadLevel};
use quorate_node::{Node, NodeStatus};
use quorate_transport::{Direction, Fault};

use super::ServerConfig;
use super::member::{FaultKind, FaultOrder, Member};
use crate::KvStore;
use crate::store::Reply;

/// A [`Node`] and what is said about it.
#[derive(Clone, Debug)]
pub(crate) struct Backing {
    node: Node<KvStore>,
    protocol: &'static str,
    read_level: ReadLevel,
}

impl Backing {
    pub(crate) fn new(node: Node<KvStore>, config: &ServerConfig) -> Self {
        Self {
            node,
            protocol: config.protocol,
            read_level: config.read_level,
        }
    }

    /// Which links stand: a member counts as reached when every lane of it is.
    fn links(&self) -> String {
        let mut links = BTreeMap::new();
        for link in self.node.links() {
            let up = link.outgoing.connected_for.is_some();
            *links.entry(link.peer).or_insert(true) &= up;
        }
        let said = |(peer, up)| format!("{peer}={}", if up { "up" } else { "down" });
        links.into_iter().map(said).collect::<Vec<_>>().join(",")
    }
}

impl Member for Backing {
    fn propose(
        &self,
        command: Bytes,
    ) -> impl Future<Output = Result<Reply, Failure>> + Send + use<> {
        let fate = self.node.propose(command);
        let node = self.node.clone();
        async move {
            match fate.await {
                Ok(applied) => Ok(applied.reply),
                // A member without room does not lead: that is why nobody does, and what the operator can mend.
                Err(Failure::NotLeader { leader: None, .. }) if !has_room(&node) => {
                    Err(Failure::NoRoom)
                }
                Err(failure) => Err(failure),
            }
        }
    }

    fn read<R: Send + 'static>(
        &self,
        level: ReadLevel,
        query: impl FnOnce(&KvStore) -> R + Send + 'static,
    ) -> impl Future<Output = Result<R, Failure>> + Send {
        self.node.read(level, move |store, _| query(store))
    }

    async fn fields(&self) -> Vec<(&'static str, String)> {
        // Asked first, so that what the status says is at least as new.
        let digest = self.node.digest().await;
        let look = |store: &KvStore, _| (store.dbsize(), store.time());
        let store = self.node.read(ReadLevel::Local, look).await;
        let status = self.node.status().borrow().clone();
        let none = || "none".to_owned();
        let (applied, digest) = match digest {
            Ok(state) => (state.applied, format!("{:016x}", state.digest)),
            Err(_) => (status.applied, none()),
        };
        let (keys, log_time) = match store {
            Ok((keys, time)) => (keys.to_string(), time.as_millis().to_string()),
            Err(_) => (none(), none()),
        };
        let durability = status.journal.durability;
        let policy = format!(
            "{}/push/quorum/{}/{durability}",
            self.protocol, self.read_level
        );
        let mut fields = vec![
            ("role", status.log.role.to_string()),
            ("epoch", status.log.epoch.to_string()),
            (
                "leader",
                status
                    .log
                    .leader
                    .map_or_else(none, |leader| leader.to_string()),
            ),
            ("members", members(&status)),
            ("commit", status.log.committed.max(applied).to_string()),
            ("applied", applied.to_string()),
            ("digest", digest),
            ("policy", policy),
            ("durability", durability.to_string()),
            ("keys", keys),
            ("log_time", log_time),
            ("links", self.links()),
        ];
        fields.extend(details(&status));
        fields
    }

    fn peers(&self) -> Vec<NodeId> {
        let mut peers: Vec<_> = self.node.links().iter().map(|link| link.peer).collect();
        peers.sort_unstable();
        peers.dedup();
        peers
    }

    fn fault(&self, order: &FaultOrder) {
        let ways = [
            (order.inwards, Direction::In),
            (order.outwards, Direction::Out),
        ];
        let faults = self.node.faults();
        for peer in &order.peers {
            for (_, way) in ways.iter().filter(|(wanted, _)| *wanted) {
                match fault(order.kind) {
                    Some(fault) => faults.set(*peer, *way, fault),
                    None => faults.clear(*peer, *way),
                }
            }
        }
    }
}

fn has_room(node: &Node<KvStore>) -> bool {
    node.status().borrow().journal.has_room
}

fn members(status: &NodeStatus) -> String {
    let members: Vec<_> = status.members.iter().map(NodeId::to_string).collect();
    members.join(",")
}

/// What is good to know when something is wrong.
fn details(status: &NodeStatus) -> Vec<(&'static str, String)> {
    let NodeStatus {
        log, journal, load, ..
    } = status;
    let snapshot = status
        .snapshot
        .map_or(0, |snapshot| snapshot.position.get());
    let yes_no = |yes| if yes { "yes" } else { "no" }.to_owned();
    vec![
        ("id", status.id.to_string()),
        ("incarnation", format!("{:016x}", status.incarnation.get())),
        ("life", status.life.to_string()),
        ("leader_changes", status.leader_changes.to_string()),
        ("log_last", log.last.to_string()),
        ("log_durable", log.durable.to_string()),
        ("log_compacted", log.compacted.to_string()),
        ("log_bytes", log.bytes.to_string()),
        ("snapshot", snapshot.to_string()),
        ("journal_written", journal.written.to_string()),
        ("journal_durable", journal.durable.to_string()),
        (
            "journal_bytes_under_way",
            journal.bytes_under_way.to_string(),
        ),
        ("room", yes_no(journal.has_room)),
        ("commands_open", load.commands_open.to_string()),
        ("command_bytes_open", load.command_bytes_open.to_string()),
        ("reads_open", load.reads_open.to_string()),
        ("backlog_bytes", load.backlog_bytes.to_string()),
        ("parcels_lost", load.parcels_lost.to_string()),
        ("parcels_malformed", load.parcels_malformed.to_string()),
    ]
}

/// The transport's word for it; none: whole again.
fn fault(kind: FaultKind) -> Option<Fault> {
    Some(match kind {
        FaultKind::Cut => Fault::cut(),
        FaultKind::Hold => Fault::hold(),
        FaultKind::Drop(share) => Fault::loss(share),
        FaultKind::Delay(by) => Fault::delay(by),
        FaultKind::Clear => return None,
    })
}
