//! Making a batch.

use alloc::vec::Vec;

use bytes::BytesMut;

use super::{Batch, Kind, Label, Whole};

/// Gathers commands into one [`Batch`]: one copy of each body, one allocation for all.
#[derive(Debug, Default)]
pub struct BatchBuilder {
    body: BytesMut,
    ends: Vec<u32>,
}

impl BatchBuilder {
    /// Small commands are put into allocations of so many bytes, which the batches of a builder share: one command a
    /// batch costs no allocation of its own then.
    const SHARED: usize = 4096;
    /// What is small: at most an eighth of such an allocation stays unused.
    const SMALL: usize = Self::SHARED / 8;

    /// An empty builder.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends one command.
    ///
    /// # Panics
    /// If the bodies together pass [`Batch::BYTES_MAX`].
    pub fn push(&mut self, command: &[u8]) {
        self.push_parts(&[], command);
    }

    /// Appends one command that comes in two parts.
    pub(crate) fn push_parts(&mut self, head: &[u8], rest: &[u8]) {
        let room = self.body.capacity() - self.body.len();
        let bytes = head.len() + rest.len();
        if room < bytes && bytes <= Self::SMALL {
            self.body.reserve(Self::SHARED);
        }
        self.body.extend_from_slice(head);
        self.body.extend_from_slice(rest);
        assert!(
            self.body.len() <= Batch::BYTES_MAX,
            "a batch body is limited to 4 GiB"
        );
        self.ends.push(self.body.len() as u32);
    }

    /// Commands gathered so far.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether nothing was gathered.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes gathered so far.
    pub fn bytes(&self) -> usize {
        self.body.len()
    }

    /// The batch of what was gathered, or none; the builder is empty again.
    pub fn finish(&mut self, label: Label) -> Option<Batch> {
        let body = self.body.split().freeze();
        let batch = match self.ends.len() {
            0 => return None,
            1 => Batch::one(label, body),
            count => Batch::whole(
                Whole {
                    label,
                    body,
                    ends: Some(self.ends.as_slice().into()),
                    kind: Kind::Commands,
                    hollow: false,
                },
                count as u32,
            ),
        };
        self.ends.clear();
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_batches_of_one_builder_share_an_allocation_and_large_ones_do_not() {
        let mut builder = BatchBuilder::new();
        let mut built = |command: &[u8]| {
            builder.push(command);
            builder.finish(Label::default()).expect("a command").body()
        };
        let small = [built(&[1; 16]), built(&[2; 16]), built(&[3; 500])];
        for pair in small.windows(2) {
            assert_eq!(pair[0].as_ptr_range().end, pair[1].as_ptr());
        }
        assert_eq!(&small[1][..], [2; 16]);
        let mut large = BatchBuilder::new();
        large.push(&[4; 513]);
        assert!(large.body.capacity() < BatchBuilder::SHARED);
    }
}
