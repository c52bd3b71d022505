//! What records amount to, slot by slot: the slow, obvious counterpart of the acceptor.

use std::collections::BTreeMap;

use quorate_core::{Batch, Rng};
use quorate_paxos::{Ballot, Record};

/// A value as the tests see it: its ballot of birth and a hash of its command.
pub type Print = (Ballot, u64);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    pub promised: Ballot,
    pub base: u64,
    /// Up to where it says that what it holds is chosen.
    pub chosen: u64,
    /// The vote in every slot: when, and for what.
    pub votes: BTreeMap<u64, (Ballot, Print)>,
}

impl Image {
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::Promise { ballot, chosen } => {
                self.chosen = self.chosen.max(chosen.get());
                assert!(*ballot > self.promised, "promises only rise (P2)");
                self.promised = *ballot;
            }
            Record::Accept {
                ballot,
                first,
                values,
                chosen,
            } => {
                self.chosen = self.chosen.max(chosen.get());
                assert_eq!(*ballot, self.promised, "accepted is promised (P2)");
                let mut at = first.get();
                assert!(at > self.base, "what is forgotten stays forgotten");
                for value in values {
                    for hash in hashes(&value.batch) {
                        self.votes.insert(at, (*ballot, (value.born, hash)));
                        at += 1;
                    }
                }
            }
            Record::Checkpoint { promised, base } => {
                assert_eq!(*promised, self.promised, "a checkpoint repeats the promise");
                self.forget(base.get());
            }
        }
    }

    pub fn forget(&mut self, base: u64) {
        self.base = self.base.max(base);
        self.chosen = self.chosen.max(base);
        self.votes.retain(|slot, _| *slot > base);
    }
}

/// One hash for every command of a batch.
pub fn hashes(batch: &Batch) -> Vec<u64> {
    if batch.is_noop() {
        return vec![1];
    }
    let hash = |body: &[u8]| body.iter().fold(3, |sum, byte| mix(sum ^ u64::from(*byte)));
    let commands = batch.commands();
    commands
        .map(|(number, body)| mix(hash(body) ^ number))
        .collect()
}

pub fn mix(value: u64) -> u64 {
    Rng::new(value).next()
}
