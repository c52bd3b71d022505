//! A fault run: an open loop of writes and reads, and faults that strike meanwhile.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use quorate_core::Policy;
use quorate_load::{Ending, Keys, Open, Opened, Workload, in_this_thread, name_key, open};
use redis::{Cmd, Value};
use tokio::time::{sleep, sleep_until};

use super::aftermath;
use super::contender::Contender;
use super::faults::{Script, Strike};
use super::plan::Plan;
use super::progress::Progress;
use super::results::Trial;
use super::servers::{DRAIN, HEAD_START, INSIST, OPEN_CLIENTS, Programs, Servers, resp};
use crate::cluster::status::ask;
use crate::demo::check;
use crate::demo::members::Members;
use crate::demo::operator::Eve;

/// How many of a hundred requests are reads.
const READS: u8 = 20;
/// Where nobody is elected, an operator promotes another member so long after the leader was struck.
pub(crate) const OPERATOR: Duration = Duration::from_millis(500);
/// Keys that are read at once.
const KEYS: usize = 128;
/// Members that run and have a leader answer a read by then.
const ANSWERED: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(50);

/// A fault that has happened; times since the load began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Struck {
    /// What was planned.
    pub(crate) strike: Strike,
    /// Who led.
    pub(crate) leader: u16,
    /// When it began.
    pub(crate) from: Duration,
    /// When it was lifted.
    pub(crate) to: Duration,
    /// From being started again until it was ready, if it was killed; until another votes in its place, if it was wiped.
    pub(crate) restart: Option<Duration>,
}

/// What every member has in the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Audit {
    /// Acknowledged writes that one member at least does not have, by number.
    pub(crate) lost: BTreeSet<u64>,
    /// Refused writes that one member at least has.
    pub(crate) extra: BTreeSet<u64>,
    /// What is wrong with the members themselves.
    pub(crate) broken: Vec<String>,
}

/// Runs the script on every policy, as often as planned.
///
/// # Errors
/// If a cluster does not come up, or a member ends that nobody killed.
pub(crate) async fn run(
    plan: &Plan,
    contenders: &[Contender],
    programs: &Programs,
    dir: &Path,
    progress: &Progress,
) -> Result<Vec<Trial>> {
    let Some(script) = &plan.script else {
        return Ok(Vec::new());
    };
    let mut trials = Vec::new();
    for number in 0..plan.trials {
        for (place, contender) in contenders.iter().enumerate() {
            let Some(policy) = contender.policy() else {
                continue;
            };
            progress.say(&format!(
                "fault run {} of {}: {}",
                number + 1,
                plan.trials,
                contender.name()
            ));
            let home = dir.join("cluster");
            fs::create_dir_all(&home).with_context(|| format!("cannot make {}", home.display()))?;
            let members = (plan.members[0], script.newcomers());
            let servers = Servers::start(contender, members, &home, programs).await?;
            let Servers::Quorate(members) = servers else {
                unreachable!("only Quorate has policies")
            };
            let trial = one(plan, script, members, policy).await;
            let trial =
                trial.with_context(|| format!("{}: see {}", contender.name(), home.display()))?;
            trials.push(Trial {
                contender: place,
                number,
                ..trial
            });
            fs::remove_dir_all(&home)
                .with_context(|| format!("cannot empty {}", home.display()))?;
        }
    }
    Ok(trials)
}

async fn one(plan: &Plan, script: &Script, mut members: Members, policy: Policy) -> Result<Trial> {
    let workload = Workload {
        seed: plan.seed,
        keys: Keys::Fresh,
        payload: plan.payloads[0],
        reads: READS,
    };
    let begin = Instant::now() + HEAD_START;
    let load = {
        let (workload, target) = (workload.clone(), resp(members.addresses(), None));
        let plan = Open {
            clients: OPEN_CLIENTS,
            through: None,
            rate: script.rate,
            begin,
            length: script.length,
            drain: DRAIN,
            insist: INSIST,
        };
        tokio::task::spawn_blocking(move || in_this_thread(open(target, &plan, &workload)))
    };
    let mut struck = Vec::new();
    for &strike in &script.strikes {
        struck.push(carry_out(strike, begin, &mut members, policy).await?);
    }
    let opened = load.await.expect("a load does not panic")??;
    members.all_run()?;
    let audit = audit(&members, &opened, &workload).await?;
    let promised = Promise {
        keeps: policy.keeps_acknowledged(),
        fresh: policy.read_level.is_linearizable(),
    };
    Ok(aftermath::judge(script, &opened, &struck, &audit, promised))
}

/// What a policy promises.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promise {
    /// Nothing acknowledged is lost.
    pub(crate) keeps: bool,
    /// No read is stale.
    pub(crate) fresh: bool,
}

async fn carry_out(
    strike: Strike,
    begin: Instant,
    members: &mut Members,
    policy: Policy,
) -> Result<Struck> {
    let fault = strike.fault;
    sleep_until((begin + strike.from).into()).await;
    members.all_run()?;
    let leader = members.leader().await?;
    let appointed = fault.needs_operator() && !policy.protocol.is_consensus();
    let eve = if appointed {
        Some(Eve::of(members, leader, 0).await?)
    } else {
        None
    };
    let from = begin.elapsed();
    fault.strike(members, leader).await?;
    if let Some(eve) = eve {
        sleep(OPERATOR).await;
        eve.promote(members, 0, 0).await?;
    }
    // A fault that began late still lasts as long.
    let lasts = strike.to.saturating_sub(strike.from);
    sleep_until((begin + from + lasts).into()).await;
    let to = begin.elapsed();
    let restart = fault.lift(members, leader).await?;
    Ok(Struck {
        strike,
        leader,
        from,
        to,
        restart,
    })
}

/// Looks through every member for each write whose fate is known.
async fn audit(members: &Members, opened: &Opened, workload: &Workload) -> Result<Audit> {
    let mut audit = Audit::default();
    let digests = check::digests(members).await;
    if !digests.holds {
        audit.broken.push(digests.claim);
    }
    let by = |ending| {
        let ends = opened
            .ends
            .iter()
            .filter(move |end| end.write && end.ending == ending);
        ends.map(|end| end.number).collect::<Vec<_>>()
    };
    let (written, refused) = (by(Ending::Written), by(Ending::Refused));
    for address in members.addresses() {
        audit
            .lost
            .extend(absent(&address, &written, workload).await?);
        let absent: BTreeSet<_> = absent(&address, &refused, workload)
            .await?
            .into_iter()
            .collect();
        audit
            .extra
            .extend(refused.iter().filter(|number| !absent.contains(number)));
    }
    Ok(audit)
}

/// Which of these writes the member does not have as they were written.
async fn absent(address: &str, numbers: &[u64], workload: &Workload) -> Result<Vec<u64>> {
    let mut absent = Vec::new();
    let (mut name, mut expected) = (Vec::new(), Vec::new());
    for numbers in numbers.chunks(KEYS) {
        let mut command = Cmd::new();
        command.arg("MGET");
        for &number in numbers {
            name_key(number, &mut name);
            command.arg(&name);
        }
        let values = insist(address, &command).await?;
        if values.len() != numbers.len() {
            bail!(
                "{} keys asked, {} values answered",
                numbers.len(),
                values.len()
            );
        }
        for (&number, value) in numbers.iter().zip(values) {
            workload.fill(number, &mut expected);
            if value != Value::BulkString(expected.clone()) {
                absent.push(number);
            }
        }
    }
    Ok(absent)
}

async fn insist(address: &str, command: &Cmd) -> Result<Vec<Value>> {
    let end = Instant::now() + ANSWERED;
    loop {
        match ask(address, command).await {
            Ok(Value::Array(values)) => return Ok(values),
            Ok(other) => bail!("MGET answered {other:?}"),
            Err(error) if Instant::now() > end => return Err(error),
            Err(_) => sleep(POLL).await,
        }
    }
}
