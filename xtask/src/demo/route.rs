//! The way of one client to the members: to its own, as long as that takes connections, else to the next.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use tokio::time::{Instant, sleep};

use super::client::connect;

/// A client waits no longer for an answer; then the outcome is unknown to it.
pub(crate) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(3);
/// A client that was refused waits so long before the next command, as a client that behaves should.
pub(crate) const BACKOFF: Duration = Duration::from_millis(10);
/// A client that had to leave its own member tries it again after this time.
const AWAY: Duration = Duration::from_secs(2);

/// Where the members are, for all clients; may change while they run.
pub(crate) struct Addresses(RwLock<Vec<String>>);

impl Addresses {
    /// These.
    pub(crate) fn new(addresses: Vec<String>) -> Arc<Self> {
        Arc::new(Self(RwLock::new(addresses)))
    }

    /// From now on these.
    pub(crate) fn set(&self, addresses: Vec<String>) {
        // The list is replaced as a whole, so a panic elsewhere spoils nothing; likewise below.
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    fn nth(&self, index: usize) -> String {
        let addresses = self.0.read().unwrap_or_else(PoisonError::into_inner);
        addresses[index % addresses.len()].clone()
    }
}

/// One client's way.
pub(crate) struct Route {
    addresses: Arc<Addresses>,
    /// Its own member is the one at this place.
    home: usize,
    /// The one that it goes to is so many places further.
    away: usize,
    connection: Option<(String, MultiplexedConnection)>,
    /// When it left its own member, or looked for it.
    left: Instant,
}

impl Route {
    /// The client with this number, which shares the members with all others.
    pub(crate) fn new(addresses: Arc<Addresses>, client: usize) -> Self {
        Self {
            addresses,
            home: client,
            away: 0,
            connection: None,
            left: Instant::now(),
        }
    }

    /// A connection, if the member that it goes to takes one; else it goes to another next time.
    pub(crate) async fn connection(&mut self) -> Option<MultiplexedConnection> {
        self.go_home().await;
        if self.connection.is_none() {
            let address = self.addresses.nth(self.home + self.away);
            let Ok(connection) = connect(&address, RESPONSE_TIMEOUT).await else {
                self.leave();
                sleep(BACKOFF).await;
                return None;
            };
            self.connection = Some((address, connection));
        }
        self.connection
            .as_ref()
            .map(|(_, connection)| connection.clone())
    }

    /// The connection is good for nothing any more.
    pub(crate) fn leave(&mut self) {
        self.connection = None;
        self.away += 1;
        self.left = Instant::now();
    }

    /// Where it goes at the moment.
    pub(crate) fn place(&self) -> &str {
        self.connection
            .as_ref()
            .map_or("nowhere", |(address, _)| address)
    }

    /// Goes back to its own member if that one takes connections again.
    async fn go_home(&mut self) {
        let Some((at, _)) = &self.connection else {
            return;
        };
        if self.left.elapsed() < AWAY {
            return;
        }
        self.left = Instant::now();
        let home = self.addresses.nth(self.home);
        if *at != home
            && let Ok(connection) = connect(&home, RESPONSE_TIMEOUT).await
        {
            self.connection = Some((home, connection));
            self.away = 0;
        }
    }
}
