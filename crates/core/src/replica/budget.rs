//! How much may be under way at once, so that what is taken does not wait long, and when who is refused may come again.
//!
//! Little's law: what is taken in waits for as long as it takes to complete what is under way before it. So no more is taken
//! than is completed within [`ReplicaConfig::queueing`] and the time that a command takes that waits for no other, at
//! the rate at which commands were completed of late; never less than a floor, never more than
//! [`ReplicaConfig::pending_bytes_max`]. The rate is measured only while there is a *standing* queue, one that did not go
//! below a period's work for that whole period (as `CoDel` tells a bad queue from a good one: Nichols and Jacobson,
//! ACM Queue 2012): otherwise it says what was asked for, not what can be done. It is the highest of the last periods, as
//! BBR estimates a path (Cardwell et al., ACM Queue 2016), and is forgotten when no queue has stood for long.

use alloc::collections::BTreeMap;
use core::time::Duration;

use super::ReplicaConfig;
use crate::{Batch, Instant, Label, Life, NodeId};

/// Bytes under way at this member: of its own clients, from the door until they are applied; and, as the leader, of
/// commands that other members forwarded.
#[derive(Debug)]
pub(super) struct Budget {
    most: u64,
    queueing: Duration,
    retry: (Duration, Duration),
    /// Rates of past periods, in bytes a second; zero: none.
    rates: [u64; Self::PERIODS],
    next: usize,
    /// When a queue stood last.
    stood: Option<Instant>,
    /// How long a command takes that waits for no other.
    base: Duration,
    period: Period,
    /// What was refused and is going to come again, less what could be completed since.
    refused: u64,
    forwarded: Forwarded,
}

/// Another member's commands, as the budget names and weighs them.
pub(super) struct Forward {
    first: (NodeId, Life, u64),
    weight: u64,
}

impl Forward {
    pub(super) fn of(batch: &Batch) -> Self {
        Self {
            first: key(batch),
            weight: Budget::weight(batch.len(), batch.bytes()),
        }
    }
}

/// What the leader has proposed for other members and not applied yet.
#[derive(Debug, Default)]
struct Forwarded {
    /// By the number of the first command.
    batches: BTreeMap<(NodeId, Life, u64), u64>,
    weight: u64,
}

#[derive(Debug, Default)]
struct Period {
    since: Option<Instant>,
    completed: u64,
    /// The least that was under way in it.
    standing: Option<u64>,
}

impl Budget {
    /// How many periods the rate is remembered for.
    const PERIODS: usize = 10;
    /// How long one lasts at least.
    const PERIOD: Duration = Duration::from_millis(100);
    /// For how long a rate counts if no queue stands.
    const MEMORY: Duration = Duration::from_secs(10);
    /// What may always be under way.
    const LEAST: u64 = 256 << 10;
    /// What a command costs whatever its length is, in bytes.
    const COMMAND: u64 = 128;

    pub(super) fn new(config: &ReplicaConfig) -> Self {
        Self {
            most: config.pending_bytes_max,
            queueing: config.queueing,
            retry: (
                config.retry_after,
                config.request_timeout.max(config.retry_after),
            ),
            rates: [0; Self::PERIODS],
            next: 0,
            stood: None,
            base: Duration::ZERO,
            period: Period::default(),
            refused: 0,
            forwarded: Forwarded::default(),
        }
    }

    /// How many bytes may be under way.
    pub(super) fn limit(&self) -> u64 {
        let rate = self.rate();
        if rate == 0 {
            return self.most;
        }
        in_time(rate, self.queueing + self.base)
            .max(Self::LEAST)
            .min(self.most)
    }

    /// Bytes a second that were completed at best of late; zero: not measured yet.
    fn rate(&self) -> u64 {
        self.rates.iter().copied().max().unwrap_or_default()
    }

    /// What so many commands of so many bytes count for.
    pub(super) const fn weight(commands: u64, bytes: u64) -> u64 {
        bytes + Self::COMMAND * commands
    }

    /// Whether `weight` more may be taken while `own` is under way for clients here; if not, when to come again.
    pub(super) fn take(&mut self, own: u64, weight: u64) -> Result<(), Duration> {
        let used = own.saturating_add(self.forwarded.weight);
        if self.admits(used, weight) {
            Ok(())
        } else {
            Err(self.refuse(own, weight))
        }
    }

    /// The leader has proposed another member's commands.
    pub(super) fn on_proposed(&mut self, Forward { first, weight }: Forward) {
        *self.forwarded.batches.entry(first).or_default() += weight;
        self.forwarded.weight += weight;
    }

    /// Commands were applied.
    pub(super) fn on_applied(&mut self, batch: &Batch) {
        let weight = Self::weight(batch.len(), batch.bytes());
        self.period.completed = self.period.completed.saturating_add(weight);
        // The log may have split the batch.
        let (origin, life, _) = key(batch);
        let Some(entry) = self.forwarded.batches.range_mut(..=key(batch)).next_back() else {
            return;
        };
        if (entry.0.0, entry.0.1) == (origin, life) {
            let given = weight.min(*entry.1);
            *entry.1 -= given;
            self.forwarded.weight -= given;
            if *entry.1 == 0 {
                let done = *entry.0;
                self.forwarded.batches.remove(&done);
            }
        }
    }

    /// This member leads in another epoch, or no more: what it had proposed may never be applied.
    pub(super) fn on_leadership(&mut self) {
        self.forwarded = Forwarded::default();
    }

    /// Whether `weight` more may be taken while `used` is under way.
    fn admits(&self, used: u64, weight: u64) -> bool {
        let sum = used.saturating_add(weight);
        sum <= self.limit() || used == 0
    }

    /// When who is refused with `weight` may come again: when all that is above the limit, and was refused before, has been
    /// completed.
    pub(super) fn refuse(&mut self, own: u64, weight: u64) -> Duration {
        let used = own.saturating_add(self.forwarded.weight);
        self.refused = self.refused.saturating_add(weight).min(self.most);
        let (least, most) = self.retry;
        let above = used
            .saturating_add(self.refused)
            .saturating_sub(self.limit());
        let Some(nanos) = (u128::from(above) * 1_000_000_000).checked_div(self.rate().into())
        else {
            return least;
        };
        let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
        Duration::from_nanos(nanos).clamp(least, most)
    }

    /// Once a turn, with what is under way for clients here. Without a leader nothing can be completed, which says nothing
    /// about how fast that goes. `base`: how long a command takes that waits for no other.
    pub(super) fn on_turn(
        &mut self,
        now: Instant,
        led: bool,
        own: u64,
        base: impl FnOnce() -> Duration,
    ) {
        let used = own.saturating_add(self.forwarded.weight);
        let since = *self.period.since.get_or_insert(now);
        let standing = self.period.standing.map_or(used, |least| least.min(used));
        self.period.standing = Some(standing);
        let elapsed = now.since(since);
        if elapsed < Self::PERIOD {
            return;
        }
        let completed = core::mem::take(&mut self.period).completed;
        self.period.since = Some(now);
        self.base = base();
        self.refused = self.refused.saturating_sub(in_time(self.rate(), elapsed));
        let rate = u128::from(completed) * 1_000_000_000 / elapsed.as_nanos().max(1);
        let rate = u64::try_from(rate).unwrap_or(u64::MAX);
        let stands = led && rate > 0 && standing >= in_time(rate, elapsed + self.base);
        if self.stood.is_some_and(|at| now.since(at) > Self::MEMORY) {
            (self.rates, self.stood) = ([0; Self::PERIODS], None);
        }
        if stands || (self.stood.is_some() && rate > self.rate()) {
            self.rates[self.next % Self::PERIODS] = rate;
            self.next += 1;
        }
        if stands {
            self.stood = Some(now);
        }
    }
}

/// What is completed at this rate in this time.
fn in_time(rate: u64, time: Duration) -> u64 {
    let bytes = u128::from(rate) * time.as_nanos() / 1_000_000_000;
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

fn key(batch: &Batch) -> (NodeId, Life, u64) {
    let Label {
        origin,
        life,
        sequence,
        ..
    } = batch.label();
    (origin, life, sequence)
}
