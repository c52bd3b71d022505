//! Replicated logs that can be swapped for one another.
//!
//! A log replicates commands to a few members, so that a program goes on, with nothing acknowledged lost, when some of
//! them fail. Quorate has such logs as plain state machines ([`core::ReplicatedLog`]: one input in, outputs out, no
//! clock, no thread, no socket), a runtime that drives any of them over real sockets and disks (`node`), and around
//! them what every replicated program needs: at-most-once commands, linearizable reads, snapshots, honest errors.
//!
//! # A replicated counter, three members in one process
//! What is replicated is a [`core::StateMachine`]; the whole program around it is this:
#![cfg_attr(all(feature = "raft", feature = "node"), doc = "```")]
#![cfg_attr(not(all(feature = "raft", feature = "node")), doc = "```ignore")]
#![doc = include_str!("../examples/counter.rs")]
//! ```
//! `examples/embed.rs` goes on from there: it stops the leader and starts it again from its directory.
//!
//! # Which crate
//! | I want | module | feature | crate |
//! |---|---|---|---|
//! | to write a state machine, or a log of my own | [`core`] | | `quorate-core` |
//! | Raft | `raft` | `raft` | `quorate-raft` |
//! | Multi-Paxos | `paxos` | `paxos` | `quorate-paxos` |
//! | primary-backup without consensus, to compare with | `primary_backup` | `primary-backup` | `quorate-primary-backup` |
//! | to choose how entries get to the others | `replication` | `replication` | `quorate-replication` |
//! | to run a member in my program | `node` | `node` | `quorate-node` |
//! | its journal and snapshots alone | `journal` | `node` | `quorate-journal` |
//! | framed links between members alone | `transport` | `node` | `quorate-transport` |
//! | a key-value state machine | `kv` | `kv` | `quorate-kv` |
//!
//! `raft` and `node` are on by default. Everything here is a re-export; the crates can be used one by one.
#![forbid(unsafe_code)]

pub use quorate_core as core;
#[cfg(feature = "node")]
pub use quorate_journal as journal;
#[cfg(feature = "kv")]
pub use quorate_kv as kv;
#[cfg(feature = "node")]
pub use quorate_node as node;
#[cfg(feature = "paxos")]
pub use quorate_paxos as paxos;
#[cfg(feature = "primary-backup")]
pub use quorate_primary_backup as primary_backup;
#[cfg(feature = "raft")]
pub use quorate_raft as raft;
#[cfg(feature = "replication")]
pub use quorate_replication as replication;
#[cfg(feature = "node")]
pub use quorate_transport as transport;
