//! From answers to bytes, in either version of the protocol.

use bytes::{Bytes, BytesMut};
use quorate_core::{Failure, SessionError};
use redis_protocol::{resp2, resp3};

use crate::store::{Refusal, Reply};

/// Which version of the protocol a client speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Protocol {
    #[default]
    Resp2,
    Resp3,
}

impl Protocol {
    pub(crate) const fn number(self) -> i64 {
        match self {
            Self::Resp2 => 2,
            Self::Resp3 => 3,
        }
    }
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    Simple(&'static str),
    Bulk(Bytes),
    Nil,
    Integer(i64),
    Array(Vec<Answer>),
    /// An array of keys and values in turn for those who speak RESP2.
    Map(Vec<(Answer, Answer)>),
    /// One line, its class first.
    Error(String),
}

impl Answer {
    pub(crate) const OK: Self = Self::Simple("OK");

    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Bulk(text.into().into())
    }

    /// An error of the class `ERR`: surely nothing was applied.
    pub(crate) fn err(text: impl std::fmt::Display) -> Self {
        Self::Error(format!("ERR {text}"))
    }

    pub(crate) fn count(count: u64) -> Self {
        Self::Integer(i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// About how many bytes it takes on the wire.
    pub(crate) fn weight(&self) -> usize {
        const FRAME: usize = 16;
        FRAME
            + match self {
                Self::Bulk(bytes) => bytes.len(),
                Self::Error(text) => text.len(),
                Self::Array(answers) => answers.iter().map(Self::weight).sum(),
                Self::Map(pairs) => pairs
                    .iter()
                    .map(|(key, value)| key.weight() + value.weight())
                    .sum(),
                Self::Simple(_) | Self::Nil | Self::Integer(_) => 0,
            }
    }

    /// Appends it to `out`.
    pub(crate) fn encode(self, protocol: Protocol, out: &mut BytesMut) {
        let encoded = match protocol {
            Protocol::Resp2 => resp2::encode::extend_encode(out, &self.into_resp2(), false),
            Protocol::Resp3 => {
                resp3::encode::complete::extend_encode(out, &self.into_resp3(), false)
            }
        };
        encoded.expect("the buffer was extended by what the frame takes");
    }

    fn into_resp2(self) -> resp2::types::BytesFrame {
        use resp2::types::BytesFrame as Frame;
        match self {
            Self::Simple(text) => Frame::SimpleString(Bytes::from_static(text.as_bytes())),
            Self::Bulk(bytes) => Frame::BulkString(bytes),
            Self::Nil => Frame::Null,
            Self::Integer(number) => Frame::Integer(number),
            Self::Array(answers) => {
                Frame::Array(answers.into_iter().map(Self::into_resp2).collect())
            }
            Self::Map(pairs) => {
                let flat = pairs.into_iter().flat_map(|(key, value)| [key, value]);
                Frame::Array(flat.map(Self::into_resp2).collect())
            }
            Self::Error(text) => Frame::Error(one_line(text).into()),
        }
    }

    fn into_resp3(self) -> resp3::types::BytesFrame {
        use resp3::types::BytesFrame as Frame;
        let attributes = None;
        match self {
            Self::Simple(text) => Frame::SimpleString {
                data: Bytes::from_static(text.as_bytes()),
                attributes,
            },
            Self::Bulk(data) => Frame::BlobString { data, attributes },
            Self::Nil => Frame::Null,
            Self::Integer(data) => Frame::Number { data, attributes },
            Self::Array(answers) => Frame::Array {
                data: answers.into_iter().map(Self::into_resp3).collect(),
                attributes,
            },
            Self::Map(pairs) => Frame::Map {
                data: pairs
                    .into_iter()
                    .map(|(key, value)| (key.into_resp3(), value.into_resp3()))
                    .collect(),
                attributes,
            },
            Self::Error(text) => Frame::SimpleError {
                data: one_line(text).into(),
                attributes,
            },
        }
    }
}

/// An error is a line: what a client sent and is quoted in it must not end it.
fn one_line(text: String) -> String {
    if text.contains(['\r', '\n']) {
        text.replace(['\r', '\n'], " ")
    } else {
        text
    }
}

/// How a write's reply is said to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// As it is. The command's name stands in some errors.
    Plain(&'static str),
    /// 1 for done, 0 for not done.
    DoneOrNot,
}

impl Shape {
    pub(crate) fn say(self, reply: Reply) -> Answer {
        match (reply, self) {
            (Reply::Ok, Self::Plain(_)) => Answer::OK,
            (Reply::Nil, Self::Plain(_)) => Answer::Nil,
            (Reply::Ok, Self::DoneOrNot) => Answer::Integer(1),
            (Reply::Nil, Self::DoneOrNot) => Answer::Integer(0),
            (Reply::Bulk(value), _) => Answer::Bulk(value),
            (Reply::Integer(number), _) => Answer::Integer(number),
            (Reply::Refused(Refusal::ExpireTime), Self::Plain(name)) => invalid_expire(name),
            (Reply::Refused(refusal), _) => Answer::err(refusal),
        }
    }
}

pub(crate) fn invalid_expire(name: &str) -> Answer {
    Answer::err(format_args!("invalid expire time in '{name}' command"))
}

/// How a failure is said to the client. `UNKNOWN` alone stands for what may have been applied.
pub(crate) fn failure(failure: Failure) -> Answer {
    let text = match failure {
        Failure::NotLeader { leader, epoch } => {
            let leader = leader.map_or("none known".into(), |leader| leader.to_string());
            format!("NOTLEADER {failure} (leader: {leader}, epoch: {epoch})")
        }
        Failure::Overloaded { retry_after } => {
            format!(
                "OVERLOADED retry after {} ms",
                retry_after.as_millis().max(1)
            )
        }
        Failure::NoRoom => "ERR no room on disk: nothing was written, free space and retry".into(),
        Failure::TooLarge { .. } | Failure::Session(SessionError::TooMany) => {
            format!("ERR {failure}")
        }
        Failure::Unknown => {
            "UNKNOWN the outcome is not known: it may have been applied, or may be later".into()
        }
        Failure::Session(SessionError::Expired) => format!("NOSESSION {failure}"),
        Failure::Session(SessionError::Forgotten) => format!("NOREPLY {failure}"),
        Failure::TooStale { .. } => format!("STALE {failure}"),
        Failure::NotApplied { .. } => format!("NOTAPPLIED {failure}"),
        Failure::Stopped => format!("STOPPED {failure} before it took the request"),
    };
    Answer::Error(text)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use quorate_core::{Epoch, NodeId};

    use super::*;

    fn encoded(answer: Answer, protocol: Protocol) -> String {
        let mut out = BytesMut::from("+before\r\n");
        answer.encode(protocol, &mut out);
        let text = String::from_utf8(out.to_vec()).expect("these answers are text");
        text.strip_prefix("+before\r\n").expect("appended").into()
    }

    #[test]
    fn answers_are_said_in_both_versions() {
        let map = Answer::Map(vec![
            (Answer::text("b"), Answer::Integer(-7)),
            (Answer::text("a"), Answer::Nil),
        ]);
        let whole = Answer::Array(vec![Answer::OK, map, Answer::err("bad\r\n+injected")]);
        assert_eq!(
            encoded(whole.clone(), Protocol::Resp2),
            "*3\r\n+OK\r\n*4\r\n$1\r\nb\r\n:-7\r\n$1\r\na\r\n$-1\r\n-ERR bad  +injected\r\n"
        );
        assert_eq!(
            encoded(whole, Protocol::Resp3),
            "*3\r\n+OK\r\n%2\r\n$1\r\nb\r\n:-7\r\n$1\r\na\r\n_\r\n-ERR bad  +injected\r\n"
        );
    }

    #[test]
    fn every_failure_says_by_its_first_word_whether_it_may_have_happened() {
        let (leader, epoch) = (Some(NodeId(2)), Epoch::default());
        let retry_after = Duration::from_millis(50);
        let said = [
            (Failure::NotLeader { leader, epoch }, "NOTLEADER "),
            (
                Failure::Overloaded { retry_after },
                "OVERLOADED retry after 50 ms",
            ),
            (Failure::NoRoom, "ERR no room on disk"),
            (
                Failure::TooLarge { bytes: 9, limit: 8 },
                "ERR request of 9 bytes",
            ),
            (Failure::Unknown, "UNKNOWN "),
            (SessionError::Expired.into(), "NOSESSION no such session"),
            (SessionError::Forgotten.into(), "NOREPLY the reply"),
            (Failure::Stopped, "STOPPED "),
        ];
        for (cause, words) in said {
            let Answer::Error(text) = failure(cause) else {
                panic!("{cause} is no error")
            };
            assert!(text.starts_with(words), "{text}");
        }
    }
}
