//! What is applied: everywhere the same, once each, and only what is chosen.

use std::collections::HashMap;

use quorate_core::Position;

use super::{Verdict, Violation};

/// Only looked up, never iterated.
#[derive(Default)]
pub(super) struct Applied {
    /// What was applied at a position.
    commands: HashMap<Position, u64>,
    /// Where a command was.
    places: HashMap<u64, Position>,
}

impl Applied {
    /// What was applied, in order.
    pub(super) fn sequence(&self) -> Vec<(Position, u64)> {
        let mut all: Vec<_> = self.commands.iter().map(|(at, it)| (*at, *it)).collect();
        all.sort_unstable();
        all
    }

    /// A command is applied at one position only, and a position applies one command only.
    pub(super) fn on_applied(
        &mut self,
        host: usize,
        (at, command): (Position, u64),
        chosen: Position,
    ) -> Verdict {
        let first = *self.commands.entry(at).or_insert(command);
        if first != command {
            let what = format!("member {} applies another command at {at}", host + 1);
            return Err(Violation::new("all apply the same (A2)", what));
        }
        let place = *self.places.entry(command).or_insert(at);
        if place != at {
            let what = format!("member {} applies at {at} what stands at {place}", host + 1);
            return Err(Violation::new("a command is applied once (S1, B35)", what));
        }
        if at > chosen {
            let what = format!("member {} applies {at}, chosen is up to {chosen}", host + 1);
            return Err(Violation::new("only what is chosen is applied", what));
        }
        Ok(())
    }
}
