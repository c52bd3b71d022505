//! `QUORATE READ <LINEARIZABLE | LEASE | BOUNDED <ms> | LOCAL> [AFTER <index>] <command …>`, and
//! `QUORATE AFTER <index> <command …>` for reads at the member's own level.

use std::time::Duration;

use bytes::Bytes;
use quorate_core::{Position, ReadCall, ReadLevel, ReadStamp};

use super::answer::Answer;
use super::request::{Request, Sizes, integer, parse};

/// What is asked of the answer to a read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Terms {
    /// None: the policy says it.
    level: Option<ReadLevel>,
    after: Position,
    /// Whether the answer says what it stands for.
    stamped: bool,
}

impl Terms {
    pub(crate) fn call(self, default: ReadLevel) -> ReadCall {
        self.level.unwrap_or(default).after(self.after)
    }

    /// The answer as these terms want it.
    pub(crate) fn say(self, answer: Answer, stamp: ReadStamp) -> Answer {
        if !self.stamped || matches!(answer, Answer::Error(_)) {
            return answer;
        }
        let behind = stamp.behind.map(|behind| {
            // Rounded up: it is a bound.
            let millis = behind.as_micros().div_ceil(1000);
            Answer::count(u64::try_from(millis).unwrap_or(u64::MAX))
        });
        let pairs = [
            ("value", answer),
            ("level", Answer::text(stamp.level.name())),
            ("index", Answer::count(stamp.applied.get())),
            ("behind_ms", behind.unwrap_or(Answer::Nil)),
        ];
        Answer::Map(
            pairs
                .map(|(name, value)| (Answer::text(name), value))
                .into(),
        )
    }
}

/// Whether these words, behind `QUORATE`, are a read on terms of its own.
pub(crate) fn holds_command(words: &[Bytes]) -> bool {
    is(&words[0], "read") || is(&words[0], "after")
}

/// The read that these words are, behind `QUORATE`.
pub(crate) fn command(words: &[Bytes], sizes: &Sizes) -> Result<Request, Answer> {
    let (level, rest) = if is(&words[0], "read") {
        let (level, rest) = level(&words[1..])?;
        (Some(level), rest)
    } else {
        (None, words)
    };
    let (after, rest) = match rest {
        [after, index, rest @ ..] if is(after, "after") => (position(index)?, rest),
        [after] if is(after, "after") => return Err(usage()),
        rest => (Position::ZERO, rest),
    };
    if rest.is_empty() {
        return Err(usage());
    }
    match parse(rest, sizes) {
        Request::Read(read, terms) if terms == Terms::default() => {
            let stamped = level.is_some();
            let terms = Terms {
                level,
                after,
                stamped,
            };
            Ok(Request::Read(read, terms))
        }
        Request::Ready(refusal @ Answer::Error(_)) => Err(refusal),
        Request::Ready(_) | Request::Read(..) | Request::Write(_) | Request::Alone(_) => {
            Err(Answer::err("only commands that read have a level"))
        }
    }
}

fn level(words: &[Bytes]) -> Result<(ReadLevel, &[Bytes]), Answer> {
    match words {
        [bounded, millis, rest @ ..] if is(bounded, "bounded") => {
            let millis = u32::try_from(integer(millis)?).map_err(|_| usage())?;
            let within = Duration::from_millis(u64::from(millis));
            Ok((ReadLevel::Bounded(within), rest))
        }
        [name, rest @ ..] => {
            let name = String::from_utf8_lossy(name).to_ascii_lowercase();
            Ok((name.parse().map_err(|_| usage())?, rest))
        }
        [] => Err(usage()),
    }
}

fn position(word: &Bytes) -> Result<Position, Answer> {
    let index = u64::try_from(integer(word)?);
    index.map(Position).map_err(|_| usage())
}

fn is(word: &Bytes, name: &str) -> bool {
    word.eq_ignore_ascii_case(name.as_bytes())
}

fn usage() -> Answer {
    Answer::err(
        "usage: QUORATE READ <LINEARIZABLE | LEASE | BOUNDED <ms> | LOCAL> [AFTER <index>] <command …>, \
         or QUORATE AFTER <index> <command …>",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: Sizes = Sizes {
        key_bytes_max: 100,
        value_bytes_max: 100,
    };

    fn terms(text: &str) -> Result<Terms, Answer> {
        let words = text.split_whitespace();
        let words: Vec<_> = words.map(|word| Bytes::from(word.to_owned())).collect();
        assert!(holds_command(&words));
        match command(&words, &SIZES)? {
            Request::Read(_, terms) => Ok(terms),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_read_says_how_fresh_it_has_to_be_and_what_it_has_to_include() {
        let stamped = |level, after| {
            Ok(Terms {
                level: Some(level),
                after: Position(after),
                stamped: true,
            })
        };
        assert_eq!(terms("read LOCAL get a"), stamped(ReadLevel::Local, 0));
        assert_eq!(
            terms("READ lease AFTER 7 mget a b"),
            stamped(ReadLevel::Lease, 7)
        );
        let bounded = ReadLevel::Bounded(Duration::from_millis(250));
        assert_eq!(terms("read bounded 250 dbsize"), stamped(bounded, 0));
        let plain = Terms {
            after: Position(9),
            ..Terms::default()
        };
        assert_eq!(terms("after 9 get a"), Ok(plain));
        let default = ReadLevel::Linearizable;
        assert_eq!(plain.call(default), default.after(Position(9)));
    }

    #[test]
    fn what_is_no_read_is_refused() {
        for bad in [
            "read",
            "read local",
            "read local after",
            "read local after x get a",
            "read stale get a",
            "read bounded get a",
            "read bounded -1 get a",
            "read local set a b",
            "read local get",
            "read local quorate read local get a",
            "after 1",
            "after",
            "after 1 ping",
        ] {
            assert!(terms(bad).is_err(), "{bad}");
        }
    }
}
