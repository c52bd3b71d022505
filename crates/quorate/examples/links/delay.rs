//! A tenth of a second on every link.

use std::time::Duration;

use quorate::core::{Direction, NodeId};
use quorate::transport::{Direction as Way, Fault};

use crate::cluster::Cluster;
use crate::load::{self, Spread, Until};
use crate::{directions, verdict};

const BYTES: usize = 1 << 10;
/// Several times what a link of that length holds at the rate without: otherwise they all wait for it, and it idles.
const CLIENTS: usize = 65_536;
const DELAY: Duration = Duration::from_millis(100);
const LASTS: Duration = Duration::from_secs(5);
/// A run without and one with, so often.
const ROUNDS: usize = 3;

/// Whether pushing keeps its throughput.
pub(crate) async fn run() -> bool {
    println!(
        "{DELAY:?} on every link and way, {CLIENTS} clients, commands of {BYTES} B, 3 members, raft, fsync; medians (least to most) of {ROUNDS} rounds"
    );
    println!("{:<6} {:>12} {:>12}  ratio", "", "/s without", "/s with");
    let mut holds = true;
    for direction in directions() {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let without = rate(direction, Duration::ZERO).await;
            rounds.push((without, rate(direction, DELAY).await));
        }
        let of = |value: fn(&(f64, f64)) -> f64| Spread::of(rounds.iter().map(value));
        let ratio = of(|(without, with)| with / without);
        let fine = ratio.middle >= 0.8;
        holds &= fine || direction != Direction::Push;
        let said = if direction == Direction::Push {
            verdict(fine)
        } else {
            ""
        };
        println!(
            "{:<6} {:>12.0} {:>12.0}  {ratio}  {said}",
            direction.name(),
            of(|(without, _)| *without).middle,
            of(|(_, with)| *with).middle,
        );
    }
    println!();
    holds
}

async fn rate(direction: Direction, delay: Duration) -> f64 {
    let cluster = Cluster::start(direction, 0).await;
    if !delay.is_zero() {
        for (own, member) in (1..).zip(&cluster.members) {
            for peer in (1..=3).filter(|peer| *peer != own) {
                member
                    .faults()
                    .set(NodeId(peer), Way::Out, Fault::delay(delay));
            }
        }
    }
    let leader = cluster.leader().await;
    let members = &cluster.members[leader..=leader];
    // The window has to find out how long the link is.
    load::run(members, CLIENTS, BYTES, Until::Over(LASTS / 4)).await;
    let outcome = load::run(members, CLIENTS, BYTES, Until::Over(LASTS)).await;
    cluster.stop().await;
    outcome.rate()
}
