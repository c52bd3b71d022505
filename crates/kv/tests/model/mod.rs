//! What Redis does, said as plainly as possible, and the commands to try it with.

mod steps;

use std::collections::BTreeMap;

use bytes::Bytes;
use quorate_core::{SnapshotSource, StateMachine};
use quorate_kv::store::{Expiry, Only, OnlyExpiry, Since};
use quorate_kv::{Command, KvStore, Refusal, Reply};

pub(crate) use steps::{Step, step};

/// A map and a clock.
#[derive(Default)]
pub(crate) struct Model {
    pub(crate) entries: BTreeMap<Vec<u8>, (Vec<u8>, Option<u64>)>,
    pub(crate) time: u64,
}

impl Model {
    pub(crate) fn pass(&mut self, time: u64) {
        self.time = time;
        self.entries
            .retain(|_, (_, end)| end.is_none_or(|end| end > time));
    }

    fn put(&mut self, key: &[u8], value: Vec<u8>, end: Option<u64>) {
        self.entries.insert(key.to_vec(), (value, end));
        self.pass(self.time);
    }

    #[allow(clippy::too_many_lines, reason = "one command after the other")]
    pub(crate) fn apply(&mut self, command: &Command<'_>) -> Reply {
        match command {
            Command::Set {
                key,
                value,
                only,
                expiry,
                get,
            } => {
                let former = self.entries.get(key.0).cloned();
                let end = match expiry {
                    Expiry::Never => None,
                    Expiry::Keep => former.as_ref().and_then(|(_, end)| *end),
                    Expiry::After(millis) => Some(self.time + millis),
                    Expiry::At(time) => Some(time.0),
                };
                let holds = match only {
                    Only::Always => true,
                    Only::Absent => former.is_none(),
                    Only::Present => former.is_some(),
                };
                if holds {
                    self.put(key.0, value.0.to_vec(), end);
                }
                match (get, former) {
                    (true, Some((value, _))) => Reply::Bulk(value.into()),
                    (true, None) => Reply::Nil,
                    (false, _) => {
                        if holds {
                            Reply::Ok
                        } else {
                            Reply::Nil
                        }
                    }
                }
            }
            Command::SetMany { pairs } => {
                for (key, value) in pairs {
                    self.put(key.0, value.0.to_vec(), None);
                }
                Reply::Ok
            }
            Command::Delete { keys } => {
                let gone = keys
                    .iter()
                    .filter(|key| self.entries.remove(key.0).is_some());
                integer(gone.count())
            }
            Command::Take { key } => match self.entries.remove(key.0) {
                Some((value, _)) => Reply::Bulk(value.into()),
                None => Reply::Nil,
            },
            Command::Add { key, delta } => {
                let (value, end) = self
                    .entries
                    .get(key.0)
                    .cloned()
                    .unwrap_or((b"0".to_vec(), None));
                let text = String::from_utf8(value).unwrap_or_default();
                let number = text
                    .parse::<i64>()
                    .ok()
                    .filter(|number| number.to_string() == text);
                let Some(number) = number else {
                    return Reply::Refused(Refusal::NotAnInteger);
                };
                let Some(sum) = number.checked_add(*delta) else {
                    return Reply::Refused(Refusal::Overflow);
                };
                self.put(key.0, sum.to_string().into_bytes(), end);
                Reply::Integer(sum)
            }
            Command::Append {
                key,
                value,
                bytes_max,
            } => {
                let (mut whole, end) = self.entries.get(key.0).cloned().unwrap_or_default();
                whole.extend_from_slice(value.0);
                if whole.len() as u64 > *bytes_max {
                    return Reply::Refused(Refusal::TooLong);
                }
                let length = whole.len();
                self.put(key.0, whole, end);
                integer(length)
            }
            Command::Expire {
                key,
                millis,
                since,
                only,
            } => {
                let base = if *since == Since::Now { self.time } else { 0 };
                let end = base.saturating_add_signed(*millis);
                let Some((value, current)) = self.entries.get(key.0).cloned() else {
                    return Reply::Integer(0);
                };
                let holds = match only {
                    OnlyExpiry::Always => true,
                    OnlyExpiry::None => current.is_none(),
                    OnlyExpiry::Some => current.is_some(),
                    OnlyExpiry::Later => current.is_some_and(|current| end > current),
                    OnlyExpiry::Earlier => current.is_none_or(|current| end < current),
                };
                if holds {
                    self.put(key.0, value, Some(end));
                }
                Reply::Integer(i64::from(holds))
            }
            Command::Persist { key } => match self.entries.get_mut(key.0) {
                Some((_, end)) => Reply::Integer(i64::from(end.take().is_some())),
                None => Reply::Integer(0),
            },
            Command::Clear => {
                self.entries.clear();
                Reply::Ok
            }
        }
    }
}

fn integer(number: usize) -> Reply {
    Reply::Integer(i64::try_from(number).unwrap())
}

pub(crate) fn chunks(store: &KvStore, bytes_max: usize) -> Vec<Bytes> {
    let mut snapshot = store.snapshot();
    std::iter::from_fn(|| snapshot.next_chunk(bytes_max)).collect()
}

pub(crate) fn restored(chunks: Vec<Bytes>) -> KvStore {
    KvStore::restore(&mut chunks.into_iter()).unwrap()
}

pub(crate) fn scan_all(store: &KvStore, count: usize) -> Vec<Bytes> {
    let (mut keys, mut cursor) = (Vec::new(), 0);
    loop {
        let page = store.scan(cursor, None, count);
        keys.extend(page.keys);
        if page.cursor == 0 {
            return keys;
        }
        assert!(page.cursor > cursor, "a scan goes on");
        cursor = page.cursor;
    }
}

pub(crate) fn chunks_of(store: &KvStore) -> Vec<u8> {
    chunks(store, 100).concat()
}
