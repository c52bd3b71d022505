//! Orders that an operator gives to a cluster, of whoever leads, until they are carried out.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use redis::Cmd;
use tokio::time::{Instant, sleep};

use super::layout::Layout;
use super::status::{Status, ask_within};

/// An order that is refused all the time is given up then; so is a member that does not catch up.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
/// How long a member may take for one order.
pub(crate) const ORDER: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(50);
/// How an order fails that may be given again: to the next leader, or a little later.
const PASSING: [&str; 4] = ["NOTLEADER", "TRYAGAIN", "UNDECIDED", "OVERLOADED"];

/// The members that may be asked, and where their clients reach them.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    members: Vec<(u16, String)>,
}

impl Directory {
    /// These members of a cluster that lies so.
    pub(crate) fn new(layout: &Layout, ids: impl IntoIterator<Item = u16>) -> Self {
        let members = ids.into_iter().map(|id| (id, layout.client_addr(id)));
        Self {
            members: members.collect(),
        }
    }

    /// Where clients reach them.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let addresses = self.members.iter().map(|(_, address)| address.clone());
        addresses.collect()
    }

    /// The members, each with its clients' address.
    pub(crate) fn members(&self) -> &[(u16, String)] {
        &self.members
    }

    /// What each member says of itself.
    pub(crate) async fn statuses(&self) -> Vec<(u16, Result<Status>)> {
        let ask = |(id, address): &(u16, String)| {
            let address = address.clone();
            (*id, tokio::spawn(async move { Status::of(&address).await }))
        };
        let asked: Vec<_> = self.members.iter().map(ask).collect();
        let mut statuses = Vec::new();
        for (id, answer) in asked {
            let answer = answer
                .await
                .expect("asking neither panics nor is cancelled");
            statuses.push((id, answer));
        }
        statuses
    }

    /// Who leads, once somebody does, and what it says of itself.
    ///
    /// # Errors
    /// If nobody does for too long.
    pub(crate) async fn leader(&self) -> Result<(u16, Status)> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let statuses = self.statuses().await.into_iter();
            let led = statuses.filter_map(|(id, status)| Some((id, status.ok()?)));
            let led = led.filter(|(_, status)| status.leads());
            if let Some(leader) = led.max_by_key(|(_, status)| status.round()) {
                return Ok(leader);
            }
            sleep(POLL).await;
        }
        bail!("no member leads after {PATIENCE:?}")
    }

    /// Gives an order to whoever leads, until it is carried out.
    ///
    /// # Errors
    /// If it is refused.
    pub(crate) async fn order(&self, words: &[&str]) -> Result<()> {
        self.order_unless(words, |_| false).await
    }

    /// Gives an order to whoever leads, until it is carried out or the leader says that it is `done`: by an attempt that was
    /// not answered.
    ///
    /// # Errors
    /// If it is refused.
    pub(crate) async fn order_unless(
        &self,
        words: &[&str],
        done: impl Fn(&Status) -> bool,
    ) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            let (leader, status) = self.leader().await?;
            if status.is_settled() && done(&status) {
                return Ok(());
            }
            let address = self.address(leader);
            let Err(error) = ask_within(&address, &command(words), ORDER).await else {
                return Ok(());
            };
            if !passes(&error) || Instant::now() > end {
                return Err(error.context(format!("QUORATE {}", words.join(" "))));
            }
            sleep(POLL).await;
        }
    }

    /// Waits until the leader says that something holds of a configuration that is in force, whoever leads.
    ///
    /// # Errors
    /// If that takes too long; names `what`.
    pub(crate) async fn until(&self, what: &str, fact: impl Fn(&Status) -> bool) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            let (_, status) = self.leader().await?;
            if status.is_settled() && fact(&status) {
                return Ok(());
            }
            if Instant::now() > end {
                bail!(
                    "{what}: not within {PATIENCE:?}; the configuration is {}",
                    status.get("configuration")
                );
            }
            sleep(POLL).await;
        }
    }

    fn address(&self, id: u16) -> String {
        let mut members = self.members.iter();
        let member = members.find(|(member, _)| *member == id);
        member.expect("it was asked just now").1.clone()
    }
}

/// Whether an order that failed so may be given again: it was refused for now, or nobody knows what came of it.
fn passes(error: &anyhow::Error) -> bool {
    match error.downcast_ref::<redis::RedisError>() {
        Some(error) => match error.code() {
            Some(code) => PASSING.contains(&code),
            None => true,
        },
        None => true,
    }
}

/// `QUORATE` and these words.
pub(crate) fn command(words: &[&str]) -> Cmd {
    let mut command = Cmd::new();
    command.arg("QUORATE").arg(words);
    command
}

/// Lets the member at `address` take a snapshot now, and waits until that is durable.
///
/// # Errors
/// If it does not.
pub(crate) async fn take_snapshot(address: &str) -> Result<()> {
    let taken = ask_within(address, &command(&["SNAPSHOT"]), ORDER).await;
    taken.context("no snapshot").map(drop)
}
