//! Whether the cluster kept what it promised: asked after the load has stopped and all members run again.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, Value};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::client::{answer, connect};
use super::ledger::{Answer, Ledger};
use super::load::Findings;
use super::members::Members;
use super::operator::Allowance;
use super::route::RESPONSE_TIMEOUT;
use super::verdict::Finding;
use crate::cluster::status::Status;
use crate::console::{Console, Tone};

/// All members have applied the same position by then.
const CONVERGED: Duration = Duration::from_mins(1);
/// Members that run and have a leader answer a read by then.
const ANSWERED: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(50);
/// Keys that are read at once.
const KEYS: usize = 128;
/// What is wrong is printed for so many keys a member.
const SHOWN: usize = 5;

/// Something that must hold, and whether it does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    /// What was looked at, in words.
    pub(crate) claim: String,
    /// Whether it holds.
    pub(crate) holds: bool,
    /// What was found where it does not.
    pub(crate) details: Vec<String>,
}

impl Check {
    /// A check; it holds if there is nothing to say.
    pub(crate) fn new(claim: impl Into<String>, details: Vec<String>) -> Self {
        Self {
            claim: claim.into(),
            holds: details.is_empty(),
            details,
        }
    }

    /// Prints it.
    pub(crate) fn print(&self, console: Console) {
        let (tone, mark) = if self.holds {
            (Tone::Good, "✓")
        } else {
            (Tone::Bad, "✗")
        };
        println!("{} {}", console.paint(tone, mark), self.claim);
        for detail in &self.details {
            println!("    {detail}");
        }
    }
}

/// The answers that clients got while the load ran.
pub(crate) fn answers(findings: &Findings, reads: u64, allowed: Allowance) -> Check {
    let wrong = findings.count;
    let mut claim = format!("{wrong} stale or wrong answers among {reads} reads under load");
    if allowed.stale {
        claim += " (the policy promises no fresh ones)";
        return Check::new(claim, Vec::new());
    }
    let details = findings
        .first
        .iter()
        .map(|finding| finding.text.clone())
        .collect();
    Check {
        claim,
        holds: wrong == 0,
        details,
    }
}

/// Waits until all members have applied the same position, and compares their digests there.
pub(crate) async fn digests(members: &Members) -> Check {
    let end = Instant::now() + CONVERGED;
    loop {
        let mut seen = Vec::new();
        for (id, status) in members.statuses().await {
            seen.push((id, status.ok()));
        }
        if let Some(applied) = common_position(&seen) {
            return equal_digests(applied, &seen);
        }
        if Instant::now() > end {
            let claim = format!("all members applied the same position within {CONVERGED:?}");
            return Check::new(claim, seen.iter().map(describe).collect());
        }
        sleep(POLL).await;
    }
}

fn common_position(seen: &[(u16, Option<Status>)]) -> Option<u64> {
    let mut common = None;
    for (_, status) in seen {
        let status = status.as_ref()?;
        let applied = status.number("applied")?;
        if status.number("commit")? != applied || *common.get_or_insert(applied) != applied {
            return None;
        }
    }
    common
}

fn equal_digests(applied: u64, seen: &[(u16, Option<Status>)]) -> Check {
    let digest =
        |status: &Option<Status>| status.as_ref().map_or("", |s| s.get("digest")).to_owned();
    let first = seen
        .first()
        .map(|(_, status)| digest(status))
        .unwrap_or_default();
    let equal = !first.is_empty() && seen.iter().all(|(_, status)| digest(status) == first);
    let claim = format!(
        "{} members applied position {applied} with {} digest {first}",
        seen.len(),
        if equal {
            "the same"
        } else {
            "DIFFERENT digests, the first of them"
        }
    );
    let details = if equal {
        Vec::new()
    } else {
        seen.iter().map(describe).collect()
    };
    Check {
        claim,
        holds: equal,
        details,
    }
}

fn describe((id, status): &(u16, Option<Status>)) -> String {
    match status {
        None => format!("member {id} gives no answer"),
        Some(status) => format!(
            "member {id}: {} of {}, commit {}, applied {}, digest {}",
            status.get("role"),
            status.get("epoch"),
            status.get("commit"),
            status.get("applied"),
            status.get("digest")
        ),
    }
}

/// What reading every key through every member has shown.
pub(crate) struct Audit {
    /// Acknowledged writes that one member at least does not show.
    pub(crate) lost: u64,
    /// Writes that one member at least shows twice, or though they were refused.
    pub(crate) extra: u64,
    /// Writes that were acknowledged to all clients.
    pub(crate) acknowledged: u64,
    details: Vec<String>,
}

/// Reads every key through every member and compares it with what its client was told.
///
/// # Errors
/// If a member does not answer.
pub(crate) async fn audit(members: &[(u16, String)], ledgers: &mut [Ledger]) -> Result<Audit> {
    let acknowledged = ledgers.iter().map(Ledger::acknowledged_writes).sum();
    let mut audit = Audit {
        lost: 0,
        extra: 0,
        acknowledged,
        details: Vec::new(),
    };
    for (id, address) in members {
        let mut findings = Vec::new();
        let mut reader = Reader {
            address: address.clone(),
            connection: None,
        };
        for ledger in &mut *ledgers {
            reader
                .read(ledger, &mut findings)
                .await
                .with_context(|| format!("member {id}"))?;
        }
        audit.lost = audit
            .lost
            .max(findings.iter().map(|finding| finding.lost).sum());
        audit.extra = audit
            .extra
            .max(findings.iter().map(|finding| finding.extra).sum());
        let shown = findings.iter().take(SHOWN);
        audit
            .details
            .extend(shown.map(|found| format!("through member {id}: {}", found.text)));
        if findings.len() > SHOWN {
            audit.details.push(format!(
                "and {} more through member {id}",
                findings.len() - SHOWN
            ));
        }
    }
    Ok(audit)
}

impl Audit {
    /// No more that was acknowledged is lost than the policy allows for, nothing counts twice, nothing else is wrong.
    pub(crate) fn checks(self, allowed: Allowance) -> [Check; 2] {
        let Self {
            lost,
            extra,
            acknowledged,
            details,
        } = self;
        let found = |wrong: bool| if wrong { details.clone() } else { Vec::new() };
        // A value that is wrong in neither way is a disorder: shown with the second check.
        let disorder = lost == 0 && extra == 0 && !details.is_empty();
        let extra_claim = format!("{extra} writes applied twice, or applied though refused");
        let bound = match allowed.lost {
            Some(0) => String::new(),
            Some(most) => format!("; the policy allows for {most} after what happened"),
            None => "; the policy allows for it, and members do not know how many".to_owned(),
        };
        let holds = allowed.lost.is_none_or(|most| lost <= most);
        [
            Check {
                claim: format!("{lost} acknowledged writes lost (of {acknowledged}){bound}"),
                holds,
                details: found(!holds),
            },
            Check {
                claim: if disorder {
                    "writes in the wrong order".to_owned()
                } else {
                    extra_claim
                },
                holds: extra == 0 && !disorder,
                details: found(lost == 0 && (extra > 0 || disorder)),
            },
        ]
    }
}

/// Reads through one member.
struct Reader {
    address: String,
    connection: Option<MultiplexedConnection>,
}

impl Reader {
    async fn read(&mut self, ledger: &mut Ledger, findings: &mut Vec<Finding>) -> Result<()> {
        let keys: Vec<String> = ledger.cells().iter().map(|cell| cell.key.clone()).collect();
        for (chunk, names) in keys.chunks(KEYS).enumerate() {
            let values = self.values(names).await?;
            for (place, value) in values.into_iter().enumerate() {
                let Answer::Value(found) = answer(value) else {
                    bail!("MGET answers no values")
                };
                findings.extend(ledger.see(chunk * KEYS + place, found.as_deref()));
            }
        }
        Ok(())
    }

    async fn values(&mut self, keys: &[String]) -> Result<Vec<Value>> {
        let end = Instant::now() + ANSWERED;
        loop {
            match self.try_values(keys).await {
                Ok(values) if values.len() == keys.len() => return Ok(values),
                Ok(values) => bail!(
                    "{} keys asked, {} values answered",
                    keys.len(),
                    values.len()
                ),
                Err(error) if Instant::now() > end => {
                    return Err(error).context("the keys cannot be read");
                }
                Err(_) => {
                    self.connection = None;
                    sleep(POLL).await;
                }
            }
        }
    }

    async fn try_values(&mut self, keys: &[String]) -> redis::RedisResult<Vec<Value>> {
        let mut connection = match self.connection.clone() {
            Some(connection) => connection,
            None => connect(&self.address, RESPONSE_TIMEOUT).await?,
        };
        let mut command = Cmd::new();
        command.arg("MGET").arg(keys);
        let values = command.query_async(&mut connection).await?;
        self.connection = Some(connection);
        Ok(values)
    }
}
