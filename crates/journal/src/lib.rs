//! A durable journal: segmented, checksummed, group-committed, and honest about what it lost.
