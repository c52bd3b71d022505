//! The clients: what each asks, of whom, and what it was told.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use quorate_core::{Failure, Position, Rng, SessionCall, SessionId};

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
    /// The session of each client, and the last number used in it.
    sessions: BTreeMap<u64, (SessionId, u64)>,
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
    /// Its number in the client's session.
    call: Option<(SessionId, u64)>,
    /// An attempt may have had an effect, or may have one yet.
    maybe: bool,
    fate: Fate<O>,
}

/// What is asked of a member.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    /// To run a read.
    Read,
    /// To apply a command.
    Apply(Bytes),
    /// To open or to use a session.
    Call(SessionCall, Bytes),
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
            sessions: BTreeMap::new(),
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
            call: None,
            maybe: false,
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

    /// What to ask of a member. A client that has sessions opens one before its first command, and gives each the next
    /// number; what is sent again keeps its number.
    pub(crate) fn asks(&mut self, request: usize) -> Ask {
        let asked = &mut self.requests[request];
        let Some(command) = self.workload.command(&asked.input) else {
            return Ask::Read;
        };
        self.commands.insert(fingerprint(0, &command), request);
        let (Some(ttl), Some(client)) = (self.habits.sessions, asked.client) else {
            return Ask::Apply(command);
        };
        if asked.call.is_none() {
            let Some((session, last)) = self.sessions.get_mut(&client) else {
                return Ask::Call(SessionCall::open(ttl), Bytes::new());
            };
            *last += 1;
            asked.call = Some((*session, *last));
        }
        let (session, sequence) = asked.call.expect("it has a number by now");
        let call = SessionCall::Apply {
            session,
            sequence,
            // What the client has given up it does not wait for.
            received: sequence - 1,
        };
        Ask::Call(call, command)
    }

    /// A session is open: what it was opened for can be asked.
    pub(crate) fn on_opened(&mut self, request: usize, session: SessionId) -> Next {
        let Some(client) = self.requests[request].client else {
            return Next::Rest;
        };
        self.sessions.entry(client).or_insert((session, 0));
        if !self.is_open(request) || self.requests[request].call.is_some() {
            return Next::Rest;
        }
        Next::Retry {
            after: Duration::ZERO,
        }
    }

    /// Whether a client gets impatient, and asks the same of another member while the first may still be at it: only
    /// with a number.
    pub(crate) fn again(&mut self, request: usize) -> bool {
        if !self.is_open(request) || self.requests[request].call.is_none() || !self.rng.one_in(4) {
            return false;
        }
        let member = self.member();
        let asked = &mut self.requests[request];
        (asked.member, asked.maybe) = (member, true);
        true
    }

    /// Whether an answer to this came before.
    pub(crate) fn is_answered(&self, request: usize) -> bool {
        matches!(self.requests[request].fate, Fate::Answered(..))
    }

    /// The session is no more: the client's next command opens another.
    fn on_expired(&mut self, request: usize) {
        let Request { client, call, .. } = &self.requests[request];
        let Some((client, (session, _))) = client.zip(*call) else {
            return;
        };
        if self
            .sessions
            .get(&client)
            .is_some_and(|(now, _)| *now == session)
        {
            self.sessions.remove(&client);
        }
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

    /// A failure that says "surely not" may be tried elsewhere; "unknown" only with a number: it may have happened.
    pub(crate) fn on_failure(&mut self, request: usize, failure: Failure) -> Next {
        if !self.is_open(request) {
            return Next::Rest;
        }
        let numbered = self.requests[request].call.is_some();
        let opening = self.opens(request);
        if failure == Failure::Unknown && !opening {
            self.requests[request].maybe = true;
        }
        let hopeless = matches!(failure, Failure::Session(_)) && numbered;
        if hopeless {
            self.on_expired(request);
        }
        let unknown = failure == Failure::Unknown && !numbered && !opening;
        if unknown || hopeless || self.requests[request].retries == 0 {
            let fate = if self.requests[request].maybe {
                Fate::Unknown
            } else {
                Fate::Refused
            };
            self.requests[request].fate = fate;
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

    /// Whether this is on its way to get a session first: its command was not sent yet.
    fn opens(&self, request: usize) -> bool {
        let Request {
            input,
            client,
            call,
            ..
        } = &self.requests[request];
        let has_sessions = self.habits.sessions.is_some() && client.is_some();
        has_sessions && call.is_none() && self.workload.command(input).is_some()
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
