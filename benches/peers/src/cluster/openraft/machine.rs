//! A state machine that counts.

use std::io;

use futures_util::{Stream, TryStreamExt};
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use openraft::type_config::alias::{LogIdOf, SnapshotMetaOf, SnapshotOf, StoredMembershipOf};
use openraft::{EntryPayload, OptionalSend};

use super::Types;

/// Counts commands and their bytes, as [`quorate_benches::cluster::Tally`] does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Machine {
    commands: u64,
    bytes: u64,
    applied: Option<LogIdOf<Types>>,
    membership: StoredMembershipOf<Types>,
    snapshot: Option<SnapshotOf<Types, (u64, u64)>>,
}

impl RaftSnapshotBuilder<Types> for Machine {
    type SnapshotData = (u64, u64);

    async fn build_snapshot(&mut self) -> Result<SnapshotOf<Types, (u64, u64)>, io::Error> {
        let meta = SnapshotMetaOf::<Types> {
            last_log_id: self.applied,
            last_membership: self.membership.clone(),
        };
        let snapshot = (self.commands, self.bytes);
        Ok(SnapshotOf::<Types, _> { meta, snapshot })
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotData = (u64, u64);
    type SnapshotBuilder = Self;

    async fn applied_state(
        &mut self,
    ) -> Result<(Option<LogIdOf<Types>>, StoredMembershipOf<Types>), io::Error> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            self.applied = Some(entry.log_id);
            match entry.payload {
                EntryPayload::Normal(command) => {
                    self.commands += 1;
                    self.bytes += command.0.len() as u64;
                }
                EntryPayload::Membership(members) => {
                    self.membership = StoredMembershipOf::<Types>::new(self.applied, members);
                }
                EntryPayload::Blank => {}
            }
            if let Some(responder) = responder {
                responder.send(());
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMetaOf<Types>,
        snapshot: (u64, u64),
    ) -> Result<(), io::Error> {
        (self.commands, self.bytes) = snapshot;
        self.applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        let meta = meta.clone();
        self.snapshot = Some(SnapshotOf::<Types, _> { meta, snapshot });
        Ok(())
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> Result<Option<SnapshotOf<Types, (u64, u64)>>, io::Error> {
        Ok(self.snapshot.clone())
    }
}
