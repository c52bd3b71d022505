//! The vocabulary and the contracts of Quorate: replicated logs as deterministic state machines.
