//! A state machine that remembers.

use bytes::Bytes;
use quorate_core::{At, MalformedSnapshot, SnapshotSource, StateMachine, Timestamp};

/// Remembers every command; `wake N` asks for log time N.
#[derive(Debug, Default)]
pub(crate) struct Scroll {
    pub(crate) lines: Vec<(u64, Vec<u8>)>,
    pub(crate) time: u64,
    pub(crate) wakeup: Option<u64>,
}

pub(crate) struct Lines(Vec<Bytes>);

impl SnapshotSource for Lines {
    fn next_chunk(&mut self, _: usize) -> Option<Bytes> {
        self.0.pop()
    }
}

impl StateMachine for Scroll {
    type Reply = u64;
    type Snapshot = Lines;

    fn apply(&mut self, at: At, command: &[u8]) -> u64 {
        self.lines.push((at.time.0, command.to_vec()));
        self.lines.len() as u64
    }

    fn advance(&mut self, time: Timestamp) {
        self.time = time.0;
        self.wakeup = self.wakeup.filter(|at| *at > time.0);
    }

    fn wakeup(&self) -> Option<Timestamp> {
        self.wakeup.map(Timestamp)
    }

    fn snapshot(&self) -> Lines {
        Lines(
            self.lines
                .iter()
                .rev()
                .map(|(_, line)| line.clone().into())
                .collect(),
        )
    }

    fn restore(chunks: &mut dyn Iterator<Item = Bytes>) -> Result<Self, MalformedSnapshot> {
        let lines = chunks.map(|line| (0, line.to_vec())).collect();
        Ok(Self {
            lines,
            ..Self::default()
        })
    }

    fn digest(&self) -> u64 {
        self.lines.iter().fold(7, |digest, (_, line)| {
            line.iter().fold(digest ^ 1, |d: u64, byte| {
                d.wrapping_mul(31) + u64::from(*byte)
            })
        })
    }
}
