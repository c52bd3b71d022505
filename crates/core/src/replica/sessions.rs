//! Exactly once: the sessions of clients, and the replies that they may ask for again.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use core::mem;

use serde::{Deserialize, Serialize};

use super::origins::mix;
use crate::{At, Position, SessionCall, SessionError, SessionId, Timestamp};

/// All open sessions: part of the replicated state, the same at the same position on every member.
///
/// Everything that decides here comes from the log: positions, numbers, log time, and limits that are the same
/// everywhere because they are constants (`RELIABILITY` S1 to S4). A session is shared with the snapshots that are being
/// written and copied when it changes meanwhile.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    open: BTreeMap<SessionId, Arc<Session>>,
    /// When each ends, the earliest first.
    ends: BTreeSet<(Timestamp, SessionId)>,
    /// Whose reply was given where, the oldest first.
    ages: BTreeMap<Position, (SessionId, u64)>,
    /// What all replies weigh together.
    weight: u64,
    /// The exclusive or of a fingerprint of each session and of each reply.
    digest: u64,
}

/// One session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Session {
    id: SessionId,
    ttl_millis: u64,
    ends: Timestamp,
    /// At and below this number no reply is kept, and nothing will be applied.
    floor: u64,
    replies: BTreeMap<u64, Kept>,
}

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// Where the command was applied.
    at: Position,
    reply: Arc<[u8]>,
}

/// What is to be done with a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// Apply it, then [`keep`](Sessions::keep) the reply.
    Fresh,
    /// It was applied there, and answered so.
    Seen(Position, Arc<[u8]>),
    /// Neither.
    Refused(SessionError),
}

impl Sessions {
    /// Sessions at once.
    pub(super) const SESSIONS_MAX: usize = 1 << 16;
    /// Replies kept for one session.
    pub(super) const REPLIES_MAX: usize = 1024;
    /// What the replies of all sessions may weigh together; then the oldest go.
    pub(super) const WEIGHT_MAX: u64 = 64 << 20;
    /// What a reply weighs beside its bytes.
    const OVERHEAD: u64 = 128;

    /// Opens a session at this command's position.
    pub(super) fn open(&mut self, at: At, ttl_millis: u64) -> Result<SessionId, SessionError> {
        if self.open.len() >= Self::SESSIONS_MAX {
            return Err(SessionError::TooMany);
        }
        let ttl_millis = ttl_millis.min(SessionCall::TTL_MAX.as_millis() as u64);
        let session = Session {
            id: SessionId(at.position.0),
            ttl_millis,
            ends: at.time.plus_millis(ttl_millis),
            floor: 0,
            replies: BTreeMap::new(),
        };
        let id = session.id;
        self.add(session);
        Ok(id)
    }

    /// Ends a session.
    pub(super) fn close(&mut self, id: SessionId) -> Result<(), SessionError> {
        let session = self.open.remove(&id).ok_or(SessionError::Expired)?;
        self.digest ^= session.fingerprint();
        self.ends.remove(&(session.ends, id));
        for (sequence, kept) in &session.replies {
            self.digest ^= kept.fingerprint(id, *sequence);
            self.weight -= kept.weight();
            self.ages.remove(&kept.at);
        }
        Ok(())
    }

    /// Log time has gone on: ends what has had no command for too long.
    pub(super) fn expire(&mut self, time: Timestamp) {
        while let Some((ends, id)) = self.ends.first().copied() {
            if ends > time {
                return;
            }
            self.close(id).expect("what ends is open");
        }
    }

    /// When log time should next go on even if no command comes.
    pub(super) fn wakeup(&self) -> Option<Timestamp> {
        self.ends.first().map(|(ends, _)| *ends)
    }

    /// What is to be done with the command `sequence` of a session at log time `time`. It puts off the session's end, and
    /// lets go what the client has `received`.
    pub(super) fn admit(
        &mut self,
        time: Timestamp,
        (id, sequence, received): (SessionId, u64, u64),
    ) -> Admission {
        let Some(session) = self.open.get_mut(&id) else {
            return Admission::Refused(SessionError::Expired);
        };
        let ends = time.plus_millis(session.ttl_millis);
        if ends > session.ends {
            self.ends.remove(&(session.ends, id));
            self.ends.insert((ends, id));
            self.digest ^= session.fingerprint();
            Arc::make_mut(session).ends = ends;
            self.digest ^= session.fingerprint();
        }
        self.forget_upto(id, received);
        self.known(id, sequence).unwrap_or(Admission::Fresh)
    }

    /// What is known of a command of an open session already.
    pub(super) fn known(&self, id: SessionId, sequence: u64) -> Option<Admission> {
        let session = self.open.get(&id)?;
        if sequence <= session.floor {
            return Some(Admission::Refused(SessionError::Forgotten));
        }
        let kept = session.replies.get(&sequence)?;
        Some(Admission::Seen(kept.at, kept.reply.clone()))
    }

    /// Keeps the reply to a command that was fresh; older ones may go for it.
    pub(super) fn keep(&mut self, id: SessionId, sequence: u64, at: Position, reply: Arc<[u8]>) {
        let session = self.open.get_mut(&id).expect("it was admitted");
        let kept = Kept { at, reply };
        self.digest ^= kept.fingerprint(id, sequence);
        self.weight += kept.weight();
        self.ages.insert(at, (id, sequence));
        let session = Arc::make_mut(session);
        session.replies.insert(sequence, kept);
        if session.replies.len() > Self::REPLIES_MAX
            && let Some((lowest, _)) = session.replies.first_key_value()
        {
            let lowest = *lowest;
            self.forget_upto(id, lowest);
        }
        while self.weight > Self::WEIGHT_MAX && self.ages.len() > 1 {
            let (id, sequence) = *self.ages.first_entry().expect("several").get();
            self.forget_upto(id, sequence);
        }
    }

    /// Raises a session's floor.
    fn forget_upto(&mut self, id: SessionId, floor: u64) {
        let session = self.open.get_mut(&id).expect("asked for one that is open");
        if floor <= session.floor {
            return;
        }
        self.digest ^= session.fingerprint();
        let session = Arc::make_mut(session);
        session.floor = floor;
        let above = floor
            .checked_add(1)
            .map(|next| session.replies.split_off(&next));
        let above = above.unwrap_or_default();
        for (sequence, kept) in mem::replace(&mut session.replies, above) {
            self.digest ^= kept.fingerprint(id, sequence);
            self.weight -= kept.weight();
            self.ages.remove(&kept.at);
        }
        self.digest ^= session.fingerprint();
    }

    /// A fingerprint of it all.
    pub(super) const fn digest(&self) -> u64 {
        self.digest
    }

    /// All sessions as of now, in their order.
    pub(super) fn all(&self) -> impl ExactSizeIterator<Item = Arc<Session>> {
        self.open.values().cloned()
    }

    /// Takes in a session of a snapshot, which come in their order. False: they do not, or this cannot be one.
    pub(super) fn restore(&mut self, session: Session) -> bool {
        let sound = self.open.len() < Self::SESSIONS_MAX
            && self
                .open
                .last_key_value()
                .is_none_or(|(last, _)| *last < session.id)
            && session
                .replies
                .keys()
                .all(|sequence| *sequence > session.floor);
        if !sound {
            return false;
        }
        for (sequence, kept) in &session.replies {
            self.digest ^= kept.fingerprint(session.id, *sequence);
            self.weight += kept.weight();
            self.ages.insert(kept.at, (session.id, *sequence));
        }
        self.add(session);
        true
    }

    fn add(&mut self, session: Session) {
        self.digest ^= session.fingerprint();
        self.ends.insert((session.ends, session.id));
        self.open.insert(session.id, Arc::new(session));
    }
}

impl Session {
    /// Without the replies.
    fn fingerprint(&self) -> u64 {
        let Self {
            id,
            ttl_millis,
            ends,
            floor,
            ..
        } = self;
        [*ttl_millis, ends.0, *floor].into_iter().fold(id.0, mix)
    }
}

impl Kept {
    fn fingerprint(&self, id: SessionId, sequence: u64) -> u64 {
        let (words, rest) = self.reply.as_chunks::<8>();
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        let words = words
            .iter()
            .chain([&last])
            .map(|word| u64::from_le_bytes(*word));
        let head = [sequence, self.at.0, self.reply.len() as u64];
        head.into_iter().chain(words).fold(!id.0, mix)
    }

    fn weight(&self) -> u64 {
        Sessions::OVERHEAD + self.reply.len() as u64
    }
}

#[cfg(test)]
mod tests;
