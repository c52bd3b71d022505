//! A batch without its body.

use alloc::vec::Vec;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Batch, Kind, Label, Whole};

/// A batch without its body: the label and the length of each command.
///
/// Also the header of a batch on the wire and in the journal; there the bodies follow outside of it, raw
/// ([`encode`](crate::encode)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hollow {
    pub(super) label: Label,
    pub(super) kind: Kind,
    /// Empty: a no-op.
    pub(super) lengths: Vec<u32>,
}

impl Hollow {
    /// Who proposed the first command.
    pub const fn label(&self) -> Label {
        self.label
    }

    /// How many positions it takes: at least one.
    pub const fn len(&self) -> u64 {
        if self.lengths.is_empty() {
            1
        } else {
            self.lengths.len() as u64
        }
    }

    /// Never: a batch takes at least one position.
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// Bytes of the body that it lacks.
    pub fn bytes(&self) -> u64 {
        self.lengths.iter().map(|length| u64::from(*length)).sum()
    }

    /// The batch with this body. None: the body has another length, is longer than [`Batch::BYTES_MAX`], or is not what
    /// the kind of the batch promises.
    pub fn fill(self, mut body: Bytes) -> Option<Batch> {
        let length = usize::try_from(self.bytes()).ok();
        if body.len() > Batch::BYTES_MAX || length != Some(body.len()) {
            return None;
        }
        let mut batch = self.open()?;
        batch.attach(&mut body).then_some(batch)
    }

    /// The batch whose body has yet to be attached. None: its body would be longer than any can be, or its kind does not
    /// go with its lengths.
    fn open(self) -> Option<Batch> {
        let Self {
            label,
            kind,
            mut lengths,
        } = self;
        if (kind == Kind::Noop) != lengths.is_empty()
            || (kind == Kind::Configuration && lengths.len() > 1)
        {
            return None;
        }
        if lengths.is_empty() {
            return Some(Batch::whole(
                Whole {
                    label,
                    body: Bytes::new(),
                    ends: None,
                    kind,
                    hollow: false,
                },
                1,
            ));
        }
        let mut end = 0u32;
        for length in &mut lengths {
            end = end.checked_add(*length)?;
            *length = end;
        }
        let count = lengths.len() as u32;
        Some(Batch::whole(
            Whole {
                label,
                body: Bytes::new(),
                ends: Some(lengths.into()),
                kind,
                hollow: true,
            },
            count,
        ))
    }
}

impl Serialize for Batch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.hollow().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Batch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let batch = Hollow::deserialize(deserializer)?.open();
        batch.ok_or(serde::de::Error::custom("a batch that nobody builds"))
    }
}
