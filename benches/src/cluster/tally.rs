//! The least that a state machine can do.

use bytes::Bytes;
use quorate_core::{At, MalformedSnapshot, SnapshotSource, StateMachine};

/// Counts commands and their bytes; holds a ballast that only snapshots see.
#[derive(Debug, Default)]
pub struct Tally {
    commands: u64,
    bytes: u64,
    ballast: Bytes,
}

impl Tally {
    /// A state whose snapshots are of about `bytes` bytes.
    pub fn heavy(bytes: usize) -> Self {
        Self {
            ballast: vec![0xa5; bytes].into(),
            ..Self::default()
        }
    }

    /// Commands applied.
    pub fn commands(&self) -> u64 {
        self.commands
    }
}

impl StateMachine for Tally {
    type Reply = ();
    type Snapshot = Image;

    fn apply(&mut self, _: At, command: &[u8]) {
        self.commands += 1;
        self.bytes += command.len() as u64;
    }

    fn snapshot(&self) -> Image {
        let head: Vec<u8> = [self.commands, self.bytes]
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect();
        Image {
            head: Some(head.into()),
            ballast: self.ballast.clone(),
        }
    }

    fn restore(chunks: &mut dyn Iterator<Item = Bytes>) -> Result<Self, MalformedSnapshot> {
        let head = chunks.next().ok_or(MalformedSnapshot("no head"))?;
        let number = |at: usize| {
            let bytes = head.get(at..).and_then(|rest| rest.first_chunk());
            bytes
                .map(|bytes| u64::from_le_bytes(*bytes))
                .ok_or(MalformedSnapshot("a short head"))
        };
        let (commands, bytes) = (number(0)?, number(8)?);
        let ballast: Vec<u8> = chunks.flatten().collect();
        Ok(Self {
            commands,
            bytes,
            ballast: ballast.into(),
        })
    }

    fn digest(&self) -> u64 {
        self.commands ^ self.bytes.rotate_left(32)
    }
}

/// The numbers, then the ballast.
#[derive(Debug)]
pub struct Image {
    head: Option<Bytes>,
    ballast: Bytes,
}

impl SnapshotSource for Image {
    fn next_chunk(&mut self, bytes_max: usize) -> Option<Bytes> {
        if let Some(head) = self.head.take() {
            return Some(head);
        }
        let length = bytes_max.min(self.ballast.len());
        (length > 0).then(|| self.ballast.split_to(length))
    }
}
