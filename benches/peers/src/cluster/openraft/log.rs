//! A log in memory.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::type_config::alias::{EntryOf, LogIdOf, VoteOf};
use openraft::{OptionalSend, RaftLogReader};

use super::Types;

#[derive(Debug, Default)]
struct Held {
    vote: Option<VoteOf<Types>>,
    purged: Option<LogIdOf<Types>>,
    /// Consecutive, the first at `first`.
    entries: VecDeque<EntryOf<Types>>,
    first: u64,
}

impl Held {
    /// Keeps the entries before index `end`.
    fn cut(&mut self, end: u64) {
        self.entries
            .truncate(end.saturating_sub(self.first) as usize);
    }
}

/// Shared by the log and those who read it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Held>>);

impl Log {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RaftLogReader<Types> for Log {
    async fn try_get_log_entries<R>(&mut self, range: R) -> Result<Vec<EntryOf<Types>>, io::Error>
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let held = self.held();
        let (first, length) = (held.first, held.entries.len());
        let place = |index: u64| (index.saturating_sub(first) as usize).min(length);
        let from = match range.start_bound() {
            Bound::Included(index) => place(*index),
            Bound::Excluded(index) => place(*index + 1),
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(index) => place(*index + 1),
            Bound::Excluded(index) => place(*index),
            Bound::Unbounded => length,
        };
        Ok(held.entries.range(from..to.max(from)).cloned().collect())
    }

    async fn read_vote(&mut self) -> Result<Option<VoteOf<Types>>, io::Error> {
        Ok(self.held().vote)
    }
}

impl RaftLogStorage<Types> for Log {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, io::Error> {
        let held = self.held();
        let last = held.entries.back().map(|entry| entry.log_id);
        Ok(LogState {
            last_purged_log_id: held.purged,
            last_log_id: last.or(held.purged),
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &VoteOf<Types>) -> Result<(), io::Error> {
        self.held().vote = Some(*vote);
        Ok(())
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = EntryOf<Types>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        {
            let mut held = self.held();
            for entry in entries {
                let index = entry.index();
                if held.entries.is_empty() {
                    held.first = index;
                }
                held.cut(index);
                held.entries.push_back(entry);
            }
        }
        callback.io_completed(Ok(()));
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogIdOf<Types>>) -> Result<(), io::Error> {
        self.held().cut(last.map_or(0, |last| last.index + 1));
        Ok(())
    }

    async fn purge(&mut self, upto: LogIdOf<Types>) -> Result<(), io::Error> {
        let mut held = self.held();
        let count = (upto.index + 1).saturating_sub(held.first) as usize;
        let count = count.min(held.entries.len());
        held.entries.drain(..count);
        held.first = upto.index + 1;
        held.purged = Some(upto);
        Ok(())
    }
}
