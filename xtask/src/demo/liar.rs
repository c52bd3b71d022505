//! A store that breaks its promises on purpose, to see that the checks notice.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use quorate_core::Policy;

use super::check::{answers, audit};
use super::load::Load;
use super::operator::Allowance;

/// What is wrong with the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    /// Nothing; but some outcomes are unknown, half of them applied.
    None,
    /// Some writes are acknowledged and forgotten.
    Loses,
    /// Some increments and appends count twice, though the answer is that of one.
    Doubles,
    /// Some writes are refused and applied.
    AppliesRefused,
    /// Some reads answer what the key held before the last write.
    Stale,
}

/// One in so many commands is struck.
const RARE: u64 = 50;

#[derive(Default)]
struct Store {
    values: HashMap<String, String>,
    before: HashMap<String, String>,
    commands: u64,
}

impl Store {
    fn write(&mut self, key: &str, value: String) {
        let old = self
            .values
            .insert(key.to_owned(), value)
            .unwrap_or_default();
        self.before.insert(key.to_owned(), old);
    }

    fn answer(&mut self, lie: Lie, words: &[String]) -> String {
        self.commands += 1;
        let struck = self.commands.is_multiple_of(RARE);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words[..] {
            ["GET", key] if struck && lie == Lie::Stale => bulk(self.before.get(key)),
            ["GET", key] => bulk(self.values.get(key)),
            ["MGET", ref keys @ ..] => {
                let values: String = keys.iter().map(|&key| bulk(self.values.get(key))).collect();
                format!("*{}\r\n{values}", keys.len())
            }
            ["SET" | "INCR" | "APPEND", ..] if struck => self.struck_write(lie, &words),
            ["SET" | "INCR" | "APPEND", ..] => self.apply(&words),
            // What clients say of themselves.
            _ => "+OK\r\n".to_owned(),
        }
    }

    fn struck_write(&mut self, lie: Lie, words: &[&str]) -> String {
        match lie {
            Lie::None => {
                if self.commands.is_multiple_of(2 * RARE) {
                    self.apply(words);
                }
                "-UNKNOWN lost sight of it\r\n".to_owned()
            }
            Lie::Loses => {
                let old = self.values.get(words[1]).cloned();
                let answer = self.apply(words);
                self.values
                    .insert(words[1].to_owned(), old.unwrap_or_default());
                answer
            }
            Lie::Doubles => {
                let answer = self.apply(words);
                self.apply(words);
                answer
            }
            Lie::AppliesRefused => {
                self.apply(words);
                "-OVERLOADED retry after 10 ms\r\n".to_owned()
            }
            Lie::Stale => self.apply(words),
        }
    }

    fn apply(&mut self, words: &[&str]) -> String {
        let old = self.values.get(words[1]).cloned().unwrap_or_default();
        match *words {
            ["SET", key, value] => {
                self.write(key, value.to_owned());
                "+OK\r\n".to_owned()
            }
            ["INCR", key] => {
                let next = old.parse().unwrap_or(0) + 1;
                self.write(key, next.to_string());
                format!(":{next}\r\n")
            }
            ["APPEND", key, token] => {
                let new = old + token;
                let length = new.len();
                self.write(key, new);
                format!(":{length}\r\n")
            }
            _ => panic!("the load sends no {words:?}"),
        }
    }
}

fn bulk(value: Option<&String>) -> String {
    match value {
        Some(value) if !value.is_empty() => format!("${}\r\n{value}\r\n", value.len()),
        _ => "$-1\r\n".to_owned(),
    }
}

async fn serve(stream: TcpStream, store: Arc<Mutex<Store>>, lie: Lie) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    let mut header = String::new();
    while read.read_line(&mut header).await? > 0 {
        let count: usize = header.trim_start_matches('*').trim().parse().unwrap();
        let mut words = Vec::new();
        for _ in 0..count {
            header.clear();
            read.read_line(&mut header).await?;
            let mut word = vec![
                0;
                header
                    .trim_start_matches('$')
                    .trim()
                    .parse::<usize>()
                    .unwrap()
                    + 2
            ];
            read.read_exact(&mut word).await?;
            word.truncate(word.len() - 2);
            words.push(String::from_utf8(word).unwrap());
        }
        header.clear();
        let answer = store.lock().unwrap().answer(lie, &words);
        write.write_all(answer.as_bytes()).await?;
    }
    Ok(())
}

/// Runs a short load on the store through three addresses; returns the claims that do not hold, and what is lost and extra.
async fn run(lie: Lie) -> (Vec<String>, u64, u64) {
    let store = Arc::new(Mutex::new(Store::default()));
    let mut addresses = Vec::new();
    for _ in 0..3 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        addresses.push(listener.local_addr().unwrap().to_string());
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&store), lie));
            }
        });
    }
    let members: Vec<_> = (1..).zip(addresses.clone()).collect();
    let mut load = Load::start(addresses, 6, 7, Duration::from_secs(2));
    while load.recorder().totals().writes < 2_000 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut ledgers = load.stop().await;
    let reads = load.recorder().totals().reads;
    let audit = audit(&members, &mut ledgers).await.unwrap();
    let (lost, extra) = (audit.lost, audit.extra);
    let strict = Allowance::new(Policy::default(), 0, Some(0));
    let mut checks = vec![answers(&load.findings(), reads, strict)];
    checks.extend(audit.checks(strict));
    let broken = checks
        .into_iter()
        .filter(|check| !check.holds)
        .map(|check| check.claim);
    (broken.collect(), lost, extra)
}

#[tokio::test]
async fn an_honest_store_with_unknown_outcomes_passes() {
    let (broken, lost, extra) = run(Lie::None).await;
    assert_eq!((broken, lost, extra), (Vec::new(), 0, 0));
}

#[tokio::test]
async fn a_store_that_forgets_acknowledged_writes_is_found_out() {
    let (broken, lost, _) = run(Lie::Loses).await;
    assert!(lost > 0, "{broken:?}");
}

#[tokio::test]
async fn a_store_that_applies_writes_twice_is_found_out() {
    let (broken, _, extra) = run(Lie::Doubles).await;
    assert!(extra > 0, "{broken:?}");
}

#[tokio::test]
async fn a_store_that_applies_what_it_refused_is_found_out() {
    let (broken, _, extra) = run(Lie::AppliesRefused).await;
    assert!(extra > 0, "{broken:?}");
}

#[tokio::test]
async fn a_store_that_answers_stale_reads_is_found_out() {
    let (broken, lost, extra) = run(Lie::Stale).await;
    assert_eq!((lost, extra), (0, 0));
    assert!(
        broken.len() == 1 && broken[0].contains("stale"),
        "{broken:?}"
    );
}
