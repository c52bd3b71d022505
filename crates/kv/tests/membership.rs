//! Members of real processes that come, go, are wiped and hand leadership over, as an operator does it.
#![cfg(all(feature = "server", unix))]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);

/// Processes of one cluster; killed when the test ends.
struct Cluster {
    dir: TempDir,
    ports: BTreeMap<u64, u16>,
    running: BTreeMap<u64, (Child, String)>,
}

impl Cluster {
    /// Three founders.
    fn start() -> Self {
        let mut this = Self {
            dir: tempfile::tempdir().unwrap(),
            ports: BTreeMap::new(),
            running: BTreeMap::new(),
        };
        for id in 1..=6 {
            // Free a moment ago; nobody else on this machine asks for it now.
            let port = TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap();
            this.ports.insert(id, port.port());
        }
        let founders = this.peers(&[1, 2, 3]);
        for id in 1..=3 {
            this.run(id, &["--peers", &founders]);
        }
        this
    }

    fn peer(&self, id: u64) -> String {
        format!("127.0.0.1:{}", self.ports[&id])
    }

    fn peers(&self, ids: &[u64]) -> String {
        let peers: Vec<_> = ids
            .iter()
            .map(|id| format!("{id}={}", self.peer(*id)))
            .collect();
        peers.join(",")
    }

    fn data(&self, id: u64) -> PathBuf {
        self.dir.path().join(id.to_string())
    }

    fn spawn(&self, id: u64, more: &[&str]) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_quorate-kv"));
        command.args(["--id", &id.to_string(), "--client-addr", "127.0.0.1:0"]);
        command.args(["--peer-addr", &self.peer(id), "--log", "warn"]);
        command.arg("--data").arg(self.data(id)).args(more);
        command.env_clear().stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    fn run(&mut self, id: u64, more: &[&str]) {
        let mut child = self.spawn(id, more);
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let address = line
            .split("client=")
            .nth(1)
            .unwrap_or_else(|| panic!("{id} says {line:?}"));
        let address = address.split(' ').next().unwrap().to_owned();
        // What is said there from now on is nobody's concern, but it must not fill the pipe.
        let mut stderr = child.stderr.take().unwrap();
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        self.running.insert(id, (child, address));
    }

    fn kill(&mut self, id: u64) {
        let (mut child, _) = self.running.remove(&id).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// What member `id` answers to one inline request.
    fn ask(&self, id: u64, request: &str) -> String {
        let mut client = TcpStream::connect(&self.running[&id].1).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client
            .write_all(format!("{request}\nQUIT\n").as_bytes())
            .unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        answer.strip_suffix("+OK\r\n").unwrap_or(&answer).to_owned()
    }

    fn field(&self, id: u64, name: &str) -> String {
        let info = self.ask(id, "INFO");
        let prefix = format!("{name}:");
        let mut lines = info.lines();
        lines
            .find_map(|line| line.strip_prefix(&prefix))
            .unwrap_or_default()
            .to_owned()
    }

    fn until(&self, what: &str, mut fact: impl FnMut(&Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !fact(self) {
            assert!(Instant::now() < end, "never came true: {what}");
            sleep(Duration::from_millis(20));
        }
    }

    fn leader(&self) -> u64 {
        let mut leader = None;
        self.until("a leader", |this| {
            let mut ids = this.running.keys();
            leader = ids.find(|id| this.field(**id, "role") == "leader").copied();
            leader.is_some()
        });
        leader.unwrap()
    }

    /// Gives an order to whoever leads until it is carried out.
    fn order(&self, order: &str) -> String {
        let mut answer = String::new();
        self.until(order, |this| {
            answer = this.ask(this.leader(), order);
            !answer.starts_with('-')
        });
        answer
    }

    fn increment(&self) -> u64 {
        let mut count = None;
        self.until("a write", |this| {
            let answer = this.ask(this.leader(), "INCR n");
            count = answer
                .trim()
                .strip_prefix(':')
                .and_then(|count| count.parse().ok());
            count.is_some()
        });
        count.unwrap()
    }

    /// All that run have applied the same, and their states are equal.
    fn agree(&self) {
        self.until("equal states", |this| {
            let states = this
                .running
                .keys()
                .map(|id| (this.field(*id, "applied"), this.field(*id, "digest")));
            let states: Vec<_> = states.collect();
            states.iter().all(|state| *state == states[0])
        });
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for (child, _) in self.running.values_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn a_wiped_member_is_refused_and_its_place_is_taken_by_a_new_one() {
    let mut cluster = Cluster::start();
    let before = cluster.increment();
    cluster.agree();
    let leader = cluster.leader();
    let victim = if leader == 3 { 2 } else { 3 };
    cluster.kill(victim);
    std::fs::remove_dir_all(cluster.data(victim)).unwrap();
    let founders = cluster.peers(&[1, 2, 3]);

    let mut again = cluster.spawn(victim, &["--peers", &founders, "--require-data"]);
    assert_eq!(
        again.wait().unwrap().code(),
        Some(78),
        "its directory is gone"
    );
    let again = cluster.spawn(victim, &["--peers", &founders]);
    let output = again.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(66), "{said}");
    assert!(said.contains("rejoin under a new id with --join"), "{said}");

    let rest: Vec<_> = cluster.running.keys().copied().collect();
    let join = cluster.peers(&rest);
    cluster.run(4, &["--join", &join]);
    cluster.order(&format!("QUORATE ADD 4 {}", cluster.peer(4)));
    cluster.until("4 follows", |this| this.field(4, "keys") == "1");
    cluster.order(&format!("QUORATE REPLACE {victim} 4"));
    let mut voters = vec![1, 2, 3, 4];
    voters.retain(|id| *id != victim);
    let voters: Vec<_> = voters.iter().map(u64::to_string).collect();
    cluster.until("the configuration everywhere", |this| {
        let mut ids = this.running.keys();
        ids.all(|id| this.field(*id, "members") == voters.join(","))
    });
    assert_eq!(cluster.increment(), before + 1);
    cluster.agree();
    // The new one counts: without another, two of three still decide.
    let other = cluster
        .running
        .keys()
        .copied()
        .find(|id| *id != 4 && *id != cluster.leader());
    cluster.kill(other.unwrap());
    assert_eq!(cluster.increment(), before + 2);
}

#[test]
fn leadership_and_priorities_are_ordered_and_members_are_listed() {
    let cluster = Cluster::start();
    cluster.increment();
    cluster.agree();
    let leader = cluster.leader();
    let other = leader % 3 + 1;
    let refused = cluster.ask(other, "QUORATE TRANSFER");
    assert!(refused.starts_with("-NOTLEADER"), "{refused}");
    let done = cluster.ask(leader, &format!("QUORATE TRANSFER {other}"));
    assert!(
        done.contains(&format!("leader\r\n$1\r\n{other}\r\n")),
        "{done}"
    );
    cluster.until("it leads", |this| this.field(other, "role") == "leader");
    cluster.order(&format!("QUORATE PRIORITY {other} 7"));
    let listed = cluster.order("QUORATE MEMBERS");
    assert!(listed.starts_with("*3\r\n"), "{listed}");
    assert!(listed.contains("$8\r\npriority\r\n$1\r\n7\r\n"), "{listed}");
    let taken = cluster.ask(leader, "QUORATE SNAPSHOT");
    assert!(taken.contains("position"), "{taken}");
    assert_ne!(cluster.field(leader, "snapshot"), "0");
    assert_eq!(cluster.field(other, "configuration"), "1 2 3");
    cluster.increment();
    cluster.agree();
}
