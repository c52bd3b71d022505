//! What is going to be measured, from what was asked for.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::hash::Hash;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use quorate_core::{Durability, Policy};

use super::contender::usual_policies;
use super::faults::{Fault, Script};
use crate::cluster::layout::MAX_NODES;

/// The number of clients at which costs are compared.
pub(crate) const COST_CLIENTS: usize = 64;
/// Over how many keys writes spread.
pub(crate) const KEYS: u64 = 10_000;
/// What starting a cluster takes, about.
const START: Duration = Duration::from_millis(1500);

/// Puts servers under the same seeded load, one after the other and again, strikes them with the same faults, and writes one
/// page about it.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Compare this policy (`protocol/strategy/write_ack/read_level/durability`, defaults at the end); again for more
    /// [default: raft, paxos and primary-backup, each with push, pull and mixed].
    #[arg(long = "policy")]
    policies: Vec<Policy>,
    /// A first look, in less than ten minutes: short measurements, two rounds.
    #[arg(long)]
    quick: bool,
    /// How long each measurement takes [default: 5; quick: 1].
    #[arg(long)]
    seconds: Option<u64>,
    /// How often all take their turn [default: 5; quick: 2].
    #[arg(long)]
    rounds: Option<u32>,
    /// Clients of the closed loop, a list [default: 1,4,16,64,256; quick: 1,16,64,256].
    #[arg(long, value_delimiter = ',')]
    clients: Vec<usize>,
    /// Requests a second in open loop, a list; 0 for none [default: 1000,4000,16000; quick: 2000].
    #[arg(long, value_delimiter = ',')]
    rate: Vec<u32>,
    /// Bytes of a value, a list: the first for all, costs for the others too [default: 256,16,1024,4096; quick: 256,16,4096].
    #[arg(long, value_delimiter = ',')]
    payload: Vec<usize>,
    /// Members of a cluster, a list: the first for all, costs for the others too [default: 3,5,7].
    #[arg(long, value_delimiter = ',')]
    members: Vec<u16>,
    /// What happens in the fault runs, in this order, a list.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Fault::USUAL)]
    fault: Vec<Fault>,
    /// Requests a second in the fault runs; a fifth are reads.
    #[arg(long, default_value_t = 500)]
    fault_rate: u32,
    /// What runs beside, where its program is installed, a list.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Peer::Etcd, Peer::Redis])]
    peers: Vec<Peer>,
    /// The folder for the page and the tables [default: target/compare].
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    /// What clients do, and when faults strike, is drawn from this number.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Run this server program instead of building one.
    #[arg(long)]
    pub(crate) server: Option<PathBuf>,
    /// Measure nothing: draw the page in the folder again from the results there.
    #[arg(long)]
    pub(crate) redraw: bool,
}

/// Others' servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Peer {
    /// Three processes of etcd.
    Etcd,
    /// Redis with replicas, `appendfsync always` and `WAIT 1`.
    Redis,
    /// Nobody.
    None,
}

/// Why what was asked for cannot be meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PlanError {
    /// A number is out of bounds.
    #[error("--{flag} {value}: it is {least} to {most}")]
    OutOfBounds {
        /// Which flag.
        flag: &'static str,
        /// What was given.
        value: String,
        /// The least that is taken.
        least: u64,
        /// The most.
        most: u64,
    },
    /// The same is asked for twice.
    #[error("--{flag} {value} is given twice")]
    Twice {
        /// Which flag.
        flag: &'static str,
        /// What was given.
        value: String,
    },
    /// Parts that do not go together.
    #[error("--{flag} {value}: {why}")]
    Contradiction {
        /// Which flag.
        flag: &'static str,
        /// What was given.
        value: String,
        /// Why not.
        why: &'static str,
    },
}

/// What is going to be measured.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Quorate's contenders.
    pub(crate) policies: Vec<Policy>,
    /// The others.
    pub(crate) peers: Vec<Peer>,
    /// Whether it is a first look.
    pub(crate) quick: bool,
    /// How often all take their turn.
    pub(crate) rounds: u32,
    /// What each measurement takes, and what is not counted before it.
    pub(crate) measure: Duration,
    /// What is not counted before a measurement.
    pub(crate) warm: Duration,
    /// Clients of the closed loop, ascending.
    pub(crate) clients: Vec<usize>,
    /// Requests a second in open loop, ascending.
    pub(crate) rates: Vec<u32>,
    /// Bytes of a value: the usual, and those of which only costs are told.
    pub(crate) payloads: Vec<usize>,
    /// Members: likewise.
    pub(crate) members: Vec<u16>,
    /// The fault run, if there is one.
    pub(crate) script: Option<Script>,
    /// How often it is run.
    pub(crate) trials: u32,
    /// Everything is drawn from this.
    pub(crate) seed: u64,
}

impl Plan {
    /// What `args` ask for.
    ///
    /// # Errors
    /// [`PlanError`], with the flag and the reason.
    pub(crate) fn new(args: &Args) -> Result<Self, PlanError> {
        let quick = args.quick;
        let pick = |full: u64, short: u64| if quick { short } else { full };
        let seconds = args.seconds.unwrap_or(pick(5, 1));
        within("seconds", [seconds], 1, 3600)?;
        let rounds = args.rounds.unwrap_or(pick(5, 2) as u32);
        within("rounds", [rounds.into()], 1, 1000)?;
        let clients = list(
            &args.clients,
            if quick {
                &[1, 16, 64, 256]
            } else {
                &[1, 4, 16, 64, 256]
            },
        );
        within(
            "clients",
            clients.iter().map(|&count| count as u64),
            1,
            4096,
        )?;
        let payloads = list(
            &args.payload,
            if quick {
                &[256, 16, 4096]
            } else {
                &[256, 16, 1024, 4096]
            },
        );
        within(
            "payload",
            payloads.iter().map(|&bytes| bytes as u64),
            1,
            1 << 20,
        )?;
        let members = list(&args.members, &[3, 5, 7]);
        within(
            "members",
            members.iter().map(|&count| count.into()),
            1,
            MAX_NODES.into(),
        )?;
        let rates = rates(args)?;
        let policies = list(&args.policies, &usual_policies());
        once("clients", &clients)?;
        once("payload", &payloads)?;
        once("members", &members)?;
        once("policy", &policies)?;
        let script = script(args, &policies, members[0])?;
        Ok(Self {
            peers: peers(args, members[0])?,
            policies,
            quick,
            rounds,
            measure: Duration::from_secs(seconds),
            warm: Duration::from_millis(pick(1000, 250)),
            clients: sorted(clients),
            rates,
            payloads,
            script,
            members,
            trials: pick(3, 1) as u32,
            seed: args.seed,
        })
    }

    /// How long it is going to take, about.
    pub(crate) fn takes(&self) -> Duration {
        let contenders = (self.policies.len() + self.peers.len()) as u32;
        let load = self.warm + self.measure + Duration::from_millis(300);
        let loads = self.clients.len() + self.rates.len() + self.payloads.len() - 1;
        let usual = (START + load * loads as u32) * contenders;
        let sizes = (self.members.len() - 1) as u32;
        let costs = (START + load) * sizes * self.scaled().count() as u32;
        let steady = (usual + costs + 2 * crate::compare::limits::TAKES) * self.rounds;
        let faults = self.script.as_ref().map_or(Duration::ZERO, |script| {
            (START * 2 + script.length) * self.policies.len() as u32 * self.trials
        });
        steady + faults
    }

    /// The policies of which costs by members are told: in a first look one for each protocol.
    pub(crate) fn scaled(&self) -> impl Iterator<Item = Policy> + '_ {
        let mut seen = Vec::new();
        self.policies.iter().copied().filter(move |policy| {
            let new = !seen.contains(&policy.protocol);
            seen.push(policy.protocol);
            new || !self.quick
        })
    }
}

/// What was given, or what is usual.
fn list<T: Clone>(given: &[T], usual: &[T]) -> Vec<T> {
    if given.is_empty() { usual } else { given }.to_vec()
}

fn sorted<T: Ord>(mut list: Vec<T>) -> Vec<T> {
    list.sort_unstable();
    list
}

fn within(
    flag: &'static str,
    values: impl IntoIterator<Item = u64>,
    least: u64,
    most: u64,
) -> Result<(), PlanError> {
    let mut wrong = values
        .into_iter()
        .filter(|value| !(least..=most).contains(value));
    match wrong.next() {
        None => Ok(()),
        Some(value) => Err(PlanError::OutOfBounds {
            flag,
            value: value.to_string(),
            least,
            most,
        }),
    }
}

fn once<T: Display + PartialEq>(flag: &'static str, list: &[T]) -> Result<(), PlanError> {
    for (place, value) in list.iter().enumerate() {
        if list[..place].contains(value) {
            let value = value.to_string();
            return Err(PlanError::Twice { flag, value });
        }
    }
    Ok(())
}

fn rates(args: &Args) -> Result<Vec<u32>, PlanError> {
    if args.rate == [0] {
        return Ok(Vec::new());
    }
    let rates = list(
        &args.rate,
        if args.quick {
            &[2000]
        } else {
            &[1000, 4000, 16_000]
        },
    );
    within("rate", rates.iter().map(|&rate| rate.into()), 1, 1_000_000)?;
    once("rate", &rates)?;
    Ok(sorted(rates))
}

fn peers(args: &Args, members: u16) -> Result<Vec<Peer>, PlanError> {
    let peers: BTreeSet<_> = args.peers.iter().copied().collect();
    let contradiction = |why| {
        Err(PlanError::Contradiction {
            flag: "peers",
            value: args
                .peers
                .iter()
                .map(crate::cluster::layout::typed)
                .collect::<Vec<_>>()
                .join(","),
            why,
        })
    };
    if peers.contains(&Peer::None) && peers.len() > 1 {
        return contradiction("nobody and somebody");
    }
    if peers.contains(&Peer::Redis) && members < 2 {
        return contradiction("WAIT 1 needs a replica, so at least two members");
    }
    Ok(peers
        .into_iter()
        .filter(|&peer| peer != Peer::None)
        .collect())
}

fn script(args: &Args, policies: &[Policy], members: u16) -> Result<Option<Script>, PlanError> {
    let faults: Vec<_> = args
        .fault
        .iter()
        .copied()
        .filter(|&fault| fault != Fault::None)
        .collect();
    if faults.len() < args.fault.len() && !faults.is_empty() {
        return Err(PlanError::Contradiction {
            flag: "fault",
            value: "none".to_owned(),
            why: "nothing and something",
        });
    }
    if faults.is_empty() {
        return Ok(None);
    }
    within("fault-rate", [args.fault_rate.into()], 1, 100_000)?;
    if members < 3 {
        return Err(PlanError::Contradiction {
            flag: "members",
            value: members.to_string(),
            why: "fewer than three do not survive the loss of one: give --fault none",
        });
    }
    let forgetful = |policy: &Policy| policy.durability == Durability::Memory;
    if faults.contains(&Fault::Wipe) && policies.iter().any(forgetful) {
        return Err(PlanError::Contradiction {
            flag: "fault",
            value: "wipe".to_owned(),
            why: "a member with durability memory has no disk to lose",
        });
    }
    let script = Script::draw(&faults, args.fault_rate, args.seed, args.quick);
    Ok(Some(script))
}

#[cfg(test)]
mod tests;
