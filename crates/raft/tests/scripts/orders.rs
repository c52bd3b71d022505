//! What operators do in the scripts: found members, change who they are, hand over leadership.

use quorate_core::{Change, Input, Member as Entry, NodeId, Ticket};
use quorate_raft::{Lease, RaftConfig};

use crate::cluster::Cluster;
use crate::member::Member;

impl Cluster {
    /// `3 [learners 1] [lease PPM]`
    pub fn start(&mut self, words: &[&str]) {
        *self = Self::default();
        let number = |index: usize| words[index].parse::<u64>().unwrap();
        let named = |name| {
            let at = words.iter().position(|word| *word == name);
            at.map_or(0, |at| number(at + 1))
        };
        let (voters, learners, drift) = (number(0), named("learners"), named("lease"));
        let ids: Vec<_> = (1..=voters).map(NodeId).collect();
        let mut config = RaftConfig::new(ids[0], &ids);
        config.learners = (voters + 1..=voters + learners).map(NodeId).collect();
        config.lease = (drift > 0).then_some(Lease {
            drift_ppm: drift as u32,
        });
        for id in 1..=voters + learners {
            let id = NodeId(id);
            self.insert(RaftConfig {
                id,
                ..config.clone()
            });
        }
    }

    /// An empty disk under this name, which is not heard of before.
    pub fn found(&mut self, id: u64, voters: &[&str]) {
        let voters = voters.iter().map(|word| node(word)).collect();
        let known = self.members.values().next().unwrap().config.clone();
        self.insert(RaftConfig {
            id: NodeId(id),
            voters,
            learners: [NodeId(id)].into(),
            ..known
        });
    }

    fn insert(&mut self, config: RaftConfig) {
        let id = config.id.get();
        let mut member = Member::new(config);
        member.start(self.time(id)).unwrap();
        let before = self.members.insert(id, member);
        assert!(before.is_none(), "a new disk has a new name (R24)");
    }

    /// `add 4`, `promote 4`, `demote 4`, `remove 4`, `replace 2 4`, `prefer 2 9`, `set 1 2 +4`
    pub fn change(&mut self, id: u64, words: &[&str]) {
        let change = match words[0] {
            "add" => Change::Add(Entry::learner(node(words[1]), "")),
            "promote" => Change::Promote(node(words[1])),
            "demote" => Change::Demote(node(words[1])),
            "remove" => Change::Remove(node(words[1])),
            "replace" => Change::Replace {
                old: node(words[1]),
                new: node(words[2]),
            },
            "prefer" => Change::Prefer(node(words[1]), words[2].parse().unwrap()),
            "set" => Change::Set(words[1..].iter().map(|word| entry(word)).collect()),
            other => panic!("no change {other}"),
        };
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.step(id, Input::Reconfigure { ticket, change });
    }

    pub fn transfer(&mut self, id: u64, to: Option<u64>) {
        self.tickets += 1;
        let (ticket, to) = (Ticket(self.tickets), to.map(NodeId));
        self.step(id, Input::Transfer { ticket, to });
    }
}

fn node(word: &str) -> NodeId {
    NodeId(word.parse().unwrap())
}

fn entry(word: &str) -> Entry {
    match word.strip_prefix('+') {
        Some(learner) => Entry::learner(node(learner), ""),
        None => Entry::voter(node(word), ""),
    }
}
