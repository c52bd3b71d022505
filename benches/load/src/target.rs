//! A server as its clients see it.

use std::future::Future;
use std::io;

use bytes::Bytes;

/// A server of one or more members, each of which takes connections.
pub trait Target: 'static {
    /// A connection.
    type Session: Session;

    /// How many members there are.
    fn members(&self) -> usize;

    /// Connects to one of them, counted from 0.
    fn connect(&self, member: usize) -> impl Future<Output = io::Result<Self::Session>>;
}

/// A connection with one request under way at a time.
pub trait Session: 'static {
    /// Writes a value.
    fn put(&mut self, key: &[u8], value: &[u8]) -> impl Future<Output = Fate<()>>;

    /// Reads one.
    fn get(&mut self, key: &[u8]) -> impl Future<Output = Fate<Option<Bytes>>>;
}

/// How a request ended, as its client can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate<T> {
    /// Acknowledged, with this answer.
    Done(T),
    /// Surely not carried out; the connection is good.
    Refused,
    /// It may have been carried out, or may yet be.
    Unknown {
        /// Whether the connection is still good.
        usable: bool,
    },
}

impl<T> Fate<T> {
    /// The same with another answer.
    pub fn map<U>(self, into: impl FnOnce(T) -> U) -> Fate<U> {
        match self {
            Self::Done(answer) => Fate::Done(into(answer)),
            Self::Refused => Fate::Refused,
            Self::Unknown { usable } => Fate::Unknown { usable },
        }
    }
}
