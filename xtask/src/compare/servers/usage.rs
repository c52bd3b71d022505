//! What processes have used, as the kernel counts it.

use std::fs;
use std::time::Duration;

use crate::compare::results::Cost;

/// What the members of a cluster have used since they were started, all together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Usage {
    /// Processor time.
    pub(crate) cpu: Duration,
    /// Bytes that went to disks.
    pub(crate) disk_bytes: u64,
    /// Bytes that members sent to each other, if they say.
    pub(crate) sent_bytes: Option<u64>,
    /// Messages that members sent to each other, if they say.
    pub(crate) messages: Option<u64>,
}

impl Usage {
    /// What these processes have used; what they sent they have to say themselves.
    pub(crate) fn of(pids: &[u32]) -> Self {
        let mut usage = Self::default();
        for pid in pids {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            usage.cpu += cpu(&stat).unwrap_or_default();
            let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
            usage.disk_bytes += written(&io).unwrap_or_default();
        }
        usage
    }

    /// What each of `done` requests cost since `before`.
    pub(crate) fn cost_since(&self, before: &Self, done: u64) -> Cost {
        let each = |amount: f64| amount / done.max(1) as f64;
        let counted = |now: Option<u64>, before: Option<u64>| {
            // A counter that went back belongs to a process that was started again.
            Some(each(now?.checked_sub(before?)? as f64))
        };
        Cost {
            cpu_us: each(self.cpu.saturating_sub(before.cpu).as_secs_f64() * 1e6),
            disk_bytes: each(self.disk_bytes.saturating_sub(before.disk_bytes) as f64),
            sent_bytes: counted(self.sent_bytes, before.sent_bytes),
            messages: counted(self.messages, before.messages),
        }
    }
}

/// User and system time (proc(5), fields 14 and 15).
fn cpu(stat: &str) -> Option<Duration> {
    // The name in parentheses may hold anything, also spaces and parentheses.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let ticks = ticks()? + ticks()?;
    let per_second = rustix::param::clock_ticks_per_second();
    Some(Duration::from_secs_f64(ticks as f64 / per_second as f64))
}

fn written(io: &str) -> Option<u64> {
    let mut lines = io.lines();
    lines.find_map(|line| line.strip_prefix("write_bytes: ")?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_times_of_a_process_are_counted_whatever_its_name() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194304 9 0 0 0 30 12 5 6 20 0 1 0 99 1 1";
        let ticks = rustix::param::clock_ticks_per_second();
        assert_eq!(
            cpu(stat),
            Some(Duration::from_secs_f64(42.0 / ticks as f64))
        );
        assert_eq!(cpu("7 (x"), None);
        assert_eq!(
            written("rchar: 1\nwrite_bytes: 4096\ncancelled_write_bytes: 0\n"),
            Some(4096)
        );
    }

    #[test]
    fn a_cost_is_the_difference_by_request() {
        let before = Usage {
            cpu: Duration::from_millis(10),
            disk_bytes: 1000,
            sent_bytes: Some(50),
            messages: Some(9),
        };
        let now = Usage {
            cpu: Duration::from_millis(30),
            disk_bytes: 3000,
            sent_bytes: Some(250),
            messages: Some(3),
        };
        let cost = now.cost_since(&before, 10);
        let expected = Cost {
            cpu_us: 2000.0,
            disk_bytes: 200.0,
            sent_bytes: Some(20.0),
            messages: None,
        };
        assert_eq!(cost, expected);
    }
}
