//! Which faults strike in a fault run, and when: drawn from a seed once, the same for every policy.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::ValueEnum;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use crate::demo::members::Members;
use crate::demo::wiped;

/// What a sync of a slow disk takes longer.
const SLOW_SYNC_MS: u32 = 50;
/// What every message between members takes longer on slow links.
const SLOW_LINK_MS: u32 = 100;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Fault {
    /// The leader gets SIGKILL, and is started again afterwards.
    Kill,
    /// Nobody hears the leader any more, which hears everybody.
    OneWay,
    /// Every sync of the leader's disk takes 50 ms longer.
    SlowDisk,
    /// Every message between members takes 100 ms longer.
    SlowLinks,
    /// Another member gets SIGKILL and loses its disk; it is refused as itself afterwards, and a new one takes its place.
    Wipe,
    /// The leader gets SIGSTOP, and SIGCONT afterwards.
    Pause,
    /// Nothing happens.
    None,
}

impl Fault {
    /// What strikes unless told otherwise.
    pub(crate) const USUAL: [Self; 5] = [
        Self::Kill,
        Self::OneWay,
        Self::SlowDisk,
        Self::SlowLinks,
        Self::Wipe,
    ];

    /// For people.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Kill => "leader killed",
            Self::OneWay => "leader unheard (one way)",
            Self::SlowDisk => "leader's disk +50 ms a sync",
            Self::SlowLinks => "all links +100 ms",
            Self::Wipe => "a follower wiped and replaced",
            Self::Pause => "leader paused",
            Self::None => "nothing",
        }
    }

    /// Whether somebody has to appoint another leader, where members do not elect one.
    pub(crate) fn needs_operator(self) -> bool {
        match self {
            Self::Kill | Self::OneWay | Self::Pause => true,
            Self::SlowDisk | Self::SlowLinks | Self::Wipe | Self::None => false,
        }
    }

    /// How many members come that were not there in the beginning.
    fn newcomers(self) -> u16 {
        u16::from(self == Self::Wipe)
    }

    /// Makes it happen while `leader` leads.
    ///
    /// # Errors
    /// If a member does not run, or refuses.
    pub(crate) async fn strike(self, members: &mut Members, leader: u16) -> Result<()> {
        match self {
            Self::Kill => members.kill(leader),
            Self::OneWay => members.fault(leader, "* out cut").await?,
            Self::SlowDisk => {
                let order = format!("disk delay {SLOW_SYNC_MS}");
                members.fault(leader, &order).await?;
            }
            Self::SlowLinks => {
                let order = format!("* out delay {SLOW_LINK_MS}");
                for id in members.layout().ids() {
                    members.fault(id, &order).await?;
                }
            }
            Self::Wipe => {
                let victim = victim(members, leader)?;
                members.kill(victim);
                members.erase(victim)?;
            }
            Self::Pause => members.signal(leader, Signal::STOP)?,
            Self::None => {}
        }
        Ok(())
    }

    /// Lifts it from the member that led when it struck; how long that took to be ready, if one had to be started: a new
    /// one is ready when it votes.
    ///
    /// # Errors
    /// If a member does not come back.
    pub(crate) async fn lift(self, members: &mut Members, struck: u16) -> Result<Option<Duration>> {
        match self {
            Self::Kill => return members.restart(struck).await.map(Some),
            Self::OneWay => members.fault(struck, "* both clear").await?,
            Self::SlowDisk => members.fault(struck, "disk clear").await?,
            Self::SlowLinks => {
                for id in members.layout().ids() {
                    members.fault(id, "* both clear").await?;
                }
            }
            Self::Wipe => {
                let (victim, began) = (victim(members, struck)?, Instant::now());
                wiped::refuse(members, victim).await?;
                let new = members.ids().last().map_or(1, |last| last + 1);
                wiped::replace(members, victim, new).await?;
                return Ok(Some(began.elapsed()));
            }
            Self::Pause => members.signal(struck, Signal::CONT)?,
            Self::None => {}
        }
        Ok(None)
    }
}

/// Who is wiped while `leader` leads, or led when it was done.
fn victim(members: &Members, leader: u16) -> Result<u16> {
    let mut others = members.ids().into_iter().filter(|id| *id != leader);
    others.next().context("the leader has no followers")
}

/// A fault run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Script {
    /// What happens, one after the other.
    pub(crate) strikes: Vec<Strike>,
    /// Requests a second.
    pub(crate) rate: u32,
    /// How long the load runs.
    pub(crate) length: Duration,
    /// Nothing has struck by then: what is usual is measured until then.
    pub(crate) calm: Duration,
}

/// A fault that is going to happen; times since the load began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Strike {
    /// What.
    pub(crate) fault: Fault,
    /// When.
    pub(crate) from: Duration,
    /// Until when.
    pub(crate) to: Duration,
}

impl Script {
    /// How many members come that were not there in the beginning.
    pub(crate) fn newcomers(&self) -> u16 {
        let strikes = self.strikes.iter();
        strikes.map(|strike| strike.fault.newcomers()).sum()
    }

    /// The run that `seed` says: where in its share of time each fault strikes is drawn.
    pub(crate) fn draw(faults: &[Fault], rate: u32, seed: u64, quick: bool) -> Self {
        let seconds =
            |full: f64, short: f64| Duration::from_secs_f64(if quick { short } else { full });
        let (lasts, rest, calm) = (seconds(4.0, 2.0), seconds(5.0, 1.8), seconds(3.0, 1.5));
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut at = calm;
        let mut strikes = Vec::new();
        for &fault in faults {
            // Up to a fifth of the rest later.
            let from = at + rest.mul_f64(0.2 * rng.f64());
            let to = from + lasts;
            strikes.push(Strike { fault, from, to });
            at = at + lasts + rest;
        }
        Self {
            strikes,
            rate,
            length: at,
            calm,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_says_when_faults_strike_and_they_never_overlap() {
        for quick in [false, true] {
            let script = Script::draw(&Fault::USUAL, 500, 7, quick);
            assert_eq!(script, Script::draw(&Fault::USUAL, 500, 7, quick));
            assert_ne!(script, Script::draw(&Fault::USUAL, 500, 8, quick));
            let mut last = script.calm;
            for strike in &script.strikes {
                assert!(strike.from >= last && strike.to > strike.from, "{script:?}");
                last = strike.to + Duration::from_secs(1);
            }
            assert!(
                last < script.length + Duration::from_millis(1),
                "{script:?}"
            );
        }
    }
}
