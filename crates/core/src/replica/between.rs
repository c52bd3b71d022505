//! What goes on between members beside the log: commands for the leader, pieces of snapshots; for reads see `asking`.

use super::budget::Forward;
use super::event::{Clock, Effect, Effects};
use super::reads::Question;
use super::serving::Asked;
use super::snapshots::{Fetch, Piece, Question as Next};
use super::{Parcel, Replica};
use crate::{
    Batch, Epoch, Input, Instant, NodeId, Rejection, ReplicatedLog, SnapshotMeta, StateMachine,
    Status,
};

impl<L: ReplicatedLog, S: StateMachine> Replica<L, S> {
    pub(super) fn on_parcel(
        &mut self,
        clock: Clock,
        from: NodeId,
        parcel: Parcel<L::Message>,
        out: &mut Effects<L, S>,
    ) {
        let now = clock.now;
        match parcel {
            Parcel::Log(message) => self.step_log(now, Input::Receive { from, message }, out),
            Parcel::Forward {
                epoch,
                attempt,
                batch,
            } => {
                self.on_forward(clock, (from, epoch, attempt), batch, out);
            }
            Parcel::Refused { attempt, why } => self.on_refused(now, attempt, why, out),
            Parcel::ReadAt { round, lease } => {
                self.on_question(now, from, Question { round, lease }, out);
            }
            Parcel::ReadFrom {
                round,
                leased,
                answer,
            } => self.on_read_from(now, round, leased, answer),
            Parcel::ChunkRequest {
                snapshot,
                offset,
                length,
            } => {
                let asked = Asked {
                    to: from,
                    snapshot,
                    offset,
                    length: length.min(self.config.chunk_bytes),
                };
                self.serving.ask(now, asked);
                self.serve(now, out);
            }
            Parcel::Chunk {
                snapshot,
                offset,
                data,
            } => match data {
                Some(data) => self.on_chunk(now, snapshot, offset, &data, out),
                None => self.on_lack(from, snapshot),
            },
            Parcel::Health {
                round,
                health,
                rest,
            } => self.on_health(now, (from, round), (health, rest), out),
            Parcel::HealthSeen {
                round,
                health,
                rest,
            } => self.on_health_seen(now, (from, round), (health, rest)),
        }
    }

    /// Reads what may leave of this member's snapshots.
    pub(super) fn serve(&mut self, now: Instant, out: &mut Effects<L, S>) {
        while let Some(asked) = self.serving.next(now) {
            let Asked {
                to,
                snapshot,
                offset,
                length,
            } = asked;
            out.push(Effect::ReadChunk {
                to,
                snapshot,
                offset,
                length,
            });
        }
    }

    /// Another member's clients' commands. Each attempt counts once, and only in the epoch it was meant for, so that
    /// a repeated or late parcel cannot undo a refusal. A former life of this member may have taken what was meant for an
    /// epoch that it knew: that is neither taken again nor refused, for a refusal says "surely not".
    pub(super) fn on_forward(
        &mut self,
        clock: Clock,
        (from, epoch, attempt): (NodeId, Epoch, u64),
        batch: Batch,
        out: &mut Effects<L, S>,
    ) {
        let newest = self.leading.attempts.entry(from).or_default();
        let known = epoch <= self.leading.former;
        if known || attempt <= *newest || batch.label().origin != from {
            return;
        }
        *newest = attempt;
        let refused = if self.leading.status.epoch == epoch && self.leads() {
            match self.writes.admit(&batch) {
                Ok(()) => {
                    let forward = Forward::of(&batch);
                    let refused = self.propose(clock, batch, out);
                    if refused.is_none() {
                        self.writes.budget.on_proposed(forward);
                    }
                    refused
                }
                Err(retry_after) => Some(Rejection::Overloaded { retry_after }),
            }
        } else {
            let Status { leader, epoch, .. } = self.leading.status;
            Some(Rejection::NotLeader { leader, epoch })
        };
        if let Some(why) = refused {
            out.push(Effect::Send {
                to: from,
                parcel: Parcel::Refused { attempt, why },
            });
        }
    }

    pub(super) fn propose(
        &mut self,
        clock: Clock,
        batch: Batch,
        out: &mut Effects<L, S>,
    ) -> Option<Rejection> {
        if self.backlog.bytes > self.config.backlog_bytes_max {
            return Some(Rejection::Overloaded {
                retry_after: self.config.retry_after,
            });
        }
        let ticket = self.next_ticket();
        self.feed(
            clock.now,
            Input::Propose {
                ticket,
                batch: batch.stamped(clock.wall),
            },
            out,
        )
    }

    pub(super) fn on_refused(
        &mut self,
        now: Instant,
        attempt: u64,
        why: Rejection,
        out: &mut Effects<L, S>,
    ) {
        let fail = |ticket, failure| out.push(Effect::Fail { ticket, failure });
        self.writes.on_refused(now, attempt, why, fail);
    }

    /// Hands what waits to whoever leads.
    pub(super) fn hand_over(&mut self, clock: Clock, out: &mut Effects<L, S>) {
        while let Some(leader) = self.leading.status.leader {
            let epoch = self.leading.status.epoch;
            let here = leader == self.config.id;
            let Some(attempt) = self.writes.attempt(clock.now, epoch, !here) else {
                return;
            };
            if !here {
                let parcel = Parcel::Forward {
                    epoch,
                    attempt: attempt.number,
                    batch: attempt.batch,
                };
                out.push(Effect::Send { to: leader, parcel });
            } else if let Some(why) = self.propose(clock, attempt.batch, out) {
                self.on_refused(clock.now, attempt.number, why, out);
            }
        }
    }

    /// A snapshot is offered. One that is being fetched already goes on where it stands, from whoever offers it now.
    pub(super) fn on_fetch(
        &mut self,
        from: NodeId,
        snapshot: SnapshotMeta,
        out: &mut Effects<L, S>,
    ) {
        if self.state.loading.is_some() {
            return;
        }
        if let Some(fetch) = self.fetch_of(snapshot) {
            fetch.on_offer(from);
            return;
        }
        self.snapshots.fetch = Some(Fetch::new(snapshot, from));
        out.push(Effect::Receive { snapshot });
    }

    pub(super) fn on_chunk(
        &mut self,
        now: Instant,
        snapshot: SnapshotMeta,
        offset: u64,
        data: &Batch,
        out: &mut Effects<L, S>,
    ) {
        let patience = self.config.retry_interval;
        let Some(fetch) = self.fetch_of(snapshot) else {
            return;
        };
        if let Some(data) = fetch.on_piece(now, offset, data.body(), patience) {
            out.push(Effect::WriteChunk {
                snapshot,
                offset,
                data,
            });
        }
    }

    /// `from` does not have the snapshot that it was asked for. Another may: who has fetched it as well.
    fn on_lack(&mut self, from: NodeId, snapshot: SnapshotMeta) {
        if self
            .fetch_of(snapshot)
            .is_some_and(|fetch| fetch.on_lack(from))
            && !self.turn_fetch()
        {
            self.snapshots.fetch = None;
        }
    }

    /// Lets the fetch under way ask another member. False: there is none that it may ask.
    fn turn_fetch(&mut self) -> bool {
        let own = self.config.id;
        let members = self.log.configuration().members().iter();
        let members = members.map(|member| member.id).filter(|id| *id != own);
        let fetch = self.snapshots.fetch.as_mut();
        fetch.is_some_and(|fetch| fetch.turn(&members))
    }

    /// Asks for what the fetch under way needs next.
    pub(super) fn fetch_on(&mut self, now: Instant, out: &mut Effects<L, S>) {
        let (chunk, patience) = (self.config.chunk_bytes, self.config.retry_interval);
        while let Some(fetch) = &mut self.snapshots.fetch {
            match fetch.ask(now, chunk, patience) {
                Next::Ask(piece) => {
                    let Piece {
                        from,
                        snapshot,
                        offset,
                        length,
                    } = piece;
                    let parcel = Parcel::ChunkRequest {
                        snapshot,
                        offset,
                        length,
                    };
                    out.push(Effect::Send { to: from, parcel });
                }
                // If there is no other, the same is asked again.
                Next::Turn => _ = self.turn_fetch(),
                Next::Later => return,
                Next::GiveUp => self.snapshots.fetch = None,
            }
        }
    }

    pub(super) fn fetch_of(&mut self, snapshot: SnapshotMeta) -> Option<&mut Fetch> {
        self.snapshots
            .fetch
            .as_mut()
            .filter(|fetch| fetch.snapshot == snapshot)
    }
}
