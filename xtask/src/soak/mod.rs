//! `cargo xtask soak`: minutes under load, while snapshots are taken and members are wiped, added, removed and made leaders; then
//! a check that nothing was lost, doubled or stale, and that memory and disk stay level.

mod churn;
mod history;
mod plan;
mod report;
mod usage;
mod watch;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use quorate_core::{Durability, Policy};
use redis::Cmd;
use tokio::time::{Instant, sleep};

use self::churn::{Churn, Done};
use self::history::History;
use self::plan::{Deed, plan};
use self::report::Report;
use self::watch::{Seen, Watch};
use crate::cluster::layout::{self, Choice, Layout};
use crate::console::{Console, Progress, Tone};
use crate::demo::check::{self, Check};
use crate::demo::client::connect;
use crate::demo::ledger::Ledger;
use crate::demo::load::Load;
use crate::demo::members::Members;
use crate::demo::operator::Allowance;
use crate::demo::route::RESPONSE_TIMEOUT;
use crate::workspace;

const FOUNDERS: u16 = 3;
/// New members in one period: one for who was wiped, two that are added.
const COME: u16 = 3;
/// Not more often than this: it takes as long until all has come about.
const PERIOD_MIN: u64 = 15;
/// A period has so many snapshots of every member.
const SNAPSHOTS: u32 = 12;
/// Clients whose history is kept, beside those of the load.
const HISTORIANS: usize = 4;
/// Small files, so that much is reclaimed in minutes.
const FLAGS: &str =
    "--segment-bytes 8388608 --max-request-bytes 2097152 --snapshot-every-bytes 33554432";
/// The longest that an election's timer runs, with the servers' defaults.
const ELECTION: Duration = Duration::from_millis(600);
/// The size of a value of the state that is there from the beginning, and how many are sent at once.
const VALUE: usize = 1024;
const AT_ONCE: usize = 256;
/// A client waits so long between two commands: what is to stay level must not follow how busy the machine is otherwise.
const PACE: Duration = Duration::from_millis(10);
const TICK: Duration = Duration::from_millis(100);

/// Keeps a cluster of real processes under load while members are wiped, added, removed and made leaders.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=300))]
    minutes: u64,
    /// Seconds in which one member is wiped, two are added and removed, and leadership is handed over three times
    /// [default: 60, or a third of the run].
    #[arg(long, value_parser = clap::value_parser!(u64).range(PERIOD_MIN..=3600))]
    period: Option<u64>,
    /// How many clients, each with one command in flight.
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u16).range(1..=4096))]
    clients: u16,
    /// The size of the state before the load begins.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(0..=4096))]
    state_mib: u64,
    #[command(flatten)]
    choice: Choice,
    /// An empty folder for data and logs, which stay there, instead of a temporary one.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Run this server program instead of building one.
    #[arg(long)]
    server: Option<PathBuf>,
    /// What the clients do is drawn from this number.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl Args {
    fn length(&self) -> Duration {
        Duration::from_mins(self.minutes)
    }

    fn period(&self) -> Duration {
        let seconds = self.period.unwrap_or(60.min(self.minutes * 60 / 3));
        Duration::from_secs(seconds)
    }
}

/// Runs a soak; true if every check holds.
///
/// # Errors
/// If the cluster cannot be started, a member ends by itself, or something that is ordered does not come about.
pub(crate) async fn run(args: &Args, console: Console) -> Result<bool> {
    let policy = checked(args.choice.policy()?)?;
    let binary = match &args.server {
        Some(server) => server.clone(),
        None => workspace::build_server().await?,
    };
    let (dir, temporary) = workspace::data_folder(args.dir.as_deref(), false)?;
    let periods = args.length().as_secs().div_ceil(args.period().as_secs());
    let most = u64::from(FOUNDERS) + periods * u64::from(COME);
    let most = u16::try_from(most).ok().filter(|most| *most < 999);
    let most = most.context("there are not ports for so many members, one after the other")?;
    let layout = Layout {
        binary,
        dir,
        nodes: FOUNDERS,
        base_port: layout::free_ports(layout::BASE_PORT, most)?,
        policy,
        allow_faults: false,
    };
    let outcome = Soak::start(args, layout, console).await?.run().await;
    if let Some(dir) = temporary
        && !matches!(outcome, Ok(true))
    {
        println!("data and logs are left in {}", dir.keep().display());
    }
    outcome
}

fn checked(policy: Policy) -> Result<Policy> {
    if policy.durability == Durability::Memory {
        bail!("nothing is kept with durability memory: there is no disk to wipe");
    }
    if !policy.keeps_acknowledged() {
        bail!("{policy} may lose what is acknowledged: nothing could be held against it");
    }
    Ok(policy)
}

struct Soak<'a> {
    args: &'a Args,
    console: Console,
    churn: Churn,
    load: Load,
    history: History,
    watch: Watch,
    progress: Progress,
    done: Vec<Done>,
    wipes: u32,
}

impl<'a> Soak<'a> {
    async fn start(args: &'a Args, layout: Layout, console: Console) -> Result<Self> {
        let headline = format!(
            "{FOUNDERS} members, {}, {} clients, {} min, all of it every {} s",
            layout.policy,
            args.clients,
            args.minutes,
            args.period().as_secs()
        );
        println!("{}", console.paint(Tone::Strong, &headline));
        println!("data and logs in {}", layout.dir.display());
        let mut members = Members::new(layout).with_flags(FLAGS);
        members.start_all().await?;
        fill(&members, args.state_mib).await?;
        let load = Load::paced(
            members.addresses(),
            args.clients.into(),
            args.seed,
            args.length(),
            PACE,
        );
        let churn = Churn::new(members);
        Ok(Self {
            history: History::start(load.addresses().clone(), HISTORIANS, args.seed),
            watch: Watch::start(churn.seats(), args.period() / SNAPSHOTS),
            progress: console.progress(args.length()),
            args,
            console,
            churn,
            load,
            done: Vec::new(),
            wipes: 0,
        })
    }

    async fn run(mut self) -> Result<bool> {
        for (due, deed) in plan(self.args.length(), self.args.period()) {
            self.pass_until(due).await?;
            self.carry_out(deed).await?;
        }
        self.pass_until(self.args.length()).await?;
        self.progress.finish();
        println!("the load is stopped; checking");
        self.check().await
    }

    async fn carry_out(&mut self, deed: Deed) -> Result<()> {
        match deed {
            Deed::Transfer => {
                let from = self.now();
                let what = self.churn.transfer().await?;
                self.note(what, from, true);
            }
            Deed::Wipe => {
                let from = self.now();
                self.wipes += 1;
                let victim = self.churn.choose(self.wipes % 2 == 1).await?;
                self.publish();
                let what = self.churn.wipe(victim).await?;
                self.note(what, from, false);
            }
            Deed::GrowAndShrink => {
                for _ in 0..2 {
                    let from = self.now();
                    let what = self.churn.add().await?;
                    self.note(what, from, true);
                }
                for leads in [true, false] {
                    let from = self.now();
                    let victim = self.churn.choose(leads).await?;
                    self.publish();
                    let what = self.churn.remove(victim).await?;
                    self.note(what, from, true);
                }
            }
        }
        Ok(())
    }

    /// Something was done; clients and watchers hear of the members there are now.
    fn note(&mut self, what: String, from: Duration, planned: bool) {
        let to = self.now();
        let shown = self.console.paint(Tone::Good, &what);
        self.progress
            .line(&format!("  {:>5.1} s  {shown}", from.as_secs_f64()));
        self.done.push(Done {
            what,
            from,
            to,
            planned,
        });
        self.publish();
    }

    fn publish(&self) {
        let seats = self.churn.seats();
        let addresses = seats.iter().map(|seat| seat.address.clone());
        self.load.addresses().set(addresses.collect());
        self.watch.set(seats);
    }

    fn now(&self) -> Duration {
        self.load.recorder().now()
    }

    /// Shows the progress, and fails if a member ends by itself.
    async fn pass_until(&mut self, time: Duration) -> Result<()> {
        loop {
            self.churn.members.all_run()?;
            let now = self.now();
            let totals = self.load.recorder().totals();
            let Seen {
                samples, snapshots, ..
            } = self.watch.seen();
            let taken = samples.last().map_or(String::new(), |last| {
                format!(
                    ", {:.0} MiB memory, {:.0} MiB disk at most",
                    last.most_memory, last.most_disk
                )
            });
            let message = format!(
                "{} writes, {} reads, {} refused, {} unknown; {snapshots} snapshots{taken}",
                totals.writes, totals.reads, totals.refused, totals.unknown
            );
            self.progress.update(now, &message);
            if now >= time {
                return Ok(());
            }
            sleep(TICK.min(time.saturating_sub(now))).await;
        }
    }

    async fn check(mut self) -> Result<bool> {
        let mut ledgers = self.load.stop().await;
        let timeline = self.load.recorder().finish();
        let seen = self.watch.stop();
        let members = &mut self.churn.members;
        members.all_run()?;
        let began = Instant::now();
        let mut checks = self.history.judge(members.directory().members()).await;
        checks.extend(promises(members, &self.load, &mut ledgers).await);
        members.all_run()?;
        println!("checked in {:.1} s", began.elapsed().as_secs_f64());
        let every = self.args.period() / SNAPSHOTS;
        let rounds = (timeline.length.as_nanos() / every.as_nanos()) as u64;
        let report = Report {
            layout: members.layout().clone(),
            timeline,
            done: self.done,
            seen,
            checks,
            election: ELECTION,
            snapshots_due: rounds * u64::from(FOUNDERS),
        };
        Ok(report.print(self.console))
    }
}

/// What the answers, the states and the keys of all clients say.
async fn promises(members: &Members, load: &Load, ledgers: &mut [Ledger]) -> Vec<Check> {
    let policy = members.layout().policy;
    let allowed = Allowance::new(policy, 0, Some(0));
    let digests = check::digests(members).await;
    let reads = load.recorder().totals().reads;
    let mut checks = vec![check::answers(&load.findings(), reads, allowed), digests];
    match check::audit(members.directory().members(), ledgers).await {
        Ok(audit) => checks.extend(audit.checks(allowed)),
        Err(error) => {
            let claim = "every key can be read through every member";
            checks.push(Check::new(claim, vec![format!("{error:#}")]));
        }
    }
    checks
}

/// Writes a state of this size, so that snapshots and catching up take their time.
async fn fill(members: &Members, mib: u64) -> Result<()> {
    let leader = members.leader().await?;
    let address = members.layout().client_addr(leader);
    let mut connection = connect(&address, RESPONSE_TIMEOUT).await?;
    let keys = mib as usize * (1 << 20) / VALUE;
    for first in (0..keys).step_by(AT_ONCE) {
        let mut command = Cmd::new();
        command.arg("MSET");
        for key in first..keys.min(first + AT_ONCE) {
            // No two values are equal, as those of a real store would not be.
            let value = format!("{key:x};").repeat(VALUE / (format!("{key:x};").len()));
            command.arg(format!("state:{key}")).arg(value);
        }
        let filled: redis::RedisResult<()> = command.query_async(&mut connection).await;
        filled.context("the state cannot be written")?;
    }
    Ok(())
}
