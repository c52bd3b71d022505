//! Members on real sockets and disks, over Raft.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod crash;
mod disk;
mod harness;
mod hooked;
mod limits;
mod membership;
mod reads;
mod sessions;
mod snapshots;
mod stopping;
mod together;
mod wiped;
