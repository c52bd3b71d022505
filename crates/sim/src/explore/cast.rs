//! Members and messages of all worlds, each kept once, and the steps between them.

use std::collections::HashMap;
use std::fmt::{Debug, Write};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use bytes::Bytes;
use quorate_core::{
    Batch, Committed, Input, Instant, Label, Mark, Memory, NodeId, Outbox, Output, Position,
    ReplicatedLog, RoleKind, Ticket,
};

use super::{LEAP, Model, Value, Vote};

type Record<M> = <<M as Model>::Log as ReplicatedLog>::Record;
type Outputs<M> = Vec<Output<Message<M>, Record<M>>>;
type Message<M> = <<M as Model>::Log as ReplicatedLog>::Message;

/// What befalls one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Cause {
    /// It seeks to lead.
    Bid,
    /// It is asked to append the proposal of this number.
    Propose(u32),
    /// Its disk has written so many records in all.
    Sync(u32),
    /// It crashes, and so many records survive.
    Crash(u32),
    /// This message arrives.
    Deliver(u32),
}

/// What follows.
pub(super) struct Effect {
    pub(super) member: u32,
    pub(super) sent: Vec<u32>,
    pub(super) handed_out: Vec<(Position, Value)>,
}

pub(super) struct Member<M: Model> {
    pub(super) id: NodeId,
    log: M::Log,
    journal: Vec<Record<M>>,
    pub(super) synced: u32,
    /// How often its clock has leapt.
    leaps: u32,
    /// Up to where it has handed out, in this life.
    pub(super) told: Position,
    /// The number of its list of votes.
    pub(super) votes: u32,
}

impl<M: Model> Clone for Member<M> {
    fn clone(&self) -> Self {
        Self {
            log: self.log.clone(),
            journal: self.journal.clone(),
            ..*self
        }
    }
}

impl<M: Model> Member<M> {
    pub(super) fn written(&self) -> u32 {
        number(self.journal.len())
    }

    pub(super) fn leads(&self) -> bool {
        self.log.status().role == RoleKind::Leader
    }
}

pub(super) struct Flight<M: Model> {
    pub(super) from: NodeId,
    pub(super) to: NodeId,
    message: Message<M>,
}

/// All there ever was, by number.
pub(super) struct Cast<'a, M: Model> {
    model: &'a M,
    ids: Vec<NodeId>,
    pub(super) members: Vec<Member<M>>,
    pub(super) flights: Vec<Flight<M>>,
    pub(super) votes: Vec<Vec<Vote>>,
    known_members: HashMap<u128, u32>,
    known_flights: HashMap<u128, u32>,
    known_votes: HashMap<Vec<Vote>, u32>,
    steps: HashMap<(u32, Cause), Rc<Effect>>,
}

impl<'a, M: Model> Cast<'a, M> {
    pub(super) fn new(model: &'a M, ids: Vec<NodeId>) -> Self {
        Self {
            model,
            ids,
            members: Vec::new(),
            flights: Vec::new(),
            votes: Vec::new(),
            known_members: HashMap::new(),
            known_flights: HashMap::new(),
            known_votes: HashMap::new(),
            steps: HashMap::new(),
        }
    }

    /// A member that starts for the first time.
    pub(super) fn newcomer(&mut self, id: NodeId) -> Result<u32, String> {
        let log = self.restore(id, Instant::ZERO, &[])?;
        self.keep(Member {
            id,
            log,
            journal: Vec::new(),
            synced: 0,
            leaps: 0,
            told: Position::ZERO,
            votes: 0,
        })
    }

    /// What follows if `cause` befalls `member`.
    pub(super) fn step(&mut self, member: u32, cause: Cause) -> Result<Rc<Effect>, String> {
        let key = (member, cause);
        if let Some(known) = self.steps.get(&key) {
            return Ok(Rc::clone(known));
        }
        let mut next = self.members[member as usize].clone();
        let made = catch_unwind(AssertUnwindSafe(|| self.make(&mut next, cause)));
        let outputs = made.map_err(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let fixed = || panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            text.or_else(fixed)
                .unwrap_or_else(|| "an assertion failed".to_owned())
        })??;
        let (mut sent, mut handed_out) = (Vec::new(), Vec::new());
        for output in outputs {
            match output {
                Output::Persist { record, .. } => next.journal.push(record),
                Output::Send { to, message } if self.model.carries(&message) => {
                    sent.push(self.keep_flight(next.id, to, message));
                }
                Output::Commit(run) => hand_out(&mut next, &run, &mut handed_out)?,
                _ => {}
            }
        }
        let effect = Rc::new(Effect {
            member: self.keep(next)?,
            sent,
            handed_out,
        });
        self.steps.insert(key, Rc::clone(&effect));
        Ok(effect)
    }

    /// One action, in words.
    pub(super) fn describe(&self, id: NodeId, cause: Cause) -> String {
        match cause {
            Cause::Bid => format!("{id} bids"),
            Cause::Propose(number) => format!("{id} is asked to append {number}"),
            Cause::Sync(upto) => format!("{id} has on disk what it wrote up to {upto}"),
            Cause::Crash(kept) => format!("{id} crashes and keeps {kept} records"),
            Cause::Deliver(flight) => {
                let flight = &self.flights[flight as usize];
                format!("{} → {id}  {:?}", flight.from, flight.message)
            }
        }
    }

    fn make(&self, member: &mut Member<M>, cause: Cause) -> Result<Outputs<M>, String> {
        member.leaps += 1;
        let now = Instant::ZERO + LEAP.saturating_mul(member.leaps);
        let (id, ids, model) = (member.id, &self.ids[..], self.model);
        let mut out = Outbox::new();
        let mut step = |log: &mut M::Log, input| log.step(now, input, &mut out);
        match cause {
            Cause::Bid => {
                for (from, message) in model.before_bid(id, ids) {
                    step(&mut member.log, Input::Receive { from, message });
                }
                step(&mut member.log, Input::Tick);
                for (from, message) in model.after_bid(id, ids, member.log.status()) {
                    step(&mut member.log, Input::Receive { from, message });
                }
            }
            Cause::Propose(number) => {
                let sequence = u64::from(number);
                let label = Label {
                    sequence,
                    ..Label::default()
                };
                let batch = Batch::one(label, Bytes::new());
                let ticket = Ticket(sequence);
                step(&mut member.log, Input::Propose { ticket, batch });
            }
            Cause::Sync(upto) => {
                member.synced = upto;
                let upto = Mark(u64::from(upto));
                step(&mut member.log, Input::Durable { upto });
            }
            Cause::Crash(kept) => {
                member.journal.truncate(kept as usize);
                (member.synced, member.told) = (kept, Position::ZERO);
                member.log = self.restore(id, now, &member.journal)?;
            }
            Cause::Deliver(flight) => {
                let flight = &self.flights[flight as usize];
                let (from, message) = (flight.from, flight.message.clone());
                step(&mut member.log, Input::Receive { from, message });
            }
        }
        Ok(out.drain().collect())
    }

    fn restore(&self, id: NodeId, now: Instant, records: &[Record<M>]) -> Result<M::Log, String> {
        let memory = Memory {
            records: &mut (1..).map(Mark).zip(records.iter().cloned()),
            durable: Mark(records.len() as u64),
            snapshot: None,
            configuration: None,
        };
        let config = self.model.config(id, &self.ids);
        M::Log::restore(config, now, memory)
            .map_err(|error| format!("{id} refuses its own journal: {error}"))
    }

    /// Two members are one if they have voted alike, would start alike after a crash, and differ in nothing that
    /// decides: every instant is long past at the next step, and all marks that are on disk are equal.
    fn keep(&mut self, mut member: Member<M>) -> Result<u32, String> {
        let (safe, rest) = member.journal.split_at(member.synced as usize);
        member.votes = self.keep_votes(safe);
        let restored = self.restore(member.id, Instant::ZERO, safe)?;
        let text = format!("{:?} {restored:?} {rest:?}", member.log);
        let text = without(&text, self.model.irrelevant());
        let text = map_numbers(&text, "Instant(", |_| 0);
        let synced = u64::from(member.synced);
        let text = map_numbers(&text, "Mark(", |mark| mark.saturating_sub(synced));
        let print = print(&(text, member.id, member.votes, member.told));
        if let Some(known) = self.known_members.get(&print) {
            return Ok(*known);
        }
        let number = number(self.members.len());
        self.members.push(member);
        self.known_members.insert(print, number);
        Ok(number)
    }

    fn keep_votes(&mut self, records: &[Record<M>]) -> u32 {
        let mut votes = self.model.votes(records);
        votes.sort_unstable();
        votes.dedup();
        *self.known_votes.entry(votes).or_insert_with_key(|votes| {
            self.votes.push(votes.clone());
            number(self.votes.len() - 1)
        })
    }

    fn keep_flight(&mut self, from: NodeId, to: NodeId, message: Message<M>) -> u32 {
        let print = print(&format!("{from} {to} {message:?}"));
        *self.known_flights.entry(print).or_insert_with(|| {
            self.flights.push(Flight { from, to, message });
            number(self.flights.len() - 1)
        })
    }
}

fn hand_out<M: Model>(
    member: &mut Member<M>,
    run: &Committed,
    handed_out: &mut Vec<(Position, Value)>,
) -> Result<(), String> {
    if run.first != member.told.next() {
        let (id, told) = (member.id, member.told);
        return Err(format!("{id} hands out {} after {told}", run.first));
    }
    member.told = run.last();
    let values = values(run.epoch, &run.batch);
    handed_out.extend((run.first.get()..).map(Position).zip(values));
    Ok(())
}

/// The commands of a batch, as the explorer tells them apart.
pub fn values(born: quorate_core::Epoch, batch: &Batch) -> impl Iterator<Item = Value> {
    let first = if batch.is_noop() {
        0
    } else {
        batch.label().sequence
    };
    (first..first + batch.len()).map(move |proposal| Value { born, proposal })
}

fn number(count: usize) -> u32 {
    u32::try_from(count).expect("memory ends before that")
}

/// Two hashes of 64 bits: among a billion states, two with the same are less likely than one in 10²⁰.
pub(super) fn print(value: &(impl Hash + ?Sized)) -> u128 {
    let half = |salt: u64| {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        value.hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(0x51) << 64 | half(0xa7)
}

/// What `Debug` printed, without the fields of these names.
fn without(text: &str, names: &[&str]) -> String {
    let mut left = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(colon) = rest.find(": ") {
        let (before, after) = rest.split_at(colon + 2);
        left.push_str(before);
        let name = before[..colon].rsplit([' ', '{', '(']).next();
        let skipped = name.is_some_and(|name| names.contains(&name));
        rest = &after[if skipped { value_end(after) } else { 0 }..];
    }
    left.write_str(rest).expect("a string takes anything");
    left
}

/// What `Debug` printed, with every number that follows `name` replaced.
fn map_numbers(text: &str, name: &str, map: impl Fn(u64) -> u64) -> String {
    let mut parts = text.split(name);
    let mut left = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (number, rest) = part.split_once(')').expect("one number in parentheses");
        let number = map(number.parse().expect("one number in parentheses"));
        write!(left, "{name}{number}){rest}").expect("a string takes anything");
    }
    left
}

/// Where the value that stands first in `text` ends.
fn value_end(text: &str) -> usize {
    let mut depth = 0u32;
    for (at, letter) in text.char_indices() {
        match letter {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' if depth > 0 => depth -= 1,
            ',' | '}' | ')' | ']' if depth == 0 => return at,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_apart_only_where_they_matter() {
        let text = "Mark(3), [Mark(7), Position(7)] Mark(5)";
        assert_eq!(
            map_numbers(text, "Mark(", |mark| mark.saturating_sub(5)),
            "Mark(0), [Mark(2), Position(7)] Mark(0)"
        );
    }

    #[test]
    fn a_field_that_decides_nothing_is_left_out_with_all_it_holds() {
        let text = "A { rng: Rng { state: [1, 2] }, since: B(3), rngs: 4 }";
        assert_eq!(without(text, &["rng"]), "A { rng: , since: B(3), rngs: 4 }");
        assert_eq!(
            without(text, &["since", "rngs"]),
            "A { rng: Rng { state: [1, 2] }, since: , rngs: }"
        );
    }
}
