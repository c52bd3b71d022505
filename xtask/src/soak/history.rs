//! What some clients did to keys that they share, and whether one order of it explains all that they saw.
//!
//! A key is used for a short time only, so that a command whose fate is unknown burdens the search for an order of few others.
//! Beside those, one counter goes through the whole run: it has to add up.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use quorate_sim::linearizability::{Model, Operation, Outcome as Fate, Verdict, check_by_key};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::demo::check::Check;
use crate::demo::client::{self, connect};
use crate::demo::ledger::{Action, Answer, Outcome};
use crate::demo::route::{Addresses, BACKOFF, RESPONSE_TIMEOUT, Route};

/// How long a key is used.
const WINDOW: Duration = Duration::from_secs(2);
/// A client waits so long between two commands.
const PACE: Duration = Duration::from_millis(5);
/// The counter that goes through the whole run.
const TOTAL: &str = "history:total";

/// What is asked of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// `GET`
    Get,
    /// `SET`, to a value that is set only once.
    Set(u64),
    /// `INCR`
    Increment,
}

/// One command on one key.
pub(crate) type Asked = (String, Ask);

/// A key that only grows, or to which no value is written twice; 0 if nobody wrote it.
struct Cell;

impl Model for Cell {
    type State = u64;
    type Input = Asked;
    type Output = u64;

    fn initial(&self) -> u64 {
        0
    }

    fn step(&self, state: &u64, (_, ask): &Asked, output: Option<&u64>) -> Option<u64> {
        match ask {
            Ask::Get => output.is_none_or(|seen| seen == state).then_some(*state),
            Ask::Set(value) => Some(*value),
            Ask::Increment => {
                let after = state + 1;
                output.is_none_or(|seen| *seen == after).then_some(after)
            }
        }
    }

    fn mark(&self, (_, ask): &Asked) -> Option<u64> {
        match ask {
            Ask::Set(value) => Some(*value),
            Ask::Get | Ask::Increment => None,
        }
    }

    fn shows(&self, (key, ask): &Asked, output: &u64) -> Vec<u64> {
        match ask {
            Ask::Get if !is_counter(key) && *output != 0 => vec![*output],
            Ask::Get | Ask::Set(_) | Ask::Increment => Vec::new(),
        }
    }

    fn top(&self, state: &u64) -> Option<u64> {
        Some(*state)
    }

    fn needs(&self, (_, ask): &Asked, output: &u64) -> Option<u64> {
        match ask {
            Ask::Get => Some(*output),
            Ask::Increment => output.checked_sub(1),
            Ask::Set(_) => None,
        }
    }

    fn interchangeable(&self, (_, one): &Asked, (_, other): &Asked) -> bool {
        *one == Ask::Increment && *other == Ask::Increment
    }
}

fn is_counter(key: &str) -> bool {
    key.starts_with("history:c")
}

type Record = Operation<Asked, u64>;

/// The clients that keep a history.
pub(crate) struct History {
    shared: Arc<Shared>,
    clients: JoinSet<Vec<Record>>,
}

struct Shared {
    addresses: Arc<Addresses>,
    began: Instant,
    values: AtomicU64,
    total: Mutex<Total>,
    stop: AtomicBool,
}

/// What is known of the counter that goes through the whole run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Total {
    acknowledged: u64,
    unknown: u64,
}

impl Total {
    fn holds(self, value: u64) -> bool {
        (self.acknowledged..=self.acknowledged + self.unknown).contains(&value)
    }
}

impl fmt::Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            acknowledged,
            unknown,
        } = self;
        write!(
            f,
            "{acknowledged} acknowledged and {unknown} unknown increments"
        )
    }
}

impl History {
    /// Starts `clients` of them.
    pub(crate) fn start(addresses: Arc<Addresses>, clients: usize, seed: u64) -> Self {
        let shared = Arc::new(Shared {
            addresses,
            began: Instant::now(),
            values: AtomicU64::new(1),
            total: Mutex::default(),
            stop: AtomicBool::new(false),
        });
        let mut running = JoinSet::new();
        for client in 0..clients {
            let rng = fastrand::Rng::with_seed(seed.wrapping_add(client as u64));
            running.spawn(record(Arc::clone(&shared), client, rng));
        }
        Self {
            shared,
            clients: running,
        }
    }

    /// Ends them all, and judges what they saw and what every member shows now.
    pub(crate) async fn judge(mut self, members: &[(u16, String)]) -> Vec<Check> {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut records = Vec::new();
        while let Some(client) = self.clients.join_next().await {
            records.extend(client.expect("a client neither panics nor is cancelled"));
        }
        let total = *lock(&self.shared.total);
        let count = records.len();
        let verdict = tokio::task::spawn_blocking(move || judge(&records)).await;
        let verdict = verdict.expect("the search neither panics nor is cancelled");
        let claim = format!("{count} operations on shared keys are linearizable");
        vec![Check::new(claim, verdict), add_up(total, members).await]
    }
}

fn judge(records: &[Record]) -> Vec<String> {
    match check_by_key(&Cell, records, |(key, _)| key.clone()) {
        Ok(()) => Vec::new(),
        Err((key, Verdict::Undecided)) => vec![format!("{key}: the search was given up")],
        Err((key, verdict)) => {
            let mut lines = vec![format!("{key}: {verdict:?}")];
            let of_key = records.iter().filter(|record| record.input.0 == key);
            lines.extend(of_key.map(|record| format!("{record:?}")));
            lines
        }
    }
}

async fn add_up(total: Total, members: &[(u16, String)]) -> Check {
    let mut details = Vec::new();
    for (id, address) in members {
        match read_total(address).await {
            Ok(value) if total.holds(value) => {}
            Ok(value) => details.push(format!("member {id} counts {value}")),
            Err(error) => details.push(format!("member {id}: {error:#}")),
        }
    }
    let claim = format!("one counter adds up after the whole run: {total}");
    Check::new(claim, details)
}

async fn read_total(address: &str) -> Result<u64> {
    let mut connection = connect(address, RESPONSE_TIMEOUT).await?;
    let get = client::command(&Action::Get(TOTAL.to_owned()));
    let value = get.query_async(&mut connection).await?;
    number(client::answer(value)).context("no number")
}

fn lock(total: &Mutex<Total>) -> std::sync::MutexGuard<'_, Total> {
    // Every change is a single count, so a panic elsewhere spoils nothing.
    total.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn record(shared: Arc<Shared>, client: usize, mut rng: fastrand::Rng) -> Vec<Record> {
    let mut route = Route::new(Arc::clone(&shared.addresses), client);
    let mut records = Vec::new();
    while !shared.stop.load(Ordering::Relaxed) {
        sleep(PACE).await;
        let Some(mut connection) = route.connection().await else {
            continue;
        };
        let (key, ask) = draw(&shared, &mut rng);
        let action = match &ask {
            Ask::Get => Action::Get(key.clone()),
            Ask::Set(value) => Action::Set(key.clone(), value.to_string()),
            Ask::Increment => Action::Incr(key.clone()),
        };
        let called = nanos(shared.began);
        let result = client::command(&action).query_async(&mut connection).await;
        let at = nanos(shared.began);
        let (outcome, usable) = client::outcome(result);
        if key == TOTAL {
            count(&shared.total, &outcome);
        } else {
            let fate = fate(outcome.clone(), at);
            records.extend(fate.map(|outcome| Operation {
                input: (key, ask),
                called,
                outcome,
            }));
        }
        if !usable {
            route.leave();
        } else if !matches!(outcome, Outcome::Acknowledged(_)) {
            sleep(BACKOFF).await;
        }
    }
    records
}

/// What comes next, on the keys that are in use now.
fn draw(shared: &Shared, rng: &mut fastrand::Rng) -> Asked {
    let window = shared.began.elapsed().as_millis() / WINDOW.as_millis();
    let place = rng.u32(0..2);
    match rng.u32(0..9) {
        0 => (TOTAL.to_owned(), Ask::Increment),
        1..3 => {
            let value = shared.values.fetch_add(1, Ordering::Relaxed);
            (format!("history:r{place}:{window}"), Ask::Set(value))
        }
        3..5 => (format!("history:r{place}:{window}"), Ask::Get),
        5..7 => (format!("history:c{place}:{window}"), Ask::Increment),
        _ => (format!("history:c{place}:{window}"), Ask::Get),
    }
}

fn count(total: &Mutex<Total>, outcome: &Outcome) {
    match outcome {
        Outcome::Acknowledged(_) => lock(total).acknowledged += 1,
        Outcome::Unknown(_) => lock(total).unknown += 1,
        Outcome::Refused(_) => {}
    }
}

/// What the search is told; none: it surely did not happen.
fn fate(outcome: Outcome, at: u64) -> Option<Fate<u64>> {
    match outcome {
        // A value that is no number was written by nobody, and no order explains it.
        Outcome::Acknowledged(answer) => {
            let output = number(answer).unwrap_or(u64::MAX);
            Some(Fate::Returned { at, output })
        }
        Outcome::Unknown(_) => Some(Fate::Unknown),
        Outcome::Refused(_) => None,
    }
}

fn number(answer: Answer) -> Option<u64> {
    match answer {
        Answer::Done | Answer::Value(None) => Some(0),
        Answer::Number(number) => u64::try_from(number).ok(),
        Answer::Value(Some(text)) => text.parse().ok(),
    }
}

fn nanos(began: Instant) -> u64 {
    began.elapsed().as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(ask: Ask, called: u64, outcome: Option<u64>) -> Record {
        let outcome = outcome.map_or(Fate::Unknown, |output| Fate::Returned {
            at: called + 1,
            output,
        });
        let key = if matches!(ask, Ask::Increment) {
            "history:c0:0"
        } else {
            "history:r0:0"
        };
        Operation {
            input: (key.to_owned(), ask),
            called,
            outcome,
        }
    }

    #[test]
    fn an_increment_that_counts_twice_and_a_stale_read_are_found() {
        let increments = |seen: [Option<u64>; 3]| {
            let operation = |(at, seen)| operation(Ask::Increment, at * 10, seen);
            judge(&(0_u64..).zip(seen).map(operation).collect::<Vec<_>>()).is_empty()
        };
        assert!(increments([Some(1), Some(2), Some(3)]));
        assert!(increments([Some(1), None, Some(3)]));
        assert!(increments([Some(1), None, Some(2)]));
        assert!(!increments([Some(1), Some(3), Some(4)]));
        assert!(!increments([Some(1), None, Some(1)]));
        let reads = |seen| {
            let history = [
                operation(Ask::Set(7), 0, Some(0)),
                operation(Ask::Set(8), 10, Some(0)),
                operation(Ask::Get, 20, Some(seen)),
            ];
            judge(&history).is_empty()
        };
        assert!(reads(8));
        assert!(!reads(7));
        assert!(!reads(0));
    }

    #[test]
    fn unknown_increments_widen_what_adds_up() {
        let total = Total {
            acknowledged: 5,
            unknown: 2,
        };
        let holds = (3..9).filter(|value| total.holds(*value));
        assert_eq!(holds.collect::<Vec<_>>(), [5, 6, 7]);
    }
}
