//! How the scripts write down what is said.

use std::time::Duration;

use quorate_core::{Batch, Rejection, Report};
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

pub fn commands(batch: &Batch) -> String {
    if batch.is_noop() {
        return "no-op".to_owned();
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
        Report::Declined { .. }
        | Report::Reconfigured { .. }
        | Report::Transferred { .. }
        | Report::Undecided { .. } => unreachable!("nobody asked for it, and a log rejects"),
        Report::Lost { epoch, first, last } => {
            let first = first.map_or("?".to_owned(), |first| first.to_string());
            format!("{first}..{last} lost in e{}", Named(epoch))
        }
        Report::Cut { epoch, first, last } => {
            format!("{first}..{last} given up in e{}", Named(epoch))
        }
    }
}
