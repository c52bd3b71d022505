//! Plans from command lines.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

fn plan(line: &str) -> Result<Plan, PlanError> {
    let words = std::iter::once("compare").chain(line.split_whitespace());
    Plan::new(&Line::try_parse_from(words).unwrap().args)
}

#[test]
fn a_first_look_takes_less_than_ten_minutes() {
    let quick = plan("--quick").unwrap();
    assert_eq!((quick.policies.len(), quick.peers.len()), (9, 2));
    assert!(
        quick.takes() < Duration::from_mins(9),
        "{:?}",
        quick.takes()
    );
    assert!(plan("").unwrap().takes() > quick.takes());
}

#[test]
fn lists_are_taken_in_order_where_it_matters() {
    let plan = plan(
        "--clients 64,1 --rate 5,3 --payload 100,7 --members 5,3 --policy raft --policy paxos/pull",
    )
    .unwrap();
    assert_eq!((plan.clients, plan.rates), (vec![1, 64], vec![3, 5]));
    assert_eq!((plan.payloads, plan.members), (vec![100, 7], vec![5, 3]));
    assert_eq!(plan.policies.len(), 2);
}

#[test]
fn absurd_values_are_refused_with_the_flag() {
    let out = |line: &str, flag| match plan(line).unwrap_err() {
        PlanError::OutOfBounds { flag: found, .. } => assert_eq!(found, flag),
        other => panic!("{line}: {other}"),
    };
    for (line, flag) in [
        ("--seconds 0", "seconds"),
        ("--rounds 0", "rounds"),
        ("--clients 0", "clients"),
        ("--clients 1,5000", "clients"),
        ("--rate 0,1", "rate"),
        ("--rate 2000000", "rate"),
        ("--payload 0", "payload"),
        ("--payload 2000000", "payload"),
        ("--members 0", "members"),
        ("--members 99", "members"),
        ("--fault-rate 0", "fault-rate"),
    ] {
        out(line, flag);
    }
    for line in [
        "--clients 1,1",
        "--policy raft --policy raft/push",
        "--members 3,5,3",
    ] {
        assert!(matches!(plan(line), Err(PlanError::Twice { .. })), "{line}");
    }
    for line in [
        "--fault none,kill",
        "--members 2",
        "--members 1 --fault none",
        "--peers none,etcd",
        "--policy raft/push/quorum/linearizable/memory --fault kill,wipe",
    ] {
        assert!(
            matches!(plan(line), Err(PlanError::Contradiction { .. })),
            "{line}"
        );
    }
    assert!(plan("--members 1 --fault none --peers none").is_ok());
}

#[test]
fn what_is_no_flag_or_no_policy_is_refused() {
    for line in [
        "--polici raft",
        "--policy raft/shove",
        "--policy raft/push/one",
        "--fault earthquake",
        "--peers mysql",
        "--seconds many",
        "--quick now",
    ] {
        let words = std::iter::once("compare").chain(line.split_whitespace());
        assert!(Line::try_parse_from(words).is_err(), "{line}");
    }
}
