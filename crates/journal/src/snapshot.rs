//! Snapshots.

/// Whether a file of this name is a complete snapshot.
pub(crate) fn is_snapshot(name: &str) -> bool {
    name.ends_with(".snapshot")
}
