//! Who the members are at the beginning, as options say it.

use std::collections::BTreeMap;

use quorate_core::NodeId;

use super::settings::absurd;
use super::{ConfigError, Options};

/// Ids up to here have default ports of their own.
pub(super) const MEMBER_ID_MAX: u64 = 999;

/// The members before the log says anything about them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Founding {
    /// Those who vote, ascending.
    pub voters: Vec<NodeId>,
    /// Those who follow: this member, if it joins.
    pub learners: Vec<NodeId>,
}

impl Founding {
    /// All of them, ascending.
    pub fn members(&self) -> Vec<NodeId> {
        let mut members = [&self.voters[..], &self.learners[..]].concat();
        members.sort_unstable();
        members
    }
}

/// Where the members are, and who of them votes: those of `--peers`, this one among them, or those of `--join`, to which
/// this one comes as a learner.
pub(super) fn members(
    options: &Options,
    id: NodeId,
    own: &str,
) -> Result<(BTreeMap<NodeId, String>, Founding), ConfigError> {
    let (peers, learners) = match (&options.peers, &options.join) {
        (Some(_), Some(join)) => return absurd("join", join, "does not go with --peers"),
        (None, None) => (BTreeMap::from([(id, own.to_owned())]), Vec::new()),
        (Some(given), None) => {
            let peers = peers("peers", given)?;
            if !peers.contains_key(&id) {
                let why = format_args!("this member, {id}, is not among them");
                return absurd("peers", given, why);
            }
            (peers, Vec::new())
        }
        (None, Some(given)) => {
            let peers = peers("join", given)?;
            if peers.contains_key(&id) {
                let why = format_args!("this member, {id}, is among them: it joins under a new id");
                return absurd("join", given, why);
            }
            (peers, vec![id])
        }
    };
    let voters = peers.keys().copied().collect();
    Ok((peers, Founding { voters, learners }))
}

/// `1=host:port,2=host:port,…`
fn peers(name: &'static str, given: &str) -> Result<BTreeMap<NodeId, String>, ConfigError> {
    let mut peers = BTreeMap::new();
    for peer in given.split(',').map(str::trim) {
        let parsed = peer.split_once('=').and_then(|(id, address)| {
            let id = id
                .parse()
                .ok()
                .filter(|id| (1..=MEMBER_ID_MAX).contains(id))?;
            is_address(address).then(|| (NodeId(id), address.to_owned()))
        });
        let Some((id, address)) = parsed else {
            return absurd(
                name,
                peer,
                format_args!("is not id=host:port, id 1 to {MEMBER_ID_MAX}"),
            );
        };
        if peers.values().any(|other| *other == address) || peers.insert(id, address).is_some() {
            return absurd(name, peer, "comes twice");
        }
    }
    Ok(peers)
}

pub(super) fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    !host.is_empty() && port.parse::<u16>().is_ok()
}
