//! One run: a plan in, a report out.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::checker::Violation;
use crate::trace::Line;
use crate::world::World;
use crate::{Plan, Protocol, Workload};

/// What became of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// Which.
    pub seed: u64,
    /// The first thing that was not as it must be.
    pub violation: Option<Violation>,
    /// The digest of the state machine that all healed members have in the end; none: the run came to no such end.
    pub state: Option<u64>,
    /// A hash of everything that happened: two runs of a plan have the same.
    pub hash: u64,
    /// How long it took, in virtual time.
    pub simulated: Duration,
    /// Happenings.
    pub events: u64,
    /// Positions chosen.
    pub committed: u64,
    /// Requests of clients.
    pub requests: u64,
    /// Rare states that were reached.
    pub marks: BTreeSet<&'static str>,
    /// The trace, if it was asked for.
    pub lines: Vec<Line>,
}

/// Runs a plan. With `readable` the report has the trace in lines.
///
/// A panic inside of what is simulated counts as a violation; the panic hook of the process still prints it.
pub fn run<P: Protocol, W: Workload>(
    protocol: &P,
    workload: &W,
    plan: &Plan,
    readable: bool,
) -> Report {
    let mut world = World::new(protocol, workload, plan, readable);
    let outcome = catch_unwind(AssertUnwindSafe(|| world.run()));
    let (now, committed, requests) = world.figures();
    let (events, state) = (world.events, world.state);
    let (trace, violation) = match outcome {
        Ok(Ok(())) => {
            let (trace, verdict) = world.judge();
            (trace, verdict.err())
        }
        Ok(Err(violation)) => (world.finish(), Some(violation)),
        Err(panic) => (world.finish(), Some(panicked(panic.as_ref()))),
    };
    let (hash, lines, marks) = trace.finish();
    Report {
        seed: plan.seed,
        violation,
        state,
        hash,
        simulated: Duration::from_nanos(now.0),
        events,
        committed,
        requests: requests as u64,
        marks,
        lines,
    }
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Violation {
    let text = panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    Violation::new(
        "no assertion fails",
        text.unwrap_or_else(|| "a panic".to_owned()),
    )
}
