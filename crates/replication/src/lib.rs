//! Push, pull and mixed replication.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod borrow;
mod config;
mod feed;
mod frame;
mod hollow;
mod lag;
mod learner;
mod linked;
mod pace;
mod receiving;
mod sending;
mod sink;
mod source;

pub use config::{Budget, LinkConfig};
pub use frame::{Body, Frame, Head, Page, Pull, Void, Want};
pub use learner::{LearnedRecord, Learner, LearnerConfig};
pub use linked::Linked;
