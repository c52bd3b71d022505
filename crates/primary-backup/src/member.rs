//! The member itself: its door, the rule of epochs, and the one place where words leave it.

use alloc::vec::Vec;

use quorate_core::{
    Batch, Committed, Configuration, Epoch, Input, Instant, Mark, Memory, NodeId, Outbox,
    PeerStatus, Position, ReplicatedLog, RestoreError, RoleKind, SnapshotMeta, Status, WriteAck,
};

use crate::disk::Disk;
use crate::handover::Handover;
use crate::role::{Campaign, Offer, Role};
use crate::roster::Roster;
use crate::{Log, Message, PrimaryBackupConfig, Record, Standing};

pub(crate) type Out = Outbox<PrimaryBackup>;

/// One member of a cluster whose primary is appointed by its operator.
#[derive(Clone, Debug)]
pub struct PrimaryBackup {
    pub(crate) config: PrimaryBackupConfig,
    pub(crate) roster: Roster,
    pub(crate) agreed: Agreed,
    pub(crate) log: Log,
    pub(crate) role: Role,
    pub(crate) state: State,
    pub(crate) disk: Disk,
    /// The last primary that was heard, this one included, by its epoch, and the last position it spoke of.
    pub(crate) heard_of: Option<(Epoch, Position)>,
    /// It was primary when it stopped, or is the first of all: since then it is to go on.
    pub(crate) resume: Option<Instant>,
    /// This primary, or one that it was, wants another in its place.
    pub(crate) handover: Option<Handover>,
    pub(crate) anomalies: u64,
}

/// The highest epoch, and how far it is on disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Agreed {
    pub(crate) standing: Standing,
    /// The record that holds it.
    pub(crate) mark: Mark,
    /// The first record of this epoch: the appointment may follow later, in a record of its own.
    pub(crate) entered: Mark,
    /// The last epoch that is on disk, and so may be spoken of.
    pub(crate) spoken: Epoch,
}

/// What the log knows of the state machine and its snapshots.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    /// It holds entries that the log has lost, the last of them at this position or before: nothing is committed to it
    /// until a snapshot from beyond has replaced it.
    pub(crate) void: Option<Position>,
    /// The newest snapshot that is durable here and belongs to the log.
    pub(crate) newest: Option<SnapshotMeta>,
    /// The journal has yet to learn that the log begins behind the newest.
    pub(crate) unwritten: bool,
}

impl PrimaryBackup {
    /// How many messages were ignored because no member of this config that follows the protocol can have said them.
    /// Anything but zero tells of a broken or hostile peer, or of two members with the same id.
    pub const fn anomalies(&self) -> u64 {
        self.anomalies
    }

    /// Whether the state machine holds entries that are lost, and waits to be replaced: reads of it show what never was.
    pub const fn is_void(&self) -> bool {
        self.state.void.is_some()
    }

    /// Where a write is when it is acknowledged here.
    pub const fn write_ack(&self) -> WriteAck {
        self.config.write_ack
    }

    /// What this member promises of acknowledged writes, in one sentence for its status.
    pub const fn claim(&self) -> &'static str {
        match self.config.write_ack {
            WriteAck::None => {
                "an acknowledged write is lost if the primary stops before it is on a disk, or if one is promoted \
                 that lacks it"
            }
            WriteAck::One => {
                "an acknowledged write outlives the primary's process, and is lost if a member is promoted that lacks it"
            }
            WriteAck::Quorum => {
                "an acknowledged write is on a quorum of disks, and is lost only by a promotion by force"
            }
            WriteAck::All => {
                "an acknowledged write is on every member's disk: any may be promoted, and one that is gone stops all \
                 writes"
            }
        }
    }

    /// Whether a primary begins, and reads, only with the word of a quorum.
    pub(crate) fn asks_a_quorum(&self) -> bool {
        match self.config.write_ack {
            WriteAck::None | WriteAck::One => false,
            WriteAck::Quorum | WriteAck::All => true,
        }
    }

    /// Says `message`, as soon as the epoch it is said in is on disk.
    pub(crate) fn send(&mut self, to: NodeId, message: Message, out: &mut Out) {
        if self.agreed.mark <= self.disk.durable() {
            self.assert_kept(&message);
            out.send(to, message);
        } else {
            self.disk.hold(self.agreed.mark, to, message);
        }
    }

    /// `RELIABILITY` D1: whatever is promised is on disk.
    fn assert_kept(&self, message: &Message) {
        let durable = self.disk.durable();
        assert!(self.agreed.entered <= durable, "the epoch is on disk");
        if let Message::Accepted { holding, .. } | Message::HeartbeatReply { holding, .. } = message
        {
            let held = self.log.durable();
            assert!(holding.matched <= held, "what is acknowledged is on disk");
        }
    }

    fn on_tick(&mut self, now: Instant, out: &mut Out) {
        self.tick_handover(now, out);
        match &self.role {
            Role::Backup(_) => self.tick_backup(now, out),
            Role::Fencing(_) => self.tick_fencing(now, out),
            Role::Rising(_) => {}
            Role::Primary(_) => self.tick_primary(now, out),
        }
    }

    /// The rule of epochs comes first: a higher one makes a backup, a lower one is told so.
    fn on_message(&mut self, now: Instant, from: NodeId, message: Message, out: &mut Out) {
        let slot = self.roster.slot(from);
        if slot.is_none() && !self.is_heard(from, &message) {
            return;
        }
        let epoch = message.epoch();
        if !message.is_sane() || (message.is_of_owner() && epoch.node != from) {
            self.anomalies += 1;
            return;
        }
        let known = self.agreed.standing.epoch;
        match &message {
            // An epoch that is asked for binds nobody.
            Message::Inquire { .. } => {}
            // Nor does the answer: who gives it may have missed some, and hears of them by being fenced.
            Message::Position { asked, last, .. } if self.is_asking(*asked) && epoch < known => {
                return self.on_position(now, from, (*asked, *last), out);
            }
            _ if epoch < known => return self.on_stale(from, &message, out),
            _ if epoch > known => self.adopt(now, epoch, out),
            _ => {}
        }
        self.take(now, (from, slot), message, out);
    }

    /// Whether a stranger is heard: it may be primary, or become it, by a configuration that is not known here yet.
    fn is_heard(&self, from: NodeId, message: &Message) -> bool {
        let answers = matches!(message, Message::Position { .. });
        message.is_of_owner() || (answers && self.is_handed_over_by(from))
    }

    /// A message of the present epoch, or one that asks for a later.
    fn take(
        &mut self,
        now: Instant,
        (from, slot): (NodeId, Option<usize>),
        message: Message,
        out: &mut Out,
    ) {
        match message {
            Message::Append(append) => self.on_append(now, from, append, out),
            Message::Heartbeat {
                commit,
                last,
                round,
                ..
            } => self.on_heartbeat(now, from, (commit, last, round), out),
            Message::Commit { commit, .. } => self.on_commit(now, from, commit, out),
            Message::Snapshot {
                meta,
                lost,
                configured,
                ..
            } => {
                let offer = Offer {
                    meta,
                    lost,
                    configured,
                };
                self.on_snapshot(now, from, offer, out);
            }
            Message::Handover { last, .. } => self.on_handover(now, from, last, out),
            Message::Accepted { holding, .. } => {
                if let Some(slot) = slot {
                    self.on_accepted(now, slot, holding, out);
                }
            }
            Message::Missing(missing) => {
                if let Some(slot) = slot {
                    self.on_missing(now, slot, missing, out);
                }
            }
            Message::HeartbeatReply { round, holding, .. } => {
                if let Some(slot) = slot {
                    self.on_heartbeat_reply(now, slot, round, holding, out);
                }
            }
            Message::Inquire { epoch } => self.on_inquire(now, from, epoch, out),
            Message::Fence { epoch } => self.answer(from, epoch, out),
            Message::Position { asked, last, .. } => {
                self.on_position(now, from, (asked, last), out);
            }
            Message::NewEpoch { .. } => {}
        }
    }

    /// A former primary learns that its epoch is over; former answers mean nothing any more.
    fn on_stale(&mut self, from: NodeId, message: &Message, out: &mut Out) {
        if message.is_of_owner() {
            let epoch = self.agreed.standing.epoch;
            self.send(from, Message::NewEpoch { epoch }, out);
        }
    }

    fn on_durable(&mut self, now: Instant, upto: Mark, out: &mut Out) {
        self.disk.on_durable(upto, out);
        if self.agreed.entered <= self.disk.durable() {
            self.agreed.spoken = self.agreed.standing.epoch;
        }
        let grown = self.log.on_durable(self.disk.durable());
        while let Some((to, message)) = self.disk.released() {
            self.assert_kept(&message);
            out.send(to, message);
        }
        match &self.role {
            Role::Backup(_) if grown => self.acknowledge(out),
            Role::Backup(_) | Role::Fencing(_) => {}
            Role::Rising(_) => self.rise_if_durable(now, out),
            Role::Primary(_) => self.after_progress(now, None, out),
        }
    }
}

impl ReplicatedLog for PrimaryBackup {
    type Config = PrimaryBackupConfig;
    type Message = Message;
    type Record = Record;
    const ELECTS: bool = false;

    fn restore(
        config: PrimaryBackupConfig,
        now: Instant,
        memory: Memory<'_, Record>,
    ) -> Result<Self, RestoreError> {
        crate::restore::restore(config, now, memory)
    }

    fn step(&mut self, now: Instant, input: Input<Message>, out: &mut Outbox<Self>) {
        if self.state.unwritten {
            self.write_installed(out);
        }
        if self.resume.take().is_some() {
            self.resume(now, out);
        }
        match input {
            Input::Tick => self.on_tick(now, out),
            Input::Receive { from, message } => self.on_message(now, from, message, out),
            Input::Propose { ticket, batch } => self.on_propose(now, ticket, batch, out),
            Input::Read { ticket } => self.on_read(now, ticket, out),
            Input::Durable { upto } => self.on_durable(now, upto, out),
            Input::Room { available } => self.disk.room = available,
            Input::Credit { peer, credit } => {
                if let Some(slot) = self.roster.slot(peer) {
                    self.on_credit(now, slot, credit, out);
                }
            }
            // The window alone decides here.
            Input::Direct { .. } => {}
            Input::Promote {
                ticket,
                round,
                force,
            } => self.on_promote(now, ticket, (round, force), out),
            Input::Reconfigure { ticket, change } => {
                self.on_reconfigure(now, ticket, &change, out);
            }
            Input::Transfer { ticket, to } => self.on_transfer(now, ticket, to, out),
            Input::Compact { upto, snapshot } => self.on_compact(now, upto, snapshot, out),
            Input::Fetched { snapshot } => self.on_fetched(snapshot, out),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        if self.resume.is_some() {
            return self.resume;
        }
        let part = match &self.role {
            Role::Backup(backup) => {
                let silence = backup.leader.map(|_| backup.heard + self.config.patience);
                let asking = backup.asking.as_ref().map(Campaign::wakes);
                silence.into_iter().chain(asking).min()
            }
            Role::Fencing(campaign) => Some(campaign.wakes()),
            Role::Rising(_) => None,
            Role::Primary(primary) => (!primary.peers.is_empty()).then_some(primary.heartbeat_due),
        };
        part.into_iter().chain(self.handover_ends()).min()
    }

    fn status(&self) -> Status {
        Status {
            role: match &self.role {
                Role::Backup(_) if self.roster.votes(self.config.id) => RoleKind::Follower,
                Role::Backup(_) => RoleKind::Learner,
                Role::Fencing(_) | Role::Rising(_) => RoleKind::Candidate,
                Role::Primary(_) => RoleKind::Leader,
            },
            epoch: self.agreed.spoken,
            leader: self.known_leader(),
            last: self.log.last().position,
            durable: self.log.durable(),
            committed: self.log.committed(),
            compacted: self.log.base().position,
            bytes: self.log.bytes(),
            configured: self.roster.configured(),
        }
    }

    fn configuration(&self) -> &Configuration {
        self.roster.configuration()
    }

    fn peers(&self) -> Vec<PeerStatus> {
        self.peer_status()
    }

    /// Nothing, unless at least a quorum acknowledges writes: what is committed by less may be lost, and must not be
    /// handed on as chosen for ever.
    fn chosen(&self, at: Position, bytes_max: u64) -> Option<Committed> {
        if !self.asks_a_quorum() || self.state.void.is_some() {
            return None;
        }
        let run = self.log.run_at(at, bytes_max)?;
        let known = (self.log.committed().get() + 1).checked_sub(at.get())?;
        let batch = match known {
            0 => return None,
            known if known < run.batch.len() => run.batch.slice(0, known),
            _ => run.batch,
        };
        Some(Committed {
            first: at,
            epoch: run.epoch,
            batch,
        })
    }

    fn is_sound(&self) -> bool {
        match &self.role {
            Role::Backup(backup) => {
                self.state.void.is_none() && backup.verified >= self.log.committed()
            }
            Role::Fencing(_) | Role::Rising(_) => false,
            Role::Primary(_) => true,
        }
    }

    fn held(&self, at: Position, bytes_max: u64) -> Option<(Epoch, Batch)> {
        let run = self.log.run_at(at, bytes_max)?;
        Some((run.epoch, run.batch))
    }
}
