//! What the benchmarks share, here and in `benches/peers`: the workloads, and how figures are taken.
//!
//! - [`cores`]: members in one thread, memory only. Any [`Cores`](cores::Cores) runs under it: a
//!   [`ReplicatedLog`](quorate_core::ReplicatedLog) through [`Members`](cores::Members), another library through an
//!   `impl` of its own.
//! - [`cluster`]: clients that each wait for one answer, against any [`Service`](cluster::Service).
//! - [`rounds`]: rounds of several contenders that alternate; medians and spreads.
//!
//! `docs/performance.md` says how to run them and what each figure means.
#![forbid(unsafe_code)]

pub mod cluster;
pub mod cores;
pub mod journal;
pub mod pair;
pub mod rounds;

pub use quorate_load::raw;
