//! One script through several logs: whatever happens to them, they end in one state, and an oracle knows it.
//!
//! Each client has a cell of its own and a list of changes to it, which it asks for one after the other: it repeats one
//! under the same number until it is acknowledged, through faults and after them. A cell takes each number once and in
//! order. So the state in the end is a pure function of the script: not of the order in which clients come, not of
//! what was repeated, and not of the log.
//!
//! What a run shows beyond its invariants: that every log carries what was asked to the state, unaltered, once, with
//! nothing left out; by an oracle that knows no log.

mod machine;

use bytes::{BufMut, Bytes, BytesMut};
use quorate_core::Rng;

pub use machine::{ScriptMachine, ScriptReply, ScriptSnapshot};

use crate::linearizability::{Operation, Outcome};
use crate::{Ended, Options, Plan, Protocol, Report, Workload, run};

/// The changes that each client of a run asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    seed: u64,
    clients: u64,
    steps: u64,
    filling: u32,
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Change the client's cell.
    Change {
        /// Whose.
        client: u64,
        /// The how-manyeth change of this client.
        number: u64,
        /// The how-manyeth time that it is asked for.
        attempt: u64,
    },
    /// Read a cell.
    Look {
        /// Whose.
        client: u64,
        /// Whether all changes were acknowledged before.
        last: bool,
    },
}

/// A cell: how many changes it took, and what they made of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// How many.
    pub taken: u64,
    /// The result.
    pub value: u64,
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// The change was made, by this attempt or an earlier one.
    Made,
    /// A change before this one is missing, although it was acknowledged.
    Missing {
        /// How many the cell has taken.
        taken: u64,
    },
    /// A cell.
    Cell(Cell),
}

/// A change: none of them commutes with the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Set(u64),
    Add(u64),
    Multiply(u64),
}

impl Change {
    const fn of(kind: u8, operand: u64) -> Self {
        match kind % 3 {
            0 => Self::Set(operand),
            1 => Self::Add(operand),
            _ => Self::Multiply(operand | 3),
        }
    }

    const fn on(self, value: u64) -> u64 {
        match self {
            Self::Set(operand) => operand,
            Self::Add(operand) => value.wrapping_add(operand),
            Self::Multiply(operand) => value.wrapping_mul(operand),
        }
    }
}

impl Script {
    /// The script of a plan: a list for each of its clients.
    pub fn of(plan: &Plan) -> Self {
        let mut rng = Rng::new(plan.seed ^ 0x7363_7269_7074);
        Self {
            seed: rng.next(),
            clients: plan.clients.count,
            steps: 10 + rng.below(60),
            filling: [0, 40, 300][rng.below(3) as usize],
        }
    }

    /// The digest of the state that the script leads to, as [`ScriptMachine`] would have it, without any machine or log.
    pub fn oracle(&self) -> u64 {
        machine::digest((0..self.clients).map(|client| (client, self.outcome(client))))
    }

    /// A client's cell in the end.
    fn outcome(&self, client: u64) -> Cell {
        let changes = (1..=self.steps).map(|number| self.change(client, number));
        Cell {
            taken: self.steps,
            value: changes.fold(0, |value, (kind, operand)| {
                Change::of(kind, operand).on(value)
            }),
        }
    }

    fn change(&self, client: u64, number: u64) -> (u8, u64) {
        let mut rng = Rng::new(self.seed ^ client << 32 ^ number);
        (rng.below(3) as u8, rng.next())
    }
}

impl Workload for Script {
    type Machine = ScriptMachine;
    type Input = Step;
    type Output = Told;

    fn machine(&self) -> ScriptMachine {
        ScriptMachine::default()
    }

    fn draw(&self, rng: &mut Rng, _: u64) -> Step {
        Step::Look {
            client: rng.below(self.clients.max(1)),
            last: false,
        }
    }

    fn next(&self, _: &mut Rng, _: u64, client: u64, last: Option<(&Step, Ended)>) -> Option<Step> {
        let (number, attempt) = match last {
            Some((Step::Change { number, .. }, Ended::Answered)) => (number + 1, 1),
            Some((
                Step::Change {
                    number, attempt, ..
                },
                Ended::Refused | Ended::Unknown,
            )) => (*number, attempt + 1),
            Some((Step::Look { .. }, _)) | None => (1, 1),
        };
        (number <= self.steps).then_some(Step::Change {
            client,
            number,
            attempt,
        })
    }

    fn goes_on(&self) -> bool {
        true
    }

    fn command(&self, input: &Step) -> Option<Bytes> {
        let Step::Change {
            client,
            number,
            attempt,
        } = input
        else {
            return None;
        };
        let (kind, operand) = self.change(*client, *number);
        let mut command = BytesMut::new();
        for word in [*client, *number, *attempt, operand] {
            command.put_u64_le(word);
        }
        command.put_u8(kind);
        command.put_bytes(0xa5, self.filling as usize);
        Some(command.freeze())
    }

    fn answer(&self, input: &Step, reply: ScriptReply) -> Told {
        match (reply, input) {
            (ScriptReply { taken }, Step::Change { number, .. }) if taken < *number => {
                Told::Missing { taken }
            }
            _ => Told::Made,
        }
    }

    fn query(&self, machine: &ScriptMachine, input: &Step) -> Told {
        let (Step::Change { client, .. } | Step::Look { client, .. }) = input;
        Told::Cell(machine.cell(*client))
    }

    fn closing(&self, _: u64) -> Vec<Step> {
        let look = |client| Step::Look { client, last: true };
        (0..self.clients).map(look).collect()
    }

    fn judge(&self, history: &[Operation<Step, Told>]) -> Result<(), String> {
        for operation in history {
            let Outcome::Returned { output, .. } = &operation.outcome else {
                continue;
            };
            let wanted = match &operation.input {
                Step::Change { .. } => Told::Made,
                Step::Look { client, last: true } => Told::Cell(self.outcome(*client)),
                Step::Look { last: false, .. } => continue,
            };
            if *output != wanted {
                return Err(format!("{operation:?}, but it should be {wanted:?}"));
            }
        }
        Ok(())
    }
}

/// One plan and one script, and what each log made of them.
#[derive(Debug)]
pub struct Trial {
    plan: Plan,
    script: Script,
    reports: Vec<(&'static str, Report)>,
}

impl Trial {
    /// The plan of a seed with its script.
    pub fn new(seed: u64, options: &Options) -> Self {
        let plan = Plan::draw(seed, options);
        Self {
            script: Script::of(&plan),
            plan,
            reports: Vec::new(),
        }
    }

    /// Runs a log.
    pub fn run<P: Protocol>(&mut self, protocol: &P) {
        let report = run(protocol, &self.script, &self.plan, false);
        self.reports.push((protocol.name(), report));
    }

    /// What each log made of it.
    pub fn reports(&self) -> impl Iterator<Item = (&'static str, &Report)> {
        self.reports.iter().map(|(name, report)| (*name, report))
    }

    /// Whether every log came to its end, and all states are that of the oracle.
    ///
    /// # Errors
    /// The first that did not, or whose state is another.
    pub fn verdict(&self) -> Result<(), String> {
        let oracle = self.script.oracle();
        for (name, report) in &self.reports {
            if let Some(violation) = &report.violation {
                return Err(format!("{name}: {violation}"));
            }
            if report.state != Some(oracle) {
                let state = report.state;
                return Err(format!(
                    "{name}: the state is {state:x?}, the oracle's is {oracle:x}"
                ));
            }
        }
        Ok(())
    }
}
