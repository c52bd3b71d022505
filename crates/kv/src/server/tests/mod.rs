//! The server over a member that does what the test wants, on real sockets.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod hostile;
mod pipeline;

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use quorate_core::{
    At, Epoch, Failure, NodeId, Policy, Position, ReadCall, ReadStamp, Rejection, SessionError,
    SessionId, StateMachine, Timestamp,
};
use quorate_node::{Applied, OrderError, Promoted};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use super::member::{FaultOrder, Member};
use super::members::{MemberOrder, Ordered};
use super::order::{DirectOrder, PromoteOrder};
use super::{Limits, Server, ServerConfig};
use crate::KvStore;
use crate::store::Reply;

/// A member that applies every write at once, but tells its fate, and answers reads, only when allowed.
#[derive(Clone)]
struct Fake {
    state: Arc<Mutex<State>>,
    /// A permit for every fate and every answer.
    allowed: Arc<Semaphore>,
}

#[derive(Default)]
struct State {
    store: KvStore,
    /// What came in, in order: `w` a write, `r` a read.
    seen: String,
    failures: VecDeque<Failure>,
    faults: Vec<FaultOrder>,
    places: Vec<(SessionId, u64)>,
    directed: Vec<DirectOrder>,
}

const UNLIMITED: usize = Semaphore::MAX_PERMITS;

impl Fake {
    fn new(allowed: usize) -> Self {
        Self {
            state: Arc::default(),
            allowed: Arc::new(Semaphore::new(allowed)),
        }
    }

    fn seen(&self) -> String {
        self.state.lock().unwrap().seen.clone()
    }

    /// Waits until so much has come in, and a little longer for what must not.
    async fn saw(&self, expected: &str) {
        let wait = async {
            while self.seen().len() < expected.len() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(5), wait).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(self.seen(), expected);
    }
}

impl Member for Fake {
    fn propose(
        &self,
        place: Option<(SessionId, u64)>,
        command: Bytes,
    ) -> impl Future<Output = Result<Applied<Reply>, Failure>> + Send + use<> {
        let outcome = {
            let mut state = self.state.lock().unwrap();
            state.seen.push('w');
            state.places.extend(place);
            let at = At {
                position: Position(1),
                time: Timestamp(1),
            };
            match state.failures.pop_front() {
                Some(failure) => Err(failure),
                None => Ok(Applied {
                    position: at.position,
                    reply: state.store.apply(at, &command),
                }),
            }
        };
        let allowed = self.allowed.clone();
        async move {
            allowed.acquire().await.unwrap().forget();
            outcome
        }
    }

    async fn open_session(&self, ttl: Duration) -> Result<SessionId, Failure> {
        Ok(SessionId(ttl.as_millis() as u64))
    }

    async fn close_session(&self, _: SessionId) -> Result<(), Failure> {
        Err(SessionError::Expired.into())
    }

    async fn read<R: Send + 'static>(
        &self,
        call: ReadCall,
        query: impl FnOnce(&KvStore) -> R + Send + 'static,
    ) -> Result<(R, ReadStamp), Failure> {
        self.state.lock().unwrap().seen.push('r');
        self.allowed.acquire().await.unwrap().forget();
        let mut state = self.state.lock().unwrap();
        match state.failures.pop_front() {
            Some(failure) => Err(failure),
            None => Ok((
                query(&state.store),
                ReadStamp {
                    level: call.level,
                    applied: Position(1).max(call.after),
                    behind: None,
                },
            )),
        }
    }

    async fn fields(&self) -> Vec<(&'static str, String)> {
        vec![("role", "leader".into())]
    }

    fn peers(&self) -> Vec<NodeId> {
        vec![NodeId(2), NodeId(3)]
    }

    async fn policy(&self) -> Vec<(&'static str, String)> {
        vec![("policy", Policy::default().to_string())]
    }

    fn direct(&self, order: DirectOrder) -> Result<(), Failure> {
        let mut state = self.state.lock().unwrap();
        state.directed.push(order);
        state.failures.pop_front().map_or(Ok(()), Err)
    }

    async fn promote(&self, order: PromoteOrder) -> Result<Promoted, OrderError> {
        if order.force {
            return Err(Rejection::Unsupported.into());
        }
        let (round, node) = (order.round.unwrap_or(2), NodeId(1));
        Ok(Promoted {
            epoch: Epoch { round, node },
            missing: order.round,
        })
    }

    async fn order(&self, order: MemberOrder) -> Result<Ordered, OrderError> {
        match order {
            MemberOrder::Change(_) => Ok(Ordered::Changed(Position(7))),
            MemberOrder::Transfer(_) => Err(OrderError::Undecided),
            MemberOrder::Snapshot => Err(OrderError::Empty),
        }
    }

    async fn members(&self) -> Vec<Vec<(&'static str, String)>> {
        vec![vec![("id", "1".into())], vec![("id", "2".into())]]
    }

    fn fault(&self, order: &FaultOrder) {
        self.state.lock().unwrap().faults.push(order.clone());
    }
}

fn config() -> ServerConfig {
    ServerConfig {
        policy: Policy::default(),
        limits: Limits::default(),
        allow_faults: false,
    }
}

/// A server and how to close it.
struct Running {
    address: String,
    close: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

async fn serve(member: &Fake, config: ServerConfig) -> Running {
    let server = Server::bind("127.0.0.1:0", config).await.unwrap();
    let address = server.local_addr().unwrap().to_string();
    let (close, closing) = watch::channel(false);
    let serving = tokio::spawn(server.serve_member(member.clone(), closing));
    Running {
        address,
        close,
        serving,
    }
}

struct Client(TcpStream);

impl Client {
    async fn connect(server: &Running) -> Self {
        Self(TcpStream::connect(&server.address).await.unwrap())
    }

    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Reads what is expected, and complains about anything else.
    async fn expect(&mut self, expected: &str) {
        let mut said = vec![0; expected.len()];
        let mut length = 0;
        let read = async {
            while length < said.len() {
                match self.0.read(&mut said[length..]).await {
                    Ok(0) | Err(_) => break,
                    Ok(more) => length += more,
                }
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(5), read).await;
        let said = said[..length].escape_ascii().to_string();
        assert_eq!(said, expected.as_bytes().escape_ascii().to_string());
    }

    /// Reads to the end of the connection.
    async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        let read = self.0.read_to_end(&mut rest);
        let _ = tokio::time::timeout(Duration::from_secs(5), read)
            .await
            .expect("it ends");
        rest.escape_ascii().to_string()
    }

    async fn expect_end(&mut self) {
        assert_eq!(self.rest().await, "");
    }
}
