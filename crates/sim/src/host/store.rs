//! Snapshots on disk: what the node's snapshot thread does.

use quorate_core::{Event, ReplicatedLog, Restored, SnapshotMeta, SnapshotSource, StateMachine};
use quorate_journal::{Incoming, SnapshotError, SnapshotStore};

use super::{Errand, Exit, Process, Taking};
use crate::disk::SimDisk;
use crate::tap::TappedMachine;

/// What an errand leads to.
pub(crate) enum Back<M, S: StateMachine> {
    /// Something for the replica.
    Events(Vec<Event<M>>),
    /// A state for it.
    Loaded(Box<Restored<TappedMachine<S>>>),
}

impl<L: ReplicatedLog, S: StateMachine> Process<L, S> {
    pub(crate) fn run_errand(&mut self, errand: Errand) -> Result<Back<L::Message, S>, Exit> {
        let event = match errand {
            Errand::Take => self.take()?,
            Errand::Read {
                to,
                snapshot,
                offset,
                length,
            } => {
                let piece = self
                    .snapshots
                    .read_chunk(&snapshot, offset, length as usize);
                let data = match piece {
                    Err(error) if error.is_fatal() => return Err(error.into()),
                    piece => piece.ok().filter(|data| !data.is_empty()),
                };
                Event::ChunkRead {
                    to,
                    snapshot,
                    offset,
                    data,
                }
            }
            Errand::Receive(snapshot) => self.receive(snapshot)?,
            Errand::Write {
                snapshot,
                offset,
                data,
            } => {
                return self.store(snapshot, offset, &data).map(Back::Events);
            }
            Errand::Load(snapshot) => {
                return load(&self.snapshots, snapshot).map(|state| Back::Loaded(Box::new(state)));
            }
        };
        Ok(Back::Events(vec![event]))
    }

    fn take(&mut self) -> Result<Event<L::Message>, Exit> {
        let Some(taking) = self.taking.take() else {
            return Ok(Event::SnapshotFailed);
        };
        match write(&self.snapshots, taking) {
            Ok(snapshot) => Ok(Event::SnapshotStored { snapshot }),
            Err(error) if error.is_fatal() => Err(error.into()),
            Err(_) => Ok(Event::SnapshotFailed),
        }
    }

    fn receive(&mut self, snapshot: SnapshotMeta) -> Result<Event<L::Message>, Exit> {
        if self
            .incoming
            .as_ref()
            .is_none_or(|incoming| incoming.meta() != snapshot)
        {
            self.incoming = None;
            match self.snapshots.receive(snapshot) {
                Ok(incoming) => self.incoming = Some(incoming),
                Err(error) if error.is_fatal() => return Err(error.into()),
                Err(_) => return Ok(Event::FetchFailed { snapshot }),
            }
        }
        let upto = self.incoming.as_ref().map_or(0, Incoming::received_upto);
        Ok(Event::Received { snapshot, upto })
    }

    fn store(
        &mut self,
        snapshot: SnapshotMeta,
        offset: u64,
        data: &[u8],
    ) -> Result<Vec<Event<L::Message>>, Exit> {
        let Some(incoming) = self.incoming.as_mut().filter(|one| one.meta() == snapshot) else {
            return Ok(Vec::new());
        };
        let mut events = Vec::new();
        let stored = incoming.write(offset, data).map(|upto| {
            events.push(Event::Received { snapshot, upto });
            incoming.is_complete()
        });
        let done = match stored {
            Ok(false) => return Ok(events),
            Ok(true) => self
                .incoming
                .take()
                .expect("it is complete")
                .finish()
                .map(drop),
            Err(error) => Err(error),
        };
        match done {
            Ok(()) => events.push(Event::Fetched { snapshot }),
            Err(error) if error.is_fatal() => return Err(error.into()),
            Err(_) => {
                self.incoming = None;
                events.push(Event::FetchFailed { snapshot });
            }
        }
        Ok(events)
    }
}

fn write<S: StateMachine>(
    snapshots: &SnapshotStore<SimDisk>,
    mut taking: Taking<S>,
) -> Result<SnapshotMeta, SnapshotError> {
    let mut writer = snapshots.write(taking.position, taking.epoch)?;
    while let Some(chunk) = taking.image.next_chunk(1 << 10) {
        writer.write(&chunk)?;
    }
    writer.finish()
}

/// Reads a snapshot back as a state.
pub(crate) fn load<S: StateMachine>(
    snapshots: &SnapshotStore<SimDisk>,
    snapshot: SnapshotMeta,
) -> Result<Restored<TappedMachine<S>>, Exit> {
    let mut failed = None;
    let mut chunks = snapshots.read(&snapshot)?.map_while(|chunk| match chunk {
        Ok(chunk) => Some(chunk),
        Err(error) => {
            failed = Some(error);
            None
        }
    });
    let restored = Restored::read(snapshot, &mut chunks);
    if let Some(error) = failed {
        return Err(error.into());
    }
    restored.map_err(|error| Exit::Refused(error.to_string()))
}
