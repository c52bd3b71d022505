//! Hand-made hand-overs of work between threads, checked with loom.
