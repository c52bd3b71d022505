//! Requests on their way to members, and answers on their way back.

use std::time::Duration;

use quorate_core::{Failure, SessionCall, SessionError, SessionId, Ticket};

use super::phases::Phase;
use super::{Happening, World};
use crate::checker::Verdict;
use crate::client::{Ask, Next};
use crate::{Protocol, Workload};

impl<P: Protocol, W: Workload> World<'_, P, W> {
    pub(super) fn on_client(&mut self, client: u64) {
        match self.phase {
            Phase::Faults | Phase::Finishing { .. } => {}
            Phase::Healing { .. } if self.crowd.workload.goes_on() => {
                let later = self.now.after(Duration::from_millis(100));
                return self.agenda.put(later, Happening::Client { client });
            }
            Phase::Healing { .. } | Phase::Closing { .. } | Phase::Settling | Phase::Done => return,
        }
        if let Some(request) = self.crowd.ask(self.now, client) {
            self.send_request(request, Duration::ZERO);
            let patience = self.now.after(self.plan.clients.patience);
            self.agenda.put(patience, Happening::GiveUp { request });
        }
    }

    pub(super) fn send_request(&mut self, request: usize, after: Duration) {
        let way = Duration::from_micros(50 + self.rng.below(500));
        self.agenda
            .put(self.now.after(after + way), Happening::Request { request });
    }

    pub(super) fn on_request(&mut self, request: usize) -> Verdict {
        let host = self.crowd.member_of(request);
        if !self.crowd.is_open(request) {
            return Ok(());
        }
        if self.hosts[host].process.is_none() {
            // Nobody listens there: the connection is refused.
            self.hear(request, Err(Failure::Stopped));
            return Ok(());
        }
        self.trace.hash([self.now.0, host as u64, request as u64]);
        let ask = self.crowd.asks(request);
        let input = self.crowd.input(request);
        self.trace.line(self.now, Some(host), || {
            format!("asked #{request} {input:?}")
        });
        let ticket = Ticket(request as u64);
        let level = self.crowd.workload.level(self.crowd.input(request));
        let whose = (request, self.crowd.client_of(request));
        let reads = match &ask {
            Ask::Apply(_) | Ask::Call(..) => level.into(),
            Ask::Read => self.freshness.on_asked(self.now, whose, level),
        };
        if matches!(ask, Ask::Call(SessionCall::Apply { .. }, _)) {
            let after = self.rng.duration(Duration::ZERO, Duration::from_secs(1));
            let at = self.now.after(after);
            self.agenda.put(at, Happening::Again { request });
        }
        self.turn(host, |process, clock, out| match ask {
            Ask::Apply(command) => process.replica.submit(clock, ticket, command, out),
            Ask::Call(call, command) => process.replica.call(clock, ticket, call, command, out),
            Ask::Read => process.replica.read(clock, ticket, reads, out),
        })
    }

    /// A client may ask again before it hears.
    pub(super) fn on_again(&mut self, request: usize) {
        if self.crowd.again(request) {
            self.trace
                .mark("a client with a session asked twice at once");
            self.send_request(request, Duration::ZERO);
        }
    }

    /// A client has a session now.
    pub(super) fn on_opened(&mut self, request: usize, session: SessionId) {
        self.trace.mark("a session was opened");
        let next = self.crowd.on_opened(request, session);
        self.on_next(request, next);
    }

    pub(super) fn hear(&mut self, request: usize, what: Result<W::Output, Failure>) {
        let way = Duration::from_micros(50 + self.rng.below(500));
        self.agenda
            .put(self.now.after(way), Happening::Heard { request, what });
    }

    pub(super) fn on_heard(&mut self, request: usize, what: Result<W::Output, Failure>) {
        let next = match what {
            Ok(output) => self.crowd.on_answer(self.now, request, output),
            Err(failure) => {
                self.trace.mark(match failure {
                    Failure::Unknown => "a client was told that the outcome is unknown",
                    Failure::Overloaded { .. } => "a client was refused: overloaded",
                    Failure::NoRoom => "a client was refused: no room",
                    Failure::Session(SessionError::Expired) => "a session had expired",
                    Failure::Session(_) => "a session did not know any more",
                    Failure::TooStale { .. } => "a read was refused: too stale",
                    Failure::NotApplied { .. } => "a read was refused: not applied",
                    _ => "a client was refused: no leader",
                });
                self.crowd.on_failure(request, failure)
            }
        };
        self.on_next(request, next);
    }

    pub(super) fn on_next(&mut self, request: usize, next: Next) {
        match next {
            Next::Retry { after } => self.send_request(request, after),
            Next::Another { client, after } => {
                self.agenda
                    .put(self.now.after(after), Happening::Client { client });
            }
            Next::Rest => {}
        }
    }
}
