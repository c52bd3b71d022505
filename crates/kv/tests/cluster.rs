//! Three members and their servers in one process, over every log that elects its leader: any of them serves any command.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::net::SocketAddr;
use std::time::Duration;

use quorate_core::{ClusterId, NodeId, ReplicatedLog, RoleKind};
use quorate_kv::KvStore;
use quorate_kv::server::{Limits, Server, ServerConfig};
use quorate_node::{Node, NodeConfig};
use quorate_paxos::{Paxos, PaxosConfig};
use quorate_raft::{Raft, RaftConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

/// The config of a member among these.
type Configure<C> = fn(NodeId, &[NodeId]) -> C;

struct Member {
    node: Node<KvStore>,
    address: SocketAddr,
    _close: watch::Sender<bool>,
}

impl Member {
    async fn start<L>(
        (id, protocol): (NodeId, &str),
        voters: &[NodeId],
        configure: Configure<L::Config>,
    ) -> Self
    where
        L: ReplicatedLog + Send + 'static,
        L::Config: Send + 'static,
    {
        let mut config = NodeConfig::in_memory(ClusterId(1), id);
        config.replica.request_timeout = Duration::from_millis(1500);
        let node = Node::start::<L>(config, configure(id, voters), KvStore::new).await;
        let node = node.unwrap();
        let server = ServerConfig {
            policy: format!("{protocol}/push/quorum/linearizable/memory")
                .parse()
                .unwrap(),
            limits: Limits::default(),
            allow_faults: true,
        };
        let server = Server::bind("127.0.0.1:0", server).await.unwrap();
        let address = server.local_addr().unwrap();
        let (close, closing) = watch::channel(false);
        tokio::spawn(server.serve(node.clone(), closing));
        Self {
            node,
            address,
            _close: close,
        }
    }

    /// What these inline requests are answered, without the farewell.
    async fn ask(&self, requests: &str) -> String {
        let mut client = TcpStream::connect(self.address).await.unwrap();
        client
            .write_all(format!("{requests}\nQUIT\n").as_bytes())
            .await
            .unwrap();
        let mut answers = String::new();
        let read = client.read_to_string(&mut answers);
        timeout(Duration::from_secs(20), read)
            .await
            .unwrap()
            .unwrap();
        answers.strip_suffix("+OK\r\n").unwrap().into()
    }

    fn leads(&self) -> bool {
        self.node.leadership().borrow().role == RoleKind::Leader
    }
}

async fn cluster<L>(protocol: &str, configure: Configure<L::Config>) -> Vec<Member>
where
    L: ReplicatedLog + Send + 'static,
    L::Config: Send + 'static,
{
    let voters = [1, 2, 3].map(NodeId);
    let mut members = Vec::new();
    for id in voters {
        members.push(Member::start::<L>((id, protocol), &voters, configure).await);
    }
    for member in &members {
        for (id, other) in voters.into_iter().zip(&members) {
            member.node.set_peer(id, other.node.address());
        }
    }
    members
}

/// Waits for a state that has to come.
async fn until(mut reached: impl FnMut() -> bool) {
    let wait = async {
        while !reached() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), wait)
        .await
        .expect("reached in time");
}

async fn any_member_serves_any_command_and_sees_what_another_was_told(members: Vec<Member>) {
    for (number, member) in members.iter().enumerate() {
        let key = format!("key{number}");
        assert_eq!(
            member.ask(&format!("SET {key} v\nGET {key}")).await,
            "+OK\r\n$1\r\nv\r\n"
        );
        for other in &members {
            assert_eq!(other.ask(&format!("GET {key}")).await, "$1\r\nv\r\n");
        }
    }
    // A pipeline keeps its order, also through a member that forwards.
    for member in &members {
        let expected = (1..=500)
            .map(|number| format!(":{number}\r\n"))
            .collect::<Vec<_>>()
            .concat();
        assert_eq!(member.ask(&"INCR n\n".repeat(500)).await, expected);
        assert_eq!(member.ask("DEL n").await, ":1\r\n");
    }
    // Equal positions, equal digests.
    let applied = |member: &Member| member.node.status().borrow().applied;
    until(|| {
        members
            .iter()
            .all(|member| applied(member) == applied(&members[0]))
    })
    .await;
    let mut states = Vec::new();
    for member in &members {
        states.push(member.node.digest().await.unwrap());
    }
    assert!(states.iter().all(|state| *state == states[0]), "{states:?}");
}

async fn a_leader_that_is_cut_off_does_not_say_what_it_does_not_know(members: Vec<Member>) {
    members[0].ask("SET a before").await;
    until(|| members.iter().any(Member::leads)).await;
    let leader = members.iter().position(Member::leads).unwrap();
    assert_eq!(
        members[leader].ask("QUORATE FAULT * both cut").await,
        "+OK\r\n"
    );
    // It may still take the write, and cannot know what becomes of it; a read it cannot answer at all.
    let write = members[leader].ask("SET a lost").await;
    assert!(
        write.starts_with("-UNKNOWN ") || write.starts_with("-NOTLEADER "),
        "{write}"
    );
    let read = members[leader].ask("GET a").await;
    assert!(read.starts_with("-NOTLEADER "), "{read}");
    let other = &members[(leader + 1) % 3];
    until(|| {
        members
            .iter()
            .enumerate()
            .any(|(index, member)| index != leader && member.leads())
    })
    .await;
    assert_eq!(
        other.ask("SET a after\nGET a").await,
        "+OK\r\n$5\r\nafter\r\n"
    );
    assert_eq!(
        members[leader].ask("QUORATE FAULT * both clear").await,
        "+OK\r\n"
    );
    // It follows again, and forwards.
    let mut client = String::new();
    for _ in 0..10 {
        client = members[leader].ask("GET a").await;
        if client.starts_with('$') {
            break;
        }
    }
    assert_eq!(client, "$5\r\nafter\r\n");
}

async fn keys_expire_although_nobody_writes(members: Vec<Member>) {
    let set = members[1]
        .ask("MSET a 1 b 1\nPEXPIRE a 300\nPEXPIRE b 600")
        .await;
    assert_eq!(set, "+OK\r\n:1\r\n:1\r\n");
    let mut clients = Vec::new();
    for member in &members {
        clients.push(async {
            while member.ask("EXISTS a b").await != ":0\r\n" {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
    }
    for client in clients {
        timeout(Duration::from_secs(20), client)
            .await
            .expect("it is gone in time");
    }
}

async fn a_command_of_a_session_that_is_sent_to_every_member_is_applied_once(members: Vec<Member>) {
    let opened = members[0].ask("QUORATE SESSION OPEN").await;
    let id = opened.trim_end().strip_prefix(':').unwrap();
    let again = format!("QUORATE SESSION {id} 1 INCR a");
    for member in &members {
        assert_eq!(member.ask(&again).await, ":1\r\n");
    }
    let append = format!("QUORATE SESSION {id} 2 APPEND b xy");
    for member in members.iter().rev() {
        assert_eq!(member.ask(&append).await, ":2\r\n");
    }
    let close = format!("QUORATE SESSION CLOSE {id}");
    assert_eq!(members[2].ask(&close).await, "+OK\r\n");
    let closed = members[1]
        .ask(&format!("QUORATE SESSION {id} 3 INCR a"))
        .await;
    assert!(closed.starts_with("-NOSESSION "), "{closed}");
    assert_eq!(
        members[1].ask("GET a\nGET b").await,
        "$1\r\n1\r\n$2\r\nxy\r\n"
    );
    for member in &members {
        member.node.stop().await;
    }
}

/// Written through one member, read through the others at every level, by the index that the writer was told.
async fn a_read_of_any_level_sees_on_any_member_the_index_it_comes_after(members: Vec<Member>) {
    for (number, writer) in members.iter().enumerate() {
        let told = writer.ask(&format!("SET a v{number}\nQUORATE INDEX")).await;
        let index = told.strip_prefix("+OK\r\n:").unwrap().trim_end();
        let value = format!("$2\r\nv{number}\r\n");
        for member in &members {
            let after = format!("QUORATE AFTER {index} GET a");
            assert_eq!(member.ask(&after).await, value);
            for level in ["LINEARIZABLE", "LEASE", "BOUNDED 300", "LOCAL"] {
                let request = format!("QUORATE READ {level} AFTER {index} GET a");
                let answer = member.ask(&request).await;
                let head = format!("*8\r\n$5\r\nvalue\r\n{value}$5\r\nlevel\r\n");
                assert!(answer.starts_with(&head), "{request}: {answer}");
                let seen = answer.split("$5\r\nindex\r\n:").nth(1).unwrap();
                let seen = seen.split("\r\n").next().unwrap();
                assert!(seen.parse::<u64>().unwrap() >= index.parse().unwrap());
            }
        }
    }
    let far = members[1]
        .ask("QUORATE READ LOCAL AFTER 999999 GET a")
        .await;
    assert!(far.starts_with("-NOTAPPLIED "), "{far}");
    assert_eq!(
        members[0]
            .ask("GET none\nQUORATE INDEX")
            .await
            .lines()
            .count(),
        2
    );
}

macro_rules! on_every_log {
    ($($log:ident: $kind:ty = $configure:expr;)*) => {$(
        mod $log {
            use super::*;

            async fn members() -> Vec<Member> {
                cluster::<$kind>(stringify!($log), $configure).await
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn any_member_serves_any_command_and_sees_what_another_was_told() {
                super::any_member_serves_any_command_and_sees_what_another_was_told(members().await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn a_leader_that_is_cut_off_does_not_say_what_it_does_not_know() {
                super::a_leader_that_is_cut_off_does_not_say_what_it_does_not_know(members().await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn a_read_of_any_level_sees_on_any_member_the_index_it_comes_after() {
                super::a_read_of_any_level_sees_on_any_member_the_index_it_comes_after(members().await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn keys_expire_although_nobody_writes() {
                super::keys_expire_although_nobody_writes(members().await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn a_command_of_a_session_that_is_sent_to_every_member_is_applied_once() {
                super::a_command_of_a_session_that_is_sent_to_every_member_is_applied_once(members().await).await;
            }
        }
    )*};
}

on_every_log! {
    raft: Raft = |id, voters| RaftConfig {
        lease: Some(quorate_raft::Lease { drift_ppm: 1000 }),
        ..RaftConfig::new(id, voters)
    };
    paxos: Paxos = |id, voters| PaxosConfig {
        lease: Some(quorate_paxos::Lease { drift_ppm: 1000 }),
        ..PaxosConfig::new(id, voters)
    };
}
