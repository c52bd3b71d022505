//! A framed, bounded, checksummed transport between the members of a cluster, over tokio.
