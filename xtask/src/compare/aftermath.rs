//! What a fault run has shown, from how each of its requests ended.

use std::time::Duration;

use quorate_load::{End, Ending, Latency, Opened};

use super::faults::Script;
use super::results::{Event, Slot, Trial};
use super::trial::{Audit, Promise, Struck};

/// The timeline's unit.
const SLOT: Duration = Duration::from_millis(100);
/// Service is as before once so many slots in a row are.
const STEADY: usize = 5;
/// A slot is as before if its median latency is not above so many times the usual one, and this.
const WORSE: u64 = 4;
const FINE_US: u64 = 20_000;

/// Sums a run up.
pub(crate) fn judge(
    script: &Script,
    opened: &Opened,
    struck: &[Struck],
    audit: &Audit,
    promised: Promise,
) -> Trial {
    let measured = opened.measured(Duration::ZERO, script.length);
    let slots = slots(opened, script.length);
    let fine = fine(&slots, script.calm);
    let events = (0..struck.len()).map(|place| {
        let next = struck
            .get(place + 1)
            .map_or(script.length, |next| next.from);
        let stale = worst_stale(opened, audit, struck[place].from, next);
        event(&struck[place], next, &served_at(opened), &fine, stale)
    });
    let events: Vec<_> = events.collect();
    let count =
        |wanted: fn(&End) -> bool| opened.ends.iter().filter(|end| wanted(end)).count() as u64;
    let stale = stale(opened, audit).count() as u64;
    let whole = worst_stale(opened, audit, Duration::ZERO, Duration::MAX);
    Trial {
        contender: 0,
        number: 0,
        rate: script.rate,
        tally: measured.whole,
        latency: measured.latency,
        slot_ms: SLOT.as_millis() as u64,
        slots,
        events,
        lost: audit.lost.len() as u64,
        extra: audit.extra.len() as u64,
        written: count(|end| end.ending == Ending::Written),
        read: count(|end| matches!(end.ending, Ending::Read(_))),
        stale,
        stale_ms: millis(whole),
        broken: broken(audit, promised, stale),
    }
}

fn broken(audit: &Audit, promised: Promise, stale: u64) -> Vec<String> {
    let mut broken = audit.broken.clone();
    let mut claim = |wrong: bool, what: String| {
        if wrong {
            broken.push(what);
        }
    };
    let (lost, extra) = (audit.lost.len(), audit.extra.len());
    claim(
        promised.keeps && lost > 0,
        format!("{lost} acknowledged writes lost"),
    );
    claim(extra > 0, format!("{extra} refused writes carried out"));
    claim(promised.fresh && stale > 0, format!("{stale} stale reads"));
    broken
}

/// Reads that missed what was acknowledged before and is there in the end: what is lost is not stale.
fn stale<'a>(opened: &'a Opened, audit: &'a Audit) -> impl Iterator<Item = (&'a End, Duration)> {
    opened.ends.iter().filter_map(|end| match end.ending {
        Ending::Read(Some(by)) if !audit.lost.contains(&end.looked_for) => Some((end, by)),
        _ => None,
    })
}

fn worst_stale(opened: &Opened, audit: &Audit, from: Duration, to: Duration) -> Duration {
    let within = stale(opened, audit).filter(|(end, _)| (from..to).contains(&end.ended));
    within.map(|(_, by)| by).max().unwrap_or_default()
}

/// When answers came, ascending.
fn served_at(opened: &Opened) -> Vec<Duration> {
    let served = opened.ends.iter().filter(|end| end.served());
    let mut times: Vec<_> = served.map(|end| end.ended).collect();
    times.sort_unstable();
    times
}

fn slots(opened: &Opened, length: Duration) -> Vec<Slot> {
    let count = length.as_nanos().div_ceil(SLOT.as_nanos()) as usize;
    let place = |time: Duration| (time.as_nanos() / SLOT.as_nanos()) as usize;
    let mut slots = vec![Slot::default(); count];
    let mut latencies = vec![Latency::default(); count];
    for end in &opened.ends {
        if let Some(slot) = slots.get_mut(place(end.ended)) {
            if end.served() {
                slot.served += 1;
            } else {
                slot.failed += 1;
            }
        }
        if let Some(latency) = latencies.get_mut(place(end.intended)) {
            // One that failed was no faster than the time that it took to fail.
            latency.record(end.latency());
        }
    }
    for (slot, latency) in slots.iter_mut().zip(&latencies) {
        (slot.p50_us, slot.p99_us) = (latency.at(0.5), latency.at(0.99));
    }
    slots
}

/// Which slots are as those were before anything struck.
fn fine(slots: &[Slot], calm: Duration) -> Vec<bool> {
    let calm = (calm.as_nanos() / SLOT.as_nanos()) as usize;
    let mut usual: Vec<_> = slots[..calm.min(slots.len())]
        .iter()
        .filter_map(|slot| slot.p50_us)
        .collect();
    usual.sort_unstable();
    let usual = usual.get(usual.len() / 2).copied().unwrap_or(0);
    let most = (usual * WORSE).max(FINE_US);
    let fine = |slot: &Slot| slot.failed == 0 && slot.p50_us.is_none_or(|p50| p50 <= most);
    slots.iter().map(fine).collect()
}

fn event(
    struck: &Struck,
    next: Duration,
    served: &[Duration],
    fine: &[bool],
    stale: Duration,
) -> Event {
    Event {
        fault: struck.strike.fault,
        leader: struck.leader,
        from_ms: millis(struck.from),
        to_ms: millis(struck.to),
        restart_ms: struck.restart.map(millis),
        outage_ms: millis(longest_gap(served, struck.from, next)),
        recovered_ms: recovered(fine, struck.from, next).map(millis),
        stale_ms: millis(stale),
    }
}

/// The longest time without an answer, as far as it lies between `from` and `to`.
fn longest_gap(served: &[Duration], from: Duration, to: Duration) -> Duration {
    let mut last = from;
    let mut longest = Duration::ZERO;
    for &at in served.iter().skip_while(|&&at| at < from) {
        longest = longest.max(at.min(to).saturating_sub(last));
        last = at;
        if at >= to {
            break;
        }
    }
    longest.max(to.saturating_sub(last))
}

/// How long after `from` all was as before for a while; zero: it always was.
fn recovered(fine: &[bool], from: Duration, to: Duration) -> Option<Duration> {
    let place = |time: Duration| (time.as_nanos() / SLOT.as_nanos()) as usize;
    let (first, end) = (place(from), place(to).min(fine.len()));
    let window = fine.get(first..end)?;
    let Some(trouble) = window.iter().position(|fine| !fine) else {
        return Some(Duration::ZERO);
    };
    let mut steady = window[trouble..].windows(STEADY);
    let behind = trouble + steady.position(|slots| slots.iter().all(|fine| *fine))?;
    Some((SLOT * (first + behind) as u32).saturating_sub(from))
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::collections::BTreeSet;

    use super::super::faults::{Fault, Strike};
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn end(number: u64, intended: u64, ended: u64, ending: Ending) -> End {
        End {
            number,
            write: !matches!(ending, Ending::Read(_)),
            intended: ms(intended),
            ended: ms(ended),
            ending,
            looked_for: number,
        }
    }

    /// A request every 10 ms for four seconds, answered after one; those of 1000 to 1500 when it is 1600.
    fn run() -> (Script, Opened, Struck) {
        let strike = Strike {
            fault: Fault::Kill,
            from: ms(1000),
            to: ms(2000),
        };
        let script = Script {
            strikes: vec![strike],
            rate: 100,
            length: ms(4000),
            calm: ms(1000),
        };
        let ends = (0..400).map(|number| {
            let at = number * 10;
            let stalled = (1000..1500).contains(&at);
            end(
                number,
                at,
                if stalled { 1600 } else { at + 1 },
                Ending::Written,
            )
        });
        let struck = Struck {
            strike,
            leader: 2,
            from: ms(1000),
            to: ms(2000),
            restart: None,
        };
        (
            script,
            Opened {
                ends: ends.collect(),
            },
            struck,
        )
    }

    const STRICT: Promise = Promise {
        keeps: true,
        fresh: true,
    };

    #[test]
    fn an_outage_is_the_longest_silence_and_recovery_when_all_is_as_before() {
        let (script, opened, struck) = run();
        let trial = judge(&script, &opened, &[struck], &Audit::default(), STRICT);
        let event = trial.events[0];
        // 1501 is answered again; those that wait are done at 1600, but who asked at 1500 did not wait any more.
        assert!((event.outage_ms - 501.0).abs() < 1e-6, "{event:?}");
        assert_eq!(event.recovered_ms, Some(500.0));
        assert_eq!((trial.written, trial.lost, trial.broken.len()), (400, 0, 0));
        assert_eq!(trial.slots[10].p50_us.unwrap() / 10_000, 55);
        assert_eq!(
            (
                trial.slots[9].served,
                trial.slots[12].served,
                trial.slots[16].served
            ),
            (10, 0, 60)
        );
    }

    #[test]
    fn what_never_gets_better_has_not_recovered() {
        let (script, mut opened, struck) = run();
        for at in [1650, 2100, 2500, 2900, 3300, 3750] {
            opened
                .ends
                .push(end(400 + at, at, at + 10, Ending::Unknown));
        }
        let trial = judge(&script, &opened, &[struck], &Audit::default(), STRICT);
        assert_eq!(trial.events[0].recovered_ms, None);
        assert_eq!(trial.tally.unknown, 6);
    }

    #[test]
    fn staleness_counts_only_for_what_is_there_in_the_end() {
        let (script, mut opened, struck) = run();
        opened
            .ends
            .push(end(3, 1200, 1300, Ending::Read(Some(ms(70)))));
        opened
            .ends
            .push(end(5, 1200, 1300, Ending::Read(Some(ms(900)))));
        let lost = Audit {
            lost: BTreeSet::from([5]),
            ..Audit::default()
        };
        let trial = judge(&script, &opened, &[struck], &lost, STRICT);
        assert_eq!((trial.stale, trial.lost), (1, 1));
        assert!(
            (trial.stale_ms - 70.0).abs() < 1e-9 && (trial.events[0].stale_ms - 70.0).abs() < 1e-9
        );
        assert_eq!(trial.broken.len(), 2, "{:?}", trial.broken);
        let weak = Promise {
            keeps: false,
            fresh: false,
        };
        assert!(
            judge(&script, &opened, &[struck], &lost, weak)
                .broken
                .is_empty()
        );
    }
}
