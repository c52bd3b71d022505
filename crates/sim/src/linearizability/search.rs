//! The search: a list of calls and returns in time; take out a call before the first return whose answer fits, with its
//! own return, and go on from the front; if none fits, take back the last choice.

use std::collections::{BTreeMap, HashSet};

use quorate_core::Rng;

use super::{Impossible, Model, Operation, Outcome, STEPS_MAX, Verdict};

/// The head of the list; its `next` is the first event.
const HEAD: usize = 0;

pub(super) struct Search<'a, M: Model> {
    model: &'a M,
    calls: Vec<Call<'a, M>>,
    /// Events in order of time, as a doubly linked list.
    events: Vec<Event>,
    /// The set of calls taken, as the exclusive or of their names, and the state: tried before.
    tried: HashSet<(u128, M::State)>,
    taken: u128,
    /// How many calls that are not taken need each top.
    needed: BTreeMap<u64, u32>,
    state: M::State,
    stack: Vec<Choice<M::State>>,
    best: Impossible,
}

/// A call that was taken, and the state before it.
struct Choice<S> {
    call: usize,
    before: S,
    /// It changed nothing and fitted: not to take it here could not help, so it is never taken back alone.
    forced: bool,
}

struct Call<'a, M: Model> {
    /// Its index in the history.
    index: usize,
    input: &'a M::Input,
    output: Option<&'a M::Output>,
    /// What has to be on top for its answer.
    needs: Option<u64>,
    /// It has to be taken: it returned, or was seen.
    certain: bool,
    name: u128,
    event: usize,
    /// Where its return stands; itself if there is none.
    back: usize,
    /// The call before it that does the same, of unknown outcome too.
    twin: Option<usize>,
    gone: bool,
}

#[derive(Clone, Copy)]
struct Event {
    what: What,
    next: usize,
    previous: usize,
}

#[derive(Clone, Copy)]
enum What {
    End,
    Call(usize),
    Return(usize),
}

impl<'a, M: Model> Search<'a, M> {
    pub(super) fn new(
        model: &'a M,
        history: &'a [Operation<M::Input, M::Output>],
        part: &[usize],
    ) -> Self {
        let seen = first_shown(model, history, part);
        let mut rng = Rng::new(0);
        let mut calls: Vec<Call<'a, M>> = Vec::new();
        let mut times = Vec::new();
        let mut needed = BTreeMap::new();
        // In order of their beginnings: of interchangeable calls the earliest is tried.
        let mut part = part.to_vec();
        part.sort_by_key(|index| history[*index].called);
        for index in part {
            let operation = &history[index];
            let (input, called) = (&operation.input, &operation.called);
            let (back, output) = match (&operation.outcome, model.mark(input)) {
                (Outcome::Returned { at, output }, _) => (Some(*at), Some(output)),
                (Outcome::Unknown, None) => (None, None),
                (Outcome::Unknown, Some(mark)) => match seen.get(&mark) {
                    Some(at) => (Some(*at), None),
                    None => continue,
                },
            };
            let call = calls.len();
            times.push((*called, 0, What::Call(call)));
            times.extend(back.map(|at| (at.max(*called), 1, What::Return(call))));
            let name = u128::from(rng.next()) << 64 | u128::from(rng.next());
            let unknown = back.is_none();
            let twin = (0..call).rev().find(|other| {
                unknown
                    && !calls[*other].certain
                    && model.interchangeable(calls[*other].input, input)
            });
            let needs = output.and_then(|output| model.needs(input, output));
            if let Some(top) = needs {
                *needed.entry(top).or_default() += 1;
            }
            calls.push(Call {
                index,
                input,
                output,
                needs,
                certain: !unknown,
                name,
                event: 0,
                back: 0,
                twin,
                gone: false,
            });
        }
        times.sort_by_key(|(at, order, _)| (*at, *order));
        let events = link(&mut calls, times.into_iter().map(|(_, _, what)| what));
        Self {
            model,
            calls,
            events,
            tried: HashSet::new(),
            taken: 0,
            needed,
            state: model.initial(),
            stack: Vec::new(),
            best: Impossible {
                explained: Vec::new(),
                stuck: 0,
            },
        }
    }

    pub(super) fn run(mut self) -> Verdict {
        let mut left = self.calls.iter().filter(|call| call.certain).count();
        let mut after = None;
        for _ in 0..STEPS_MAX {
            if left == 0 {
                return Verdict::Linearizable;
            }
            if let Some(call) = self.candidate(after) {
                let taken = self.take(call);
                left -= usize::from(taken && self.calls[call].certain);
                after = (!taken).then(|| self.urgency(call));
                continue;
            }
            self.note_stuck();
            match self.take_back(&mut left) {
                Some(call) => after = Some(self.urgency(call)),
                None => return Verdict::Impossible(self.best),
            }
        }
        Verdict::Undecided
    }

    /// The call to try behind those up to `after`: of all that may come next, which are those before the first
    /// return, in the order in which they have to be done. What can wait is tried last, so that an
    /// order goes wrong late and is put right by undoing little.
    fn candidate(&self, after: Option<(usize, usize)>) -> Option<usize> {
        let mut best = None;
        let mut at = self.events[HEAD].next;
        while let What::Call(call) = self.events[at].what {
            let urgency = self.urgency(call);
            let twin = self.calls[call]
                .twin
                .is_some_and(|twin| !self.calls[twin].gone);
            if !twin && after.is_none_or(|after| urgency > after) {
                best = Some(
                    best.map_or((urgency, call), |best: ((usize, usize), usize)| {
                        best.min((urgency, call))
                    }),
                );
            }
            at = self.events[at].next;
        }
        best.map(|(_, call)| call)
    }

    fn urgency(&self, call: usize) -> (usize, usize) {
        let Call {
            event,
            back,
            certain,
            ..
        } = self.calls[call];
        (if certain { back } else { usize::MAX }, event)
    }

    /// Takes a call as the next in the order, if its answer fits and this was not tried.
    fn take(&mut self, number: usize) -> bool {
        let call = &self.calls[number];
        let Some(next) = self.model.step(&self.state, call.input, call.output) else {
            return false;
        };
        let idle = next == self.state;
        // What need not be taken and changes nothing is no step at all.
        if (idle && !call.certain) || (!idle && self.spoils(&next, call.needs)) {
            return false;
        }
        let taken = self.taken ^ call.name;
        if !self.tried.insert((taken, next.clone())) {
            return false;
        }
        self.taken = taken;
        let forced = idle;
        let before = std::mem::replace(&mut self.state, next);
        self.stack.push(Choice {
            call: number,
            before,
            forced,
        });
        let (event, back) = (call.event, call.back);
        if let Some(needed) = call.needs.and_then(|top| self.needed.get_mut(&top)) {
            *needed -= 1;
        }
        self.calls[number].gone = true;
        self.unlink(event);
        if back != event {
            self.unlink(back);
        }
        true
    }

    /// Whether going on to `next` loses a top that some other call still needs.
    fn spoils(&self, next: &M::State, own: Option<u64>) -> bool {
        let top = self.model.top(&self.state);
        let lost = top.filter(|_| self.model.top(next) != top);
        let needed = lost.and_then(|top| self.needed.get(&top));
        needed.is_some_and(|calls| *calls > u32::from(own.is_some() && own == lost))
    }

    /// Takes back the last choice that was one.
    fn take_back(&mut self, left: &mut usize) -> Option<usize> {
        loop {
            let Choice {
                call,
                before,
                forced,
            } = self.stack.pop()?;
            self.put_back(call);
            self.state = before;
            *left += usize::from(self.calls[call].certain);
            if !forced {
                return Some(call);
            }
        }
    }

    fn put_back(&mut self, number: usize) {
        let Call {
            event,
            back,
            name,
            needs,
            ..
        } = self.calls[number];
        if let Some(needed) = needs.and_then(|top| self.needed.get_mut(&top)) {
            *needed += 1;
        }
        if back != event {
            self.relink(back);
        }
        self.relink(event);
        self.calls[number].gone = false;
        self.taken ^= name;
    }

    fn unlink(&mut self, at: usize) {
        let Event { next, previous, .. } = self.events[at];
        self.events[previous].next = next;
        self.events[next].previous = previous;
    }

    /// The reverse of the latest unlink.
    fn relink(&mut self, at: usize) {
        let Event { next, previous, .. } = self.events[at];
        self.events[previous].next = at;
        self.events[next].previous = at;
    }

    fn note_stuck(&mut self) {
        if self.stack.len() < self.best.explained.len() {
            return;
        }
        let mut at = self.events[HEAD].next;
        while let What::Call(_) = self.events[at].what {
            at = self.events[at].next;
        }
        if let What::Return(call) = self.events[at].what {
            let explained = self
                .stack
                .iter()
                .map(|choice| self.calls[choice.call].index);
            self.best = Impossible {
                explained: explained.collect(),
                stuck: self.calls[call].index,
            };
        }
    }
}

/// When each mark was first shown.
fn first_shown<M: Model>(
    model: &M,
    history: &[Operation<M::Input, M::Output>],
    part: &[usize],
) -> BTreeMap<u64, u64> {
    let mut first = BTreeMap::new();
    for operation in part.iter().map(|index| &history[*index]) {
        if let Outcome::Returned { at, output } = &operation.outcome {
            for mark in model.shows(&operation.input, output) {
                let earliest = first.entry(mark).or_insert(*at);
                *earliest = (*at).min(*earliest);
            }
        }
    }
    first
}

/// The list of events, and in each call where its events stand.
fn link<M: Model>(calls: &mut [Call<'_, M>], times: impl Iterator<Item = What>) -> Vec<Event> {
    let whats = std::iter::once(What::End).chain(times).chain([What::End]);
    let mut events: Vec<Event> = whats
        .enumerate()
        .map(|(number, what)| Event {
            what,
            next: number + 1,
            previous: number.saturating_sub(1),
        })
        .collect();
    let last = events.len() - 1;
    events[last].next = last;
    for (number, event) in events.iter().enumerate() {
        match event.what {
            What::Call(call) => (calls[call].event, calls[call].back) = (number, number),
            What::Return(call) => calls[call].back = number,
            What::End => {}
        }
    }
    events
}
