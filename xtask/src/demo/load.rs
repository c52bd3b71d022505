//! Many clients on all members, each with a mixed load of writes and reads on keys of its own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{RedisResult, Value};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::board::Board;
use super::client::{self, command};
use super::ledger::{Answer, Ledger, Outcome};
use super::route::{Addresses, BACKOFF, Route};
use super::timeline::{Recorder, Tally};
use super::verdict::Finding;

/// The findings that are kept word for word; all are counted.
const FINDINGS: usize = 20;

/// A load that runs until it is told to stop.
pub(crate) struct Load {
    shared: Arc<Shared>,
    clients: JoinSet<Ledger>,
}

/// What all clients of a load share.
struct Shared {
    addresses: Arc<Addresses>,
    pace: Duration,
    recorder: Recorder,
    board: Board,
    stop: AtomicBool,
    findings: Mutex<Findings>,
}

/// What clients found wrong while the load ran.
#[derive(Clone, Default)]
pub(crate) struct Findings {
    /// How many.
    pub(crate) count: u64,
    /// The first of them.
    pub(crate) first: Vec<Finding>,
}

impl Load {
    /// Starts `clients` clients, spread over the members at `addresses`, as fast as they can.
    pub(crate) fn start(
        addresses: Vec<String>,
        clients: usize,
        seed: u64,
        expected: Duration,
    ) -> Self {
        Self::paced(addresses, clients, seed, expected, Duration::ZERO)
    }

    /// The same, each with a pause of `pace` behind each command.
    pub(crate) fn paced(
        addresses: Vec<String>,
        clients: usize,
        seed: u64,
        expected: Duration,
        pace: Duration,
    ) -> Self {
        let ledgers: Vec<_> = (0..clients).map(Ledger::new).collect();
        let shared = Arc::new(Shared {
            addresses: Addresses::new(addresses),
            pace,
            recorder: Recorder::new(expected),
            board: Board::new(ledgers.iter().map(|ledger| ledger.public_key().to_owned())),
            stop: AtomicBool::new(false),
            findings: Mutex::default(),
        });
        let mut running = JoinSet::new();
        for (index, ledger) in ledgers.into_iter().enumerate() {
            let rng = fastrand::Rng::with_seed(seed.wrapping_add(index as u64));
            running.spawn(Client::new(index, ledger, rng, Arc::clone(&shared)).run());
        }
        Self {
            shared,
            clients: running,
        }
    }

    /// What has been recorded.
    pub(crate) fn recorder(&self) -> &Recorder {
        &self.shared.recorder
    }

    /// Where the members are.
    pub(crate) fn addresses(&self) -> &Arc<Addresses> {
        &self.shared.addresses
    }

    /// What was found wrong so far.
    pub(crate) fn findings(&self) -> Findings {
        self.shared
            .findings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Lets every client finish its command, and returns what each of them knows.
    pub(crate) async fn stop(&mut self) -> Vec<Ledger> {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut ledgers = Vec::new();
        while let Some(ledger) = self.clients.join_next().await {
            ledgers.push(ledger.expect("a client neither panics nor is cancelled"));
        }
        ledgers
    }
}

struct Client {
    index: usize,
    ledger: Ledger,
    rng: fastrand::Rng,
    shared: Arc<Shared>,
    route: Route,
}

impl Client {
    fn new(index: usize, ledger: Ledger, rng: fastrand::Rng, shared: Arc<Shared>) -> Self {
        let route = Route::new(Arc::clone(&shared.addresses), index);
        Self {
            index,
            ledger,
            rng,
            shared,
            route,
        }
    }

    async fn run(mut self) -> Ledger {
        while !self.shared.stop.load(Ordering::Relaxed) {
            if !self.shared.pace.is_zero() {
                sleep(self.shared.pace).await;
            }
            let Some(connection) = self.route.connection().await else {
                continue;
            };
            match self.rng.u32(0..8) {
                0 => self.write_public(connection).await,
                1 => self.read_public(connection).await,
                _ => {
                    let operation = self.ledger.next(&mut self.rng);
                    self.carry_out(connection, operation).await;
                }
            }
        }
        self.ledger
    }

    async fn write_public(&mut self, connection: MultiplexedConnection) {
        let (operation, number) = self.ledger.public_write();
        self.shared.board.issue(self.index, number);
        match self.carry_out(connection, operation).await {
            Outcome::Acknowledged(_) => self.shared.board.acknowledge(self.index, number),
            Outcome::Unknown(_) => self
                .shared
                .board
                .renew(self.index, self.ledger.public_key()),
            Outcome::Refused(_) => {}
        }
    }

    async fn carry_out(
        &mut self,
        mut connection: MultiplexedConnection,
        operation: super::ledger::Operation,
    ) -> Outcome {
        let began = self.shared.recorder.now();
        let result = command(&operation.action)
            .query_async(&mut connection)
            .await;
        let outcome = self.end(began, result, operation.is_write()).await;
        if let Some(finding) = self.ledger.settle(operation, &outcome) {
            self.report(&finding);
        }
        outcome
    }

    /// Reads another client's register, and holds the answer against what was acknowledged to that client.
    async fn read_public(&mut self, mut connection: MultiplexedConnection) {
        let owner = self.rng.usize(0..self.shared.board.len());
        let bound = self.shared.board.bound(owner);
        let began = self.shared.recorder.now();
        let get = super::ledger::Action::Get(bound.key.clone());
        let result = command(&get).query_async(&mut connection).await;
        if let Outcome::Acknowledged(Answer::Value(found)) = self.end(began, result, false).await
            && let Some(finding) = self.shared.board.observe(&bound, found.as_deref())
        {
            self.report(&finding);
        }
    }

    async fn end(&mut self, began: Duration, result: RedisResult<Value>, write: bool) -> Outcome {
        let (outcome, usable) = client::outcome(result);
        let tally = match &outcome {
            Outcome::Acknowledged(_) if write => Tally::Write,
            Outcome::Acknowledged(_) => Tally::Read,
            Outcome::Refused(_) => Tally::Refused,
            Outcome::Unknown(_) if write => Tally::Unknown,
            Outcome::Unknown(_) => Tally::Unanswered,
        };
        self.shared.recorder.record(began, tally);
        if !usable {
            self.route.leave();
        } else if !matches!(outcome, Outcome::Acknowledged(_)) {
            sleep(BACKOFF).await;
        }
        outcome
    }

    fn report(&self, finding: &Finding) {
        let mut findings = self
            .shared
            .findings
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        findings.count += 1;
        if findings.first.len() < FINDINGS {
            let text = format!("through {}: {}", self.route.place(), finding.text);
            findings.first.push(Finding { text, ..*finding });
        }
    }
}
