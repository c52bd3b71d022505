//! A tenth of a second on every link.

use std::time::Duration;

use quorate::core::{Direction, NodeId};
use quorate::transport::{Direction as Way, Fault};

use crate::cluster::Cluster;
use crate::load::{self, Until};
use crate::{directions, verdict};

const BYTES: usize = 256;
const CLIENTS: usize = 32_768;
const DELAY: Duration = Duration::from_millis(100);
const LASTS: Duration = Duration::from_secs(8);

/// Whether pushing keeps its throughput.
pub(crate) async fn run() -> bool {
    println!(
        "{DELAY:?} on every link and way, {CLIENTS} clients, commands of {BYTES} B, 3 members, raft, fsync"
    );
    println!(
        "{:<6} {:>12} {:>12} {:>7}",
        "", "/s without", "/s with", "ratio"
    );
    let mut holds = true;
    for direction in directions() {
        let without = rate(direction, Duration::ZERO).await;
        let with = rate(direction, DELAY).await;
        let ratio = with / without;
        let fine = ratio >= 0.8;
        holds &= fine || direction != Direction::Push;
        let said = if direction == Direction::Push {
            verdict(fine)
        } else {
            ""
        };
        println!(
            "{:<6} {without:>12.0} {with:>12.0} {ratio:>7.2}  {said}",
            direction.name()
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
