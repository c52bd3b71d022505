//! The run-wise stores against maps that know one slot at a time.

use std::collections::BTreeMap;
use std::vec::Vec;

use proptest::prelude::*;
use quorate_core::{BatchBuilder, Label, Mark, NodeId, Position};

use crate::ballot::clip;
use crate::safe_value::{Slot, safe_values};
use crate::slots::{Fit, Slots};
use crate::{Ballot, Value, Vote};

fn ballot(round: u64) -> Ballot {
    Ballot {
        round,
        node: NodeId(1),
    }
}

/// `slots` commands, the first one's number being its slot: so a slice shows whether it was cut in the right place.
fn value(born: u64, first: u64, slots: u64) -> Value {
    let mut builder = BatchBuilder::new();
    (0..slots).for_each(|n| builder.push(&(first + n).to_le_bytes()));
    let label = Label {
        sequence: first,
        ..Label::default()
    };
    Value {
        born: ballot(born),
        batch: builder.finish(label).expect("at least one"),
    }
}

/// What a run says, slot by slot. Every command has to be the one of its slot.
fn spread(first: u64, value: &Value) -> Vec<(u64, u64)> {
    let numbers = value.batch.commands();
    let slots = (first..).zip(numbers).map(|(slot, (number, body))| {
        assert_eq!((slot, &slot.to_le_bytes()[..]), (number, body));
        (slot, value.born.round)
    });
    slots.collect()
}

#[derive(Clone, Debug)]
enum Op {
    /// At so many slots behind the last, in the next ballot or the same.
    Put(u64, u64, bool),
    Settle(u64),
    Forget(u64),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        6 => (1..24u64, 1..6u64, any::<bool>()).prop_map(|(at, len, rise)| Op::Put(at, len, rise)),
        1 => (0..24u64).prop_map(Op::Settle),
        1 => (0..24u64).prop_map(Op::Forget),
    ];
    prop::collection::vec(op, 1..40)
}

/// The same, one slot at a time: ballot of acceptance and of birth.
#[derive(Default)]
struct Model {
    votes: BTreeMap<u64, (u64, u64)>,
    base: u64,
    settled: u64,
}

impl Model {
    fn gap(&self, from: u64) -> u64 {
        let held = |slot: &u64| self.votes.contains_key(slot);
        from + (from..from + 200).take_while(held).count() as u64
    }
}

fn check(slots: &Slots, model: &Model) {
    let (votes, next) = slots.votes(Position(model.base + 1), u64::MAX);
    assert_eq!(next, None);
    let said: BTreeMap<_, _> = votes
        .iter()
        .flat_map(|vote| {
            let pairs = spread(vote.first.get(), &vote.value);
            pairs
                .into_iter()
                .map(|(slot, born)| (slot, (vote.ballot.round, born)))
        })
        .collect();
    assert_eq!(said, model.votes);
    let weight: u64 = votes.iter().map(|vote| vote.value.batch.weight()).sum();
    assert_eq!(slots.bytes(), weight);
    let open = votes
        .iter()
        .filter(|vote| vote.end().get() > model.settled + 1);
    let open: u64 = open.map(|vote| vote.value.batch.weight()).sum();
    assert_eq!((slots.open(), slots.settled().get()), (open, model.settled));
    let last = model.votes.last_key_value().map_or(0, |(slot, _)| *slot);
    assert_eq!(slots.last().get(), last.max(model.settled));
    for from in model.base + 1..32 {
        assert_eq!(slots.gap(Position(from)).get(), model.gap(from));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn runs_say_what_slots_would_say(ops in ops()) {
        let (mut slots, mut model) = (Slots::new(Position(0)), Model::default());
        let mut round = 1;
        for (number, op) in (1..).zip(ops) {
            match op {
                Op::Put(at, len, rise) => {
                    round += u64::from(rise);
                    let first = model.settled + at;
                    let proposed = value(round, first, len);
                    let range = first..first + len;
                    let fresh = range.clone().any(|slot| {
                        model.votes.get(&slot).is_none_or(|(accepted, _)| *accepted < round)
                    });
                    let fit = slots.fit(Position(first), ballot(round), std::slice::from_ref(&proposed));
                    prop_assert_eq!(fit, if fresh { Fit::Fresh } else { Fit::Known });
                    slots.put(Position(first), ballot(round), proposed, Mark(number));
                    model.votes.extend(range.map(|slot| (slot, (round, round))));
                }
                Op::Settle(upto) => {
                    let upto = upto.max(model.settled).min(model.gap(model.settled + 1) - 1);
                    let mut told = Vec::new();
                    let changed = slots.settle(Position(upto), true, |run| {
                        let value = Value { born: ballot(run.epoch.round), batch: run.batch };
                        told.extend(spread(run.first.get(), &value));
                    });
                    let range = model.votes.iter().filter(|(slot, _)| (model.settled + 1..=upto).contains(*slot));
                    let expected: Vec<_> = range.map(|(slot, vote)| (*slot, vote.1)).collect();
                    prop_assert_eq!((told, changed), (expected, None));
                    model.settled = upto;
                }
                Op::Forget(upto) => {
                    slots.forget(Position(upto));
                    model.votes.retain(|slot, _| *slot > upto);
                    model.base = model.base.max(upto);
                    model.settled = model.settled.max(model.base);
                }
            }
            check(&slots, &model);
        }
    }

    #[test]
    fn pieces_of_a_promise_add_up_to_the_whole(ops in ops(), budget in 1..400u64) {
        let mut slots = Slots::new(Position(0));
        for (number, op) in (1..).zip(ops) {
            if let Op::Put(at, len, _) = op {
                slots.put(Position(at), ballot(number), value(number, at, len), Mark(number));
            }
        }
        let (mut at, mut whole) = (Some(Position(1)), Vec::new());
        while let Some(from) = at {
            let (votes, next) = slots.votes(from, budget);
            prop_assert!(!votes.is_empty() || next.is_none());
            let tail = next.unwrap_or(Position(1 << 30));
            prop_assert!(votes.iter().all(|vote| vote.first >= from && vote.end() <= tail));
            whole.extend(votes.iter().flat_map(|vote| spread(vote.first.get(), &vote.value)));
            at = next;
        }
        let (votes, _) = slots.votes(Position(1), u64::MAX);
        let expected: Vec<_> =
            votes.iter().flat_map(|vote| spread(vote.first.get(), &vote.value)).collect();
        prop_assert_eq!(whole, expected);
    }

    #[test]
    fn the_highest_ballot_wins_and_silence_is_free(
        reports in prop::collection::vec(prop::collection::vec((1..8u64, 1..5u64, 1..9u64), 0..6), 1..5),
        from in 1..12u64,
    ) {
        // One value for each slot and ballot, as Paxos has it: the value is named by the ballot.
        let reports: Vec<Vec<Vote>> = reports.iter().map(|report| {
            let mut at = 0;
            report.iter().map(|(skip, len, round)| {
                let first = at + skip;
                at = first + len;
                Vote { first: Position(first), ballot: ballot(*round), value: value(*round, first, *len) }
            }).collect()
        }).collect();
        let slices: Vec<&[Vote]> = reports.iter().map(|report| &report[..]).collect();
        let found = safe_values(Position(from), &slices).expect("one value a ballot");
        let mut said = BTreeMap::new();
        let mut next = from;
        for slot in &found {
            let (first, end) = match slot {
                Slot::Free(first, end) => (first.get(), end.get()),
                Slot::Bound(first, value) => {
                    said.extend(spread(first.get(), value));
                    (first.get(), first.get() + value.slots())
                }
            };
            prop_assert_eq!(first, next, "every slot once, in order");
            next = end;
        }
        let mut expected = BTreeMap::new();
        for vote in reports.iter().flatten() {
            for slot in vote.first.get().max(from)..vote.end().get() {
                let best = expected.entry(slot).or_insert(0);
                *best = vote.ballot.round.max(*best);
            }
        }
        prop_assert_eq!(next, expected.last_key_value().map_or(from, |(slot, _)| slot + 1));
        prop_assert_eq!(said, expected);
    }

    #[test]
    fn a_clip_keeps_the_slots_between(first in 1..9u64, lens in prop::collection::vec(1..4u64, 0..4), low in 1..20u64, high in 0..20u64) {
        let (mut at, mut values) = (first, smallvec::SmallVec::new());
        for len in lens {
            values.push(value(1, at, len));
            at += len;
        }
        let (start, kept) = clip(Position(first), values, Position(low), Position(high));
        let mut slot = start.get();
        let mut said = Vec::new();
        for value in &kept {
            said.extend(spread(slot, value).into_iter().map(|(slot, _)| slot));
            slot += value.slots();
        }
        let expected: Vec<_> = (first..at).filter(|slot| (low..=high).contains(slot)).collect();
        prop_assert_eq!(said, expected);
    }
}

#[test]
fn two_values_in_one_ballot_are_found_out() {
    let vote = |born| Vote {
        first: Position(1),
        ballot: ballot(3),
        value: value(born, 1, 1),
    };
    let (a, b) = (vote(1), vote(2));
    let (a, b) = ([a], [b]);
    safe_values(Position(1), &[&a, &b]).expect_err("two values (P20)");
    assert!(safe_values(Position(1), &[&a, &a]).is_ok());
}

#[test]
#[should_panic(expected = "P20")]
fn a_second_value_in_one_slot_and_ballot_is_never_put() {
    let mut slots = Slots::new(Position(0));
    slots.put(Position(1), ballot(2), value(1, 1, 2), Mark(1));
    slots.put(Position(2), ballot(2), value(2, 2, 1), Mark(2));
}

#[test]
#[should_panic(expected = "later ballot")]
fn a_vote_of_a_later_ballot_is_never_replaced() {
    let mut slots = Slots::new(Position(0));
    slots.put(Position(1), ballot(2), value(1, 1, 2), Mark(1));
    slots.put(Position(2), ballot(1), value(1, 2, 1), Mark(2));
}
