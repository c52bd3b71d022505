//! Loads on clusters that nothing happens to: rounds in which all contenders take their turn.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use quorate_load::{Keys, Workload};

use super::contender::Contender;
use super::limits;
use super::plan::{COST_CLIENTS, KEYS, Plan};
use super::progress::Progress;
use super::results::{Limits, Load, Steady};
use super::servers::{Errand, Programs, Servers};

/// One cluster and the loads that are put on it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Visit {
    contender: usize,
    members: u16,
    /// Bytes of a value, and how it is asked.
    loads: Vec<(usize, Load)>,
}

/// Measures everything in all rounds.
///
/// # Errors
/// If a cluster does not come up, or does not stay.
pub(crate) async fn run(
    plan: &Plan,
    contenders: &[Contender],
    programs: &Programs,
    dir: &Path,
    progress: &Progress,
) -> Result<(Vec<Limits>, Vec<Steady>)> {
    let (mut limits, mut steady) = (Vec::new(), Vec::new());
    for round in 0..plan.rounds {
        progress.say(&format!(
            "round {} of {}: the machine by itself",
            round + 1,
            plan.rounds
        ));
        limits.push(limits::measure(dir, plan.payloads[0]).await?);
        for visit in visits(plan, contenders, round) {
            let contender = &contenders[visit.contender];
            let home = dir.join("cluster");
            fs::create_dir_all(&home).with_context(|| format!("cannot make {}", home.display()))?;
            progress.say(&said(plan, round, contender, &visit));
            let members = (visit.members, 0);
            let mut servers = Servers::start(contender, members, &home, programs).await?;
            for &(payload, load) in &visit.loads {
                let what = format!(
                    "{}, {payload} B, {}",
                    said(plan, round, contender, &visit),
                    load.words()
                );
                progress.say(&what);
                let measured = measure(plan, &mut servers, payload, load).await;
                let (measured, cost) = measured.with_context(|| contender.name())?;
                steady.push(Steady {
                    contender: visit.contender,
                    round,
                    members: visit.members,
                    payload,
                    load,
                    measured,
                    cost,
                });
            }
            drop(servers);
            fs::remove_dir_all(&home)
                .with_context(|| format!("cannot empty {}", home.display()))?;
        }
    }
    Ok((limits, steady))
}

fn said(plan: &Plan, round: u32, contender: &Contender, visit: &Visit) -> String {
    let (name, members) = (contender.name(), visit.members);
    format!(
        "round {} of {}: {name}, {members} members",
        round + 1,
        plan.rounds
    )
}

/// All clusters of a round. Each round begins with another contender, so that none is always first or always last.
fn visits(plan: &Plan, contenders: &[Contender], round: u32) -> Vec<Visit> {
    let (members, payload) = (plan.members[0], plan.payloads[0]);
    let scaled: Vec<_> = plan.scaled().collect();
    let mut visits = Vec::new();
    for turn in 0..contenders.len() {
        let place = (turn + round as usize) % contenders.len();
        let closed = plan
            .clients
            .iter()
            .map(|&clients| (payload, Load::Closed(clients)));
        let open = plan.rates.iter().map(|&rate| (payload, Load::Open(rate)));
        let others = plan.payloads[1..].iter();
        let costs = others.map(|&payload| (payload, Load::Closed(COST_CLIENTS)));
        let mut loads: Vec<_> = closed.chain(open).chain(costs).collect();
        let usual = (payload, Load::Closed(COST_CLIENTS));
        let compared = plan.members.len() > 1 || plan.payloads.len() > 1;
        if compared && !loads.contains(&usual) {
            loads.push(usual);
        }
        visits.push(Visit {
            contender: place,
            members,
            loads,
        });
        let policy = contenders[place].policy();
        if policy.is_some_and(|policy| scaled.contains(&policy)) {
            visits.extend(plan.members[1..].iter().map(|&members| Visit {
                contender: place,
                members,
                loads: vec![usual],
            }));
        }
    }
    visits
}

async fn measure(
    plan: &Plan,
    servers: &mut Servers,
    payload: usize,
    load: Load,
) -> Result<(quorate_load::Measured, super::results::Cost)> {
    let before = servers.usage().await?;
    let errand = Errand {
        load,
        workload: Workload {
            seed: plan.seed,
            keys: Keys::Spread(KEYS),
            payload,
            reads: 0,
        },
        warm: plan.warm,
        measure: plan.measure,
    };
    let measured = servers.carry(errand).await?;
    let after = servers.usage().await?;
    let cost = after.cost_since(&before, measured.whole.done);
    Ok((measured, cost))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use clap::Parser;

    use super::super::plan::Args;
    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn each_round_begins_with_another_and_has_all() {
        let line = "compare --policy raft --policy paxos --clients 1 --rate 9 --payload 8,16 --members 3,5";
        let plan = Plan::new(&Line::try_parse_from(line.split(' ')).unwrap().args).unwrap();
        let contenders: Vec<_> = plan
            .policies
            .iter()
            .map(|&policy| Contender::Quorate(policy))
            .collect();
        let order = |round| {
            let visits = visits(&plan, &contenders, round);
            visits
                .iter()
                .map(|visit| (visit.contender, visit.members))
                .collect::<Vec<_>>()
        };
        assert_eq!(order(0), [(0, 3), (0, 5), (1, 3), (1, 5)]);
        assert_eq!(order(1), [(1, 3), (1, 5), (0, 3), (0, 5)]);
        assert_eq!(order(2), order(0));
        let loads = &visits(&plan, &contenders, 0)[0].loads;
        let expected = [
            (8, Load::Closed(1)),
            (8, Load::Open(9)),
            (16, Load::Closed(COST_CLIENTS)),
            (8, Load::Closed(COST_CLIENTS)),
        ];
        assert_eq!(loads, &expected);
    }
}
