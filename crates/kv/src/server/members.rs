//! What an operator says about the members: `QUORATE MEMBERS`, `ADD`, `VOTER`, `LEARNER`, `REMOVE`, `REPLACE`, `SET`,
//! `PRIORITY`, `TRANSFER` and `SNAPSHOT`.

use bytes::Bytes;
use quorate_core::{Change, Member, NodeId, Position, SnapshotMeta, Wish};
use quorate_node::{OrderError, Transferred};

use super::answer::Answer;
use super::request::integer;

/// What is ordered of the member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MemberOrder {
    /// Other members.
    Change(Change),
    /// Another leader: this one, or the fittest.
    Transfer(Option<NodeId>),
    /// A snapshot, now.
    Snapshot,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ordered {
    /// The configuration there is in force.
    Changed(Position),
    Transferred(Transferred),
    Taken(SnapshotMeta),
}

/// The order that these words give, the verb first; none: it is no verb of these.
pub(crate) fn parse(words: &[Bytes]) -> Option<Result<MemberOrder, Answer>> {
    let (verb, rest) = words.split_first()?;
    let change = |change: Result<Change, Answer>| change.map(MemberOrder::Change);
    Some(match &verb.to_ascii_lowercase()[..] {
        b"add" => change(add(rest)),
        b"voter" => change(one(rest, "VOTER <id>").map(Change::Promote)),
        b"learner" => change(one(rest, "LEARNER <id>").map(Change::Demote)),
        b"remove" => change(one(rest, "REMOVE <id>").map(Change::Remove)),
        b"replace" => change(replace(rest)),
        b"set" => change(set(rest)),
        b"priority" => change(priority(rest)),
        b"transfer" => match rest {
            [] => Ok(MemberOrder::Transfer(None)),
            rest => one(rest, "TRANSFER [id]").map(|id| MemberOrder::Transfer(Some(id))),
        },
        b"snapshot" if rest.is_empty() => Ok(MemberOrder::Snapshot),
        b"snapshot" => Err(usage("SNAPSHOT")),
        _ => return None,
    })
}

fn usage(how: &str) -> Answer {
    Answer::err(format_args!("usage: QUORATE {how}"))
}

fn id(word: &Bytes) -> Result<NodeId, Answer> {
    let id = u64::try_from(integer(word)?).ok().filter(|id| *id > 0);
    id.map(NodeId)
        .ok_or_else(|| Answer::err("a member's id is a number from 1 on"))
}

fn one(words: &[Bytes], how: &str) -> Result<NodeId, Answer> {
    match words {
        [word] => id(word),
        _ => Err(usage(how)),
    }
}

fn address(word: &[u8]) -> Result<String, Answer> {
    let text = std::str::from_utf8(word).ok();
    let sound = text.filter(|text| {
        let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        let port = port.and_then(|(_, port)| port.parse::<u16>().ok());
        port.is_some() && text.bytes().all(|byte| byte.is_ascii_graphic())
    });
    let refused = || Answer::err(format_args!("{} is not host:port", word.escape_ascii()));
    sound.map(str::to_owned).ok_or_else(refused)
}

/// `ADD <id> <address> [VOTE | REPLACE <old>]`
fn add(words: &[Bytes]) -> Result<Change, Answer> {
    let refused = || usage("ADD <id> <host:port> [VOTE | REPLACE <old>]");
    let [new, place, wish @ ..] = words else {
        return Err(refused());
    };
    let new = Member::learner(id(new)?, address(place)?);
    let wish = match wish {
        [] => None,
        [vote] if vote.eq_ignore_ascii_case(b"vote") => Some(Wish::Vote),
        [replace, old] if replace.eq_ignore_ascii_case(b"replace") => Some(Wish::Replace(id(old)?)),
        _ => return Err(refused()),
    };
    Ok(Change::Add(Member { wish, ..new }))
}

/// `REPLACE <old> <new> [address]`: with an address `new` is new, without one it is a learner already.
fn replace(words: &[Bytes]) -> Result<Change, Answer> {
    match words {
        [old, new] => Ok(Change::Replace {
            old: id(old)?,
            new: id(new)?,
        }),
        [old, new, place] => {
            let new = Member::learner(id(new)?, address(place)?);
            Ok(Change::Add(new.wishing(Wish::Replace(id(old)?))))
        }
        _ => Err(usage("REPLACE <old> <new> [host:port]")),
    }
}

/// `SET <id>=<address>[/learner] …`
fn set(words: &[Bytes]) -> Result<Change, Answer> {
    let member = |word: &Bytes| {
        let split = word.iter().position(|byte| *byte == b'=');
        let split = split.ok_or_else(|| usage("SET <id>=<host:port>[/learner] …"))?;
        let id = id(&word.slice(..split))?;
        let place = &word[split + 1..];
        Ok(match place.strip_suffix(b"/learner") {
            Some(place) => Member::learner(id, address(place)?),
            None => Member::voter(id, address(place)?),
        })
    };
    let members: Vec<_> = words.iter().map(member).collect::<Result<_, Answer>>()?;
    if members.is_empty() {
        return Err(usage("SET <id>=<host:port>[/learner] …"));
    }
    Ok(Change::Set(members))
}

/// `PRIORITY <id> <0 to 255>`
fn priority(words: &[Bytes]) -> Result<Change, Answer> {
    let refused = || usage("PRIORITY <id> <0 to 255>");
    let [member, priority] = words else {
        return Err(refused());
    };
    let priority = u8::try_from(integer(priority)?).map_err(|_| refused())?;
    Ok(Change::Prefer(id(member)?, priority))
}

/// What an operator is told.
pub(crate) fn ordered(outcome: Result<Ordered, OrderError>) -> Answer {
    let field =
        |name: &str, value: &dyn ToString| (Answer::text(name), Answer::text(value.to_string()));
    match outcome {
        Ok(Ordered::Changed(at)) => Answer::Map(vec![field("configured", &at)]),
        Ok(Ordered::Transferred(Transferred { to, epoch })) => {
            Answer::Map(vec![field("leader", &to), field("epoch", &epoch)])
        }
        Ok(Ordered::Taken(taken)) => Answer::Map(vec![
            field("position", &taken.position),
            field("epoch", &taken.epoch),
            field("bytes", &taken.bytes),
        ]),
        Err(error) => refused(&error),
    }
}

/// An order that was not carried out: its first word says what may be done about it.
pub(crate) fn refused(error: &OrderError) -> Answer {
    use quorate_core::ChangeError::{TooEarly, UnderWay};
    Answer::Error(match error {
        OrderError::NotLeader { leader, epoch } => {
            let leader = leader.map_or("none known".into(), |leader| leader.to_string());
            format!("NOTLEADER {error} (leader: {leader}, epoch: {epoch})")
        }
        OrderError::Change(TooEarly | UnderWay) => format!("TRYAGAIN {error}"),
        OrderError::Undecided => format!("UNDECIDED {error}"),
        OrderError::Overloaded => format!("OVERLOADED {error}"),
        OrderError::Stopped => format!("STOPPED {error}"),
        _ => format!("ERR {error}"),
    })
}

/// The answer to `QUORATE MEMBERS`: one map a member.
pub(crate) fn listed(members: Vec<Vec<(&'static str, String)>>) -> Answer {
    let member = |fields: Vec<(&'static str, String)>| {
        let fields = fields.into_iter();
        Answer::Map(
            fields
                .map(|(name, value)| (Answer::text(name), Answer::text(value)))
                .collect(),
        )
    };
    Answer::Array(members.into_iter().map(member).collect())
}

/// The answer to `QUORATE HELP`.
pub(crate) fn help() -> Answer {
    const LINES: [&str; 25] = [
        "QUORATE <subcommand> [<argument> ...]. Subcommands are:",
        "STATUS",
        "    What this member knows of itself and of its peers.",
        "MEMBERS",
        "    All members, where they are, and, through the leader, how far.",
        "ADD <id> <host:port> [VOTE | REPLACE <old>] | REMOVE <id> | REPLACE <old> <new> [host:port]",
        "    A new member follows as a learner; it votes, or takes the place of <old>, once it has caught up.",
        "VOTER <id> | LEARNER <id> | PRIORITY <id> <0 to 255> | SET <id>=<host:port>[/learner] ...",
        "    Gives a vote, takes it, says whom to prefer as leader, or says who all members are.",
        "TRANSFER [id]",
        "    Hands leadership over.",
        "SNAPSHOT",
        "    Takes a snapshot now; answers when it is durable.",
        "POLICY [<push | pull | mixed | auto> [peer]]",
        "    Shows the policy, or how bulk leaves this member from now on.",
        "SESSION <OPEN [ttl ms] | <id> <sequence> <command ...> | CLOSE <id>>",
        "    Commands that are applied once each, however often they are sent under their number.",
        "READ <LINEARIZABLE | LEASE | BOUNDED <ms> | LOCAL> [AFTER <index>] <command ...>",
        "    The value, how it was read, up to which index, and how far behind at most.",
        "INDEX | AFTER <index> <command ...>",
        "    The index that includes all this connection has written and read; a read that includes it, on any member.",
        "PROMOTE [ROUND number] [FORCE]",
        "    Appoints this member, where leaders are not elected.",
        "FAULT ...",
        "    Disturbs links or the disk, where that is allowed.",
    ];
    Answer::Array(LINES.into_iter().map(Answer::Simple).collect())
}

#[cfg(test)]
mod tests {
    use quorate_core::{ChangeError, Epoch};

    use super::*;

    fn change(text: &str) -> Option<Change> {
        let words = text.split_whitespace();
        let words: Vec<_> = words.map(|word| Bytes::from(word.to_owned())).collect();
        match parse(&words).expect("a verb of these") {
            Ok(MemberOrder::Change(change)) => Some(change),
            Ok(other) => panic!("{other:?}"),
            Err(_) => None,
        }
    }

    #[test]
    fn every_change_can_be_ordered() {
        let learner = |id| Member::learner(NodeId(id), "h:1");
        let expected = [
            ("add 4 h:1", Change::Add(learner(4))),
            (
                "ADD 4 h:1 VOTE",
                Change::Add(learner(4).wishing(Wish::Vote)),
            ),
            (
                "add 4 h:1 replace 2",
                Change::Add(learner(4).wishing(Wish::Replace(NodeId(2)))),
            ),
            (
                "replace 2 4 h:1",
                Change::Add(learner(4).wishing(Wish::Replace(NodeId(2)))),
            ),
            (
                "replace 2 4",
                Change::Replace {
                    old: NodeId(2),
                    new: NodeId(4),
                },
            ),
            ("voter 4", Change::Promote(NodeId(4))),
            ("learner 4", Change::Demote(NodeId(4))),
            ("remove 4", Change::Remove(NodeId(4))),
            ("priority 4 9", Change::Prefer(NodeId(4), 9)),
            (
                "set 1=a:1 2=b:2/learner",
                Change::Set(vec![
                    Member::voter(NodeId(1), "a:1"),
                    Member::learner(NodeId(2), "b:2"),
                ]),
            ),
        ];
        for (text, meant) in expected {
            assert_eq!(change(text), Some(meant), "{text}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in [
            "add 4",
            "add 0 h:1",
            "add x h:1",
            "add 4 h",
            "add 4 :1",
            "add 4 h:1 now",
            "add 4 h:1 replace",
            "voter",
            "remove 1 2",
            "replace 1",
            "replace 1 2 3",
            "priority 1",
            "priority 1 256",
            "set",
            "set 1",
            "set 1=h",
            "set =h:1",
        ] {
            assert_eq!(change(text), None, "{text}");
        }
        let status = Bytes::from_static(b"status");
        assert!(parse(&[status]).is_none(), "not one of these");
    }

    #[test]
    fn a_refusal_says_by_its_first_word_what_may_be_done() {
        let (leader, epoch) = (Some(NodeId(2)), Epoch::default());
        let said = [
            (
                OrderError::NotLeader { leader, epoch },
                "NOTLEADER not the leader (leader: 2",
            ),
            (OrderError::Change(ChangeError::UnderWay), "TRYAGAIN "),
            (
                OrderError::Change(ChangeError::NoVoter),
                "ERR members not changed",
            ),
            (OrderError::Undecided, "UNDECIDED "),
        ];
        for (error, words) in said {
            let Answer::Error(text) = refused(&error) else {
                panic!("{error} is no error")
            };
            assert!(text.starts_with(words), "{text}");
        }
    }
}
