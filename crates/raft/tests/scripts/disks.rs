//! What happens to the disks of the scripts.

use std::fmt::Write;

use bytes::Bytes;
use quorate_core::{Batch, Input, Label, Mark, Position, encode};
use quorate_raft::{Point, Record, Run, Term};

use crate::cluster::Cluster;
use crate::member::Member;

impl Cluster {
    /// Rewrites a member's disk: entry `n` of the log is a command that names its place and term.
    pub fn load(&mut self, id: u64, term: u64, terms: &[&str]) {
        let config = self.members[&id].config.clone();
        let mut member = Member::new(config);
        let mut records = vec![Record::Vote {
            term: Term(term),
            voted_for: None,
        }];
        let mut prev = Point::START;
        for (index, term) in terms.iter().enumerate() {
            let term = Term(term.parse().unwrap());
            let position = Position(index as u64 + 1);
            let body = format!("{position}@{term}");
            let label = Label {
                sequence: position.get(),
                ..Label::default()
            };
            let batch = Batch::one(label, Bytes::from(body));
            records.push(Record::Append {
                prev,
                runs: [Run { term, batch }].into_iter().collect(),
            });
            prev = Point { position, term };
        }
        for (index, record) in records.iter().enumerate() {
            member
                .journal
                .insert(Mark(index as u64 + 1), encode(record).to_bytes());
        }
        member.last = Mark(records.len() as u64);
        member.sync(member.last);
        member.written = member.durable.clone();
        member.start(self.time(id)).unwrap();
        self.members.insert(id, member);
    }

    pub fn sync(&mut self, only: Option<u64>) -> bool {
        let waiting = |member: &&Member| member.raft.is_some() && member.synced < member.last;
        let ids = self.members.values().filter(waiting).map(Member::id);
        let held = &self.held;
        let wanted = |id: &u64| only.map_or(!held.contains(id), |only| only == *id);
        let ids: Vec<_> = ids.filter(wanted).collect();
        for id in &ids {
            self.sync_to(*id, self.members[id].last);
        }
        !ids.is_empty()
    }

    pub fn sync_to(&mut self, id: u64, upto: Mark) {
        self.members.get_mut(&id).unwrap().sync(upto);
        writeln!(self.page, "{id} synced {upto}").unwrap();
        self.step(id, Input::Durable { upto });
    }

    /// Brings the snapshots that were asked for.
    pub fn fetch(&mut self) -> bool {
        let fetches = std::mem::take(&mut self.fetches);
        for (id, snapshot) in &fetches {
            let mut held = self.members.values().flat_map(|member| &member.snapshots);
            let held = held.find(|(meta, _)| meta == snapshot);
            let (meta, state) = held.cloned().expect("it is there");
            self.members.get_mut(id).unwrap().add_snapshot(meta, state);
            writeln!(self.page, "{id} fetched {}", Point::from(meta)).unwrap();
            self.step(*id, Input::Fetched { snapshot: meta });
        }
        !fetches.is_empty()
    }

    pub fn crash(&mut self, id: u64) {
        let member = self.members.get_mut(&id).unwrap();
        let lost = member.last.get() - member.synced.get();
        member.crash(member.synced);
        self.shown.remove(&id);
        writeln!(self.page, "{id} is down, {lost} records lost").unwrap();
    }

    pub fn restart(&mut self, id: u64) {
        let now = self.time(id);
        let member = self.members.get_mut(&id).unwrap();
        member.start(now).unwrap();
        self.show(id);
    }

    pub fn compact(&mut self, id: u64, upto: u64) {
        let member = self.members.get_mut(&id).unwrap();
        let (state, snapshot) = (member.state.clone(), member.state.meta(id));
        member.add_snapshot(snapshot, state);
        let upto = Position(upto);
        self.step(id, Input::Compact { upto, snapshot });
    }
}
