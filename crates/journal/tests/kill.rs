//! A real process on a real disk, killed with SIGKILL while it commits, again and again.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;

use common::{entry, open};
use quorate_core::Mark;
use quorate_journal::{Event, FileDisk, JournalThread};

/// Tells this test binary to be the process that is killed: the directory it writes to.
const CHILD: &str = "QUORATE_JOURNAL_CHILD";

fn size(mark: u64) -> usize {
    (mark * 7919 % 9000) as usize
}

#[test]
fn nothing_acknowledged_is_lost_however_often_the_process_is_killed() {
    if let Some(dir) = std::env::var_os(CHILD) {
        commit_until_killed(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let mut life = 0;
    let mut reached = 0;
    for round in 1..=8 {
        let acknowledged = run_and_kill(dir.path(), reached + 40 * round);
        let (journal, recovery) = open(&FileDisk::open(dir.path()).unwrap()).unwrap();
        assert!(recovery.last.0 >= acknowledged, "round {round}");
        assert!(recovery.life.0 > life);
        life = recovery.life.0;
        for (record, mark) in recovery.records().zip(1..) {
            let (found, bytes) = record.unwrap();
            assert_eq!(found, Mark(mark));
            assert!(bytes.starts_with(format!("{mark}/").as_bytes()));
        }
        reached = recovery.last.0;
        drop(journal);
    }
}

/// Starts the process, kills it once it has acknowledged `upto`, and gives what it acknowledged last.
fn run_and_kill(dir: &Path, upto: u64) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "nothing_acknowledged_is_lost",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(CHILD, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = 0;
    let mut killed = false;
    // What it said before it died is still in the pipe.
    while let Some(Ok(line)) = lines.next() {
        if let Some(mark) = line.strip_prefix("durable ") {
            acknowledged = mark.parse().unwrap_or(acknowledged);
        }
        if acknowledged >= upto && !killed {
            child.kill().unwrap();
            killed = true;
        }
    }
    assert!(!child.wait().unwrap().success());
    assert!(killed, "it died by itself at {acknowledged}");
    acknowledged
}

fn commit_until_killed(dir: &Path) -> ! {
    let (journal, recovery) = open(&FileDisk::open(dir).unwrap()).unwrap();
    let (send, events) = channel();
    let thread = JournalThread::spawn(journal, move |event| drop(send.send(event))).unwrap();
    let mut next = recovery.last.0 + 1;
    let mut durable = recovery.last.0;
    loop {
        while next - durable < 16 {
            thread.append([entry(next, 1, size(next))]).unwrap();
            next += 1;
        }
        if let Event::Durable(mark) = events.recv().unwrap() {
            durable = mark.0;
            let mut out = std::io::stdout().lock();
            writeln!(out, "durable {mark}")
                .and_then(|()| out.flush())
                .unwrap();
        }
    }
}
