//! The commands the server knows, and how many arguments they take.

/// A command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Append,
    Client,
    Command,
    Config,
    Dbsize,
    Decr,
    Decrby,
    Del,
    Echo,
    Exists,
    Expire,
    Expireat,
    Flush,
    Get,
    Getdel,
    Getset,
    Hello,
    Incr,
    Incrby,
    Info,
    Keys,
    Mget,
    Mset,
    Persist,
    Pexpire,
    Pexpireat,
    Ping,
    Psetex,
    Pttl,
    Quit,
    Quorate,
    Reset,
    Scan,
    Select,
    Set,
    Setex,
    Setnx,
    Strlen,
    Ttl,
}

/// Any number of arguments.
const MANY: usize = usize::MAX;

/// Name, command, least and most arguments behind the name. Sorted by name.
pub(crate) const VERBS: [(&str, Verb, usize, usize); 41] = [
    ("append", Verb::Append, 2, 2),
    ("client", Verb::Client, 1, MANY),
    ("command", Verb::Command, 0, MANY),
    ("config", Verb::Config, 1, MANY),
    ("dbsize", Verb::Dbsize, 0, 0),
    ("decr", Verb::Decr, 1, 1),
    ("decrby", Verb::Decrby, 2, 2),
    ("del", Verb::Del, 1, MANY),
    ("echo", Verb::Echo, 1, 1),
    ("exists", Verb::Exists, 1, MANY),
    ("expire", Verb::Expire, 2, 3),
    ("expireat", Verb::Expireat, 2, 3),
    ("flushall", Verb::Flush, 0, 1),
    ("flushdb", Verb::Flush, 0, 1),
    ("get", Verb::Get, 1, 1),
    ("getdel", Verb::Getdel, 1, 1),
    ("getset", Verb::Getset, 2, 2),
    ("hello", Verb::Hello, 0, MANY),
    ("incr", Verb::Incr, 1, 1),
    ("incrby", Verb::Incrby, 2, 2),
    ("info", Verb::Info, 0, MANY),
    ("keys", Verb::Keys, 1, 1),
    ("mget", Verb::Mget, 1, MANY),
    ("mset", Verb::Mset, 2, MANY),
    ("persist", Verb::Persist, 1, 1),
    ("pexpire", Verb::Pexpire, 2, 3),
    ("pexpireat", Verb::Pexpireat, 2, 3),
    ("ping", Verb::Ping, 0, 1),
    ("psetex", Verb::Psetex, 3, 3),
    ("pttl", Verb::Pttl, 1, 1),
    ("quit", Verb::Quit, 0, MANY),
    ("quorate", Verb::Quorate, 1, MANY),
    ("reset", Verb::Reset, 0, 0),
    ("scan", Verb::Scan, 1, 7),
    ("select", Verb::Select, 1, 1),
    ("set", Verb::Set, 2, MANY),
    ("setex", Verb::Setex, 3, 3),
    ("setnx", Verb::Setnx, 2, 2),
    ("strlen", Verb::Strlen, 1, 1),
    ("ttl", Verb::Ttl, 1, 1),
    ("unlink", Verb::Del, 1, MANY),
];

/// The command of that name, whatever its case, and how many arguments it takes.
pub(crate) fn find(name: &[u8]) -> Option<(&'static str, Verb, usize, usize)> {
    let mut lower = [0; 16];
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    let found = VERBS.binary_search_by(|verb| verb.0.as_bytes().cmp(lower));
    found.ok().map(|index| VERBS[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_found_by_its_name() {
        assert!(VERBS.is_sorted_by(|one, other| one.0 < other.0));
        for verb in VERBS {
            assert_eq!(find(verb.0.to_uppercase().as_bytes()), Some(verb));
        }
        for name in ["", "ge", "gett", "a name longer than any", "\u{130}"] {
            assert_eq!(find(name.as_bytes()), None);
        }
    }
}
