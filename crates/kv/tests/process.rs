//! The binary as an operator meets it: its one line, its signals, its exit codes.
#![cfg(all(feature = "server", unix))]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running server; killed if the test fails before it is stopped.
struct Server {
    child: Child,
    address: String,
}

fn command(flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quorate-kv"));
    command.args(flags).env_clear().stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn flags(dir: &Path) -> Vec<String> {
    let any = "127.0.0.1:0";
    let dir = dir.to_str().unwrap();
    [
        "--id",
        "1",
        "--data",
        dir,
        "--client-addr",
        any,
        "--peer-addr",
        any,
    ]
    .map(String::from)
    .to_vec()
}

impl Server {
    fn start(dir: &Path) -> Self {
        Self::start_with(dir, &[])
    }

    fn start_with(dir: &Path, more: &[&str]) -> Self {
        let mut flags = flags(dir);
        flags.extend(more.iter().map(|&flag| flag.to_owned()));
        let flags: Vec<_> = flags.iter().map(String::as_str).collect();
        let mut child = command(&flags).stderr(Stdio::inherit()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert!(line.starts_with("ready id=1 client=127.0.0.1:"), "{line}");
        assert!(line.ends_with(" durability=fsync\n"), "{line}");
        let address = line
            .split("client=")
            .nth(1)
            .unwrap()
            .split(' ')
            .next()
            .unwrap()
            .into();
        Self { child, address }
    }

    /// What these inline requests are answered, as text.
    fn ask(&self, requests: &str) -> String {
        let mut client = TcpStream::connect(&self.address).unwrap();
        client
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        client.write_all(requests.as_bytes()).unwrap();
        client.write_all(b"QUIT\n").unwrap();
        let mut answers = String::new();
        client.read_to_string(&mut answers).unwrap();
        answers
    }

    fn field(&self, name: &str) -> String {
        let info = self.ask("INFO\n");
        let prefix = format!("{name}:");
        info.lines()
            .find_map(|line| line.strip_prefix(&prefix))
            .unwrap()
            .into()
    }

    fn stop(mut self, signal: &str) -> i32 {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &id])
                .status()
                .unwrap()
                .success()
        );
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The exit code of a server that does not start, and what it says about it.
fn refused(flags: &[&str], variables: &[(&str, &str)]) -> (i32, String) {
    let output = command(flags)
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn what_was_acknowledged_is_there_after_a_stop_and_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    assert_eq!(
        server.ask("SET a 1\nINCR a\nSET t 1 EX 1000\n"),
        "+OK\r\n:2\r\n+OK\r\n+OK\r\n"
    );
    let digest = server.field("digest");
    assert_eq!(
        server.field("policy"),
        "raft/push/quorum/linearizable/fsync"
    );
    assert_eq!(server.stop("-TERM"), 0);

    let server = Server::start(dir.path());
    assert_eq!(server.ask("GET a\nEXISTS t\n"), "$1\r\n2\r\n:1\r\n+OK\r\n");
    assert_eq!(server.field("digest"), digest);
    assert_eq!(server.ask("INCR a\n"), ":3\r\n+OK\r\n");
    assert_eq!(server.stop("-KILL"), -1);

    let server = Server::start(dir.path());
    assert_eq!(server.ask("GET a\n"), "$1\r\n3\r\n+OK\r\n");
    assert_eq!(server.stop("-INT"), 0);
}

#[test]
fn a_disk_is_slowed_down_where_faults_are_allowed_and_made_fast_again() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &["--allow-faults"]);
    let delay = Duration::from_millis(400);
    assert_eq!(server.ask("SET a 1\n"), "+OK\r\n+OK\r\n");
    assert!(
        server
            .ask("QUORATE FAULT disk delay 400\n")
            .starts_with("+OK")
    );
    let begun = Instant::now();
    assert_eq!(server.ask("SET a 2\n"), "+OK\r\n+OK\r\n");
    assert!(begun.elapsed() >= delay, "{:?}", begun.elapsed());
    assert!(server.ask("QUORATE FAULT disk clear\n").starts_with("+OK"));
    // What was slow when it began still has to end.
    assert_eq!(server.ask("SET a 3\n"), "+OK\r\n+OK\r\n");
    let begun = Instant::now();
    assert_eq!(server.ask("SET a 4\n"), "+OK\r\n+OK\r\n");
    assert!(begun.elapsed() < delay, "{:?}", begun.elapsed());
    assert_eq!(server.stop("-TERM"), 0);
}

#[test]
fn a_directory_in_use_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let flags = flags(dir.path());
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let (code, said) = refused(&flags, &[]);
    assert_eq!(code, 78, "{said}");
    assert!(said.contains("in use") || said.contains("lock"), "{said}");
    assert_eq!(server.ask("PING\n"), "+PONG\r\n+OK\r\n");
}

#[test]
fn a_damaged_journal_is_refused_with_the_place() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let marker = "needle-in-the-haystack";
    server.ask(&format!("SET old {marker}\n"));
    for _ in 0..5 {
        server.ask("INCR n\n");
    }
    assert_eq!(server.stop("-TERM"), 0);
    let (file, mut bytes, at) = find(dir.path(), marker.as_bytes());
    bytes[at] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let flags = flags(dir.path());
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let (code, said) = refused(&flags, &[]);
    assert_eq!(code, 65, "{said}");
    assert!(
        said.contains(file.file_name().unwrap().to_str().unwrap()),
        "{said}"
    );
    assert!(said.contains(" at byte "), "{said}");
}

/// The file below `dir` that holds these bytes, its content, and where they are.
fn find(dir: &Path, bytes: &[u8]) -> (std::path::PathBuf, Vec<u8>, usize) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let content = std::fs::read(&path).unwrap();
            let at = content
                .windows(bytes.len())
                .position(|window| window == bytes);
            if let Some(at) = at {
                return (path, content, at);
            }
        }
    }
    panic!("no file in {} holds the value", dir.display());
}

/// Flags, variables, and what is said about them.
type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str);

#[test]
fn settings_that_make_no_sense_are_refused_with_the_reason() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "id = 1\nspeed = 9\n").unwrap();
    let path = file.path().to_str().unwrap();
    let cases: [Case<'_>; 6] = [
        (&[], &[], "--id is needed"),
        (&["--id", "1", "--velocity", "9"], &[], "--velocity"),
        (&["--id", "1"], &[("QUORATE_SPEED", "9")], "QUORATE_SPEED"),
        (&["--config", path], &[], "speed"),
        (
            &["--data", "d"],
            &[("QUORATE_ID", "x")],
            "invalid value 'x'",
        ),
        (
            &["--id", "1", "--durability", "memory", "--log", "=="],
            &[],
            "--log",
        ),
    ];
    for (flags, variables, reason) in cases {
        let (code, said) = refused(flags, variables);
        assert_eq!(code, 78, "{said}");
        assert!(said.contains(reason), "{flags:?}: {said}");
    }
    let help = command(&["--help"]).output().unwrap();
    assert!(help.status.success());
    assert!(
        String::from_utf8(help.stdout)
            .unwrap()
            .contains("QUORATE_CLIENT_ADDR")
    );
}

#[test]
fn an_address_that_is_taken_is_refused() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let any = "127.0.0.1:0";
    for (client, peer) in [(taken.as_str(), any), (any, taken.as_str())] {
        let flags = [
            "--id",
            "1",
            "--durability",
            "memory",
            "--client-addr",
            client,
            "--peer-addr",
            peer,
        ];
        let (code, said) = refused(&flags, &[]);
        assert_eq!(code, 69, "{said}");
        assert!(said.contains(&taken), "{said}");
    }
}
