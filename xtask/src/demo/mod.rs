//! `cargo xtask demo`: a cluster of real processes under load and under faults, and a check of what it promised.

mod board;
pub(crate) mod check;
pub(crate) mod client;
mod faults;
pub(crate) mod ledger;
#[cfg(test)]
mod liar;
pub(crate) mod load;
pub(crate) mod members;
pub(crate) mod operator;
mod plot;
mod report;
pub(crate) mod route;
pub(crate) mod timeline;
mod verdict;
pub(crate) mod wiped;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

use self::faults::{Fault, Kind, Planned};
use self::ledger::Ledger;
use self::load::Load;
use self::members::Members;
use self::operator::{Allowance, Eve};
use self::report::Report;
use crate::cluster::layout::{self, Choice, Layout};
use crate::console::{Console, Progress, Tone};
use crate::workspace;

/// How long the load runs unless told otherwise, and at least for each fault.
const SECONDS: u64 = 20;
const SECONDS_PER_FAULT: u64 = 2;
const TICK: Duration = Duration::from_millis(100);

/// Starts a cluster of real processes, puts it under load, strikes it with faults, and checks that it kept its promises.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many members.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=layout::MAX_NODES.into()))]
    nodes: u16,
    /// How long the load runs [default: 20, and 2 at least for each fault].
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: Option<u64>,
    /// How many clients, each with one command in flight.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=4096))]
    clients: u16,
    /// What happens to the members, in this order; the leader is struck where it is not the one struck before.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Kind::Kill, Kind::Pause])]
    fault: Vec<Kind>,
    /// How many times in a row `kill` kills.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    kills: u32,
    /// Strike this member instead of the leader.
    #[arg(long)]
    victim: Option<u16>,
    #[command(flatten)]
    choice: Choice,
    /// An empty folder for data and logs, which stay there, instead of a temporary one.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Leave data and logs in the temporary folder.
    #[arg(long)]
    keep: bool,
    /// Write the report to this file too.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Run this server program instead of building one.
    #[arg(long)]
    server: Option<PathBuf>,
    /// What the clients do is drawn from this number.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Runs a demo; true if every check holds.
///
/// # Errors
/// If the cluster cannot be started or a member ends by itself.
pub(crate) async fn run(args: &Args, console: Console) -> Result<bool> {
    if let Some(victim) = args.victim
        && !(1..=args.nodes).contains(&victim)
    {
        bail!("there is no member {victim} among {}", args.nodes);
    }
    let binary = match &args.server {
        Some(server) => server.clone(),
        None => workspace::build_server().await?,
    };
    let (dir, temporary) = workspace::data_folder(args.dir.as_deref(), args.keep)?;
    let layout = Layout {
        binary,
        dir,
        nodes: args.nodes,
        base_port: layout::free_ports(layout::BASE_PORT, args.nodes)?,
        policy: args.choice.policy()?,
        allow_faults: true,
    };
    let outcome = Demo::new(args, layout, console).run().await;
    if let Some(dir) = temporary
        && !matches!(outcome, Ok(true))
    {
        println!("data and logs are left in {}", dir.keep().display());
    }
    outcome
}

struct Demo<'a> {
    args: &'a Args,
    console: Console,
    members: Members,
    plan: Vec<Planned>,
    length: Duration,
    progress: Progress,
    /// Acknowledged writes that killed primaries may have taken with them.
    exposed: u64,
}

impl<'a> Demo<'a> {
    fn new(args: &'a Args, layout: Layout, console: Console) -> Self {
        let count = faults::plan(&args.fault, args.kills, Duration::from_secs(1)).len() as u64;
        let seconds = args
            .seconds
            .unwrap_or(SECONDS.max(count * SECONDS_PER_FAULT));
        let length = Duration::from_secs(seconds);
        Self {
            args,
            console,
            members: Members::new(layout),
            plan: faults::plan(&args.fault, args.kills, length),
            length,
            progress: console.progress(length),
            exposed: 0,
        }
    }

    async fn run(mut self) -> Result<bool> {
        self.announce();
        self.members.start_all().await?;
        let mut load = Load::start(
            self.members.addresses(),
            self.args.clients.into(),
            self.args.seed,
            self.length,
        );
        let faults = self.strike(&load).await?;
        self.progress.finish();
        let mut ledgers = load.stop().await;
        let timeline = load.recorder().finish();
        self.members.all_run()?;

        println!("the load has stopped; checking");
        let checks = self.final_checks(&load, &mut ledgers).await?;
        self.members.all_run()?;
        let layout = self.members.layout().clone();
        let clients = self.args.clients.into();
        let report = Report {
            layout,
            clients,
            timeline,
            faults,
            checks,
        };
        report.print(self.console);
        if let Some(path) = &self.args.json {
            report.write_json(path)?;
        }
        self.conclude(&report);
        Ok(report.holds())
    }

    fn announce(&self) {
        let layout = self.members.layout();
        let headline = format!(
            "{} members, {}, {} clients, {} s",
            layout.nodes,
            layout.policy,
            self.args.clients,
            self.length.as_secs()
        );
        println!("{}", self.console.paint(Tone::Strong, &headline));
        let addresses = self.members.addresses().join(" ");
        println!(
            "clients at {addresses}; data and logs in {}",
            layout.dir.display()
        );
    }

    /// Carries out the plan, and returns when the load has run its time.
    async fn strike(&mut self, load: &Load) -> Result<Vec<Fault>> {
        let mut faults: Vec<Fault> = Vec::new();
        for planned in self.plan.clone() {
            self.pass_until(planned.from, load).await?;
            let last = faults.last().map(|fault| (fault.kind, fault.member));
            faults.push(self.strike_once(planned, last, load).await?);
        }
        self.pass_until(self.length, load).await?;
        Ok(faults)
    }

    async fn strike_once(
        &mut self,
        planned: Planned,
        last: Option<(Kind, u16)>,
        load: &Load,
    ) -> Result<Fault> {
        let kind = planned.kind;
        let leader = self.members.leader().await?;
        let member = self
            .args
            .victim
            .unwrap_or_else(|| faults::victim(leader, last, kind, self.args.nodes));
        let led = member == leader;
        let acknowledged = || load.recorder().totals().writes;
        let appoints = !self.members.layout().policy.protocol.is_consensus();
        let eve = if appoints && led {
            Some(Eve::of(&self.members, member, acknowledged()).await?)
        } else {
            None
        };
        let from = load.recorder().now();
        kind.strike(&mut self.members, member).await?;
        let struck = acknowledged();
        let role = if led { "the leader" } else { "a follower" };
        self.event(
            from,
            &format!("member {member}, {role}: {}", kind.verb()),
            Tone::Bad,
        );
        if let Some(eve) = eve {
            self.appoint(eve, struck, kind, load).await?;
        }
        // A fault that begins late, because the one before took long to heal, still lasts as long.
        self.pass_until(from + planned.lasts, load).await?;
        let to = load.recorder().now();
        let restart = kind.lift(&mut self.members, member).await?;
        self.event(
            to,
            &format!("member {member}: {}", kind.end_verb()),
            Tone::Good,
        );
        Ok(Fault {
            kind,
            member,
            led,
            from,
            to,
            restart,
        })
    }

    /// Another member leads from now on: nobody does that by himself.
    async fn appoint(&mut self, eve: Eve, struck: u64, kind: Kind, load: &Load) -> Result<()> {
        let clients = u64::from(self.args.clients);
        let promotion = eve.promote(&self.members, struck, clients).await?;
        if kind == Kind::Kill {
            // Others live to tell how much they had to give up.
            self.exposed += promotion.exposed;
        }
        let what = format!("member {}: promoted", promotion.member);
        self.event(load.recorder().now(), &what, Tone::Good);
        Ok(())
    }

    fn event(&self, at: Duration, what: &str, tone: Tone) {
        let what = self.console.paint(tone, what);
        self.progress
            .line(&format!("  {:>4.1} s  {what}", at.as_secs_f64()));
    }

    /// Shows the progress, and fails if a member ends by itself.
    async fn pass_until(&mut self, time: Duration, load: &Load) -> Result<()> {
        loop {
            self.members.all_run()?;
            let now = load.recorder().now();
            let totals = load.recorder().totals();
            let message = format!(
                "{} writes and {} reads acknowledged, {} refused, {} unknown",
                totals.writes, totals.reads, totals.refused, totals.unknown
            );
            self.progress.update(now, &message);
            if now >= time {
                return Ok(());
            }
            sleep(TICK.min(time.saturating_sub(now))).await;
        }
    }

    async fn final_checks(
        &mut self,
        load: &Load,
        ledgers: &mut [Ledger],
    ) -> Result<Vec<check::Check>> {
        let began = Instant::now();
        let digests = check::digests(&self.members).await;
        let reported = operator::reported(&self.members).await;
        let allowed = Allowance::new(self.members.layout().policy, self.exposed, reported);
        let reads = load.recorder().totals().reads;
        let answers = check::answers(&load.findings(), reads, allowed);
        let mut checks = vec![answers, digests];
        let audit = check::audit(self.members.directory().members(), ledgers).await;
        match audit {
            Ok(audit) => checks.extend(audit.checks(allowed)),
            Err(error) => {
                let claim = "every key can be read through every member";
                checks.push(check::Check::new(claim, vec![format!("{error:#}")]));
            }
        }
        let took = format!("checked in {:.1} s", began.elapsed().as_secs_f64());
        println!("{}", self.console.paint(Tone::Faint, &took));
        Ok(checks)
    }

    fn conclude(&self, report: &Report) {
        if !report.holds() {
            println!("\nthe members' logs:");
            for id in self.members.layout().ids() {
                println!("  {}", self.members.layout().output(id).stderr.display());
            }
        }
    }
}
