//! Primary-backup without consensus, as a deterministic replicated log.
#![no_std]
#![forbid(unsafe_code)]
