//! The journal's thread, as the core knows it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use quorate_core::{Event, Mark};
use quorate_handoff::{BatchSender, Observer, Publisher, watermark};
use quorate_journal::{Disk, Entry, Event as JournalEvent, Journal, JournalError, JournalThread};
use tokio::task;

use crate::inputs::Notice;
use crate::park;

/// A journal that writes in a thread of its own and says by a watermark what is durable.
pub(crate) struct Writer {
    thread: JournalThread,
    failure: Arc<OnceLock<JournalError>>,
}

impl Writer {
    pub(crate) fn start<D, M, S>(
        journal: Journal<D>,
        notices: BatchSender<Notice<M, S>>,
    ) -> Result<(Self, Observer), JournalError>
    where
        D: Disk + Send + 'static,
        D::File: Send,
        M: Send + 'static,
        S: Send + 'static,
    {
        let (publisher, observer) = watermark(journal.last().0);
        let failure = Arc::<OnceLock<JournalError>>::default();
        let mut told = Told {
            publisher: Some(publisher),
            notices,
            failure: Arc::clone(&failure),
        };
        let thread = JournalThread::spawn(journal, move |event| told.on_event(event))?;
        Ok((Self { thread, failure }, observer))
    }

    /// Queues records. If the journal has failed they are lost, and the watermark has told so.
    pub(crate) fn append(&self, entries: impl IntoIterator<Item = Entry>) {
        let _ = self.thread.append(entries);
    }

    /// Makes records durable here and now, if that is quick; see [`JournalThread::commit_here`].
    pub(crate) fn commit_here(&self, entries: &mut Vec<Entry>, patience: Duration) -> Option<Mark> {
        self.thread.commit_here(entries, patience)
    }

    pub(crate) fn reclaim(&self, below: Mark) {
        self.thread.reclaim(below);
    }

    /// Payload bytes that are not durable yet.
    pub(crate) fn bytes_under_way(&self) -> u64 {
        self.thread.queued_bytes()
    }

    /// Why the watermark failed; none if the thread panicked.
    pub(crate) fn failure(&self) -> Option<JournalError> {
        self.failure.get().cloned()
    }

    /// Waits until all that was queued is durable and the thread is gone. The error is none if it panicked.
    pub(crate) async fn close(self) -> Result<(), Option<JournalError>> {
        match task::spawn_blocking(move || self.thread.stop()).await {
            Ok(stopped) => stopped.map(drop).map_err(Some),
            Err(_) => Err(None),
        }
    }
}

/// What the thread's events are turned into. Dropped before its time, it fails the watermark.
struct Told<M, S> {
    publisher: Option<Publisher>,
    notices: BatchSender<Notice<M, S>>,
    failure: Arc<OnceLock<JournalError>>,
}

impl<M, S> Told<M, S> {
    fn on_event(&mut self, event: JournalEvent) {
        match event {
            JournalEvent::Durable(mark) => {
                if let Some(publisher) = &mut self.publisher {
                    publisher.publish(mark.0);
                }
            }
            JournalEvent::Room(available) => {
                let notice = Notice::Event(Event::Room { available });
                let weight = notice.weight();
                // Refused only if the core is gone; then nobody wants to know.
                let _ = park::block_on(self.notices.push_when_room(notice, weight), &park::waker());
            }
            JournalEvent::Failed(error) => {
                // The reason first: whoever sees the watermark fail asks for it.
                let _ = self.failure.set(error);
                if let Some(publisher) = self.publisher.take() {
                    publisher.fail();
                }
            }
        }
    }
}
