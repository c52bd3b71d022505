//! To whom there are links: they follow the configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use quorate_core::{Configuration, Instant, NodeId};
use quorate_transport::Transport;

/// How long the links to a member that was removed stay: it may be told so meanwhile.
const LINGER: Duration = Duration::from_secs(1);

/// Where the members are, by all who say so.
pub(crate) struct Links {
    transport: Transport,
    own: NodeId,
    addresses: Mutex<Addresses>,
}

#[derive(Debug, Default)]
struct Addresses {
    /// What this member's config says: counts where the configuration says nothing.
    config: BTreeMap<NodeId, String>,
    /// What was said while it runs: counts more than all else.
    said: BTreeMap<NodeId, String>,
    /// The members of the configuration last followed.
    members: BTreeSet<NodeId>,
    /// Members no more, and until when their links stay.
    leaving: BTreeMap<NodeId, Instant>,
}

impl Links {
    /// Links of a member that begins with this configuration. Before the log has said anything about the members
    /// (`founding`) they go to all that the config names.
    pub(crate) fn new(
        transport: Transport,
        own: NodeId,
        config: BTreeMap<NodeId, String>,
        (configuration, founding): (&Configuration, bool),
    ) -> Self {
        let this = Self {
            transport,
            own,
            addresses: Mutex::new(Addresses {
                config,
                ..Addresses::default()
            }),
        };
        if founding {
            for (id, address) in &this.lock().config {
                this.transport.set_peer(*id, address.clone());
            }
        }
        this.follow(Instant::ZERO, configuration);
        this
    }

    /// Makes links to all members of this configuration, where it says that they are. Those to members that are none any
    /// more end a little later, see [`Self::sweep`].
    pub(crate) fn follow(&self, now: Instant, configuration: &Configuration) {
        let mut addresses = self.lock();
        let members = configuration.members().iter();
        let members: BTreeMap<_, _> = members
            .filter(|member| member.id != self.own)
            .map(|member| (member.id, &member.address))
            .collect();
        for (id, address) in &members {
            let said = addresses
                .said
                .get(id)
                .or((!address.is_empty()).then_some(address));
            let known = said.or_else(|| addresses.config.get(id));
            // Without any address the member is dialled where it says itself that it is.
            self.transport
                .set_peer(*id, known.cloned().unwrap_or_default());
        }
        addresses.leaving.retain(|id, _| !members.contains_key(id));
        let members: BTreeSet<_> = members.into_keys().collect();
        let before = std::mem::replace(&mut addresses.members, members);
        let gone: Vec<_> = before.difference(&addresses.members).copied().collect();
        for id in gone {
            addresses.leaving.insert(id, now + LINGER);
        }
    }

    /// When [`Self::sweep`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.lock().leaving.values().min().copied()
    }

    /// Ends the links to those who were removed a while ago.
    pub(crate) fn sweep(&self, now: Instant) {
        let mut addresses = self.lock();
        let due: Vec<_> = addresses
            .leaving
            .iter()
            .filter(|(_, until)| **until <= now)
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            addresses.leaving.remove(&id);
            addresses.said.remove(&id);
            tracing::info!(peer = %id, "no member any more: its links are closed");
            self.transport.remove_peer(id);
        }
    }

    /// Says where another member is, whatever others say.
    pub(crate) fn set_peer(&self, id: NodeId, address: String) {
        let mut addresses = self.lock();
        self.transport.set_peer(id, address.clone());
        addresses.said.insert(id, address);
    }

    fn lock(&self) -> MutexGuard<'_, Addresses> {
        self.addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::{Context, Poll};

    use quorate_core::{Change, ClusterId, Member};
    use quorate_transport::{Config, Received, Sink};

    use super::*;

    struct Nowhere;

    impl Sink for Nowhere {
        fn poll_deliver(
            &self,
            _: &mut Context<'_>,
            slot: &mut Option<Received>,
        ) -> Poll<std::ops::ControlFlow<()>> {
            *slot = None;
            Poll::Ready(std::ops::ControlFlow::Continue(()))
        }
    }

    async fn transport() -> Transport {
        let config = Config::new(ClusterId(1), NodeId(1), "127.0.0.1:0");
        let bound = Transport::bind_with(config, Arc::new(Nowhere)).await;
        bound.expect("loopback has ports")
    }

    fn dialled(transport: &Transport) -> Vec<(u64, String)> {
        let links = transport.links().into_iter().step_by(2);
        links.map(|link| (link.peer.0, link.address)).collect()
    }

    fn listed(all: &[(u64, &str)]) -> Vec<(u64, String)> {
        all.iter().map(|(id, to)| (*id, (*to).to_owned())).collect()
    }

    #[tokio::test]
    async fn links_are_added_readdressed_and_dropped_as_the_configuration_says() {
        let transport = transport().await;
        let config = [(2, "c:2"), (3, "c:3"), (9, "c:9")];
        let config = config.map(|(id, to)| (NodeId(id), to.to_owned())).into();
        let three = Configuration::founding(&[1, 2, 3].map(NodeId), &[]);
        let links = Links::new(transport.clone(), NodeId(1), config, (&three, true));
        let before = listed(&[(2, "c:2"), (3, "c:3"), (9, "c:9")]);
        assert_eq!(dialled(&transport), before, "the config counts at first");

        let members = [(1, ""), (2, "n:2"), (4, "n:4"), (5, "")];
        let members = members.map(|(id, to)| Member::voter(NodeId(id), to));
        let next = three.changed(&Change::Set(members.into())).expect("sane");
        let now = Instant::ZERO;
        links.follow(now, &next);
        let both = [(2, "n:2"), (3, "c:3"), (4, "n:4"), (5, ""), (9, "c:9")];
        assert_eq!(dialled(&transport), listed(&both));
        let end = links.deadline().expect("3 is leaving");
        links.sweep(now);
        assert_eq!(dialled(&transport).len(), 5, "not yet");
        links.sweep(end);
        let rest = [(2, "n:2"), (4, "n:4"), (5, ""), (9, "c:9")];
        assert_eq!(dialled(&transport), listed(&rest));
        assert_eq!(links.deadline(), None);
    }

    #[tokio::test]
    async fn what_is_said_while_it_runs_counts_most_and_who_comes_back_stays() {
        let transport = transport().await;
        let one = [
            Member::voter(NodeId(1), ""),
            Member::voter(NodeId(2), "n:2"),
        ];
        let two = Configuration::founding(&[NodeId(1)], &[]);
        let two = two.changed(&Change::Set(one.into())).expect("sane");
        let links = Links::new(transport.clone(), NodeId(1), BTreeMap::new(), (&two, false));
        links.set_peer(NodeId(2), "s:2".into());
        links.follow(Instant::ZERO, &two);
        assert_eq!(dialled(&transport), listed(&[(2, "s:2")]));
        let alone = two.changed(&Change::Remove(NodeId(2))).expect("a member");
        links.follow(Instant::ZERO, &alone);
        links.follow(Instant::ZERO, &two);
        assert_eq!(links.deadline(), None, "it is back in time");
    }

    #[tokio::test]
    async fn whom_the_log_does_not_name_is_not_dialled_for_the_configs_sake() {
        let transport = transport().await;
        let config = BTreeMap::from([(NodeId(2), "c:2".into()), (NodeId(3), "c:3".into())]);
        let two = Configuration::founding(&[1, 2].map(NodeId), &[]);
        let _links = Links::new(transport.clone(), NodeId(1), config, (&two, false));
        assert_eq!(dialled(&transport), listed(&[(2, "c:2")]));
    }
}
