//! x
pub mod linearizability;
