//! Locks whose holders never await, never call the user and never panic on purpose.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks; a panic elsewhere does not spread, since every critical section leaves its state whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
