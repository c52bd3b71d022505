//! How the scripts write down what is said.

use std::time::Duration;

use quorate_core::{Batch, Change, Member, NodeId, Rejection, Report};
use quorate_primary_backup::{Message, Named};

pub fn duration(text: &str) -> Duration {
    Duration::from_millis(text.strip_suffix("ms").unwrap().parse().unwrap())
}

pub fn is_heartbeat(message: &Message) -> bool {
    matches!(
        message,
        Message::Heartbeat { .. } | Message::HeartbeatReply { .. }
    )
}

/// The change of members that these words order.
pub fn change(words: &[&str]) -> Change {
    let id = |index: usize| NodeId(words[index].parse().unwrap());
    match words[0] {
        "add" => Change::Add(Member::learner(id(1), "")),
        "vote" => Change::Promote(id(1)),
        "demote" => Change::Demote(id(1)),
        "remove" => Change::Remove(id(1)),
        "replace" => Change::Replace {
            old: id(1),
            new: id(2),
        },
        "prefer" => Change::Prefer(id(1), words[2].parse().unwrap()),
        "set" => Change::Set(words[1..].iter().map(|word| member(word)).collect()),
        other => panic!("no change {other}"),
    }
}

fn member(word: &str) -> Member {
    match word.strip_prefix('+') {
        Some(id) => Member::learner(NodeId(id.parse().unwrap()), ""),
        None => Member::voter(NodeId(word.parse().unwrap()), ""),
    }
}

pub fn commands(batch: &Batch) -> String {
    if batch.is_noop() {
        return "no-op".to_owned();
    }
    if batch.configured().is_some() {
        return format!("{batch:?}");
    }
    let bodies = batch
        .commands()
        .map(|(_, body)| String::from_utf8_lossy(body).into_owned());
    bodies.collect::<Vec<_>>().join(" ")
}

pub fn reason(why: Rejection) -> String {
    match why {
        Rejection::NotLeader {
            leader: Some(leader),
            ..
        } => format!("{leader} leads"),
        other => other.to_string(),
    }
}

pub fn report(report: Report) -> String {
    match report {
        Report::Promoted {
            ticket,
            epoch,
            missing,
        } => {
            let missing = missing.map_or("unknown".to_owned(), |missing| missing.to_string());
            format!("{ticket}: promoted in e{}, missing {missing}", Named(epoch))
        }
        Report::Reconfigured { ticket, at } => format!("{ticket}: reconfigured at {at}"),
        Report::Transferred { ticket, to, epoch } => {
            format!("{ticket}: handed over to {to} in e{}", Named(epoch))
        }
        Report::Declined { .. } | Report::Undecided { .. } => unreachable!("a log rejects"),
        Report::Lost { epoch, first, last } => {
            let first = first.map_or("?".to_owned(), |first| first.to_string());
            format!("{first}..{last} lost in e{}", Named(epoch))
        }
        Report::Cut { epoch, first, last } => {
            format!("{first}..{last} given up in e{}", Named(epoch))
        }
    }
}
