//! From arguments to what is to be done.

use bytes::Bytes;
use quorate_core::SessionId;

use super::answer::{Answer, Shape, invalid_expire};
use super::level::Terms;
use super::verb::{Verb, find};
use super::{level, session, set};
use crate::store::{Command, Only, OnlyExpiry, Raw, Since, parse_integer};

/// What a request comes to.
#[derive(Debug)]
pub(crate) enum Request {
    /// A command for the log.
    Write(Write),
    /// A question to the state, and what its answer has to be.
    Read(Read, Terms),
    /// Needs nothing: the answer is here.
    Ready(Answer),
    /// Has to wait for all that came before it on this connection.
    Alone(Alone),
}

/// A command for the log, and how its reply is said.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) command: Bytes,
    /// Its number in a session, if in one.
    pub(crate) place: Option<(SessionId, u64)>,
    pub(crate) shape: Shape,
    /// Whether the reply may be as long as a value.
    pub(crate) answers_value: bool,
}

/// A question to the state.
#[derive(Debug)]
pub(crate) enum Read {
    Get(Bytes),
    Mget(Vec<Bytes>),
    Exists(Vec<Bytes>),
    Strlen(Bytes),
    Ttl {
        key: Bytes,
        in_millis: bool,
    },
    Dbsize,
    Scan {
        cursor: u64,
        pattern: Option<Bytes>,
        count: usize,
    },
    Keys(Bytes),
}

/// What concerns the connection or the member rather than the keys. The words are those behind the name.
#[derive(Debug)]
pub(crate) enum Alone {
    Hello(Vec<Bytes>),
    Client(Vec<Bytes>),
    Config(Vec<Bytes>),
    Info,
    Quorate(Vec<Bytes>),
    Reset,
    Quit,
}

/// What one request may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) key_bytes_max: usize,
    pub(crate) value_bytes_max: usize,
}

impl Sizes {
    pub(crate) fn key<'a>(&self, key: &'a Bytes) -> Result<Raw<'a>, Answer> {
        within("key", key, self.key_bytes_max)
    }

    pub(crate) fn value<'a>(&self, value: &'a Bytes) -> Result<Raw<'a>, Answer> {
        within("value", value, self.value_bytes_max)
    }
}

fn within<'a>(what: &str, bytes: &'a Bytes, limit: usize) -> Result<Raw<'a>, Answer> {
    if bytes.len() > limit {
        let length = bytes.len();
        return Err(Answer::err(format_args!(
            "{what} of {length} bytes over the limit of {limit}"
        )));
    }
    Ok(Raw(bytes))
}

/// What these arguments, name first, ask for; what makes no sense is answered at once.
pub(crate) fn parse(arguments: &[Bytes], sizes: &Sizes) -> Request {
    let Some((name, rest)) = arguments.split_first() else {
        return Request::Ready(Answer::err("empty request"));
    };
    let Some((name, verb, least, most)) = find(name) else {
        return Request::Ready(unknown(name, rest));
    };
    if !(least..=most).contains(&rest.len()) {
        return Request::Ready(wrong_number(name));
    }
    request(name, verb, rest, sizes).unwrap_or_else(Request::Ready)
}

fn unknown(name: &Bytes, rest: &[Bytes]) -> Answer {
    let shown = |bytes: &Bytes| bytes[..bytes.len().min(64)].escape_ascii().to_string();
    let words: Vec<_> = rest
        .iter()
        .take(4)
        .map(|word| format!("'{}'", shown(word)))
        .collect();
    let words = words.join(" ");
    Answer::err(format_args!(
        "unknown command '{}', with args beginning with: {words}",
        shown(name)
    ))
}

pub(crate) fn wrong_number(name: &str) -> Answer {
    Answer::err(format_args!(
        "wrong number of arguments for '{name}' command"
    ))
}

fn request(name: &'static str, verb: Verb, a: &[Bytes], sizes: &Sizes) -> Result<Request, Answer> {
    let alone = |alone| Ok(Request::Alone(alone));
    match verb {
        Verb::Ping => Ok(Request::Ready(match a.first() {
            None => Answer::Simple("PONG"),
            Some(text) => Answer::Bulk(text.clone()),
        })),
        Verb::Echo => Ok(Request::Ready(Answer::Bulk(a[0].clone()))),
        Verb::Command => Ok(Request::Ready(super::admin::command(a))),
        Verb::Select => match integer(&a[0])? {
            0 => Ok(Request::Ready(Answer::OK)),
            _ => Err(Answer::err("DB index is out of range")),
        },
        Verb::Hello => alone(Alone::Hello(a.to_vec())),
        Verb::Client => alone(Alone::Client(a.to_vec())),
        Verb::Config => alone(Alone::Config(a.to_vec())),
        Verb::Quorate if session::holds_command(a) => session::command(a, sizes),
        Verb::Quorate if level::holds_command(a) => level::command(a, sizes),
        Verb::Quorate => alone(Alone::Quorate(a.to_vec())),
        Verb::Info => alone(Alone::Info),
        Verb::Reset => alone(Alone::Reset),
        Verb::Quit => alone(Alone::Quit),
        Verb::Get
        | Verb::Mget
        | Verb::Exists
        | Verb::Strlen
        | Verb::Ttl
        | Verb::Pttl
        | Verb::Dbsize
        | Verb::Scan
        | Verb::Keys => read(verb, a).map(|read| Request::Read(read, Terms::default())),
        Verb::Append
        | Verb::Decr
        | Verb::Decrby
        | Verb::Del
        | Verb::Expire
        | Verb::Expireat
        | Verb::Flush
        | Verb::Getdel
        | Verb::Getset
        | Verb::Incr
        | Verb::Incrby
        | Verb::Mset
        | Verb::Persist
        | Verb::Pexpire
        | Verb::Pexpireat
        | Verb::Psetex
        | Verb::Set
        | Verb::Setex
        | Verb::Setnx => write(name, verb, a, sizes),
    }
}

fn read(verb: Verb, a: &[Bytes]) -> Result<Read, Answer> {
    Ok(match verb {
        Verb::Get => Read::Get(a[0].clone()),
        Verb::Mget => Read::Mget(a.to_vec()),
        Verb::Exists => Read::Exists(a.to_vec()),
        Verb::Strlen => Read::Strlen(a[0].clone()),
        Verb::Ttl | Verb::Pttl => Read::Ttl {
            key: a[0].clone(),
            in_millis: verb == Verb::Pttl,
        },
        Verb::Dbsize => Read::Dbsize,
        Verb::Keys => Read::Keys(a[0].clone()),
        _ => return scan(a),
    })
}

/// `SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]`
fn scan(a: &[Bytes]) -> Result<Read, Answer> {
    let cursor = std::str::from_utf8(&a[0])
        .ok()
        .and_then(|text| text.parse().ok());
    let cursor = cursor.ok_or_else(|| Answer::err("invalid cursor"))?;
    let (mut pattern, mut count) = (None, 10);
    let mut options = a[1..].chunks_exact(2);
    for option in &mut options {
        if option[0].eq_ignore_ascii_case(b"match") {
            pattern = Some(option[1].clone());
        } else if option[0].eq_ignore_ascii_case(b"count") {
            let wanted = integer(&option[1])?;
            count = usize::try_from(wanted).unwrap_or(0);
            if count == 0 {
                return Err(syntax_error());
            }
        } else if option[0].eq_ignore_ascii_case(b"type") {
            if !option[1].eq_ignore_ascii_case(b"string") {
                // There are only strings: a pattern that no key matches.
                pattern = Some(Bytes::from_static(b"[]"));
            }
        } else {
            return Err(syntax_error());
        }
    }
    if !options.remainder().is_empty() {
        return Err(syntax_error());
    }
    Ok(Read::Scan {
        cursor,
        pattern,
        count,
    })
}

fn write(name: &'static str, verb: Verb, a: &[Bytes], sizes: &Sizes) -> Result<Request, Answer> {
    let key = || sizes.key(&a[0]);
    let command = match verb {
        Verb::Set => return set::parse(a, sizes),
        Verb::Setex => set::setex(name, a, 1000, sizes)?,
        Verb::Psetex => set::setex(name, a, 1, sizes)?,
        Verb::Setnx => set::plain(key()?, sizes.value(&a[1])?, Only::Absent, false),
        Verb::Getset => set::plain(key()?, sizes.value(&a[1])?, Only::Always, true),
        Verb::Mset => mset(a, sizes)?,
        Verb::Del => Command::Delete {
            keys: a
                .iter()
                .map(|key| sizes.key(key))
                .collect::<Result<_, _>>()?,
        },
        Verb::Getdel => Command::Take { key: key()? },
        Verb::Incr => add(key()?, 1),
        Verb::Decr => add(key()?, -1),
        Verb::Incrby => add(key()?, integer(&a[1])?),
        Verb::Decrby => match integer(&a[1])?.checked_neg() {
            Some(delta) => add(key()?, delta),
            None => return Err(Answer::err("decrement would overflow")),
        },
        Verb::Append => Command::Append {
            key: key()?,
            value: sizes.value(&a[1])?,
            bytes_max: sizes.value_bytes_max as u64,
        },
        Verb::Expire => expire(name, a, Since::Now, 1000, sizes)?,
        Verb::Pexpire => expire(name, a, Since::Now, 1, sizes)?,
        Verb::Expireat => expire(name, a, Since::Epoch, 1000, sizes)?,
        Verb::Pexpireat => expire(name, a, Since::Epoch, 1, sizes)?,
        Verb::Persist => Command::Persist { key: key()? },
        Verb::Flush => match a.first() {
            Some(mode) if !is_one_of(mode, &["async", "sync"]) => return Err(syntax_error()),
            _ => Command::Clear,
        },
        _ => return Err(Answer::err("not a write")),
    };
    Ok(Request::Write(Write {
        command: command.encode(),
        place: None,
        shape: match verb {
            Verb::Setnx => Shape::DoneOrNot,
            _ => Shape::Plain(name),
        },
        answers_value: matches!(verb, Verb::Getset | Verb::Getdel),
    }))
}

const fn add(key: Raw<'_>, delta: i64) -> Command<'_> {
    Command::Add { key, delta }
}

fn mset<'a>(a: &'a [Bytes], sizes: &Sizes) -> Result<Command<'a>, Answer> {
    if !a.len().is_multiple_of(2) {
        return Err(wrong_number("mset"));
    }
    let pairs = a
        .chunks_exact(2)
        .map(|pair| Ok((sizes.key(&pair[0])?, sizes.value(&pair[1])?)));
    let pairs = pairs.collect::<Result<_, _>>()?;
    Ok(Command::SetMany { pairs })
}

/// `EXPIRE key time [NX | XX | GT | LT]` and its sisters.
fn expire<'a>(
    name: &str,
    a: &'a [Bytes],
    since: Since,
    unit_millis: i64,
    sizes: &Sizes,
) -> Result<Command<'a>, Answer> {
    let time = integer(&a[1])?;
    let millis = time
        .checked_mul(unit_millis)
        .ok_or_else(|| invalid_expire(name))?;
    let only = match a.get(2) {
        None => OnlyExpiry::Always,
        Some(option) if option.eq_ignore_ascii_case(b"nx") => OnlyExpiry::None,
        Some(option) if option.eq_ignore_ascii_case(b"xx") => OnlyExpiry::Some,
        Some(option) if option.eq_ignore_ascii_case(b"gt") => OnlyExpiry::Later,
        Some(option) if option.eq_ignore_ascii_case(b"lt") => OnlyExpiry::Earlier,
        Some(option) => {
            let option = option[..option.len().min(64)].escape_ascii();
            return Err(Answer::err(format_args!("Unsupported option {option}")));
        }
    };
    Ok(Command::Expire {
        key: sizes.key(&a[0])?,
        millis,
        since,
        only,
    })
}

pub(crate) fn integer(bytes: &Bytes) -> Result<i64, Answer> {
    parse_integer(bytes).ok_or_else(|| Answer::err("value is not an integer or out of range"))
}

pub(crate) fn syntax_error() -> Answer {
    Answer::err("syntax error")
}

pub(crate) fn is_one_of(word: &[u8], words: &[&str]) -> bool {
    words
        .iter()
        .any(|one| word.eq_ignore_ascii_case(one.as_bytes()))
}
