//! Nothing that a demo or a soak started is left running, however it ends.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(10);

/// A folder with a server program that writes its pid next to itself, says that it is ready, and does nothing.
struct Stage {
    dir: TempDir,
}

impl Stage {
    fn new(after: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = dir.path().join("server");
        let script = format!("#!/bin/sh\necho $$ > \"$0-$$\"\n{after}\n");
        fs::write(&server, script).unwrap();
        fs::set_permissions(&server, fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(dir.path().join("tmp")).unwrap();
        Self { dir }
    }

    fn demo(&self) -> Command {
        self.run("demo")
    }

    fn run(&self, verb: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command
            .arg(verb)
            .arg("--server")
            .arg(self.dir.path().join("server"))
            .env("TMPDIR", self.dir.path().join("tmp"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn servers(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().path());
        entries
            .filter(|path| path.to_string_lossy().contains("server-"))
            .collect()
    }

    /// Waits until all three servers have started.
    fn wait_for_servers(&self) -> Vec<Pid> {
        let end = Instant::now() + LIMIT;
        loop {
            let pids: Vec<Pid> = self
                .servers()
                .iter()
                .filter_map(|path| read_pid(path))
                .collect();
            if pids.len() == 3 {
                return pids;
            }
            assert!(Instant::now() < end, "only {} servers started", pids.len());
            sleep(POLL);
        }
    }

    fn leftovers(&self) -> usize {
        fs::read_dir(self.dir.path().join("tmp")).unwrap().count()
    }
}

fn read_pid(path: &Path) -> Option<Pid> {
    fs::read_to_string(path)
        .ok()?
        .trim()
        .parse()
        .ok()
        .and_then(Pid::from_raw)
}

fn alive(pid: Pid) -> bool {
    fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()))
        .is_ok_and(|stat| !stat.contains(") Z "))
}

fn all_gone(pids: &[Pid]) -> bool {
    let end = Instant::now() + LIMIT;
    while pids.iter().any(|&pid| alive(pid)) {
        if Instant::now() > end {
            return false;
        }
        sleep(POLL);
    }
    true
}

fn end_with(demo: Child, signal: Signal) -> Output {
    rustix::process::kill_process(Pid::from_child(&demo), signal).unwrap();
    demo.wait_with_output().unwrap()
}

#[test]
fn what_is_interrupted_ends_its_servers_and_removes_its_folder() {
    for (verb, signal, code) in [
        ("demo", Signal::INT, 130),
        ("demo", Signal::TERM, 143),
        ("demo", Signal::HUP, 129),
        ("soak", Signal::INT, 130),
    ] {
        let stage = Stage::new("echo ready\nexec sleep 1000");
        let run = stage.run(verb).spawn().unwrap();
        let servers = stage.wait_for_servers();
        let output = end_with(run, signal);
        assert_eq!(output.status.code(), Some(code));
        assert!(all_gone(&servers), "{signal:?}");
        assert_eq!(stage.leftovers(), 0, "{signal:?}");
    }
}

#[test]
fn a_demo_that_is_killed_takes_its_servers_along() {
    let stage = Stage::new("echo ready\nexec sleep 1000");
    let demo = stage.demo().spawn().unwrap();
    let servers = stage.wait_for_servers();
    let output = end_with(demo, Signal::KILL);
    assert_eq!(output.status.signal(), Some(9));
    assert!(all_gone(&servers));
}

#[test]
fn a_server_that_does_not_start_is_reported_with_its_code_and_its_log() {
    let stage = Stage::new("echo no such disk >&2\nexit 78");
    let output = stage.demo().output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("settings are refused"), "{error}");
    let log = error
        .split_whitespace()
        .find(|word| word.contains("member-"))
        .unwrap();
    let log = fs::read_to_string(log.trim_end_matches([':', ';', ','])).unwrap();
    assert_eq!(log.trim(), "no such disk");
}
