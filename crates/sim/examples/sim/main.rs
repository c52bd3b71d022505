//! The simulator's command line.
//!
//! ```text
//! cargo xtask sim --log raft --seeds 1000
//! cargo xtask sim --log raft --replay 42 --trace
//! cargo xtask sim --differential --seeds 200
//! ```

mod logs;

use std::io::IsTerminal;
use std::ops::Range;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::builder::PossibleValue;
use clap::{Parser, ValueEnum};
use quorate_sim::differential::Trial;
use quorate_sim::{
    Campaign, Ledger, Options, Plan, Protocol, Report, Summary, run, shrink, space_time,
};

/// Runs replicated logs under faults, one seed a run.
#[derive(Parser)]
#[allow(clippy::struct_excessive_bools, reason = "flags of a command line")]
struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Only this seed: the same as `--from SEED --seeds 1`.
    #[arg(long)]
    seed: Option<u64>,
    /// Which log.
    #[arg(long, value_enum, default_value_t = Log::Raft)]
    log: Log,
    /// How many members that vote; drawn for each seed if not given.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=7))]
    nodes: Option<u8>,
    /// Minutes of virtual time that faults go on in each run; drawn if not given.
    #[arg(long)]
    minutes: Option<f64>,
    /// Runs this seed again, minimises its faults and says what happened.
    #[arg(long)]
    replay: Option<u64>,
    /// With `--replay`: only these faults, by their number in the plan.
    #[arg(long, value_delimiter = ',')]
    keep: Option<Vec<usize>>,
    /// With `--replay`: prints the whole trace.
    #[arg(long)]
    trace: bool,
    /// With `--replay`: draws the last rows of the trace into this file.
    #[arg(long)]
    svg: Option<std::path::PathBuf>,
    /// How many runs at once; all cores if not given.
    #[arg(long)]
    jobs: Option<usize>,
    /// Lets disks decay beyond what a cluster can survive: it may stop then, but not lie.
    #[arg(long)]
    unsafe_disks: bool,
    /// Ends after so many failures.
    #[arg(long, default_value_t = 5)]
    failures: usize,
    /// Prints only seed and hash of each run: what two builds have to agree in.
    #[arg(long)]
    hashes: bool,
    /// Runs one script through all logs, with the same faults, and compares the states they end in with an oracle's.
    #[arg(long)]
    differential: bool,
    /// A rare state that was never reached is a failure.
    #[arg(long)]
    coverage: bool,
}

/// The logs there are.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Log {
    /// Raft.
    Raft,
    /// Multi-Paxos.
    Paxos,
    /// Raft behind links that push.
    RaftPush,
    /// Raft behind links that pull.
    RaftPull,
    /// Raft behind mixed links.
    RaftMixed,
    /// Raft behind links that begin in any direction.
    RaftLinked,
    /// Multi-Paxos behind links that push.
    PaxosPush,
    /// Multi-Paxos behind links that pull.
    PaxosPull,
    /// Multi-Paxos behind mixed links.
    PaxosMixed,
    /// Multi-Paxos behind links that begin in any direction.
    PaxosLinked,
    /// Primary-backup.
    PrimaryBackup,
    /// Primary-backup behind links that push.
    PrimaryBackupPush,
    /// Primary-backup behind links that pull.
    PrimaryBackupPull,
    /// Primary-backup behind mixed links.
    PrimaryBackupMixed,
    /// Primary-backup behind links that begin in any direction.
    PrimaryBackupLinked,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.differential {
        return differential(&arguments);
    }
    match arguments.log {
        Log::Raft => start(&arguments, &logs::RaftProtocol),
        Log::Paxos => start(&arguments, &logs::PaxosProtocol),
        Log::RaftPush => start(&arguments, &logs::RAFT_PUSH),
        Log::RaftPull => start(&arguments, &logs::RAFT_PULL),
        Log::RaftMixed => start(&arguments, &logs::RAFT_MIXED),
        Log::RaftLinked => start(&arguments, &logs::RAFT_LINKED),
        Log::PaxosPush => start(&arguments, &logs::PAXOS_PUSH),
        Log::PaxosPull => start(&arguments, &logs::PAXOS_PULL),
        Log::PaxosMixed => start(&arguments, &logs::PAXOS_MIXED),
        Log::PaxosLinked => start(&arguments, &logs::PAXOS_LINKED),
        Log::PrimaryBackup => start(&arguments, &logs::PrimaryBackupProtocol),
        Log::PrimaryBackupPush => start(&arguments, &logs::PRIMARY_BACKUP_PUSH),
        Log::PrimaryBackupPull => start(&arguments, &logs::PRIMARY_BACKUP_PULL),
        Log::PrimaryBackupMixed => start(&arguments, &logs::PRIMARY_BACKUP_MIXED),
        Log::PrimaryBackupLinked => start(&arguments, &logs::PRIMARY_BACKUP_LINKED),
    }
}

impl Arguments {
    fn options(&self) -> Options {
        let lasts = self.minutes.map(|minutes| 60.0 * minutes);
        Options {
            members: self.nodes.map(usize::from),
            lasts: lasts.map(Duration::from_secs_f64),
            unsafe_disks: self.unsafe_disks,
            ..Options::default()
        }
    }

    fn seeds(&self) -> Range<u64> {
        match self.seed.or(self.replay) {
            Some(seed) => seed..seed + 1,
            None => self.from..self.from + self.seeds,
        }
    }
}

fn differential(arguments: &Arguments) -> ExitCode {
    std::panic::set_hook(Box::new(|_| {}));
    let (mut trials, mut failures) = (0, 0);
    for seed in arguments.seeds() {
        let mut trial = Trial::new(seed, &arguments.options());
        trial.run(&logs::RaftProtocol);
        trial.run(&logs::PaxosProtocol);
        trial.run(&logs::PrimaryBackupProtocol);
        trial.run(&logs::RAFT_LINKED);
        trial.run(&logs::PAXOS_LINKED);
        trial.run(&logs::PRIMARY_BACKUP_LINKED);
        trials += 1;
        let Err(why) = trial.verdict() else { continue };
        failures += 1;
        let flags = flags(arguments, None);
        println!("FAILED seed {seed} {why}\n  cargo xtask sim --differential --seed {seed}{flags}");
        if failures >= arguments.failures {
            break;
        }
    }
    println!("{trials} scripts through all logs, {failures} failures");
    ExitCode::from(u8::from(failures > 0))
}

fn start<P: Protocol + Sync>(arguments: &Arguments, protocol: &P) -> ExitCode {
    let options = arguments.options().of(protocol);
    if let Some(seed) = arguments.replay {
        return replay(arguments, protocol, &options, seed);
    }
    // A run that fails by a panic says so in its report.
    std::panic::set_hook(Box::new(|_| {}));
    if arguments.hashes {
        return hashes(arguments, protocol, &options);
    }
    campaign(arguments, protocol, options)
}

fn hashes<P: Protocol>(arguments: &Arguments, protocol: &P, options: &Options) -> ExitCode {
    for seed in arguments.seeds() {
        let report = run(
            protocol,
            &Ledger::drawn(seed),
            &Plan::draw(seed, options),
            false,
        );
        println!("{seed} {:016x} {}", report.hash, report.events);
    }
    ExitCode::SUCCESS
}

fn campaign<P: Protocol + Sync>(arguments: &Arguments, protocol: &P, options: Options) -> ExitCode {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let seeds = arguments.seeds();
    let campaign = Campaign {
        from: seeds.start,
        seeds: seeds.end - seeds.start,
        jobs: arguments.jobs.unwrap_or(cores),
        options,
        failures_max: arguments.failures,
    };
    let started = Instant::now();
    let shows = std::io::stderr().is_terminal();
    let summary = campaign.run(protocol, Ledger::drawn, |summary| {
        if shows && summary.seeds % 20 == 0 {
            eprint!("\r{}", pace(summary, started.elapsed()));
        }
    });
    if shows {
        eprintln!();
    }
    println!("{}", pace(&summary, started.elapsed()));
    for (mark, seeds) in &summary.marks {
        println!("{seeds:>8} seeds: {mark}");
    }
    let missed = summary.missed(protocol);
    for mark in &missed {
        println!("   never: {mark}");
    }
    for failure in &summary.failures {
        println!("{}", told(failure, arguments, None));
    }
    let failed = !summary.failures.is_empty() || (arguments.coverage && !missed.is_empty());
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn pace(summary: &Summary, taken: Duration) -> String {
    let seconds = taken.as_secs_f64().max(1e-9);
    format!(
        "{} seeds, {:.1} seeds/s, {:.2} simulated hours, {:.0} simulated seconds a second, \
         {:.2} M events, {} requests, {} commands chosen, {} failures",
        summary.seeds,
        summary.seeds as f64 / seconds,
        summary.simulated.as_secs_f64() / 3_600.0,
        summary.simulated.as_secs_f64() / seconds,
        summary.events as f64 / 1e6,
        summary.requests,
        summary.committed,
        summary.failures.len()
    )
}

/// What failed, and the line that runs it again, with only these faults if they were minimised.
fn told(report: &Report, arguments: &Arguments, kept: Option<&str>) -> String {
    let violation = report.violation.as_ref().expect("only failures are told");
    let log = arguments.log.to_possible_value();
    let log = log.as_ref().map_or("raft", PossibleValue::get_name);
    format!(
        "FAILED seed {} after {:.3} s: {violation}\n  cargo xtask sim --log {log} --replay {}{}",
        report.seed,
        report.simulated.as_secs_f64(),
        report.seed,
        flags(arguments, kept)
    )
}

/// What makes a plan of a seed beside the seed.
fn flags(arguments: &Arguments, kept: Option<&str>) -> String {
    let flags = [
        kept.map(|kept| format!(" --keep {kept}")),
        arguments.nodes.map(|nodes| format!(" --nodes {nodes}")),
        arguments
            .minutes
            .map(|minutes| format!(" --minutes {minutes}")),
        arguments.unsafe_disks.then(|| " --unsafe-disks".to_owned()),
    ];
    flags.into_iter().flatten().collect()
}

fn replay<P: Protocol>(
    arguments: &Arguments,
    protocol: &P,
    options: &Options,
    seed: u64,
) -> ExitCode {
    let workload = Ledger::drawn(seed);
    let whole = Plan::draw(seed, options);
    let mut kept: Vec<usize> = (0..whole.faults.len()).collect();
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    if let Some(keep) = &arguments.keep {
        kept.clone_from(keep);
    } else {
        let report = run(protocol, &workload, &whole, false);
        if report.violation.is_some() {
            kept = shrink(protocol, &workload, &whole, &report, 300);
        }
    }
    std::panic::set_hook(hook);
    let plan = whole.keeping(&kept);
    let report = run(protocol, &workload, &plan, true);
    println!(
        "{} members, {} of them without a vote, {:?}\n{:?}\n{:?}\n{:?}",
        plan.members, plan.learners, plan.limits, plan.around, plan.network, plan.clients
    );
    let numbers: Vec<String> = kept.iter().map(ToString::to_string).collect();
    let numbers = numbers.join(",");
    println!("faults {} (--keep {numbers}):", kept.len());
    plan.faults.iter().for_each(|fault| println!("  {fault}"));
    println!("healed at {}, core {:07b}", plan.heals, plan.core);
    if arguments.trace {
        report.lines.iter().for_each(|line| println!("{line}"));
    }
    if let Some(path) = &arguments.svg {
        let last = &report.lines[report.lines.len().saturating_sub(400)..];
        if let Err(error) = std::fs::write(path, space_time(last, plan.members)) {
            eprintln!("{}: {error}", path.display());
        }
    }
    println!(
        "{} events, hash {:016x}, {:.3} s",
        report.events,
        report.hash,
        report.simulated.as_secs_f64()
    );
    if report.violation.is_some() {
        println!("{}", told(&report, arguments, Some(&numbers)));
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
