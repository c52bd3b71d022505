//! The tokio runtime of one member of a replicated log.
