//! What a demo has shown, for people and as JSON.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use comfy_table::{Table, presets};
use quorate_core::Policy;
use serde::Serialize;

use super::check::Check;
use super::faults::Fault;
use super::plot::{draw, latency};
use super::timeline::{Slot, Timeline, Totals};
use crate::cluster::layout::{Layout, typed};
use crate::console::Console;

/// Everything that is reported.
pub(crate) struct Report {
    /// The cluster.
    pub(crate) layout: Layout,
    /// How many clients there were.
    pub(crate) clients: usize,
    /// What the clients recorded.
    pub(crate) timeline: Timeline,
    /// What happened to the members.
    pub(crate) faults: Vec<Fault>,
    /// What was checked.
    pub(crate) checks: Vec<Check>,
}

impl Report {
    /// Whether every check holds.
    pub(crate) fn holds(&self) -> bool {
        self.checks.iter().all(|check| check.holds)
    }

    /// Prints it.
    pub(crate) fn print(&self, console: Console) {
        println!("\n{}\n", draw(&self.timeline, &self.faults, console));
        if !self.faults.is_empty() {
            println!("{}\n", self.fault_table());
        }
        self.print_totals();
        for check in &self.checks {
            check.print(console);
        }
    }

    fn fault_table(&self) -> Table {
        let mut table = new_table();
        table.set_header([
            "fault",
            "member",
            "at",
            "lasted",
            "without service",
            "ready again",
        ]);
        for (fault, outage) in self.faults.iter().zip(self.outages()) {
            let role = if fault.led { "leader" } else { "follower" };
            table.add_row([
                fault.kind.verb().to_owned(),
                format!("{} ({role})", fault.member),
                format!("{:.1} s", fault.from.as_secs_f64()),
                format!("{:.1} s", fault.lasted().as_secs_f64()),
                outage.map_or("< 10 ms".to_owned(), |gap| latency(gap.as_micros() as f64)),
                fault.restart.map_or(
                    "-".to_owned(),
                    |restart| latency(restart.as_micros() as f64),
                ),
            ]);
        }
        table
    }

    fn print_totals(&self) {
        let whole = self.timeline.whole();
        let Totals {
            writes,
            reads,
            refused,
            unknown,
            unanswered,
        } = whole.totals;
        let seconds = self.timeline.length.as_secs_f64();
        let rate = whole.served() as f64 / seconds;
        println!(
            "run           {} members, {}, {} clients, {seconds:.1} s",
            self.layout.nodes, self.layout.policy, self.clients
        );
        println!("acknowledged  {writes} writes and {reads} reads, {rate:.0}/s");
        println!("latency       {}", quantiles(&whole));
        println!("refused       {refused} (surely not applied)");
        println!(
            "unknown       {unknown} writes (may have been applied), {unanswered} reads unanswered\n"
        );
    }

    /// For each fault the longest time without service from its beginning to that of the next one.
    fn outages(&self) -> Vec<Option<Duration>> {
        let next = self.faults.iter().skip(1).map(|fault| fault.from);
        let ends = next.chain([self.timeline.length]);
        let outage = |(fault, end): (&Fault, _)| self.timeline.longest_gap(fault.from, end);
        self.faults.iter().zip(ends).map(outage).collect()
    }

    /// Writes it to `path`.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(crate) fn write_json(&self, path: &Path) -> Result<()> {
        let faults = self
            .faults
            .iter()
            .zip(self.outages())
            .map(|(fault, outage)| JsonFault {
                kind: typed(&fault.kind),
                member: fault.member,
                leader: fault.led,
                from_ms: millis(fault.from),
                to_ms: millis(fault.to),
                without_service_ms: outage.map_or(0, millis),
                restart_ms: fault.restart.map(millis),
            });
        let json = Json {
            nodes: self.layout.nodes,
            policy: self.layout.policy,
            clients: self.clients,
            length_ms: millis(self.timeline.length),
            slot_ms: millis(self.timeline.slot),
            totals: self.timeline.whole().totals,
            slots: self.timeline.slots.iter().map(JsonSlot::new).collect(),
            faults: faults.collect(),
            holds: self.holds(),
            checks: &self.checks,
        };
        let text = serde_json::to_string_pretty(&json).context("the report is no JSON")?;
        fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))
    }
}

#[derive(Serialize)]
struct Json<'a> {
    nodes: u16,
    policy: Policy,
    clients: usize,
    length_ms: u64,
    slot_ms: u64,
    totals: Totals,
    slots: Vec<JsonSlot>,
    faults: Vec<JsonFault>,
    checks: &'a [Check],
    holds: bool,
}

#[derive(Serialize)]
struct JsonSlot {
    #[serde(flatten)]
    totals: Totals,
    p50_us: Option<u64>,
    p99_us: Option<u64>,
}

impl JsonSlot {
    fn new(slot: &Slot) -> Self {
        Self {
            totals: slot.totals,
            p50_us: slot.latency_us(0.5),
            p99_us: slot.latency_us(0.99),
        }
    }
}

#[derive(Serialize)]
struct JsonFault {
    kind: String,
    member: u16,
    leader: bool,
    from_ms: u64,
    to_ms: u64,
    without_service_ms: u64,
    restart_ms: Option<u64>,
}

fn quantiles(slot: &Slot) -> String {
    [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)]
        .into_iter()
        .filter_map(|(name, quantile)| {
            let us = slot.latency_us(quantile)?;
            Some(format!("{name} {}", latency(us as f64)))
        })
        .collect::<Vec<_>>()
        .join(", ")
}

fn new_table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table
}

fn millis(time: Duration) -> u64 {
    time.as_millis() as u64
}
