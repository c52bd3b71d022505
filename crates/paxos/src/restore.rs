//! The member as its journal remembers it.

use quorate_core::{Instant, Mark, Memory, Position, RestoreError};
use smallvec::SmallVec;

use crate::acceptor::Acceptor;
use crate::ballot::POSITION_MAX;
use crate::disk::Disk;
use crate::elector::Elector;
use crate::learner::Learner;
use crate::lease::Pledge;
use crate::message::Offer;
use crate::paxos::Paxos;
use crate::proposer::Proposer;
use crate::roster::Roster;
use crate::slots::{Fit, Slots};
use crate::snapshots::Snapshots;
use crate::{Ballot, PaxosConfig, Record, Value};

pub(crate) fn restore(
    config: PaxosConfig,
    now: Instant,
    memory: Memory<'_, Record>,
) -> Result<Paxos, RestoreError> {
    let roster = Roster::new(&config, memory.configuration.clone());
    let roster = roster.map_err(|error| RestoreError::Config(error.reason()))?;
    let mut replay = Replay::new();
    for (mark, record) in memory.records {
        replay.take(mark, record)?;
    }
    let replay = replay.finish(memory.durable)?;
    let snapshot = memory.snapshot.map_or(Position::ZERO, |meta| meta.position);
    let (promised, chosen) = (replay.promised, replay.chosen);
    let known = replay.slots.base();
    let (slots, learner) = join(replay.slots, chosen, snapshot)?;
    let unwritten = slots.base() > known;
    let newest = memory.snapshot.map(|meta| Offer {
        meta,
        configuration: memory.configuration,
    });
    let mut elector = Elector::new(&config, &roster, now);
    let pledge = Pledge::restored(promised, now, &config);
    let alone = roster.decides_alone(config.id);
    let least = if alone {
        core::time::Duration::ZERO
    } else {
        config.election_timeout
    };
    elector.wait(now, least);
    Ok(Paxos {
        roster,
        acceptor: Acceptor::restored(promised, slots, pledge),
        proposer: Proposer::Idle,
        elector,
        disk: Disk::new(memory.durable),
        snapshots: Snapshots::restored(newest, unwritten),
        learner,
        transfer: None,
        round: 0,
        anomalies: 0,
        config,
    })
}

/// Joins what is held to the snapshot that the state machine was restored from.
///
/// What the journal knows to be chosen stays, also below the snapshot's end: others may need it. Where the snapshot
/// leads further, votes below its end say nothing any more: they may be for values that lost.
fn join(
    mut slots: Slots,
    chosen: Position,
    snapshot: Position,
) -> Result<(Slots, Learner), RestoreError> {
    if snapshot < slots.base() {
        return Err(RestoreError::MissingSnapshot {
            compacted: slots.base(),
            snapshot,
        });
    }
    let mut learner = Learner::default();
    if chosen < snapshot {
        slots.forget(snapshot);
    } else {
        slots.skip(snapshot);
        learner.learn(snapshot.next().get(), chosen.next().get());
    }
    Ok((slots, learner))
}

/// The records so far. Where the journal has forgotten its beginning, a checkpoint has to say what it was.
struct Replay {
    promised: Ballot,
    slots: Slots,
    /// The highest hint.
    chosen: Position,
    last: Option<Mark>,
    /// Whether the first record ever written was among them.
    whole: bool,
    /// Whether a checkpoint was.
    checkpointed: bool,
}

impl Replay {
    const fn new() -> Self {
        Self {
            promised: Ballot::ZERO,
            slots: Slots::new(Position::ZERO),
            chosen: Position::ZERO,
            last: None,
            whole: true,
            checkpointed: false,
        }
    }

    fn take(&mut self, mark: Mark, record: Record) -> Result<(), RestoreError> {
        let wrong = |why| RestoreError::Contradiction { mark, why };
        match self.last {
            Some(last) if mark != last.next() => {
                return Err(wrong("a mark is missing or repeated"));
            }
            Some(_) => {}
            None => self.whole = mark == Mark(1),
        }
        self.last = Some(mark);
        let taken = match record {
            Record::Promise { ballot, chosen } => {
                self.promise(ballot).and_then(|()| self.hint(chosen))
            }
            Record::Accept {
                ballot,
                chosen,
                first,
                values,
            } => self
                .accept(mark, ballot, first, &values)
                .and_then(|()| self.hint(chosen)),
            Record::Checkpoint { promised, base } => self.checkpoint(promised, base),
        };
        taken.map_err(wrong)
    }

    fn promise(&mut self, ballot: Ballot) -> Result<(), &'static str> {
        if ballot <= self.promised || !ballot.is_used() {
            return Err("a promise that does not rise");
        }
        self.promised = ballot;
        Ok(())
    }

    fn hint(&mut self, chosen: Position) -> Result<(), &'static str> {
        if chosen > POSITION_MAX {
            return Err("more is chosen than there are slots");
        }
        self.chosen = self.chosen.max(chosen);
        Ok(())
    }

    fn accept(
        &mut self,
        mark: Mark,
        ballot: Ballot,
        first: Position,
        values: &SmallVec<[Value; 1]>,
    ) -> Result<(), &'static str> {
        let rises = ballot > self.promised && !self.whole && ballot.is_used();
        if ballot != self.promised && !rises {
            return Err("an acceptance outside of the promised ballot");
        }
        let sane = values.iter().all(|value| value.is_sane(ballot)) && !values.is_empty();
        let end = first.get().saturating_add(crate::ballot::slots(values));
        if !sane || end > POSITION_MAX.get() || first <= self.slots.base() {
            return Err("an acceptance that no member writes");
        }
        self.promised = ballot;
        if self.slots.fit(first, ballot, values) == Fit::Conflict {
            return Err("a second value in one slot and ballot");
        }
        let mut at = first;
        for value in values {
            self.slots.put(at, ballot, value.clone(), mark);
            at = at.plus(value.slots());
        }
        Ok(())
    }

    fn checkpoint(&mut self, promised: Ballot, base: Position) -> Result<(), &'static str> {
        if base <= self.slots.base() || base > POSITION_MAX {
            return Err("a checkpoint that forgets nothing");
        }
        if promised != self.promised && (self.whole || promised < self.promised) {
            return Err("a checkpoint of another promise");
        }
        (self.promised, self.checkpointed) = (promised, true);
        self.slots.forget(base);
        self.chosen = self.chosen.max(base);
        Ok(())
    }

    fn finish(mut self, durable: Mark) -> Result<Self, RestoreError> {
        let wrong = |why| Err(RestoreError::Contradiction { mark: durable, why });
        if self.last.unwrap_or(Mark::ZERO) != durable {
            return wrong("the records do not end at the highest mark");
        }
        if !self.whole && !self.checkpointed {
            return wrong("the beginning is missing and nothing says what it was");
        }
        self.chosen = self.chosen.max(self.slots.base());
        if self.slots.gap(self.slots.base().next()) <= self.chosen {
            return wrong("a slot that was chosen is missing");
        }
        Ok(self)
    }
}
