//! `QUORATE SESSION OPEN [ttl in milliseconds]`, `QUORATE SESSION <id> <sequence> <command …>`,
//! `QUORATE SESSION CLOSE <id>`.

use std::time::Duration;

use bytes::Bytes;
use quorate_core::SessionId;

use super::answer::Answer;
use super::request::{Request, Sizes, Write, integer, parse};

/// How long a session that does not say otherwise may stay without a command, by log time.
const TTL: Duration = Duration::from_mins(5);

/// What concerns a session as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionOrder {
    Open(Duration),
    Close(SessionId),
}

/// Whether these words, behind `QUORATE`, are a command in a session.
pub(crate) fn holds_command(words: &[Bytes]) -> bool {
    let digit = |word: &Bytes| word.first().is_some_and(u8::is_ascii_digit);
    words.len() > 3 && words[0].eq_ignore_ascii_case(b"session") && digit(&words[1])
}

/// The command of a session that these words are, behind `QUORATE`.
pub(crate) fn command(words: &[Bytes], sizes: &Sizes) -> Result<Request, Answer> {
    let place = (SessionId(number(&words[1])?), number(&words[2])?);
    match parse(&words[3..], sizes) {
        Request::Write(write) => Ok(Request::Write(Write {
            place: Some(place),
            ..write
        })),
        Request::Ready(refusal @ Answer::Error(_)) => Err(refusal),
        Request::Ready(_) | Request::Read(..) | Request::Alone(_) => Err(Answer::err(
            "only commands that write are numbered in a session",
        )),
    }
}

/// The order that these words give, behind `SESSION`.
pub(crate) fn parse_order(words: &[Bytes]) -> Result<SessionOrder, Answer> {
    let is = |word: &Bytes, name: &[u8]| word.eq_ignore_ascii_case(name);
    match words {
        [open] if is(open, b"open") => Ok(SessionOrder::Open(TTL)),
        [open, ttl] if is(open, b"open") => {
            Ok(SessionOrder::Open(Duration::from_millis(number(ttl)?)))
        }
        [close, id] if is(close, b"close") => Ok(SessionOrder::Close(SessionId(number(id)?))),
        _ => Err(Answer::err(
            "usage: QUORATE SESSION <OPEN [ttl ms] | <id> <sequence> <command …> | CLOSE <id>>",
        )),
    }
}

/// A number above zero.
fn number(word: &Bytes) -> Result<u64, Answer> {
    let number = u64::try_from(integer(word)?).unwrap_or(0);
    if number == 0 {
        return Err(Answer::err("must be above zero"));
    }
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Bytes> {
        let words = text.split_whitespace();
        words.map(|word| Bytes::from(word.to_owned())).collect()
    }

    const SIZES: Sizes = Sizes {
        key_bytes_max: 100,
        value_bytes_max: 100,
    };

    #[test]
    fn a_command_that_writes_gets_its_place_in_the_session() {
        assert!(holds_command(&words("session 7 1 incr a")));
        assert!(!holds_command(&words("session open 1000 a")));
        let Ok(Request::Write(write)) = command(&words("session 7 1 incr a"), &SIZES) else {
            panic!("a write")
        };
        assert_eq!(write.place, Some((SessionId(7), 1)));
        for bad in [
            "0 1 incr a",
            "7 0 incr a",
            "7 x incr a",
            "7 1 get a",
            "7 1 incr",
            "7 1 ping",
        ] {
            let whole = format!("session {bad}");
            assert!(command(&words(&whole), &SIZES).is_err(), "{bad}");
        }
    }

    #[test]
    fn sessions_are_opened_for_a_time_and_closed_by_their_name() {
        let parse = |text| parse_order(&words(text));
        assert_eq!(parse("OPEN"), Ok(SessionOrder::Open(TTL)));
        let second = SessionOrder::Open(Duration::from_secs(1));
        assert_eq!(parse("open 1000"), Ok(second));
        assert_eq!(parse("close 9"), Ok(SessionOrder::Close(SessionId(9))));
        for bad in [
            "",
            "open 0",
            "open x",
            "close",
            "close 0",
            "close 1 2",
            "7",
            "7 1",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
