//! Clients that each wait for an answer before they ask again.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::measured::Measured;
use crate::seat::{Seat, Settled};
use crate::target::Target;
use crate::workload::{Absurd, Script, Workload, demand};

/// More clients are not worth their memory on one machine.
const CLIENTS_MAX: usize = 10_000;
/// What was refused is asked again for so long.
const INSIST: Duration = Duration::from_secs(2);

/// A load in closed loop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// How many clients.
    pub clients: usize,
    /// The member that all are connected to, counted from 0; none: they spread over all.
    pub through: Option<usize>,
    /// What ends earlier is not counted.
    pub warm: Duration,
    /// What ends in so much time after that is.
    pub measure: Duration,
}

impl Closed {
    /// Refuses what cannot be meant.
    ///
    /// # Errors
    /// [`Absurd`], with the reason.
    pub fn check(&self) -> Result<(), Absurd> {
        let some = (1..=CLIENTS_MAX).contains(&self.clients);
        demand(some, "clients", "are 1 to 10000")?;
        demand(!self.measure.is_zero(), "measure", "takes some time")
    }
}

/// Runs `plan` against `target`.
///
/// # Errors
/// If a client cannot connect to its member at the start.
///
/// # Panics
/// If the plan or the workload is [`Absurd`].
pub async fn closed<T: Target>(
    target: T,
    plan: &Closed,
    workload: &Workload,
) -> std::io::Result<Measured> {
    plan.check().expect("the plan is sound");
    workload.check().expect("the workload is sound");
    let target = Rc::new(target);
    let mut seats = Vec::new();
    for client in 0..plan.clients {
        let home = plan.through.unwrap_or(client % target.members());
        let mut seat = Seat::new(Rc::clone(&target), workload.clone(), home);
        seat.take().await?;
        seats.push(seat);
    }
    let measured = Rc::new(RefCell::new(Measured {
        seconds: plan.measure.as_secs_f64(),
        ..Measured::default()
    }));
    let from = Instant::now() + plan.warm;
    let mut clients = JoinSet::new();
    for (seat, client) in seats.into_iter().zip(0..) {
        let client = Client {
            seat,
            script: Script::new(workload, client),
            measured: Rc::clone(&measured),
            from,
            to: from + plan.measure,
        };
        clients.spawn_local(client.run());
    }
    while let Some(ended) = clients.join_next().await {
        ended.expect("a client neither panics nor is cancelled");
    }
    Ok(Rc::try_unwrap(measured)
        .expect("all clients have ended")
        .into_inner())
}

struct Client<T: Target> {
    seat: Seat<T>,
    script: Script,
    measured: Rc<RefCell<Measured>>,
    from: Instant,
    to: Instant,
}

impl<T: Target> Client<T> {
    async fn run(mut self) {
        let mut began = Instant::now();
        while began < self.to {
            let op = self.script.draw();
            let settled = self.seat.carry_out(op, op.key, began + INSIST).await;
            let ended = Instant::now();
            self.count(settled, began, ended);
            began = ended;
        }
    }

    fn count(&self, settled: Settled, began: Instant, ended: Instant) {
        let mut measured = self.measured.borrow_mut();
        let counted = (self.from..self.to).contains(&ended);
        let Measured {
            tally,
            whole,
            latency,
            ..
        } = &mut *measured;
        for tally in std::iter::once(whole).chain(counted.then_some(tally)) {
            match settled {
                Settled::Written | Settled::Read(_) => tally.done += 1,
                Settled::Refused => tally.refused += 1,
                Settled::Unknown => tally.unknown += 1,
            }
        }
        if counted && matches!(settled, Settled::Written | Settled::Read(_)) {
            latency.record(ended - began);
        }
    }
}
