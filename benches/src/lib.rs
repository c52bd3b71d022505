//! Criterion benchmarks of Quorate.
