//! The real member behind the server.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use quorate_core::{Failure, LinkStatus, NodeId, Policy, ReadCall, ReadStamp, SessionId};
use quorate_journal::Slowness;
use quorate_node::{Applied, Node, NodeStatus, OrderError, Promoted};
use quorate_transport::{Direction, Fault, LinkStatus as LaneStatus};

use super::ServerConfig;
use super::member::{FaultKind, FaultOrder, LinkFaultOrder, Member};
use super::members::{MemberOrder, Ordered};
use super::order::{DirectOrder, PromoteOrder};
use super::overview::{Overview, voters};
use crate::KvStore;
use crate::store::Reply;

/// A [`Node`] and what is said about it.
#[derive(Clone, Debug)]
pub(crate) struct Backing {
    node: Node<KvStore>,
    policy: Policy,
    disk: Slowness,
}

impl Backing {
    pub(crate) fn new(node: Node<KvStore>, config: &ServerConfig, disk: Slowness) -> Self {
        Self {
            node,
            policy: config.policy,
            disk,
        }
    }

    /// The policy in force: its strategy is the one that all links were last given, if they have one in common.
    fn policy_over(&self, flows: &[LinkStatus]) -> Policy {
        let mut directions = flows.iter().map(|link| link.direction);
        let first = directions
            .next()
            .filter(|first| directions.all(|direction| direction == *first));
        Policy {
            strategy: first.unwrap_or(self.policy.strategy),
            ..self.policy
        }
    }

    async fn flows(&self) -> Vec<LinkStatus> {
        // A member that has stopped has none.
        self.node.flows().await.unwrap_or_default()
    }

    /// What this member has sent to others since its start, the beats of the links and all headers included.
    fn traffic(&self) -> [(&'static str, String); 2] {
        let links = self.node.links();
        let sum = |what: fn(&LaneStatus) -> u64| links.iter().map(what).sum::<u64>().to_string();
        [
            ("frames_sent", sum(|link| link.frames_sent)),
            ("bytes_sent", sum(|link| link.bytes_sent)),
        ]
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
        place: Option<(SessionId, u64)>,
        command: Bytes,
    ) -> impl Future<Output = Result<Applied<Reply>, Failure>> + Send + use<> {
        // Nobody says what a client of this protocol has received: old replies go by themselves.
        let fate = self
            .node
            .propose_at(place.map(|(id, sequence)| (id, sequence, 0)), command);
        let node = self.node.clone();
        async move {
            match fate.await {
                // A member without room does not lead: that is why nobody does, and what the operator can mend.
                Err(Failure::NotLeader { leader: None, .. }) if !has_room(&node) => {
                    Err(Failure::NoRoom)
                }
                fate => fate,
            }
        }
    }

    async fn open_session(&self, ttl: Duration) -> Result<SessionId, Failure> {
        self.node.open_session(ttl).await
    }

    async fn close_session(&self, session: SessionId) -> Result<(), Failure> {
        self.node.close_session(session).await
    }

    fn read<R: Send + 'static>(
        &self,
        call: ReadCall,
        query: impl FnOnce(&KvStore) -> R + Send + 'static,
    ) -> impl Future<Output = Result<(R, ReadStamp), Failure>> + Send {
        self.node
            .read(call, move |store, stamp| (query(store), stamp))
    }

    async fn fields(&self) -> Vec<(&'static str, String)> {
        // Asked first, so that what the status says is at least as new.
        let digest = self.node.digest().await;
        let look = |store: &KvStore, _| (store.dbsize(), store.time());
        let store = self.node.inspect(look).await;
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
        let flows = self.flows().await;
        let policy = self.policy_over(&flows);
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
            ("members", voters(&status.configuration)),
            ("commit", status.log.committed.max(applied).to_string()),
            ("applied", applied.to_string()),
            ("digest", digest),
            ("policy", policy.to_string()),
            ("durability", status.journal.durability.to_string()),
            ("keys", keys),
            ("log_time", log_time),
            ("links", self.links()),
            ("flows", ways(&flows)),
        ];
        fields.extend(Overview::of(&self.node).await.fields());
        fields.extend(details(&status));
        fields.extend(self.traffic());
        fields
    }

    async fn policy(&self) -> Vec<(&'static str, String)> {
        let flows = self.flows().await;
        vec![
            ("policy", self.policy_over(&flows).to_string()),
            ("flows", ways(&flows)),
        ]
    }

    fn direct(&self, order: DirectOrder) -> Result<(), Failure> {
        self.node.direct(order.peer, order.direction)
    }

    async fn promote(&self, order: PromoteOrder) -> Result<Promoted, OrderError> {
        self.node.promote(order.round, order.force).await
    }

    async fn order(&self, order: MemberOrder) -> Result<Ordered, OrderError> {
        match order {
            MemberOrder::Change(change) => {
                self.node.reconfigure(change).await.map(Ordered::Changed)
            }
            MemberOrder::Transfer(to) => self.node.transfer(to).await.map(Ordered::Transferred),
            MemberOrder::Snapshot => self.node.snapshot().await.map(Ordered::Taken),
        }
    }

    async fn members(&self) -> Vec<Vec<(&'static str, String)>> {
        Overview::of(&self.node).await.members()
    }

    fn peers(&self) -> Vec<NodeId> {
        let mut peers: Vec<_> = self.node.links().iter().map(|link| link.peer).collect();
        peers.sort_unstable();
        peers.dedup();
        peers
    }

    fn fault(&self, order: &FaultOrder) {
        match order {
            FaultOrder::Links(order) => self.fault_links(order),
            FaultOrder::Disk(delay) => self.disk.set(*delay),
        }
    }
}

impl Backing {
    fn fault_links(&self, order: &LinkFaultOrder) {
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

/// How bulk goes to each peer: `2=push,3=auto:pull`, what was chosen and, where that is something else, what is in force.
fn ways(flows: &[LinkStatus]) -> String {
    let way = |link: &LinkStatus| {
        let (direction, flow) = (link.direction.to_string(), link.flow.to_string());
        let in_force = if flow == direction {
            String::new()
        } else {
            format!(":{flow}")
        };
        format!("{}={direction}{in_force}", link.peer)
    };
    flows.iter().map(way).collect::<Vec<_>>().join(",")
}

fn has_room(node: &Node<KvStore>) -> bool {
    node.status().borrow().journal.has_room
}

/// What is good to know when something is wrong.
fn details(status: &NodeStatus) -> Vec<(&'static str, String)> {
    let NodeStatus {
        log,
        journal,
        load,
        health,
        ..
    } = status;
    let micros = |time: Option<Duration>| {
        time.map_or_else(|| "unknown".to_owned(), |time| time.as_micros().to_string())
    };
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
        ("link_changes", status.link_changes.to_string()),
        ("disk_micros", micros(health.measured.disk)),
        ("link_micros", micros(health.measured.link)),
        ("hand_overs", health.hand_overs.to_string()),
        (
            "last_hand_over",
            health
                .last
                .map_or_else(|| "none".to_owned(), |(to, why)| format!("to {to}: {why}")),
        ),
        (
            "entries_lost",
            status
                .entries_lost
                .map_or_else(|| "unknown".to_owned(), |count| count.to_string()),
        ),
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
