//! A replicated key-value state machine, and a server that speaks the Redis protocol.
//!
//! [`KvStore`] is a [`StateMachine`](quorate_core::StateMachine): commands go in as bytes from a log, replies come
//! out, and every member that applies the same log holds the same state. Whoever embeds it proposes
//! [`Command`]s and reads from `&KvStore`:
//! ```
//! use quorate_core::{At, Position, StateMachine, Timestamp};
//! use quorate_kv::{Command, KvStore, Reply};
//!
//! let mut store = KvStore::new();
//! let at = |position| At { position: Position(position), time: Timestamp(1_000) };
//!
//! let reply = store.apply(at(1), &Command::set(b"greeting", b"hello").encode());
//! assert_eq!(reply, Reply::Ok);
//! let reply = store.apply(at(2), &Command::add(b"visits", 3).encode());
//! assert_eq!(reply, Reply::Integer(3));
//!
//! assert_eq!(store.get(b"greeting").as_deref(), Some(&b"hello"[..]));
//! assert_eq!(store.dbsize(), 2);
//! ```
//! With a log beneath it, it is replicated: `quorate-node` runs one, `Node::propose` takes the bytes of
//! [`Command::encode`], `Node::read` hands out `&KvStore`.
//!
//! The feature `server`, on by default, adds the server in front of such a member and the binary `quorate-kv`. Without
//! it this crate is the state machine alone.
#![forbid(unsafe_code)]

#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
pub mod server;
pub mod store;

pub use store::{Command, KvStore, Refusal, Reply};
