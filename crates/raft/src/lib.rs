//! Raft, from scratch, as a deterministic replicated log.
