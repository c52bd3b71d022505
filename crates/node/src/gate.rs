//! Who is let in: nobody under a name that another disk had.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use quorate_core::{Incarnation, NodeId};
use quorate_handoff::BatchSender;
use quorate_journal::{Disk, JournalError, Meeting, PeerBook};
use quorate_transport::{Denial, Doorkeeper};

use crate::error::Stopped;
use crate::inputs::Notice;

/// Remembers on disk which member had which disk, and ends this member if others have met it with another one.
pub(crate) struct Gate<D: Disk, M, S> {
    book: Mutex<Book<D>>,
    /// What the book says of those who were looked up.
    known: RwLock<BTreeMap<NodeId, Incarnation>>,
    notices: BatchSender<Notice<M, S>>,
}

/// Where it stands who was met.
enum Book<D: Disk> {
    Open(PeerBook<D>),
    /// Nothing is kept: who forgets everything himself asks nobody to remember.
    None,
    /// The member has ended, and its directory is free for another.
    Closed,
}

/// Closes a gate when the member ends, however it does.
pub(crate) struct CloseOnDrop(Arc<dyn Close>);

trait Close: Send + Sync {
    fn close(&self);
}

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl<D: Disk + Send, M: Send, S: Send> Close for Gate<D, M, S> {
    fn close(&self) {
        *self.lock() = Book::Closed;
    }
}

impl<D: Disk + Send + 'static, M: Send + 'static, S: Send + 'static> Gate<D, M, S> {
    /// What closes it.
    pub(crate) fn closer(self: &Arc<Self>) -> CloseOnDrop {
        CloseOnDrop(Arc::clone(self) as _)
    }
}

impl<D: Disk, M, S> Gate<D, M, S> {
    pub(crate) fn new(book: Option<PeerBook<D>>, notices: BatchSender<Notice<M, S>>) -> Self {
        Self {
            known: RwLock::new(book.iter().flat_map(PeerBook::all).collect()),
            book: Mutex::new(book.map_or(Book::None, Book::Open)),
            notices,
        }
    }

    fn known(&self, id: NodeId) -> Option<Incarnation> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(&id).copied()
    }

    fn lock(&self) -> MutexGuard<'_, Book<D>> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, stopped: Stopped) {
        let notice = Notice::Failed(stopped);
        let weight = notice.weight();
        // Refused if the core is gone or has much to do: then it is said again at the next call.
        let _ = self.notices.push(notice, weight);
    }

    fn meet(&self, id: NodeId, incarnation: Incarnation) -> Result<Meeting, JournalError> {
        let mut book = self.lock();
        let meeting = match &mut *book {
            Book::Open(book) => book.meet(id, incarnation)?,
            Book::None => return Ok(Meeting::Same),
            Book::Closed => return Ok(Meeting::NoRoom),
        };
        if meeting == Meeting::Same {
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            known.insert(id, incarnation);
        }
        Ok(meeting)
    }
}

impl<D, M, S> Doorkeeper for Gate<D, M, S>
where
    D: Disk + Send + 'static,
    M: Send + 'static,
    S: Send + 'static,
{
    fn admit(&self, id: NodeId, incarnation: Incarnation) -> Result<(), Denial> {
        if self.known(id) == Some(incarnation) {
            return Ok(());
        }
        match self.meet(id, incarnation) {
            Ok(Meeting::Same) => Ok(()),
            Ok(Meeting::Other(known)) => Err(Denial::OtherDisk { known }),
            Ok(Meeting::NoRoom) => Err(Denial::Unable),
            Err(error) => {
                self.fail(Stopped::Journal(error));
                Err(Denial::Unable)
            }
        }
    }

    fn recognise(&self, id: NodeId, incarnation: Incarnation) -> Result<(), Denial> {
        match self.known(id) {
            Some(known) if known != incarnation => Err(Denial::OtherDisk { known }),
            Some(_) | None => Ok(()),
        }
    }

    fn on_disowned(&self, by: NodeId) {
        self.fail(Stopped::Wiped { by });
    }
}
