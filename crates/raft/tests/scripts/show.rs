//! How members, commands and refusals are told.

use std::fmt::Write;

use quorate_core::{Batch, Rejection, ReplicatedLog, Report, RoleKind};
use quorate_raft::Raft;

use crate::cluster::Cluster;

impl Cluster {
    pub fn show(&mut self, id: u64) {
        let status = self.summary(id);
        writeln!(self.page, "    = {status}").unwrap();
        self.shown.insert(id, status);
    }

    pub fn summary(&self, id: u64) -> String {
        let status = self.members[&id].raft.as_ref().unwrap().status();
        let role = status.role;
        let led = match status.leader {
            Some(leader) if status.role != RoleKind::Leader => format!(" of {leader}"),
            _ => String::new(),
        };
        format!("{role}{led} in t{}", status.epoch)
    }

    /// Who the members are, by member `id`; empty: the log has not said so.
    pub fn members_of(&self, id: u64) -> String {
        let raft = self.members[&id].raft.as_ref().unwrap();
        match raft.status().configured.get() {
            0 => String::new(),
            at => format!("members {} at {at}", raft.configuration()),
        }
    }

    pub fn show_all(&mut self) {
        for id in self.members.keys().copied().collect::<Vec<_>>() {
            let member = &self.members[&id];
            let log = &member.written;
            let mut terms = format!("({})", log.base);
            let mut at = log.base.position;
            for (term, _) in &log.entries {
                at = at.next();
                write!(terms, " {at}@{term}").unwrap();
            }
            let line = match member.raft.as_ref().map(Raft::status) {
                None => format!("{id} down"),
                Some(status) => {
                    let (committed, durable) = (status.committed, status.durable);
                    let summary = self.summary(id);
                    let members = match self.members_of(id) {
                        members if members.is_empty() => members,
                        members => format!(", {members}"),
                    };
                    format!("{id} {summary}, committed {committed}, durable {durable}{members}")
                }
            };
            writeln!(self.page, "{line}: {terms}").unwrap();
        }
    }
}

pub fn commands(batch: &Batch) -> String {
    if batch.is_noop() {
        return "no-op".to_owned();
    }
    if let Some(configuration) = batch.configured() {
        return format!("members {configuration}");
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
        Report::Reconfigured { ticket, at } => format!("{ticket} done: members as at {at}"),
        Report::Transferred { ticket, to, epoch } => {
            format!("{ticket} done: {to} leads in t{epoch}")
        }
        Report::Declined { ticket, why } => format!("{ticket} given up: {}", reason(why)),
        other => unreachable!("Raft reports nothing of the kind: {other:?}"),
    }
}
