//! One client.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use quorate_core::{Failure, Position, ReadStamp};
use quorate_node::Applied;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::admin::{self, Caller};
use super::answer::{Answer, Shape, failure};
use super::fault;
use super::level::Terms;
use super::member::Member;
use super::members;
use super::order;
use super::read::{Found, ask_all, keys};
use super::request::{Alone, Read, Request, Sizes, Write, parse};
use super::session::{self, SessionOrder};
use super::wire::{ProtocolError, Scanner};
use super::{Limits, Shared, closed};
use crate::store::Reply;

/// Requests that one round takes at most.
const ROUND_REQUESTS_MAX: usize = 1024;
/// Bytes of requests, and of the values they may answer with, from which on a round takes no more.
const ROUND_WEIGHT_MAX: usize = 8 << 20;
/// Bytes of answers from which on they are written before the round is over.
const FLUSH_BYTES: usize = 256 << 10;
/// Bytes asked of the socket at once.
const READ_BYTES: usize = 16 << 10;
/// Input that a connection may hold without asking.
const FREE_INPUT_BYTES: usize = 64 << 10;
/// How long a client may take no byte of its answers.
const WRITE_STALL_MAX: Duration = Duration::from_mins(1);

/// The server's end of one connection.
pub(crate) struct Connection<M> {
    stream: TcpStream,
    member: M,
    shared: Arc<Shared>,
    closing: watch::Receiver<bool>,
    caller: Caller,
    /// What this connection's writes and reads so far include.
    seen: Position,
    input: Input,
    output: BytesMut,
}

/// Reads that are asked as one, and on which terms.
#[derive(Default)]
struct Asking {
    terms: Terms,
    reads: Vec<Read>,
}

/// Requests on their way in.
struct Input {
    buffer: BytesMut,
    scanner: Scanner,
    sizes: Sizes,
    /// What this connection holds of the budget for large requests.
    charged: usize,
}

/// Why a connection ends, beside failures of the socket.
#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    Asked,
    Protocol(ProtocolError),
}

/// A request that was handed in, in its place among the answers.
enum Slot<F> {
    Ready(Answer),
    Write(F, Shape),
    Read,
}

impl<M: Member> Connection<M> {
    pub(crate) fn new(
        stream: TcpStream,
        id: u64,
        address: SocketAddr,
        member: M,
        shared: Arc<Shared>,
    ) -> Self {
        let Limits {
            key_bytes_max,
            value_bytes_max,
            request_bytes_max,
            ..
        } = shared.config.limits;
        let input = Input {
            buffer: BytesMut::new(),
            scanner: Scanner::new(request_bytes_max),
            sizes: Sizes {
                key_bytes_max,
                value_bytes_max,
            },
            charged: 0,
        };
        Self {
            stream,
            member,
            closing: shared.closing.clone(),
            shared,
            caller: Caller::new(id, address.to_string()),
            seen: Position::ZERO,
            input,
            output: BytesMut::new(),
        }
    }

    /// Serves the client until it goes, misbehaves, or the server closes.
    pub(crate) async fn run(mut self) {
        if let Err(error) = self.rounds().await {
            tracing::debug!(client = self.caller.id, %error, "connection lost");
        }
        self.input.rest(&self.shared);
    }

    async fn rounds(&mut self) -> io::Result<()> {
        self.stream.set_nodelay(true)?;
        loop {
            let (requests, malformed) = self.input.take_round();
            if requests.is_empty() && malformed.is_none() {
                if !self.fill().await? {
                    return Ok(());
                }
                continue;
            }
            let mut end = self.execute(requests).await?;
            if let (None, Some(error)) = (&end, malformed) {
                tracing::debug!(client = self.caller.id, %error, "malformed request");
                self.say(Answer::err(&error)).await?;
                end = Some(End::Protocol(error));
            }
            self.flush().await?;
            match end {
                None => {}
                Some(End::Asked) => return Ok(()),
                Some(End::Protocol(_)) => return self.linger().await,
            }
        }
    }

    /// Waits for more from the client. False: it is gone, or the server closes.
    async fn fill(&mut self) -> io::Result<bool> {
        loop {
            if self.input.buffer.is_empty() {
                self.input.rest(&self.shared);
            }
            tokio::select! {
                biased;
                () = closed(&mut self.closing) => return Ok(false),
                ready = self.stream.readable() => ready?,
            }
            self.input.buffer.reserve(READ_BYTES);
            if !self.input.charge(&self.shared) {
                self.say(Answer::Error(
                    "OVERLOADED retry after 100 ms: too many large requests".into(),
                ))
                .await?;
                self.flush().await?;
                self.linger().await?;
                return Ok(false);
            }
            match self.stream.try_read_buf(&mut self.input.buffer) {
                Ok(0) => return Ok(false),
                Ok(_) => return Ok(true),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Carries out the requests of a round and says the answers in their order.
    async fn execute(&mut self, requests: Vec<Request>) -> io::Result<Option<End>> {
        let mut slots = Vec::with_capacity(requests.len());
        let mut asking = Asking::default();
        for request in requests {
            match request {
                Request::Ready(answer) => slots.push(Slot::Ready(answer)),
                Request::Write(Write {
                    command,
                    place,
                    shape,
                    ..
                }) => {
                    // It must not be seen by the reads before it.
                    if !asking.reads.is_empty() {
                        self.settle(&mut slots, &mut asking).await?;
                    }
                    slots.push(Slot::Write(self.member.propose(place, command), shape));
                }
                Request::Read(read, terms) => {
                    if terms != asking.terms && !asking.reads.is_empty() {
                        self.settle(&mut slots, &mut asking).await?;
                    }
                    asking.terms = terms;
                    asking.reads.push(read);
                    slots.push(Slot::Read);
                }
                Request::Alone(alone) => {
                    self.settle(&mut slots, &mut asking).await?;
                    if let Some(end) = self.attend(alone).await? {
                        return Ok(Some(end));
                    }
                }
            }
        }
        self.settle(&mut slots, &mut asking).await?;
        Ok(None)
    }

    /// Waits for what was handed in and says the answers. No write stands behind a read; and the reads are asked only
    /// when the writes before them are settled, so that they see them.
    async fn settle<F>(&mut self, slots: &mut Vec<Slot<F>>, asking: &mut Asking) -> io::Result<()>
    where
        F: Future<Output = Result<Applied<Reply>, Failure>>,
    {
        let (mut found, mut stamp) = (VecDeque::new(), None);
        for slot in slots.drain(..) {
            let answer = match slot {
                Slot::Ready(answer) => answer,
                Slot::Write(outcome, shape) => match outcome.await {
                    Ok(applied) => {
                        self.seen = self.seen.max(applied.position);
                        shape.say(applied.reply)
                    }
                    Err(cause) => failure(cause),
                },
                Slot::Read => {
                    if found.is_empty() {
                        (found, stamp) = self.ask(asking).await;
                    }
                    let answer = match found.pop_front().expect("every read is answered") {
                        Found::Answer(answer) => answer,
                        Found::Keys(view, pattern) => {
                            keys(view, pattern, self.shared.config.limits.answer_bytes_max).await
                        }
                    };
                    match stamp {
                        Some(stamp) => asking.terms.say(answer, stamp),
                        None => answer,
                    }
                }
            };
            self.say(answer).await?;
        }
        Ok(())
    }

    /// Asks these questions as one, and takes off those that were answered: at least the first. No stamp: none was.
    async fn ask(&mut self, asking: &mut Asking) -> (VecDeque<Found>, Option<ReadStamp>) {
        let asked = std::mem::take(&mut asking.reads);
        let count = asked.len();
        let answer_bytes_max = self.shared.config.limits.answer_bytes_max;
        let query = move |store: &_| {
            let found = ask_all(store, &asked, ROUND_WEIGHT_MAX, answer_bytes_max);
            (asked, found)
        };
        let call = asking.terms.call(self.shared.config.policy.read_level);
        match self.member.read(call, query).await {
            Ok(((mut asked, found), stamp)) => {
                asked.drain(..found.len());
                asking.reads = asked;
                self.seen = self.seen.max(stamp.applied);
                (found, Some(stamp))
            }
            Err(cause) => {
                let failed = (0..count).map(|_| Found::Answer(failure(cause)));
                (failed.collect(), None)
            }
        }
    }

    /// Answers what concerns the connection or the member.
    async fn attend(&mut self, alone: Alone) -> io::Result<Option<End>> {
        let answer = match alone {
            Alone::Hello(words) => self.caller.hello(&words),
            Alone::Client(words) => self.caller.client(&words),
            Alone::Config(words) => admin::config(&words, &self.shared.config),
            Alone::Info => admin::info(self.member.fields().await),
            Alone::Quorate(words) => self.quorate(&words).await,
            Alone::Reset => {
                self.caller.reset();
                Answer::Simple("RESET")
            }
            Alone::Quit => {
                self.say(Answer::OK).await?;
                return Ok(Some(End::Asked));
            }
        };
        self.say(answer).await?;
        Ok(None)
    }

    /// What concerns this member, the client's session, and what operators say of members.
    async fn quorate(&self, words: &[Bytes]) -> Answer {
        let rest = &words[1..];
        match &words[0].to_ascii_lowercase()[..] {
            b"status" if rest.is_empty() => admin::status(self.member.fields().await),
            b"policy" if rest.is_empty() => admin::status(self.member.policy().await),
            b"policy" => match order::parse_direct(rest, &self.member.peers()) {
                Ok(order) => match self.member.direct(order) {
                    Ok(()) => Answer::OK,
                    Err(refused) => failure(refused),
                },
                Err(refusal) => refusal,
            },
            b"promote" => match order::parse_promote(rest) {
                Ok(order) => {
                    tracing::warn!(?order, "promotion ordered by a client");
                    order::promoted(self.member.promote(order).await)
                }
                Err(refusal) => refusal,
            },
            b"session" => match session::parse_order(rest) {
                Ok(order) => self.session(order).await,
                Err(refusal) => refusal,
            },
            b"fault" if !self.shared.config.allow_faults => {
                Answer::err("faults are off: start this member with --allow-faults")
            }
            b"fault" => match fault::parse(rest, &self.member.peers()) {
                Ok(order) => {
                    tracing::warn!(?order, "fault ordered by a client");
                    self.member.fault(&order);
                    Answer::OK
                }
                Err(refusal) => refusal,
            },
            b"index" if rest.is_empty() => Answer::count(self.seen.get()),
            b"members" if rest.is_empty() => members::listed(self.member.members().await),
            b"help" => members::help(),
            _ => self.order(words).await,
        }
    }

    /// `QUORATE ADD …` and all else that concerns who the members are.
    async fn order(&self, words: &[Bytes]) -> Answer {
        match members::parse(words) {
            Some(Ok(order)) => {
                tracing::warn!(?order, "ordered by a client");
                members::ordered(self.member.order(order).await)
            }
            Some(Err(refusal)) => refusal,
            None => Answer::err("unknown subcommand of 'quorate', try QUORATE HELP"),
        }
    }

    async fn session(&self, order: SessionOrder) -> Answer {
        let answer = match order {
            SessionOrder::Open(ttl) => {
                let opened = self.member.open_session(ttl).await;
                opened.map(|id| Answer::count(id.0))
            }
            SessionOrder::Close(id) => {
                let closed = self.member.close_session(id).await;
                closed.map(|()| Answer::OK)
            }
        };
        answer.unwrap_or_else(failure)
    }

    /// Puts an answer behind those before it; writes them if they have become many.
    async fn say(&mut self, answer: Answer) -> io::Result<()> {
        answer.encode(self.caller.protocol, &mut self.output);
        if self.output.len() >= FLUSH_BYTES {
            self.flush().await?;
        }
        Ok(())
    }

    /// Writes what was said. A client that reads slowly holds up its own requests and nothing else.
    async fn flush(&mut self) -> io::Result<()> {
        while !self.output.is_empty() {
            let write = self.stream.write_buf(&mut self.output);
            match tokio::time::timeout(WRITE_STALL_MAX, write).await {
                Ok(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => written?,
                Err(_) => return Err(io::ErrorKind::TimedOut.into()),
            };
        }
        // The buffer goes: the next round takes one of the size it needs.
        self.output = BytesMut::new();
        Ok(())
    }

    /// Ends the connection so that the last answer arrives: closing a socket with unread input would take it
    /// back. Whoever goes on sending is cut off.
    async fn linger(&mut self) -> io::Result<()> {
        self.stream.shutdown().await?;
        let drain = async {
            let mut scrap = [0; 4096];
            for _ in 0..1024 {
                self.stream.readable().await?;
                match self.stream.try_read(&mut scrap) {
                    Ok(0) => break,
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                    Ok(_) | Err(_) => {}
                }
            }
            Ok(())
        };
        tokio::time::timeout(Duration::from_millis(500), drain)
            .await
            .unwrap_or(Ok(()))
    }
}

impl Input {
    /// The requests that are all there, up to the limits of a round; and what is wrong behind them, if anything.
    fn take_round(&mut self) -> (Vec<Request>, Option<ProtocolError>) {
        let (mut requests, mut weight) = (Vec::new(), 0);
        while requests.len() < ROUND_REQUESTS_MAX && weight < ROUND_WEIGHT_MAX {
            match self.scanner.next(&mut self.buffer) {
                Ok(Some(arguments)) => {
                    let request = parse(&arguments, &self.sizes);
                    weight += arguments.iter().map(Bytes::len).sum::<usize>();
                    if let Request::Write(Write {
                        answers_value: true,
                        ..
                    }) = request
                    {
                        weight += self.sizes.value_bytes_max;
                    }
                    requests.push(request);
                }
                Ok(None) => return (requests, None),
                Err(error) => return (requests, Some(error)),
            }
        }
        (requests, None)
    }

    /// Gives the buffer back: a client that says nothing costs none.
    fn rest(&mut self, shared: &Shared) {
        self.buffer = BytesMut::new();
        shared.large_requests.give(self.charged);
        self.charged = 0;
    }

    /// Sees to it that the budget for large requests covers the buffer. False: it does not.
    fn charge(&mut self, shared: &Shared) -> bool {
        let needed = self.buffer.capacity().saturating_sub(FREE_INPUT_BYTES);
        let more = needed.saturating_sub(self.charged);
        if more > 0 && !shared.large_requests.take(more) {
            return false;
        }
        self.charged += more;
        true
    }
}
