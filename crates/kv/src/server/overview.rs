//! The members, as one of them sees them.

use std::collections::BTreeMap;

use quorate_core::{Configuration, Member, NodeId, Standing, Wish};
use quorate_node::{Node, NodeStatus, PeerProgress};
use quorate_transport::LinkStatus;

use crate::KvStore;

/// What is known of the members.
pub(crate) struct Overview {
    status: NodeStatus,
    /// As far as this member leads.
    progress: BTreeMap<NodeId, PeerProgress>,
    links: Vec<LinkStatus>,
    own_address: String,
}

/// Names and values, in the order to show them.
pub(crate) type Fields = Vec<(&'static str, String)>;

impl Overview {
    pub(crate) async fn of(node: &Node<KvStore>) -> Self {
        // A member that has stopped leads nobody.
        let progress = node.peers().await.unwrap_or_default();
        Self {
            status: node.status().borrow().clone(),
            progress: progress.into_iter().map(|peer| (peer.id, peer)).collect(),
            links: node.links(),
            own_address: node.address().to_owned(),
        }
    }

    /// One list of fields a member.
    pub(crate) fn members(&self) -> Vec<Fields> {
        let members = self.status.configuration.members();
        members.iter().map(|member| self.member(member)).collect()
    }

    fn member(&self, member: &Member) -> Fields {
        let none = || "none".to_owned();
        let log = &self.status.log;
        let own = member.id == self.status.id;
        let progress = self.progress.get(&member.id);
        let matched = if own {
            Some(log.durable)
        } else {
            progress.map(|peer| peer.matched)
        };
        let silent = progress.map(|peer| peer.silent_for.as_millis().to_string());
        let lag = matched.map(|matched| log.last.get().saturating_sub(matched.get()));
        let leads = log.leader == Some(member.id);
        vec![
            ("id", member.id.to_string()),
            ("standing", standing(member.standing).to_owned()),
            ("leader", if leads { "yes" } else { "no" }.to_owned()),
            ("address", self.address(member)),
            ("link", self.link(member.id).to_owned()),
            ("priority", member.priority.to_string()),
            ("wish", member.wish.map_or_else(none, wish)),
            ("matched", matched.map_or_else(none, |at| at.to_string())),
            ("lag", lag.map_or_else(none, |lag| lag.to_string())),
            ("silent_ms", silent.unwrap_or_else(none)),
        ]
    }

    fn address(&self, member: &Member) -> String {
        if !member.address.is_empty() {
            return member.address.clone();
        }
        if member.id == self.status.id {
            return self.own_address.clone();
        }
        let link = self.links.iter().find(|link| link.peer == member.id);
        link.map_or_else(|| "unknown".to_owned(), |link| link.address.clone())
    }

    fn link(&self, id: NodeId) -> &'static str {
        if id == self.status.id {
            return "self";
        }
        let mut lanes = self.links.iter().filter(|link| link.peer == id).peekable();
        let up = lanes.peek().is_some() && lanes.all(|lane| lane.outgoing.connected_for.is_some());
        if up { "up" } else { "down" }
    }

    /// What a status tells of it: the configuration, and how far the others are.
    pub(crate) fn fields(&self) -> Fields {
        let configuration = &self.status.configuration;
        let behind = |peer: &PeerProgress| {
            let lag = self
                .status
                .log
                .last
                .get()
                .saturating_sub(peer.matched.get());
            format!(
                "{}={}:{lag}:{}ms",
                peer.id,
                peer.matched,
                peer.silent_for.as_millis()
            )
        };
        let peers: Vec<_> = self.progress.values().map(behind).collect();
        vec![
            ("configuration", configuration.to_string()),
            ("configured", self.status.log.configured.to_string()),
            ("learners", joined(&configuration.learners())),
            (
                "joint",
                if configuration.is_joint() {
                    "yes"
                } else {
                    "no"
                }
                .to_owned(),
            ),
            ("peers", peers.join(",")),
        ]
    }
}

/// The ids of those who vote.
pub(crate) fn voters(configuration: &Configuration) -> String {
    joined(&configuration.voters())
}

fn joined(ids: &[NodeId]) -> String {
    let ids: Vec<_> = ids.iter().map(NodeId::to_string).collect();
    ids.join(",")
}

const fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Voter => "voter",
        Standing::Learner => "learner",
        Standing::Leaving => "leaving",
    }
}

fn wish(wish: Wish) -> String {
    match wish {
        Wish::Vote => "vote".to_owned(),
        Wish::Replace(old) => format!("replace {old}"),
    }
}
