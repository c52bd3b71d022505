//! Which faults strike whom, and when.

use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;
use rustix::process::Signal;
use serde::Serialize;

use super::members::Members;

/// No fault lasts longer.
const LONGEST: Duration = Duration::from_secs(5);

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// SIGKILL; the member is started again afterwards.
    Kill,
    /// SIGSTOP; SIGCONT afterwards.
    Pause,
    /// The member is cut off from all others, but not from its clients; joined again afterwards.
    Partition,
    /// Nothing happens.
    None,
}

/// A fault that is going to happen; times since the load began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    /// What.
    pub(crate) kind: Kind,
    /// When it begins.
    pub(crate) from: Duration,
    /// How long it lasts.
    pub(crate) lasts: Duration,
}

/// A fault that has happened; times since the load began.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    /// What.
    pub(crate) kind: Kind,
    /// To which member.
    pub(crate) member: u16,
    /// Whether that member led.
    pub(crate) led: bool,
    /// When it began.
    pub(crate) from: Duration,
    /// When it was lifted.
    pub(crate) to: Duration,
    /// From being started again until it was ready, if it was killed.
    pub(crate) restart: Option<Duration>,
}

impl Fault {
    /// How long it lasted.
    pub(crate) fn lasted(&self) -> Duration {
        self.to.saturating_sub(self.from)
    }
}

/// Spreads the faults evenly over a load of this length; each lasts a third of its share, at most five seconds.
pub(crate) fn plan(kinds: &[Kind], kills: u32, length: Duration) -> Vec<Planned> {
    let kinds: Vec<Kind> = kinds
        .iter()
        .flat_map(|&kind| match kind {
            Kind::Kill => vec![kind; kills as usize],
            Kind::None => Vec::new(),
            Kind::Pause | Kind::Partition => vec![kind],
        })
        .collect();
    let share = length.checked_div(kinds.len() as u32).unwrap_or(length);
    let lasts = (share / 3).min(LONGEST);
    let planned = kinds.into_iter().enumerate().map(|(number, kind)| {
        let from = share * number as u32 + share / 4;
        Planned { kind, from, lasts }
    });
    planned.collect()
}

impl Kind {
    /// What it does to a member, for people.
    pub(crate) fn verb(self) -> &'static str {
        match self {
            Self::Kill => "killed (SIGKILL)",
            Self::Pause => "paused (SIGSTOP)",
            Self::Partition => "cut off",
            Self::None => "left alone",
        }
    }

    /// What lifts it, for people.
    pub(crate) fn end_verb(self) -> &'static str {
        match self {
            Self::Kill => "restarted",
            Self::Pause => "resumed (SIGCONT)",
            Self::Partition => "joined again",
            Self::None => "left alone",
        }
    }

    /// Its mark in the timeline.
    pub(crate) fn letter(self) -> char {
        match self {
            Self::Kill => 'K',
            Self::Pause => 'P',
            Self::Partition => 'C',
            Self::None => ' ',
        }
    }

    /// Makes it happen to `member`.
    ///
    /// # Errors
    /// If the member does not run, or refuses.
    pub(crate) async fn strike(self, members: &mut Members, member: u16) -> Result<()> {
        match self {
            Self::Kill => members.kill(member),
            Self::Pause => members.signal(member, Signal::STOP)?,
            Self::Partition => members.isolate(member, true).await?,
            Self::None => {}
        }
        Ok(())
    }

    /// Lifts it from `member`; how long the member took to be ready if it had to be started.
    ///
    /// # Errors
    /// If the member does not come back.
    pub(crate) async fn lift(self, members: &mut Members, member: u16) -> Result<Option<Duration>> {
        match self {
            Self::Kill => return members.restart(member).await.map(Some),
            Self::Pause => members.signal(member, Signal::CONT)?,
            Self::Partition => members.isolate(member, false).await?,
            Self::None => {}
        }
        Ok(None)
    }
}

/// Whom the next fault strikes: the leader, unless it was struck last, for then another is to be.
pub(crate) fn victim(leader: u16, last: Option<(Kind, u16)>, kind: Kind, nodes: u16) -> u16 {
    match last {
        Some((last_kind, member)) if last_kind != kind && member == leader => member % nodes + 1,
        _ => leader,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_faults_fit_into_the_load_one_after_the_other() {
        let length = Duration::from_secs(20);
        for (kinds, kills) in [
            (&[Kind::Kill, Kind::Pause][..], 1),
            (&[Kind::Kill], 20),
            (&[Kind::Partition], 1),
            (&[Kind::Kill, Kind::Partition, Kind::Pause], 3),
        ] {
            let plan = plan(kinds, kills, length);
            let mut last = Duration::ZERO;
            for planned in &plan {
                assert!(
                    planned.from > last && planned.lasts > Duration::ZERO,
                    "{plan:?}"
                );
                last = planned.from + planned.lasts;
            }
            assert!(last < length, "{plan:?}");
        }
        assert!(plan(&[Kind::None], 1, length).is_empty());
    }

    #[test]
    fn a_second_kind_of_fault_strikes_another_member() {
        assert_eq!(victim(2, None, Kind::Kill, 3), 2);
        assert_eq!(victim(2, Some((Kind::Kill, 1)), Kind::Pause, 3), 2);
        assert_eq!(victim(1, Some((Kind::Kill, 1)), Kind::Pause, 3), 2);
        assert_eq!(victim(3, Some((Kind::Kill, 3)), Kind::Pause, 3), 1);
        assert_eq!(victim(1, Some((Kind::Kill, 1)), Kind::Kill, 3), 1);
    }
}
