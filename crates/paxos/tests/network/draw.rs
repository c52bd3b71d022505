//! The cluster of a seed.

use quorate_core::{NodeId, Rng};
use quorate_paxos::{Lease, PaxosConfig, Quorums};

use crate::world::ELECTION;

/// Sometimes tight limits, flexible quorums, learners, and leases.
pub fn draw(seed: u64, rng: &mut Rng) -> PaxosConfig {
    let count = [1, 3, 3, 3, 4, 5, 5][rng.below(7) as usize];
    let voters: Vec<_> = (1..=count).map(NodeId).collect();
    let mut config = PaxosConfig::new(NodeId(1), &voters);
    (config.seed, config.election_timeout) = (seed, ELECTION);
    if rng.one_in(4) {
        config.learners = vec![NodeId(9)];
    }
    if rng.one_in(3) {
        let phase_1 = 1 + rng.below(count) as usize;
        let phase_2 = count as usize + 1 - phase_1;
        config.quorums = Some(Quorums { phase_1, phase_2 });
    }
    if rng.one_in(3) {
        config.window.messages = 1 + rng.below(4) as usize;
    }
    if rng.one_in(3) {
        config.window.bytes = 1 + rng.below(600);
    }
    if rng.one_in(2) {
        config.append_bytes_max = 1 << 10;
    }
    if rng.one_in(3) {
        config.uncommitted_bytes_max = 4 << 10;
        config.log_bytes_max = (16 << 10) + rng.below(1 << 16);
    }
    if rng.one_in(3) {
        config.lease = Some(Lease { drift_ppm: 100_000 });
    }
    config
}
