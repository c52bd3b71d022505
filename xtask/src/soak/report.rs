//! What a soak has shown.

use std::time::Duration;

use comfy_table::{Table, presets};

use super::churn::Done;
use super::usage::{Course, courses, level};
use super::watch::Seen;
use crate::cluster::layout::Layout;
use crate::console::Console;
use crate::demo::check::Check;
use crate::demo::timeline::Timeline;

/// Everything that is reported.
pub(crate) struct Report {
    /// The cluster.
    pub(crate) layout: Layout,
    /// What the clients recorded.
    pub(crate) timeline: Timeline,
    /// What was done.
    pub(crate) done: Vec<Done>,
    /// What was seen meanwhile.
    pub(crate) seen: Seen,
    /// What the clients' answers and keys have shown.
    pub(crate) checks: Vec<Check>,
    /// The longest that one election may take.
    pub(crate) election: Duration,
    /// So many snapshots were due.
    pub(crate) snapshots_due: u64,
}

impl Report {
    /// Prints it; true if every check holds.
    pub(crate) fn print(&self, console: Console) -> bool {
        println!("\n{}\n\n{}\n", self.deeds(), self.usage());
        let whole = self.timeline.whole().totals;
        let seconds = self.timeline.length.as_secs_f64();
        println!(
            "{}, {seconds:.0} s: {} writes and {} reads acknowledged, {} refused, {} writes unknown, {} reads unanswered\n",
            self.layout.policy,
            whole.writes,
            whole.reads,
            whole.refused,
            whole.unknown,
            whole.unanswered
        );
        let mut checks = self.checks.clone();
        checks.extend([self.unbroken(), self.snapshots()]);
        checks.extend(level(&self.seen.samples));
        for check in &checks {
            check.print(console);
        }
        checks.iter().all(|check| check.holds)
    }

    fn deeds(&self) -> Table {
        let mut table = new_table();
        table.set_header(["at", "what", "took", "longest without a write"]);
        for done in &self.done {
            table.add_row([
                format!("{:.1} s", done.from.as_secs_f64()),
                done.what.clone(),
                format!("{:.1} s", done.to.saturating_sub(done.from).as_secs_f64()),
                shown(self.without_write(done)),
            ]);
        }
        table.add_row(["", "nothing of it", "", &shown(self.quiet())]);
        table
    }

    fn usage(&self) -> Table {
        let mut table = new_table();
        table.set_header(["in the middle, MiB", "first third", "last third", "at most"]);
        for Course {
            name,
            first,
            last,
            most,
        } in courses(&self.seen.samples)
        {
            let values = [first, last, most].map(|mib| format!("{mib:.1}"));
            table.add_row([name.to_owned()].into_iter().chain(values));
        }
        table
    }

    /// The longest time without a write from when it began until an election's time after it had come about.
    fn without_write(&self, done: &Done) -> Duration {
        let to = done.to + self.election;
        let longest = self.timeline.longest_without_write(done.from, to);
        longest.unwrap_or_default()
    }

    /// The longest time without a write while nothing was done: what the machine is to blame for.
    fn quiet(&self) -> Duration {
        let mut from = Duration::ZERO;
        let mut longest = Duration::ZERO;
        let after = self.election * 2;
        let ends = self.done.iter().map(|done| (done.from, done.to));
        for (end, next) in ends.chain([(self.timeline.length, Duration::ZERO)]) {
            let gap = self.timeline.longest_without_write(from, end);
            longest = longest.max(gap.unwrap_or_default());
            from = next + after;
        }
        longest
    }

    fn unbroken(&self) -> Check {
        let allowed = self.election + self.quiet();
        let planned = self.done.iter().filter(|done| done.planned);
        let broken = planned.filter(|done| self.without_write(done) > allowed);
        let details = broken.map(|done| {
            let (gap, at) = (self.without_write(done), done.from.as_secs_f64());
            format!("{} at {at:.1} s: {gap:.0?} without a write", done.what)
        });
        let claim = format!(
            "writes stop for one election at most ({} ms, and {:.0?} that pass without any reason) when members or leaders change",
            self.election.as_millis(),
            self.quiet()
        );
        Check::new(claim, details.collect())
    }

    fn snapshots(&self) -> Check {
        let Seen {
            snapshots,
            failed,
            failures,
            ..
        } = &self.seen;
        let due = self.snapshots_due;
        let claim = format!("{snapshots} snapshots taken of {due} that were due, {failed} failed");
        let mut details = failures.clone();
        if snapshots * 2 < due {
            details.push("less than half".to_owned());
        }
        Check::new(claim, details)
    }
}

fn shown(gap: Duration) -> String {
    match gap.as_millis() {
        0 => "< 10 ms".to_owned(),
        millis => format!("{millis} ms"),
    }
}

fn new_table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table
}
