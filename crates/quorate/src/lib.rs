//! Replicated logs that can be swapped for one another.
