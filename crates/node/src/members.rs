//! Who the members are, as the core knows it.

use std::sync::Arc;

use quorate_core::{Configuration, Instant, Position, Replica, ReplicatedLog, StateMachine};
use quorate_transport::Transport;

use crate::config::NodeConfig;
use crate::links::Links;

/// The configuration in force, and the links that follow it.
pub(crate) struct Members {
    links: Arc<Links>,
    configuration: Arc<Configuration>,
    /// The links do not follow it yet.
    changed: bool,
    /// When links to a former member end.
    sweep_at: Option<Instant>,
}

impl Members {
    pub(crate) fn new<L: ReplicatedLog, S: StateMachine>(
        replica: &Replica<L, S>,
        config: &NodeConfig,
        transport: &Transport,
    ) -> Self {
        let configuration = replica.configuration();
        let founding = replica.status().configured == Position::ZERO;
        let peers = config.peers.clone();
        let links = Links::new(
            transport.clone(),
            config.id,
            peers,
            (configuration, founding),
        );
        Self {
            links: Arc::new(links),
            configuration: Arc::new(configuration.clone()),
            changed: false,
            sweep_at: None,
        }
    }

    pub(crate) fn links(&self) -> Arc<Links> {
        Arc::clone(&self.links)
    }

    /// The configuration in force, shared.
    pub(crate) fn configuration(&self) -> Arc<Configuration> {
        Arc::clone(&self.configuration)
    }

    pub(crate) fn on_configured(&mut self, configuration: Configuration) {
        tracing::info!(members = %configuration, "configuration changed");
        self.configuration = Arc::new(configuration);
        self.changed = true;
    }

    /// Lets the links follow, and ends those that nobody needs any more. To be called when the frames of the turn are on
    /// their way: some may tell a member that it is one no more.
    pub(crate) fn follow(&mut self, now: Instant) {
        if std::mem::take(&mut self.changed) {
            self.links.follow(now, &self.configuration);
            self.sweep_at = self.links.deadline();
        }
        if self.sweep_at.is_some_and(|at| at <= now) {
            self.links.sweep(now);
            self.sweep_at = self.links.deadline();
        }
    }

    /// When [`Self::follow`] has something to do at the latest.
    pub(crate) const fn deadline(&self) -> Option<Instant> {
        self.sweep_at
    }
}
