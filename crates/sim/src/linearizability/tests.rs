use quorate_core::Rng;

use super::*;

/// A cell that is written, read and added to.
struct Cell;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Do {
    Write(u64),
    Read,
    Add,
}

impl Model for Cell {
    type State = u64;
    type Input = Do;
    type Output = u64;

    fn initial(&self) -> u64 {
        0
    }

    fn step(&self, state: &u64, input: &Do, output: Option<&u64>) -> Option<u64> {
        let next = match input {
            Do::Write(value) => return Some(*value),
            Do::Read => *state,
            Do::Add => state + 1,
        };
        output.is_none_or(|output| *output == next).then_some(next)
    }

    fn mark(&self, input: &Do) -> Option<u64> {
        match input {
            Do::Write(value) => Some(*value),
            Do::Read | Do::Add => None,
        }
    }

    fn shows(&self, _: &Do, output: &u64) -> Vec<u64> {
        vec![*output]
    }

    fn top(&self, state: &u64) -> Option<u64> {
        Some(*state)
    }

    fn needs(&self, input: &Do, output: &u64) -> Option<u64> {
        match input {
            Do::Write(_) => None,
            Do::Read => Some(*output),
            Do::Add => Some(output - 1),
        }
    }

    fn interchangeable(&self, one: &Do, other: &Do) -> bool {
        one == other
    }
}

fn done(input: Do, called: u64, at: u64, output: u64) -> Operation<Do, u64> {
    let outcome = Outcome::Returned { at, output };
    Operation {
        input,
        called,
        outcome,
    }
}

fn unknown(input: Do, called: u64) -> Operation<Do, u64> {
    let outcome = Outcome::Unknown;
    Operation {
        input,
        called,
        outcome,
    }
}

fn good(history: &[Operation<Do, u64>]) -> bool {
    match check(&Cell, history) {
        Verdict::Linearizable => true,
        Verdict::Impossible(_) => false,
        Verdict::Undecided => panic!("undecided"),
    }
}

#[test]
fn concurrent_operations_may_be_ordered_either_way() {
    let writes = [done(Do::Write(1), 0, 10, 0), done(Do::Write(2), 0, 10, 0)];
    for last in [1, 2] {
        let mut history = writes.to_vec();
        history.push(done(Do::Read, 11, 12, last));
        assert!(good(&history));
        history.push(done(Do::Read, 13, 14, 3 - last));
        assert!(!good(&history), "a later read goes back");
    }
}

#[test]
fn a_read_between_sees_neither_the_future_nor_the_past() {
    let (first, second) = (done(Do::Write(1), 0, 1, 0), done(Do::Write(2), 10, 11, 0));
    for (seen, fits) in [(0, false), (1, true), (2, false)] {
        let read = done(Do::Read, 5, 6, seen);
        assert_eq!(
            good(&[first.clone(), second.clone(), read]),
            fits,
            "read {seen}"
        );
    }
}

#[test]
fn an_unknown_write_may_happen_late_or_never_but_not_twice() {
    let lost = unknown(Do::Write(9), 0);
    let read = |at, value| done(Do::Read, at, at + 1, value);
    let one = done(Do::Write(1), 2, 3, 0);
    assert!(good(&[lost.clone(), one.clone(), read(4, 1)]));
    assert!(good(&[lost.clone(), one.clone(), read(4, 1), read(6, 9)]));
    assert!(!good(&[
        lost.clone(),
        one.clone(),
        read(4, 9),
        read(6, 1),
        read(8, 9)
    ]));
    assert!(
        !good(&[read(4, 9), unknown(Do::Write(9), 6)]),
        "seen before it began"
    );
}

#[test]
fn unknown_additions_are_counted() {
    let lost: Vec<_> = (0..30).map(|at| unknown(Do::Add, at)).collect();
    for (count, fits) in [(0, true), (17, true), (30, true), (31, false)] {
        let mut history = lost.clone();
        history.push(done(Do::Read, 100, 101, count));
        assert_eq!(good(&history), fits, "{count}");
    }
}

#[test]
fn the_operation_that_fits_nowhere_is_named() {
    let history = [done(Do::Write(1), 0, 1, 0), done(Do::Read, 2, 3, 0)];
    let Verdict::Impossible(found) = check(&Plain, &history) else {
        panic!("a stale read");
    };
    assert_eq!((found.explained, found.stuck), (vec![0], 1));
}

#[test]
fn keys_are_judged_apart() {
    let history = [done(Do::Write(1), 0, 1, 0), done(Do::Read, 2, 3, 0)];
    assert_eq!(
        check_by_key(&Cell, &history, |input| *input == Do::Read),
        Ok(())
    );
    assert!(check_by_key(&Cell, &history, |_| ()).is_err());
}

/// A history that some order explains: each operation takes effect at a random time between its ends.
fn drawn(
    seed: u64,
    count: u64,
    lost_one_in: u64,
    change: fn(u64) -> Do,
) -> Vec<Operation<Do, u64>> {
    let mut rng = Rng::new(seed);
    let mut free = [0; 10];
    let mut planned = Vec::new();
    for number in 1..=count {
        let client = rng.below(10) as usize;
        let called = free[client] + rng.below(20);
        let effect = called + 1 + rng.below(50);
        let at = effect + 1 + rng.below(50);
        let input = if rng.one_in(2) {
            Do::Read
        } else {
            change(number)
        };
        free[client] = at + 1;
        planned.push((effect, input, called, at, rng.one_in(lost_one_in)));
    }
    planned.sort_by_key(|(effect, ..)| *effect);
    let mut state = 0;
    let apply = |(_, input, called, at, lost): (u64, Do, u64, u64, bool)| {
        let happens = !lost || rng.one_in(2);
        match input {
            Do::Write(value) if happens => state = value,
            Do::Add if happens => state += 1,
            Do::Write(_) | Do::Add | Do::Read => {}
        }
        if lost {
            return unknown(input, called);
        }
        done(input, called, at, state)
    };
    planned.into_iter().map(apply).collect()
}

/// The same object without marks: what the model promises by them is not taken on trust.
struct Plain;

impl Model for Plain {
    type State = u64;
    type Input = Do;
    type Output = u64;

    fn initial(&self) -> u64 {
        0
    }

    fn step(&self, state: &u64, input: &Do, output: Option<&u64>) -> Option<u64> {
        Cell.step(state, input, output)
    }
}

#[test]
fn small_random_histories_are_judged_as_without_marks() {
    let mut impossible = 0;
    for seed in 0..400 {
        let mut history = drawn(seed, 12, 4, Do::Write);
        let mut rng = Rng::new(seed);
        let value = rng.below(13);
        let reads = history
            .iter_mut()
            .filter(|operation| operation.input == Do::Read);
        if let Some(operation) = reads.into_iter().nth(rng.below(4) as usize)
            && let Outcome::Returned { output, .. } = &mut operation.outcome
        {
            *output = value;
        }
        let (fast, slow) = (check(&Cell, &history), check(&Plain, &history));
        let good = |verdict: &Verdict| *verdict == Verdict::Linearizable;
        assert_eq!(good(&fast), good(&slow), "seed {seed}: {history:?}");
        impossible += u32::from(!good(&fast));
    }
    assert!(
        (20..380).contains(&impossible),
        "{impossible} of 400 impossible: the test says little"
    );
}

/// A list that grows; every item is unique.
struct List;

#[derive(Clone, Debug)]
enum Grow {
    Append(u64),
    Read,
}

impl Model for List {
    type State = Vec<u64>;
    type Input = Grow;
    type Output = Vec<u64>;

    fn initial(&self) -> Vec<u64> {
        Vec::new()
    }

    fn step(&self, state: &Vec<u64>, input: &Grow, output: Option<&Vec<u64>>) -> Option<Vec<u64>> {
        match input {
            Grow::Append(item) => Some(state.iter().chain([item]).copied().collect()),
            Grow::Read => output
                .is_none_or(|output| output == state)
                .then(|| state.clone()),
        }
    }

    fn mark(&self, input: &Grow) -> Option<u64> {
        match input {
            Grow::Append(item) => Some(*item),
            Grow::Read => None,
        }
    }

    fn shows(&self, _: &Grow, output: &Vec<u64>) -> Vec<u64> {
        output.clone()
    }
}

#[test]
fn an_item_appended_twice_or_lost_is_seen() {
    let append = |item, at| Operation {
        input: Grow::Append(item),
        called: at,
        outcome: Outcome::Returned {
            at: at + 1,
            output: vec![],
        },
    };
    let read = |items: &[u64], at| Operation {
        input: Grow::Read,
        called: at,
        outcome: Outcome::Returned {
            at: at + 1,
            output: items.to_vec(),
        },
    };
    let judge = |items: &[u64]| check(&List, &[append(1, 0), append(2, 5), read(items, 10)]);
    assert_eq!(judge(&[1, 2]), Verdict::Linearizable);
    for wrong in [&[1][..], &[2], &[2, 1], &[1, 2, 2], &[1, 2, 3]] {
        assert!(matches!(judge(wrong), Verdict::Impossible(_)), "{wrong:?}");
    }
}

#[test]
fn ten_thousand_operations_with_unknown_outcomes_are_judged_in_seconds() {
    for change in [Do::Write, |_| Do::Add] {
        // Generous: without optimisation and on a busy machine it takes ten times as long.
        let started = std::time::Instant::now();
        let mut history = drawn(1, 10_000, 10, change);
        assert!(good(&history));
        let read = |operation: &&mut Operation<Do, u64>| operation.input == Do::Read;
        let late = history.iter_mut().filter(read).nth(4_000).expect("a read");
        late.outcome = Outcome::Returned {
            at: late.called + 100,
            output: 20_000,
        };
        assert!(!good(&history));
        let taken = started.elapsed();
        assert!(taken.as_secs() < 60, "took {taken:?}");
    }
}
