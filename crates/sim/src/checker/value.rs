//! What stands at a position, as a fingerprint: for comparison only.

use quorate_core::{Batch, Epoch};

use crate::Run;

/// A value: the epoch in which it was first proposed, and its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Value {
    pub(super) epoch: Epoch,
    pub(super) print: u64,
}

/// A value, and the epoch in which it was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(super) accepted: Epoch,
    pub(super) value: Value,
}

/// What runs hold, position after position.
pub(super) fn held(runs: &[Run]) -> impl Iterator<Item = Held> + '_ {
    runs.iter().flat_map(|run| {
        values(run.born, &run.batch).map(|value| Held {
            accepted: run.accepted,
            value,
        })
    })
}

/// The values of a batch, one a position.
pub(super) fn values(epoch: Epoch, batch: &Batch) -> impl Iterator<Item = Value> + '_ {
    let label = batch.label();
    let seed = [
        label.origin.0,
        label.life.0,
        label.time.0,
        u64::from(batch.is_noop()),
    ]
    .into_iter()
    .fold(1, stir);
    let noop = batch.is_noop().then_some(Value { epoch, print: seed });
    let commands = batch.commands().map(move |(sequence, command)| Value {
        epoch,
        print: fingerprint(stir(seed, sequence), command),
    });
    noop.into_iter().chain(commands)
}

/// A fingerprint of bytes.
pub(crate) fn fingerprint(seed: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let print = words
        .iter()
        .fold(stir(seed, bytes.len() as u64), |print, word| {
            stir(print, u64::from_le_bytes(*word))
        });
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    stir(print, u64::from_le_bytes(last))
}

/// One round of a mixing function.
pub(crate) const fn stir(print: u64, word: u64) -> u64 {
    let mixed = (print ^ word).wrapping_mul(0x9fb2_1c65_1e98_df25);
    mixed ^ (mixed >> 29)
}
