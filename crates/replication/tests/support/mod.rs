//! Clusters of linked members and learners: disks, links, clocks, all simulated. Every message and record goes through
//! its encoding.
#![allow(dead_code)] // Each test uses its part of it.

pub mod kinds;
pub mod seat;
pub mod wires;
pub mod world;
