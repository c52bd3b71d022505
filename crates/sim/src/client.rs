//! The clients: what each asks, of whom, and what it was told.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use quorate_core::{Failure, Position, Rng};

use crate::checker::{Violation, fingerprint};
use crate::linearizability::{Operation, Outcome};
use crate::plan::Clients;
use crate::{Ended, Glimpse, Moment, Workload};

/// All clients of a run and everything they ever asked.
pub(crate) struct Crowd<'a, W: Workload> {
    pub(crate) workload: &'a W,
    pub(crate) habits: Clients,
    pub(crate) rng: Rng,
    /// Whom they may ask: one bit a member.
    pub(crate) reach: u16,
    /// What each client asked last.
    last: BTreeMap<u64, usize>,
    /// How many clients have nothing more to ask.
    done: u64,
    requests: Vec<Request<W::Input, W::Output>>,
    /// Whose a command is, by its fingerprint. Only looked up.
    commands: HashMap<u64, usize>,
    /// What reads saw, and up to where.
    glimpses: Vec<(usize, Position, W::Output)>,
}

struct Request<I, O> {
    input: I,
    /// Whose it is; none: nobody waits for it to ask the next.
    client: Option<u64>,
    member: usize,
    called: Moment,
    retries: u32,
    fate: Fate<O>,
}

#[derive(Clone, Debug)]
enum Fate<O> {
    Open,
    Answered(Moment, O),
    Refused,
    Unknown,
}

impl<O> Fate<O> {
    const fn ended(&self) -> Ended {
        match self {
            Self::Answered(..) => Ended::Answered,
            Self::Refused => Ended::Refused,
            Self::Open | Self::Unknown => Ended::Unknown,
        }
    }
}

/// What a client does next.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Next {
    /// Ask the same again.
    Retry { after: Duration },
    /// This one is over; the client asks its next after a while.
    Another { client: u64, after: Duration },
    /// Nothing.
    Rest,
}

impl<'a, W: Workload> Crowd<'a, W> {
    pub(crate) fn new(workload: &'a W, habits: Clients, rng: Rng, reach: u16) -> Self {
        Self {
            workload,
            habits,
            rng,
            reach,
            last: BTreeMap::new(),
            done: 0,
            requests: Vec::new(),
            commands: HashMap::new(),
            glimpses: Vec::new(),
        }
    }

    /// A client's next request, of any member; none: it has nothing more to ask.
    pub(crate) fn ask(&mut self, now: Moment, client: u64) -> Option<usize> {
        let number = self.requests.len() as u64 + 1;
        let last = self.last.get(&client).map(|last| {
            let Request { input, fate, .. } = &self.requests[*last];
            (input, fate.ended())
        });
        let Some(input) = self.workload.next(&mut self.rng, number, client, last) else {
            self.done += 1;
            return None;
        };
        let member = self.member();
        let request = self.push(now, Some(client), member, input, self.habits.retries);
        self.last.insert(client, request);
        Some(request)
    }

    /// A request of nobody in particular, of this member.
    pub(crate) fn ask_of(&mut self, now: Moment, member: usize) -> usize {
        let number = self.requests.len() as u64 + 1;
        let input = self.workload.draw(&mut self.rng, number);
        self.push(now, None, member, input, self.habits.retries)
    }

    /// Whether no client has anything more to ask.
    pub(crate) const fn is_done(&self) -> bool {
        self.done == self.habits.count
    }

    /// The requests at the end, all of them of each member.
    pub(crate) fn closing(&mut self, now: Moment, members: &[usize]) -> Vec<usize> {
        let mut all = Vec::new();
        for member in members {
            // Numbers that no later request draws: they are counted from the other end.
            let number = u64::MAX / 2 + self.requests.len() as u64;
            for input in self.workload.closing(number) {
                all.push(self.push(now, None, *member, input, u32::MAX));
            }
        }
        all
    }

    fn push(
        &mut self,
        now: Moment,
        client: Option<u64>,
        member: usize,
        input: W::Input,
        retries: u32,
    ) -> usize {
        self.requests.push(Request {
            input,
            client,
            member,
            called: now,
            retries,
            fate: Fate::Open,
        });
        self.requests.len() - 1
    }

    pub(crate) fn member_of(&self, request: usize) -> usize {
        self.requests[request].member
    }

    /// Whose it is; none: nobody's in particular.
    pub(crate) fn client_of(&self, request: usize) -> Option<u64> {
        self.requests[request].client
    }

    pub(crate) fn is_open(&self, request: usize) -> bool {
        matches!(self.requests[request].fate, Fate::Open)
    }

    pub(crate) fn input(&self, request: usize) -> &W::Input {
        &self.requests[request].input
    }

    pub(crate) fn command(&mut self, request: usize) -> Option<Bytes> {
        let command = self.workload.command(&self.requests[request].input)?;
        self.commands.insert(fingerprint(0, &command), request);
        Some(command)
    }

    /// A member answers a read from the state that ends at `at`.
    pub(crate) fn on_glimpse(&mut self, request: usize, at: Position, output: W::Output) {
        self.glimpses.push((request, at, output));
    }

    pub(crate) fn on_answer(&mut self, now: Moment, request: usize, output: W::Output) -> Next {
        if !self.is_open(request) {
            return Next::Rest;
        }
        self.requests[request].fate = Fate::Answered(now, output);
        self.another(request)
    }

    /// A failure that says "surely not" may be tried elsewhere; "unknown" never is: it may have happened.
    pub(crate) fn on_failure(&mut self, request: usize, failure: Failure) -> Next {
        if !self.is_open(request) {
            return Next::Rest;
        }
        if failure == Failure::Unknown {
            self.requests[request].fate = Fate::Unknown;
            return self.another(request);
        }
        if self.requests[request].retries == 0 {
            self.requests[request].fate = Fate::Refused;
            return self.another(request);
        }
        let endless = self.requests[request].retries == u32::MAX;
        if !endless {
            let member = self.member();
            let request = &mut self.requests[request];
            (request.retries, request.member) = (request.retries - 1, member);
        }
        Next::Retry {
            after: Duration::from_millis(20 + self.rng.below(100)),
        }
    }

    /// The client waits no longer.
    pub(crate) fn give_up(&mut self, request: usize) -> Next {
        if !self.is_open(request) {
            return Next::Rest;
        }
        self.requests[request].fate = Fate::Unknown;
        self.another(request)
    }

    /// Judges what was seen, by what was `applied` where, and then what was told.
    pub(crate) fn judge(self, applied: &[(Position, u64)]) -> Result<(), Violation> {
        let input = |(at, print): &(Position, u64)| {
            let request = self.commands.get(print)?;
            Some((*at, &self.requests[*request].input))
        };
        let applied: Vec<_> = applied.iter().filter_map(input).collect();
        let seen = self.glimpses.iter().map(|(request, at, output)| Glimpse {
            input: &self.requests[*request].input,
            at: *at,
            output,
        });
        let seen: Vec<_> = seen.collect();
        self.workload
            .judge_glimpses(&applied, &seen)
            .map_err(|what| Violation::new("a read sees all up to its position (A8)", what))?;
        let workload = self.workload;
        workload
            .judge(&self.history())
            .map_err(|what| Violation::new("linearizable (R12, R13, A8)", what))
    }

    pub(crate) fn count(&self) -> usize {
        self.requests.len()
    }

    /// The history without what surely had no effect.
    fn history(self) -> Vec<Operation<W::Input, W::Output>> {
        let operation = |request: Request<W::Input, W::Output>| {
            let outcome = match request.fate {
                Fate::Open | Fate::Unknown => Outcome::Unknown,
                Fate::Answered(at, output) => Outcome::Returned { at: at.0, output },
                Fate::Refused => return None,
            };
            Some(Operation {
                input: request.input,
                called: request.called.0,
                outcome,
            })
        };
        self.requests.into_iter().filter_map(operation).collect()
    }

    fn another(&mut self, request: usize) -> Next {
        match self.requests[request].client {
            Some(client) => Next::Another {
                client,
                after: self.rng.duration(Duration::ZERO, self.habits.think),
            },
            None => Next::Rest,
        }
    }

    fn member(&mut self) -> usize {
        let nth = self.rng.below(u64::from(self.reach.count_ones()));
        let within = (0..u16::BITS as usize).filter(|member| self.reach >> member & 1 == 1);
        within.into_iter().nth(nth as usize).unwrap_or(0)
    }
}
