//! Carrying out what a replica wants done, in its order.

use std::time::Duration;

use quorate_core::{
    Effect, HandOverAnswer, NodeId, Parcel, Position, ReadLevel, ReadStamp, StateMachine, Ticket,
    WishAnswer, encode,
};

use super::orders::WISH_GRANTED;
use super::{Happening, Machine, Message, Own, Todo, World};
use crate::checker::Verdict;
use crate::host::{Errand, Taking, entry};
use crate::tap::{TappedLog, TappedMachine};
use crate::{Protocol, Workload};

impl<P: Protocol, W: Workload> World<'_, P, W> {
    pub(super) fn settle(&mut self, host: usize, out: &mut Todo<P, W>) -> Verdict {
        self.judge_commits(host)?;
        for effect in out.drain(..) {
            self.on_effect(host, effect)?;
        }
        Ok(())
    }

    fn on_effect(
        &mut self,
        host: usize,
        effect: Effect<TappedLog<P::Log>, TappedMachine<Machine<W>>>,
    ) -> Verdict {
        match effect {
            Effect::Persist { mark, record } => {
                let (entry, print) = entry(mark, &record);
                self.trace.line(self.now, Some(host), || {
                    format!("persist {mark}: {record:?}")
                });
                let said = self.protocol.remembered(&record);
                self.checkers.on_persist(host, mark, print, said)?;
                let member = NodeId(host as u64 + 1);
                let mark = self.protocol.mark_record(&mut self.notes, member, &record);
                if let Some(mark) = mark {
                    self.trace.mark(mark);
                }
                if let Some(process) = &mut self.hosts[host].process {
                    process.queue.push_back(entry);
                }
                self.kick(host);
            }
            Effect::Send { to, parcel } => self.send(host, to, &parcel)?,
            Effect::Reclaim { below } => {
                // From now on it may be gone, also if a crash comes in the middle of that.
                self.checkers.on_reclaimed(host, below);
                if let Some(process) = &mut self.hosts[host].process {
                    process.reclaim = process.reclaim.max(Some(below));
                }
                self.kick(host);
            }
            Effect::Link(_)
            | Effect::Configured(_)
            | Effect::Wish { .. }
            | Effect::HandOver { .. } => {
                self.tell_of_itself(host, &effect);
            }
            Effect::Report(report) => self.on_report(host, &report)?,
            Effect::Reply { ticket, at, reply } => self.on_reply(host, ticket, at, reply),
            Effect::Opened { ticket, session } => {
                let request = ticket.0 as usize;
                self.trace.line(self.now, Some(host), || {
                    format!("opened {session} for #{request}")
                });
                self.on_opened(request, session);
            }
            // No client here closes its session.
            Effect::Closed { .. } => {}
            Effect::Fail { ticket, failure } => {
                let request = ticket.0 as usize;
                self.trace.line(self.now, Some(host), || {
                    format!("fail #{request}: {failure}")
                });
                self.hear(request, Err(failure));
            }
            Effect::Read { ticket, stamp } => self.query(host, ticket.0 as usize, &stamp)?,
            Effect::TakeSnapshot { .. }
            | Effect::ReadChunk { .. }
            | Effect::Receive { .. }
            | Effect::WriteChunk { .. }
            | Effect::Load { .. } => self.on_snapshot_effect(host, effect),
        }
        Ok(())
    }

    /// What a client asked for is applied, and this is what comes of it.
    fn on_reply(
        &mut self,
        host: usize,
        ticket: Ticket,
        at: Position,
        reply: <TappedMachine<Machine<W>> as StateMachine>::Reply,
    ) {
        let request = ticket.0 as usize;
        self.trace.line(self.now, Some(host), || {
            format!("reply #{request} at {at}: {reply:?}")
        });
        self.checkers.on_reply(host, at);
        let client = self.crowd.client_of(request);
        self.freshness.on_reply(self.now, client, at);
        if self.crowd.is_answered(request) {
            self.trace.mark("a reply of a session was given again");
        }
        let output = self.crowd.workload.answer(self.crowd.input(request), reply);
        self.hear(request, Ok(output));
    }

    /// What a member does by itself is told, no more.
    fn tell_of_itself(
        &mut self,
        host: usize,
        effect: &Effect<TappedLog<P::Log>, TappedMachine<Machine<W>>>,
    ) {
        let line = match effect {
            Effect::Link(event) => format!("link {event}"),
            Effect::Configured(configuration) => {
                self.hosts[host].configured = None;
                self.moved = self.now;
                format!("members: {configuration}")
            }
            Effect::Wish { member, answer } => {
                if let WishAnswer::Granted(_) = answer {
                    self.trace.mark(WISH_GRANTED);
                }
                format!("wish of {member}: {answer:?}")
            }
            Effect::HandOver { to, why, answer } => {
                self.moved = self.now;
                if let HandOverAnswer::Done(_) = answer {
                    self.trace.mark("a leader gave way by itself");
                }
                format!("gives way to {to}, {why}: {answer:?}")
            }
            _ => unreachable!("the caller hands over what a member does by itself"),
        };
        self.trace.line(self.now, Some(host), || line);
    }

    /// What concerns snapshots takes its time, beside everything else.
    fn on_snapshot_effect(
        &mut self,
        host: usize,
        effect: Effect<TappedLog<P::Log>, TappedMachine<Machine<W>>>,
    ) {
        match effect {
            Effect::TakeSnapshot {
                position,
                epoch,
                image,
                held,
            } => {
                if let Some(process) = &mut self.hosts[host].process {
                    process.snapshots.hold(held);
                    process.taking = Some(Taking {
                        position,
                        epoch,
                        image,
                    });
                }
                self.errand(host, 5_000, Errand::Take);
            }
            Effect::ReadChunk {
                to,
                snapshot,
                offset,
                length,
            } => {
                self.errand(
                    host,
                    500,
                    Errand::Read {
                        to,
                        snapshot,
                        offset,
                        length,
                    },
                );
            }
            Effect::Receive { snapshot } => self.errand(host, 500, Errand::Receive(snapshot)),
            Effect::WriteChunk {
                snapshot,
                offset,
                data,
            } => {
                self.errand(
                    host,
                    1,
                    Errand::Write {
                        snapshot,
                        offset,
                        data,
                    },
                );
            }
            Effect::Load { snapshot } => {
                self.trace.mark("a snapshot was installed");
                self.errand(host, 2_000, Errand::Load(snapshot));
            }
            _ => unreachable!("the caller hands over what concerns snapshots"),
        }
    }

    /// Runs a read on the state, now: the replica's next call may change it.
    fn query(&mut self, host: usize, request: usize, stamp: &ReadStamp) -> Verdict {
        let Some(process) = &self.hosts[host].process else {
            return Ok(());
        };
        let machine = process.replica.machine().machine();
        let input = self.crowd.input(request);
        let workload = self.crowd.workload;
        let output = workload.query(machine, input);
        let applied = process.replica.applied();
        let local = workload.level(input) == ReadLevel::Local;
        if local && process.replica.status().leader.is_none() {
            self.trace
                .mark("a local read was answered without a leader");
        }
        if stamp.behind.is_some_and(|behind| !behind.is_zero()) {
            self.trace
                .mark("a bounded read was answered by an earlier round");
        }
        self.checkers.on_read(host, applied)?;
        self.freshness.on_answer(request, applied, stamp)?;
        self.crowd.on_glimpse(request, applied, output.clone());
        self.trace.line(self.now, Some(host), || {
            format!("read #{request} at {applied}: {output:?}")
        });
        self.hear(request, Ok(output));
        Ok(())
    }

    fn send(&mut self, host: usize, to: NodeId, parcel: &Parcel<Message<P>>) -> Verdict {
        let from = NodeId(host as u64 + 1);
        if let Parcel::Log(message) = parcel {
            let claims = self.protocol.claims(from, to, message);
            self.checkers.on_claims(host, &claims)?;
            let mark = self
                .protocol
                .mark_message(&mut self.notes, from, to, message);
            if let Some(mark) = mark {
                self.trace.mark(mark);
            }
        }
        let peer = to.0 as usize - 1;
        let (run, sent) = (self.hosts[host].run, self.now);
        let fate = self.network.fate(self.now, host, peer);
        if fate == [None, None] {
            return Ok(());
        }
        let bytes = encode(parcel).to_bytes();
        for at in fate.into_iter().flatten() {
            let parcel = bytes.clone();
            self.agenda.put(
                at,
                Happening::Deliver {
                    from: host,
                    to: peer,
                    run,
                    sent,
                    parcel,
                },
            );
        }
        Ok(())
    }

    /// An errand takes up to so many microseconds, and begins when those before it are done; but a snapshot of one's
    /// own is written between the others.
    fn errand(&mut self, host: usize, micros: u64, errand: Errand) {
        let after = Duration::from_micros(1 + self.rng.below(micros));
        let mut at = self.now.after(after);
        if let Some(process) = &mut self.hosts[host].process
            && !matches!(errand, Errand::Take)
        {
            at = at.max(process.errands);
            process.errands = at;
        }
        let run = self.hosts[host].run;
        let what = Own::Errand(errand);
        self.agenda.put(at, Happening::Own { host, run, what });
    }

    /// Wakes the journal if it sleeps.
    pub(super) fn kick(&mut self, host: usize) {
        let Some(process) = &mut self.hosts[host].process else {
            return;
        };
        if !process.busy {
            process.busy = true;
            self.own(host, Duration::from_micros(5), Own::Write);
        }
    }
}
