//! What each command does.

use bytes::{Bytes, BytesMut};
use quorate_core::Timestamp;

use super::command::{Command, Expiry, Only, OnlyExpiry, Since};
use super::table::{Entry, NEVER};
use super::{KvStore, Refusal, Reply};

/// The last millisecond that can be spoken of: Redis's times are signed.
const TIME_MAX: u64 = i64::MAX as u64;

impl KvStore {
    /// Carries out a command at the present log time.
    pub(super) fn execute(&mut self, command: Command<'_>) -> Reply {
        match command {
            Command::Set {
                key,
                value,
                only,
                expiry,
                get,
            } => self.set(key.0, value.0, only, expiry, get),
            Command::SetMany { pairs } => {
                for (key, value) in pairs {
                    self.put(key.0, Bytes::copy_from_slice(value.0), NEVER);
                }
                Reply::Ok
            }
            Command::Delete { keys } => {
                let there = |key: &[u8]| i64::from(self.remove(key).is_some());
                Reply::Integer(keys.iter().map(|key| key.0).map(there).sum())
            }
            Command::Take { key } => match self.remove(key.0) {
                Some(entry) => Reply::Bulk(entry.value),
                None => Reply::Nil,
            },
            Command::Add { key, delta } => self.add(key.0, delta),
            Command::Append {
                key,
                value,
                bytes_max,
            } => self.append(key.0, value.0, bytes_max),
            Command::Expire {
                key,
                millis,
                since,
                only,
            } => self.expire(key.0, millis, since, only),
            Command::Persist { key } => self.persist(key.0),
            Command::Clear => {
                self.clear();
                Reply::Ok
            }
        }
    }

    /// The entry of a key whose time has not come.
    pub(super) fn live(&self, key: &[u8]) -> Option<&Entry> {
        self.table.get(key).filter(|entry| entry.expiry > self.time)
    }

    fn set(&mut self, key: &[u8], value: &[u8], only: Only, expiry: Expiry, get: bool) -> Reply {
        let former = self.live(key);
        let expiry = match expiry {
            Expiry::Never => NEVER,
            Expiry::Keep => former.map_or(NEVER, |entry| entry.expiry),
            Expiry::At(time) => time,
            Expiry::After(millis) => match self.time.as_millis().checked_add(millis) {
                Some(time) if time <= TIME_MAX => Timestamp(time),
                _ => return Reply::Refused(Refusal::ExpireTime),
            },
        };
        let holds = match only {
            Only::Always => true,
            Only::Absent => former.is_none(),
            Only::Present => former.is_some(),
        };
        let reply = match (get, former) {
            (true, Some(entry)) => Reply::Bulk(entry.value.clone()),
            (false, _) if holds => Reply::Ok,
            (true, None) | (false, _) => Reply::Nil,
        };
        if holds {
            self.put(key, Bytes::copy_from_slice(value), expiry);
        }
        reply
    }

    fn add(&mut self, key: &[u8], delta: i64) -> Reply {
        let (number, expiry) = match self.live(key) {
            None => (0, NEVER),
            Some(entry) => match parse_integer(&entry.value) {
                Some(number) => (number, entry.expiry),
                None => return Reply::Refused(Refusal::NotAnInteger),
            },
        };
        let Some(sum) = number.checked_add(delta) else {
            return Reply::Refused(Refusal::Overflow);
        };
        self.put(key, sum.to_string().into(), expiry);
        Reply::Integer(sum)
    }

    fn append(&mut self, key: &[u8], more: &[u8], bytes_max: u64) -> Reply {
        let (value, expiry) = match self.live(key) {
            None => (&b""[..], NEVER),
            Some(entry) => (&entry.value[..], entry.expiry),
        };
        let length = value.len() + more.len();
        if length as u64 > bytes_max {
            return Reply::Refused(Refusal::TooLong);
        }
        let mut whole = BytesMut::with_capacity(length);
        whole.extend_from_slice(value);
        whole.extend_from_slice(more);
        self.put(key, whole.freeze(), expiry);
        Reply::Integer(i64::try_from(length).expect("a value fits into memory"))
    }

    fn expire(&mut self, key: &[u8], millis: i64, since: Since, only: OnlyExpiry) -> Reply {
        let base = match since {
            Since::Now => self.time.as_millis(),
            Since::Epoch => 0,
        };
        let end = match base.checked_add_signed(millis) {
            Some(end) if end <= TIME_MAX => Timestamp(end),
            // Before the epoch: long past.
            None if millis < 0 => Timestamp::ZERO,
            _ => return Reply::Refused(Refusal::ExpireTime),
        };
        let Some(current) = self.live(key).map(|entry| entry.expiry) else {
            return Reply::Integer(0);
        };
        let holds = match only {
            OnlyExpiry::Always => true,
            OnlyExpiry::None => current == NEVER,
            OnlyExpiry::Some => current != NEVER,
            OnlyExpiry::Later => end > current,
            OnlyExpiry::Earlier => end < current,
        };
        if holds && end > self.time {
            self.table.set_expiry(key, end);
        } else if holds {
            self.table.remove(key);
        }
        Reply::Integer(i64::from(holds))
    }

    fn persist(&mut self, key: &[u8]) -> Reply {
        let ends = self.live(key).is_some_and(|entry| entry.expiry != NEVER);
        if ends {
            self.table.set_expiry(key, NEVER);
        }
        Reply::Integer(i64::from(ends))
    }

    /// Sets a key; with an end that has come already, removes it.
    fn put(&mut self, key: &[u8], value: Bytes, expiry: Timestamp) {
        if expiry > self.time {
            self.table.insert(key, value, expiry);
        } else {
            self.table.remove(key);
        }
    }

    /// Removes a key whose time has not come. Others are left to the sweep.
    fn remove(&mut self, key: &[u8]) -> Option<Entry> {
        self.live(key)?;
        self.table.remove(key)
    }
}

/// The number that these bytes are, written as Redis writes it: no sign but a minus, no leading zero, no space.
pub(crate) fn parse_integer(bytes: &[u8]) -> Option<i64> {
    let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let canonical = match digits {
        [b'0'] => bytes.len() == 1,
        [b'1'..=b'9', ..] => true,
        _ => false,
    };
    if !canonical {
        return None;
    }
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::parse_integer;

    #[test]
    fn integers_are_read_as_redis_reads_them() {
        let good: [(&[u8], i64); 5] = [
            (b"0", 0),
            (b"-1", -1),
            (b"10", 10),
            (b"9223372036854775807", i64::MAX),
            (b"-9223372036854775808", i64::MIN),
        ];
        for (text, number) in good {
            assert_eq!(parse_integer(text), Some(number));
        }
        let bad: [&[u8]; 11] = [
            b"",
            b"-",
            b"+1",
            b"01",
            b"-0",
            b" 1",
            b"1 ",
            b"1.0",
            b"9223372036854775808",
            b"\xff",
            b"--1",
        ];
        for text in bad {
            assert_eq!(parse_integer(text), None, "{}", text.escape_ascii());
        }
    }
}
