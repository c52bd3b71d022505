//! A log in one's own program: a ledger of accounts, replicated to three members in this process. The leader is
//! stopped and started again; nothing that was acknowledged is lost, and nothing is paid twice.
//!
//! `cargo run --example embed`

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quorate::core::{At, ClusterId, MalformedSnapshot, NodeId, ReadLevel};
use quorate::core::{SnapshotSource, StateMachine};
use quorate::node::{Node, NodeConfig, Session, SessionConfig};
use quorate::raft::{Raft, RaftConfig};

const VOTERS: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];

/// Accounts and what is on them. The commands are lines: `pay <account> <amount>`.
#[derive(Default)]
struct Ledger {
    accounts: BTreeMap<String, u64>,
}

impl StateMachine for Ledger {
    /// The new balance, or why the command makes no sense.
    type Reply = Result<u64, String>;
    type Snapshot = Lines;

    fn apply(&mut self, _: At, command: &[u8]) -> Self::Reply {
        let line = std::str::from_utf8(command).map_err(|error| error.to_string())?;
        let [verb, account, amount] = line.split(' ').collect::<Vec<_>>()[..] else {
            return Err(format!("not three words: {line}"));
        };
        let amount: u64 = amount
            .parse()
            .map_err(|_| format!("not an amount: {amount}"))?;
        if verb != "pay" {
            return Err(format!("no such verb: {verb}"));
        }
        let balance = self.accounts.entry(account.to_owned()).or_default();
        *balance = balance.saturating_add(amount);
        Ok(*balance)
    }

    /// Copied at once here; a large state would share its parts with the snapshot instead.
    fn snapshot(&self) -> Lines {
        Lines(self.accounts.clone().into_iter())
    }

    fn restore(chunks: &mut dyn Iterator<Item = Bytes>) -> Result<Self, MalformedSnapshot> {
        let mut accounts = BTreeMap::new();
        for chunk in chunks {
            let line = std::str::from_utf8(&chunk).map_err(|_| MalformedSnapshot("not text"))?;
            let (account, balance) = line
                .split_once(' ')
                .ok_or(MalformedSnapshot("no balance"))?;
            let balance = balance
                .parse()
                .map_err(|_| MalformedSnapshot("no number"))?;
            accounts.insert(account.to_owned(), balance);
        }
        Ok(Self { accounts })
    }

    /// A few accounts are summed up quickly; a large state keeps its digest up to date instead.
    fn digest(&self) -> u64 {
        self.accounts.iter().fold(0, |digest, (account, balance)| {
            let text = account.bytes().fold(*balance, |sum, byte| {
                sum.rotate_left(7) ^ u64::from(byte).wrapping_mul(0x9e37_79b9_7f4a_7c15)
            });
            digest ^ text
        })
    }
}

/// A snapshot: a line for each account.
struct Lines(std::collections::btree_map::IntoIter<String, u64>);

impl SnapshotSource for Lines {
    fn next_chunk(&mut self, _: usize) -> Option<Bytes> {
        let (account, balance) = self.0.next()?;
        Some(format!("{account} {balance}").into())
    }
}

type Members = BTreeMap<NodeId, Node<Ledger>>;

/// Starts a member from its directory, whether it is new or not, and introduces it to the others.
async fn start(id: NodeId, dir: &Path, members: &mut Members) -> Result<(), Box<dyn Error>> {
    let mut config = NodeConfig::new(ClusterId(2026), id, dir.join(format!("member-{id}")));
    config.peers = members
        .iter()
        .map(|(id, node)| (*id, node.address().to_owned()))
        .collect();
    let node = Node::start::<Raft>(config, RaftConfig::new(id, &VOTERS), Ledger::default).await?;
    for other in members.values() {
        other.set_peer(id, node.address());
    }
    members.insert(id, node);
    Ok(())
}

/// Pays once, whatever becomes of members meanwhile: the session sends the command again under its number until its
/// fate is known.
async fn pay(session: &Session<Ledger>, account: &str, amount: u64) -> Result<u64, Box<dyn Error>> {
    let command = format!("pay {account} {amount}");
    Ok(session.propose(command.into()).await?.reply?)
}

async fn leader(member: &Node<Ledger>) -> Result<NodeId, Box<dyn Error>> {
    let mut leadership = member.leadership();
    let known = leadership
        .wait_for(|leadership| leadership.leader.is_some())
        .await?;
    known.leader.ok_or_else(|| "no leader".into())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let mut members = Members::new();
    for id in VOTERS {
        start(id, dir.path(), &mut members).await?;
    }
    let first = leader(&members[&VOTERS[0]]).await?;
    println!("member {first} leads");

    // Any member takes any request; when one does not answer, the session asks the next.
    let everybody = members.values().cloned().collect();
    let session = Session::open(everybody, SessionConfig::default()).await?;
    for round in 1..=9 {
        let balance = pay(&session, "alice", 10).await?;
        assert_eq!(balance, round * 10);
    }
    let nonsense = members[&first].propose("steal alice 90".into()).await?;
    println!("a command that makes no sense: {:?}", nonsense.reply);

    let stopped = members.remove(&first).ok_or("the leader is a member")?;
    stopped.stop().await;
    let gone = Instant::now();
    let balance = pay(&session, "alice", 10).await?;
    let outage = gone.elapsed();
    println!("member {first} stopped; {outage:.0?} later alice has {balance}");

    start(first, dir.path(), &mut members).await?;
    let back = &members[&first];
    let read = back.read(ReadLevel::Linearizable, |ledger, stamp| {
        (ledger.accounts.get("alice").copied(), stamp.applied)
    });
    let (balance, applied) = read.await?;
    println!("member {first} is back at position {applied} and reads {balance:?}");
    assert_eq!(balance, Some(100));

    // Equal positions, equal states.
    let settled = Instant::now() + Duration::from_secs(10);
    let digests = loop {
        let mut digests = Vec::new();
        for member in members.values() {
            digests.push(member.digest().await?);
        }
        if digests
            .iter()
            .all(|digest| digest.applied == digests[0].applied)
        {
            break digests;
        }
        assert!(Instant::now() < settled, "the members do not come together");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert!(digests.iter().all(|digest| *digest == digests[0]));
    println!(
        "all members at position {}, digest {:016x}",
        digests[0].applied, digests[0].digest
    );

    for member in members.values() {
        member.stop().await;
    }
    Ok(())
}
