//! Three hosts, each with a member and a directory, and a client that writes new names all the while.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quorate_core::{ClusterId, NodeId, ReadLevel, ReplicatedLog, RoleKind};
use quorate_journal::Durability;
use quorate_node::{Node, NodeConfig, NodeStatus, StartError};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};
use turmoil::{Builder, Sim};

use crate::Configure;
use crate::machine::Names;

/// Simulated seconds in a second, at most.
pub(crate) const SPEED: u32 = 10;
/// Simulated time in which all members have to be equal in the end.
const PATIENCE: Duration = Duration::from_mins(1);
const IDS: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];

/// What hosts, client and test know of each other.
#[derive(Default)]
struct Shared {
    members: BTreeMap<NodeId, Node<Names>>,
    /// Names whose writing was asked for, and those whose writing was acknowledged.
    asked: u64,
    acknowledged: BTreeSet<u64>,
    done: bool,
    /// What every member has in the end, once they are equal.
    states: Option<Vec<BTreeMap<u64, u64>>>,
}

pub(crate) struct Cluster<L> {
    sim: Sim<'static>,
    shared: Arc<Mutex<Shared>>,
    began: Instant,
    _dir: TempDir,
    _log: std::marker::PhantomData<fn() -> L>,
}

fn name(id: NodeId) -> String {
    format!("member-{id}")
}

impl<L> Cluster<L>
where
    L: ReplicatedLog + Send + 'static,
    L::Config: Send + 'static,
{
    pub(crate) fn start(seed: u64, configure: Configure<L>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let shared = Arc::new(Mutex::new(Shared::default()));
        let mut sim = Builder::new()
            .rng_seed(seed)
            .simulation_duration(Duration::from_mins(10))
            .min_message_latency(Duration::from_millis(1))
            .max_message_latency(Duration::from_millis(10))
            .tcp_capacity(4096)
            .build();
        for id in IDS {
            let (shared, dir) = (Arc::clone(&shared), dir.path().join(id.to_string()));
            sim.host(name(id), move || {
                member::<L>(id, dir.clone(), configure, Arc::clone(&shared))
            });
        }
        sim.client("client", client(Arc::clone(&shared)));
        Self {
            sim,
            shared,
            began: Instant::now(),
            _dir: dir,
            _log: std::marker::PhantomData,
        }
    }

    /// The member that leads, as soon as all that run say so.
    pub(crate) fn leader(&mut self) -> NodeId {
        let until = self.sim.elapsed() + PATIENCE;
        loop {
            let statuses = self.statuses();
            let led = statuses
                .iter()
                .find(|(_, status)| status.log.role == RoleKind::Leader);
            if let Some((leader, _)) = led
                && statuses.len() == IDS.len()
                && statuses
                    .iter()
                    .all(|(_, status)| status.log.leader == Some(*leader))
            {
                return *leader;
            }
            assert!(self.sim.elapsed() < until, "nobody leads");
            self.pass(Duration::from_millis(10));
        }
    }

    pub(crate) fn follower(&mut self) -> NodeId {
        let leader = self.leader();
        IDS.into_iter().find(|id| *id != leader).unwrap()
    }

    /// Lets so much time pass, and then more, if so many writes were not acknowledged yet.
    pub(crate) fn must_write(&mut self, time: Duration, least: usize) {
        let wanted = self.acknowledged() + least;
        let until = self.sim.elapsed() + time + PATIENCE;
        self.pass(time);
        while self.acknowledged() < wanted {
            assert!(self.sim.elapsed() < until, "no service");
            self.pass(Duration::from_millis(10));
        }
    }

    fn acknowledged(&self) -> usize {
        self.shared.lock().unwrap().acknowledged.len()
    }

    pub(crate) fn kill(&mut self, id: NodeId) {
        self.shared.lock().unwrap().members.remove(&id);
        self.sim.crash(name(id));
    }

    pub(crate) fn restart(&mut self, id: NodeId) {
        self.sim.bounce(name(id));
    }

    pub(crate) fn cut_one_way(&mut self, from: NodeId, to: NodeId) {
        self.sim.partition_oneway(name(from), name(to));
    }

    pub(crate) fn mend_one_way(&mut self, from: NodeId, to: NodeId) {
        self.sim.repair_oneway(name(from), name(to));
    }

    pub(crate) fn hold(&mut self, one: NodeId, other: NodeId) {
        self.sim.hold(name(one), name(other));
    }

    pub(crate) fn release(&mut self, one: NodeId, other: NodeId) {
        self.sim.release(name(one), name(other));
    }

    pub(crate) fn isolate(&mut self, id: NodeId) {
        for other in IDS.into_iter().filter(|other| *other != id) {
            self.sim.partition(name(id), name(other));
        }
    }

    pub(crate) fn rejoin(&mut self, id: NodeId) {
        for other in IDS.into_iter().filter(|other| *other != id) {
            self.sim.repair(name(id), name(other));
        }
    }

    /// Ends the writing. All members have to become equal, with everything that was acknowledged, once.
    pub(crate) fn settle(mut self) {
        self.shared.lock().unwrap().done = true;
        let until = self.sim.elapsed() + PATIENCE;
        let states = loop {
            self.pass(Duration::from_millis(10));
            if let Some(states) = self.shared.lock().unwrap().states.take() {
                break states;
            }
            assert!(
                self.sim.elapsed() < until,
                "the members do not become equal"
            );
        };
        let shared = self.shared.lock().unwrap();
        for state in &states {
            assert_eq!(*state, states[0]);
            assert!(state.values().all(|count| *count == 1), "nothing twice");
        }
        let lost = shared
            .acknowledged
            .iter()
            .find(|name| !states[0].contains_key(name));
        assert_eq!(lost, None, "what was acknowledged is there");
        let invented = states[0].keys().find(|name| **name > shared.asked);
        assert_eq!(invented, None, "what is there was asked for");
    }

    fn statuses(&self) -> Vec<(NodeId, NodeStatus)> {
        let shared = self.shared.lock().unwrap();
        let members = shared.members.iter();
        members
            .map(|(id, member)| (*id, member.status().borrow().clone()))
            .collect()
    }

    /// Lets simulated time pass, and no less real time than the journals' threads need to keep up.
    fn pass(&mut self, time: Duration) {
        let until = self.sim.elapsed() + time;
        while self.sim.elapsed() < until {
            self.sim.step().unwrap();
            let ahead = (self.sim.elapsed() / SPEED).saturating_sub(self.began.elapsed());
            thread::sleep(ahead);
        }
    }
}

/// What a host runs. The threads of a former life may still hold the directory.
async fn member<L>(
    id: NodeId,
    dir: PathBuf,
    configure: Configure<L>,
    shared: Arc<Mutex<Shared>>,
) -> turmoil::Result
where
    L: ReplicatedLog + Send + 'static,
    L::Config: Send + 'static,
{
    let mut config = NodeConfig::new(ClusterId(7), id, dir);
    config.listen = String::from("0.0.0.0:7000");
    config.journal.durability = Durability::Buffered;
    config.journal.segment_bytes = 1 << 20;
    config.journal.record_bytes_max = 512 << 10;
    config.journal.reserve_bytes = 64 << 10;
    config.replica.command_bytes_max = 128 << 10;
    config.replica.chunk_bytes = 64 << 10;
    for peer in IDS.into_iter().filter(|peer| *peer != id) {
        config.peers.insert(peer, format!("{}:7000", name(peer)));
    }
    let node = loop {
        let log = configure(id, &IDS);
        match Node::start::<L>(config.clone(), log, Names::default).await {
            Ok(node) => break node,
            Err(StartError::Journal(error)) if error.to_string().contains("in use") => {
                sleep(Duration::from_millis(10)).await;
            }
            Err(error) => return Err(error.into()),
        }
    };
    shared.lock().unwrap().members.insert(id, node.clone());
    Err(format!("{id} stopped: {}", node.stopped().await).into())
}

/// Writes at every member, and in the end reads what all have.
async fn client(shared: Arc<Mutex<Shared>>) -> turmoil::Result {
    let writers = IDS.map(|id| tokio::spawn(write(id, Arc::clone(&shared))));
    for writer in writers {
        writer.await?;
    }
    let states = equal_states(&shared).await;
    shared.lock().unwrap().states = Some(states);
    // The test ends the simulation.
    std::future::pending().await
}

/// Writes one name after the other at one member, each once, whatever becomes of it.
async fn write(id: NodeId, shared: Arc<Mutex<Shared>>) {
    loop {
        sleep(Duration::from_millis(10)).await;
        let (name, member) = {
            let mut shared = shared.lock().unwrap();
            if shared.done {
                return;
            }
            let Some(member) = shared.members.get(&id).cloned() else {
                continue;
            };
            shared.asked += 1;
            (shared.asked, member)
        };
        let writing = member.propose(Bytes::copy_from_slice(&name.to_be_bytes()));
        if let Ok(Ok(applied)) = timeout(Duration::from_millis(500), writing).await {
            assert_eq!(applied.reply, 1, "nothing is applied twice");
            shared.lock().unwrap().acknowledged.insert(name);
        }
    }
}

async fn equal_states(shared: &Mutex<Shared>) -> Vec<BTreeMap<u64, u64>> {
    loop {
        sleep(Duration::from_millis(20)).await;
        let members: Vec<_> = shared.lock().unwrap().members.values().cloned().collect();
        let mut states = Vec::new();
        for member in &members {
            let level = ReadLevel::Linearizable;
            let read = member.read(level, |state: &Names, _| state.0.clone());
            if let Ok(Ok(state)) = timeout(Duration::from_secs(1), read).await {
                states.push(state);
            }
        }
        if states.len() == IDS.len() && states.iter().all(|state| *state == states[0]) {
            return states;
        }
    }
}
