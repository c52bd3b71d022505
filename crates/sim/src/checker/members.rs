//! Who decides where: the configurations that were written and chosen, and that one follows from another as it has to.
//!
//! What counts as a majority is worked out here anew, from the lists of members alone.

use std::collections::{BTreeMap, BTreeSet};

use quorate_core::{Configuration, Epoch, NodeId, Position, Standing};

use super::disks::Said;
use super::{Verdict, Violation};
use crate::Rules;

/// Those who decide, one bit a host: a majority of the incoming, and one of the outgoing if there are any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Camp {
    incoming: u16,
    outgoing: u16,
    /// Those that get a vote by themselves, as soon as the leader takes them for caught up.
    coming: u16,
    /// How many are enough, where that is not the majority.
    size: Option<usize>,
}

/// A configuration as it stands in a log.
#[derive(Clone, Debug)]
struct Known {
    camp: Camp,
    all: Configuration,
}

pub(super) struct Members {
    chained: bool,
    /// What each host's own config says; none: it has none yet.
    founding: Vec<Camp>,
    /// What was proposed where, in which epoch.
    proposed: BTreeMap<(Position, Epoch), Known>,
    chosen: BTreeMap<Position, Known>,
    /// Where the configurations stand in each host's log, and of which epoch they are.
    written: Vec<BTreeMap<Position, Epoch>>,
    /// Up to where a snapshot stands for each host's log.
    base: Vec<Position>,
    /// Whoever votes in any configuration.
    voters: u16,
    pub(super) marks: BTreeSet<&'static str>,
}

fn bits(ids: &[NodeId]) -> u16 {
    ids.iter().fold(0, |bits, id| bits | 1 << (id.0 - 1))
}

const fn majority(of: u16, yes: u16) -> bool {
    2 * (of & yes).count_ones() > of.count_ones()
}

impl Camp {
    fn of(configuration: &Configuration) -> Self {
        let members = configuration.members().iter();
        let voters = members.filter(|member| member.standing == Standing::Voter);
        let voters: Vec<NodeId> = voters.map(|member| member.id).collect();
        let members = configuration.members().iter();
        let coming = members.filter(|member| member.wish.is_some());
        let coming: Vec<NodeId> = coming.map(|member| member.id).collect();
        Self {
            incoming: bits(&voters),
            outgoing: bits(configuration.outgoing()),
            coming: bits(&coming),
            size: None,
        }
    }

    /// Whether those who say yes are enough.
    pub(super) fn decides(self, yes: u16) -> bool {
        match self.size {
            Some(size) => (self.incoming & yes).count_ones() as usize >= size,
            None => {
                majority(self.incoming, yes) && (self.outgoing == 0 || majority(self.outgoing, yes))
            }
        }
    }

    /// The same, if so many are enough.
    pub(super) const fn sized(self, size: usize) -> Self {
        let size = if self.size.is_some() {
            Some(size)
        } else {
            None
        };
        Self { size, ..self }
    }
}

impl Members {
    /// Of so many hosts the first so many are members, and the first so many of those vote.
    pub(super) fn new((hosts, members, voters): (usize, usize, usize), rules: Rules) -> Self {
        let founders = Camp {
            incoming: (1 << voters) - 1,
            size: Some(rules.electing),
            ..Camp::default()
        };
        let mut founding = vec![founders; members];
        founding.resize(hosts, Camp::default());
        Self {
            chained: rules.chained,
            founding,
            proposed: BTreeMap::new(),
            chosen: BTreeMap::new(),
            written: vec![BTreeMap::new(); hosts],
            base: vec![Position::ZERO; hosts],
            voters: founders.incoming,
            marks: BTreeSet::new(),
        }
    }

    /// A host comes; its own config names these voters.
    pub(super) fn on_founded(&mut self, host: usize, voters: &[NodeId]) {
        self.founding[host] = Camp {
            incoming: bits(voters),
            ..Camp::default()
        };
    }

    /// Whether a host votes in any configuration that there is.
    pub(super) const fn ever_votes(&self, host: usize) -> bool {
        self.voters >> host & 1 == 1
    }

    /// What is in force for a host: the last in its log, or in the snapshot that it stands on, or in its config.
    pub(super) fn in_force(&self, host: usize) -> Camp {
        self.last_of(host)
            .map_or(self.founding[host], |(_, known)| known.camp)
    }

    fn last_of(&self, host: usize) -> Option<(Position, &Known)> {
        let written = self.written[host].last_key_value();
        let written = written.and_then(|(at, epoch)| {
            let known = self.proposed.get(&(*at, *epoch))?;
            Some((*at, known))
        });
        let below = self.chosen.range(..=self.base[host]).next_back();
        let below = below.map(|(at, known)| (*at, known));
        match (written, below) {
            (Some(written), Some(below)) if below.0 > written.0 => Some(below),
            (Some(written), _) => Some(written),
            (None, below) => below,
        }
    }

    /// A host is about to write this. `own`: whether something of the epoch is chosen, and up to where all is.
    pub(super) fn on_persist(
        &mut self,
        host: usize,
        said: &Said,
        own: impl Fn(Epoch) -> bool,
        committed: Position,
    ) -> Verdict {
        if let Said::Accepted { configured, .. } = said {
            for (at, epoch, all) in configured {
                if !self.proposed.contains_key(&(*at, *epoch)) {
                    self.follows(host, (*at, *epoch), all, (own(*epoch), committed))?;
                }
            }
        }
        self.on_said(host, said);
        Ok(())
    }

    /// Whether a configuration may follow the one that is in force for who proposes it (Ongaro and Ousterhout 2014,
    /// extended version, 6; Ongaro on raft-dev, 2015).
    fn follows(
        &mut self,
        host: usize,
        (at, epoch): (Position, Epoch),
        all: &Configuration,
        (own, committed): (bool, Position),
    ) -> Verdict {
        if !self.chained {
            return Ok(());
        }
        let (before, old) = self.last_of(host).map_or_else(
            || (Position::ZERO, self.founding[host]),
            |(at, known)| (at, known.camp),
        );
        let wrong = |name, what: &str| {
            let what = format!(
                "member {} writes {all} at {at} in {epoch}: {what}",
                host + 1
            );
            Err(Violation::new(name, what))
        };
        if before > committed {
            let what = format!("the one at {before} is not chosen");
            return wrong("one change of members at a time (R19, B19)", &what);
        }
        if !own {
            return wrong(
                "no change of members before the leader's own (R19, B19)",
                "nothing of that epoch is chosen",
            );
        }
        let new = Camp::of(all);
        let fits = match (old.outgoing, new.outgoing) {
            (0, 0) => new.incoming == old.incoming,
            (0, outgoing) => outgoing == old.incoming,
            (_, 0) => new.incoming == old.incoming,
            _ => false,
        };
        if !fits {
            let what = format!("before it {old:?} decide");
            return wrong("voters change by a joint configuration (R19, B20)", &what);
        }
        let begun = self.written[host].get(&before).copied();
        if old.outgoing != 0 && begun != Some(epoch) {
            self.marks
                .insert("another leader completed a change of members");
        }
        Ok(())
    }

    fn on_said(&mut self, host: usize, said: &Said) {
        match said {
            Said::Accepted {
                first,
                values,
                cuts,
                configured,
            } => {
                let end = first.plus(values.len() as u64);
                let log = &mut self.written[host];
                let replaced = log.split_off(first);
                if !replaced.is_empty() {
                    let kept = replaced.range(end..).filter(|_| !cuts);
                    log.extend(kept.map(|(at, epoch)| (*at, *epoch)));
                }
                for (at, epoch, all) in configured {
                    log.insert(*at, *epoch);
                    let known = || Known {
                        camp: Camp::of(all),
                        all: all.clone(),
                    };
                    let camp = self
                        .proposed
                        .entry((*at, *epoch))
                        .or_insert_with(known)
                        .camp;
                    self.voters |= camp.incoming | camp.outgoing;
                }
                if replaced
                    .iter()
                    .any(|(at, epoch)| log.get(at) != Some(epoch))
                {
                    self.marks
                        .insert("a configuration that was not chosen went");
                }
            }
            Said::Base { upto, keeps } => {
                if !keeps {
                    self.written[host].clear();
                    if self.chosen.range(..=*upto).next().is_some() {
                        self.marks.insert("a configuration came with a snapshot");
                    }
                }
                self.base[host] = self.base[host].max(*upto);
            }
            Said::Promise { .. } | Said::Learned { .. } | Said::Chosen { .. } => {}
        }
    }

    /// A host starts again, with this snapshot and these records.
    pub(super) fn on_recovered<'a>(
        &mut self,
        host: usize,
        snapshot: Position,
        said: impl Iterator<Item = &'a Said>,
    ) {
        self.written[host].clear();
        self.base[host] = snapshot;
        said.for_each(|said| self.on_said(host, said));
        if self.in_force(host).outgoing != 0 {
            self.marks
                .insert("a member started in a joint configuration");
        }
    }

    pub(super) fn on_snapshot(&mut self, host: usize, upto: Position) {
        self.base[host] = self.base[host].max(upto);
    }

    /// A configuration is chosen.
    pub(super) fn on_chosen(&mut self, at: Position, all: &Configuration) {
        self.chosen.entry(at).or_insert_with(|| Known {
            camp: Camp::of(all),
            all: all.clone(),
        });
    }

    /// What a host acts by stands there in its log, and is this.
    pub(super) fn on_configured(
        &self,
        host: usize,
        at: Position,
        shown: &Configuration,
    ) -> Verdict {
        let written = self.written[host].get(&at);
        let written = written.and_then(|epoch| self.proposed.get(&(at, *epoch)));
        let known = written.or_else(|| self.chosen.get(&at).filter(|_| at <= self.base[host]));
        let fits = match known {
            Some(known) => known.all == *shown,
            None => {
                at == Position::ZERO && Camp::of(shown).incoming == self.founding[host].incoming
            }
        };
        if fits {
            return Ok(());
        }
        let what = format!(
            "member {} acts by {shown} of {at}, there is {known:?}",
            host + 1
        );
        Err(Violation::new(
            "equal configurations at equal positions",
            what,
        ))
    }

    /// An operator was told that the change is done that ends at `at`.
    pub(super) fn on_reconfigured(&self, host: usize, at: Position) -> Verdict {
        let known = self.chosen.get(&at);
        if known.is_some_and(|known| known.camp.outgoing == 0) {
            return Ok(());
        }
        let what = format!("member {} says so of {at}, there is {known:?}", host + 1);
        Err(Violation::new("a change that is done is chosen", what))
    }

    /// Whether these are enough for every configuration that may be in force, and for what it leads to by itself.
    pub(super) fn can_decide(&self, with: u16) -> bool {
        let last = self.chosen.last_key_value();
        let (from, present) = last.map_or((Position::ZERO, self.founding[0]), |(at, known)| {
            (*at, known.camp)
        });
        let written = self.written.iter().flatten();
        let later = written.filter(|(at, _)| **at > from);
        let later = later.filter_map(|(at, epoch)| self.proposed.get(&(*at, *epoch)));
        let mut camps = later.map(|known| known.camp).chain([present]);
        camps.all(|camp| camp.decides(with) && camp.coming & !with == 0)
    }
}
