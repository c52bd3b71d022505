//! What clients and tools ask about the server itself.

use std::fmt::Write;

use bytes::Bytes;
use quorate_core::Durability;

use super::answer::{Answer, Protocol};
use super::request::{is_one_of, syntax_error};
use super::verb::{VERBS, find};
use super::{Limits, ServerConfig};

/// What one connection is called and speaks.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) id: u64,
    pub(crate) address: String,
    pub(crate) name: Bytes,
    pub(crate) protocol: Protocol,
}

impl Caller {
    pub(crate) fn new(id: u64, address: String) -> Self {
        Self {
            id,
            address,
            name: Bytes::new(),
            protocol: Protocol::default(),
        }
    }

    /// Forgets what the client has told.
    pub(crate) fn reset(&mut self) {
        (self.name, self.protocol) = (Bytes::new(), Protocol::default());
    }

    /// `HELLO [version [AUTH user password] [SETNAME name]]`
    pub(crate) fn hello(&mut self, words: &[Bytes]) -> Answer {
        let (mut protocol, mut name) = (self.protocol, None);
        let mut words = words.iter();
        if let Some(version) = words.next() {
            protocol = match &version[..] {
                b"2" => Protocol::Resp2,
                b"3" => Protocol::Resp3,
                _ => return Answer::Error("NOPROTO unsupported protocol version".into()),
            };
        }
        while let Some(word) = words.next() {
            if word.eq_ignore_ascii_case(b"auth") {
                return Answer::err("AUTH is not understood: this server has no passwords");
            }
            match words.next() {
                Some(value) if word.eq_ignore_ascii_case(b"setname") => name = Some(value),
                _ => return syntax_error(),
            }
        }
        if let Some(name) = name {
            match self.set_name(name) {
                Answer::Simple(_) => {}
                refusal => return refusal,
            }
        }
        self.protocol = protocol;
        Answer::Map(vec![
            (Answer::text("server"), Answer::text("quorate")),
            (
                Answer::text("version"),
                Answer::text(env!("CARGO_PKG_VERSION")),
            ),
            (Answer::text("proto"), Answer::Integer(protocol.number())),
            (Answer::text("id"), Answer::count(self.id)),
            (Answer::text("mode"), Answer::text("standalone")),
            // Drivers look here for whether they may write: they may, on every member.
            (Answer::text("role"), Answer::text("master")),
            (Answer::text("modules"), Answer::Array(Vec::new())),
        ])
    }

    /// `CLIENT …`, as far as drivers need it.
    pub(crate) fn client(&mut self, words: &[Bytes]) -> Answer {
        let verb = words[0].to_ascii_lowercase();
        match (&verb[..], &words[1..]) {
            (b"id", []) => Answer::count(self.id),
            (b"getname", []) if self.name.is_empty() => Answer::Nil,
            (b"getname", []) => Answer::Bulk(self.name.clone()),
            (b"setname", [name]) => self.set_name(name),
            (b"info" | b"list", _) => Answer::text(self.line()),
            // Accepted and of no effect: there is nothing here that would be evicted or tracked by name.
            (b"setinfo", [_, _]) => Answer::OK,
            (b"no-evict" | b"no-touch", [mode]) if is_one_of(mode, &["on", "off"]) => Answer::OK,
            _ => Answer::err(format_args!(
                "unknown subcommand or wrong number of arguments for 'client {}'",
                verb[..verb.len().min(64)].escape_ascii()
            )),
        }
    }

    fn set_name(&mut self, name: &Bytes) -> Answer {
        if name.len() > 256 || name.iter().any(|byte| !(b'!'..=b'~').contains(byte)) {
            return Answer::err(
                "Client names cannot contain spaces, newlines or special characters.",
            );
        }
        self.name = Bytes::copy_from_slice(name);
        Answer::OK
    }

    fn line(&self) -> String {
        let (id, address, name) = (self.id, &self.address, self.name.escape_ascii());
        format!(
            "id={id} addr={address} name={name} db=0 resp={}\n",
            self.protocol.number()
        )
    }
}

/// `COMMAND [COUNT | LIST | DOCS | INFO name…]`: the names and nothing about them.
pub(crate) fn command(words: &[Bytes]) -> Answer {
    let Some(verb) = words.first() else {
        return Answer::Array(Vec::new());
    };
    match &verb.to_ascii_lowercase()[..] {
        b"count" => Answer::count(VERBS.len() as u64),
        b"list" => Answer::Array(VERBS.iter().map(|verb| Answer::text(verb.0)).collect()),
        b"docs" => Answer::Map(Vec::new()),
        b"info" => Answer::Array(words[1..].iter().map(command_info).collect()),
        _ => Answer::err("unknown subcommand of 'command'"),
    }
}

/// Name and arity as Redis counts it: the name included, negative for "at least".
fn command_info(name: &Bytes) -> Answer {
    let Some((name, _, least, most)) = find(name) else {
        return Answer::Nil;
    };
    let least = i64::try_from(least).unwrap_or(i64::MAX) + 1;
    let exact = usize::try_from(least).is_ok_and(|least| least == most.saturating_add(1));
    let arity = if exact { least } else { -least };
    let none = || Answer::Array(Vec::new());
    let zero = Answer::Integer(0);
    Answer::Array(vec![
        Answer::text(name),
        Answer::Integer(arity),
        none(),
        zero.clone(),
        zero.clone(),
        zero,
        none(),
        none(),
        none(),
        none(),
    ])
}

/// `CONFIG GET pattern…`: what tools ask for. Nothing can be set.
pub(crate) fn config(words: &[Bytes], config: &ServerConfig) -> Answer {
    if !words[0].eq_ignore_ascii_case(b"get") || words.len() < 2 {
        return Answer::err("only CONFIG GET is understood: the config is given at the start");
    }
    let Limits {
        value_bytes_max,
        connections_max,
        ..
    } = config.limits;
    let parameters = [
        (
            "appendonly",
            if config.policy.durability == Durability::Fsync {
                "yes"
            } else {
                "no"
            }
            .into(),
        ),
        ("databases", "1".into()),
        ("maxclients", connections_max.to_string()),
        ("proto-max-bulk-len", value_bytes_max.to_string()),
        ("save", String::new()),
        ("timeout", "0".into()),
    ];
    let wanted = |name: &str| {
        let mut patterns = words[1..].iter().map(|word| word.to_ascii_lowercase());
        patterns.any(|pattern| crate::store::matches(&pattern, name.as_bytes()))
    };
    let shown = parameters.into_iter().filter(|(name, _)| wanted(name));
    Answer::Map(
        shown
            .map(|(name, value)| (Answer::text(name), Answer::text(value)))
            .collect(),
    )
}

/// The text of `INFO`: names and values by line.
pub(crate) fn info(fields: Vec<(&'static str, String)>) -> Answer {
    let mut text = format!(
        "# Quorate\r\nquorate_version:{}\r\n",
        env!("CARGO_PKG_VERSION")
    );
    for (name, value) in fields {
        write!(text, "{name}:{value}\r\n").expect("a string takes all");
    }
    Answer::text(text)
}

/// The answer to `QUORATE STATUS`.
pub(crate) fn status(fields: Vec<(&'static str, String)>) -> Answer {
    let fields = fields.into_iter();
    Answer::Map(
        fields
            .map(|(name, value)| (Answer::text(name), Answer::text(value)))
            .collect(),
    )
}
