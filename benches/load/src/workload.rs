//! What clients ask, drawn from a seed: the same for every server that is compared.

use std::io::Write;

use fastrand::Rng;
use serde::{Deserialize, Serialize};

/// The largest value that is written.
const PAYLOAD_MAX: usize = 1 << 20;

/// What clients ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// Everything is drawn from this number.
    pub seed: u64,
    /// Which keys are written.
    pub keys: Keys,
    /// Bytes of each value.
    pub payload: usize,
    /// How many of a hundred requests are reads.
    pub reads: u8,
}

/// Which keys are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Keys {
    /// So many, all equally often.
    Spread(u64),
    /// A new one by every write, so that each acknowledged write can be looked for at the end.
    Fresh,
}

/// Why a workload or a plan cannot be meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {why}")]
pub struct Absurd {
    /// Which part.
    pub what: &'static str,
    /// What must hold.
    pub why: &'static str,
}

/// Refuses `what` unless `sound`.
pub(crate) fn demand(sound: bool, what: &'static str, why: &'static str) -> Result<(), Absurd> {
    if sound {
        Ok(())
    } else {
        Err(Absurd { what, why })
    }
}

impl Workload {
    /// Refuses what cannot be meant.
    ///
    /// # Errors
    /// [`Absurd`], with the reason.
    pub fn check(&self) -> Result<(), Absurd> {
        let size = (1..=PAYLOAD_MAX).contains(&self.payload);
        demand(size, "payload", "is 1 byte to 1 MiB")?;
        demand(self.reads <= 100, "reads", "is a share of a hundred")?;
        let some = self.keys != Keys::Spread(0);
        demand(some, "keys", "there is at least one")
    }

    /// The value that request `number` of a script writes, into `value`.
    pub fn fill(&self, number: u64, value: &mut Vec<u8>) {
        value.clear();
        let mut rng = Rng::with_seed(self.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        while value.len() < self.payload {
            value.extend_from_slice(&rng.u64(..).to_le_bytes());
        }
        value.truncate(self.payload);
    }
}

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Op {
    /// Its place in the script, from 0 on.
    pub number: u64,
    /// Whether it writes.
    pub write: bool,
    /// Which key, as a number.
    pub key: u64,
}

/// The requests of one client, or of all together, one after the other.
#[derive(Clone, Debug)]
pub struct Script {
    keys: Keys,
    reads: u8,
    rng: Rng,
    next: u64,
}

impl Script {
    /// The script of `client`.
    pub fn new(workload: &Workload, client: u64) -> Self {
        let mut seeds = Rng::with_seed(workload.seed);
        let seed = seeds.u64(..) ^ client.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self {
            keys: workload.keys,
            reads: workload.reads,
            rng: Rng::with_seed(seed),
            next: 0,
        }
    }

    /// The next request.
    pub fn draw(&mut self) -> Op {
        let number = self.next;
        self.next += 1;
        let write = self.rng.u8(..100) >= self.reads;
        let key = match self.keys {
            Keys::Spread(keys) => self.rng.u64(..keys),
            Keys::Fresh => number,
        };
        Op { number, write, key }
    }

    /// How old, among `all` that there are, the one that a read looks for is to be: 0 is the newest, and each doubling of
    /// the age is as likely as the one before.
    #[allow(clippy::cast_sign_loss, reason = "no power of a count is negative")]
    pub(crate) fn age(&mut self, all: usize) -> usize {
        let drawn = (all as f64).powf(self.rng.f64());
        // At least one, at most all of them.
        (drawn as usize).clamp(1, all) - 1
    }
}

/// The name of a key in a store, into `name`.
pub fn name_key(key: u64, name: &mut Vec<u8>) {
    name.clear();
    write!(name, "k{key:011}").expect("a vector takes all");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workload() -> Workload {
        Workload {
            seed: 7,
            keys: Keys::Spread(1000),
            payload: 20,
            reads: 30,
        }
    }

    fn ops(workload: &Workload, client: u64) -> Vec<Op> {
        let mut script = Script::new(workload, client);
        (0..1000).map(|_| script.draw()).collect()
    }

    #[test]
    fn a_seed_says_all_that_is_asked_and_clients_differ() {
        let workload = workload();
        assert_eq!(ops(&workload, 3), ops(&workload, 3));
        assert_ne!(ops(&workload, 3), ops(&workload, 4));
        let other = Workload {
            seed: 8,
            ..workload.clone()
        };
        assert_ne!(ops(&workload, 3), ops(&other, 3));
        let (mut one, mut two) = (Vec::new(), Vec::new());
        workload.fill(5, &mut one);
        workload.fill(5, &mut two);
        assert_eq!((one.len(), &one), (20, &two));
        workload.fill(6, &mut two);
        assert_ne!(one, two);
    }

    #[test]
    fn a_script_never_changes_between_builds() {
        // Figures of different days are of the same requests.
        let drawn: Vec<_> = ops(&workload(), 0)[..6]
            .iter()
            .map(|op| (op.write, op.key))
            .collect();
        let expected = [
            (false, 445),
            (true, 122),
            (true, 552),
            (true, 385),
            (true, 119),
            (true, 887),
        ];
        assert_eq!(drawn, expected);
    }

    #[test]
    fn reads_and_keys_are_drawn_as_often_as_asked() {
        let ops = ops(&workload(), 1);
        let reads = ops.iter().filter(|op| !op.write).count();
        assert!((200..400).contains(&reads), "{reads}");
        assert!(ops.iter().all(|op| op.key < 1000));
        let fresh = Workload {
            keys: Keys::Fresh,
            ..workload()
        };
        let mut script = Script::new(&fresh, 0);
        assert!((0..100).all(|number| script.draw().key == number));
    }

    #[test]
    fn ages_reach_from_the_newest_to_the_oldest() {
        let mut script = Script::new(&workload(), 0);
        let ages: Vec<_> = (0..4000).map(|_| script.age(1000)).collect();
        assert!(ages.contains(&0) && ages.iter().any(|&age| age > 900));
        assert!(ages.iter().all(|&age| age < 1000));
        let young = ages.iter().filter(|&&age| age < 31).count();
        assert!((1600..2400).contains(&young), "{young}");
        assert_eq!(script.age(1), 0);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_the_reason() {
        workload().check().expect("it is sound");
        for (spoilt, what) in [
            (
                Workload {
                    payload: 0,
                    ..workload()
                },
                "payload",
            ),
            (
                Workload {
                    payload: 2 << 20,
                    ..workload()
                },
                "payload",
            ),
            (
                Workload {
                    reads: 101,
                    ..workload()
                },
                "reads",
            ),
            (
                Workload {
                    keys: Keys::Spread(0),
                    ..workload()
                },
                "keys",
            ),
        ] {
            assert_eq!(spoilt.check().expect_err(what).what, what);
        }
    }
}
