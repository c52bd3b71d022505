//! A replicated key-value state machine, and a server that speaks the Redis protocol.
