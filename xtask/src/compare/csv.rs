//! The figures as tables for other programs.

use std::fmt::Display;

use super::contender::Contender;
use super::results::{Load, Results};

/// The files: names and texts.
pub(crate) fn all(results: &Results) -> Vec<(&'static str, String)> {
    vec![
        ("steady.csv", steady(results)),
        ("faults.csv", faults(results)),
        ("timeline.csv", timeline(results)),
        ("limits.csv", limits(results)),
    ]
}

/// A table that grows by rows.
struct Table {
    text: String,
    columns: usize,
}

impl Table {
    fn new(columns: &[&str]) -> Self {
        let mut table = Self {
            text: String::new(),
            columns: columns.len(),
        };
        table.row(columns.iter().map(|&column| column.to_owned()).collect());
        table
    }

    fn row(&mut self, fields: Vec<String>) {
        assert_eq!(
            fields.len(),
            self.columns,
            "a row has a field for each column"
        );
        let fields: Vec<_> = fields.into_iter().map(quoted).collect();
        self.text.push_str(&fields.join(","));
        self.text.push('\n');
    }
}

/// As RFC 4180 says.
fn quoted(field: String) -> String {
    if field.contains([',', '"', '\n']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field
    }
}

/// Nothing, where there is none.
fn known<T: Display>(value: Option<T>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

/// What every row names.
const NAMED: [&str; 7] = [
    "contender",
    "durability",
    "strategy",
    "acknowledged",
    "simulated",
    "commit",
    "machine",
];

fn named(results: &Results, contender: usize) -> Vec<String> {
    let who: &Contender = &results.contenders[contender];
    let machine = &results.about.machine;
    vec![
        who.name(),
        who.durability(),
        who.strategy(),
        who.acknowledgement(),
        who.standing().words(),
        results.about.commit.clone(),
        format!("{} × {}", machine.cores, machine.processor),
    ]
}

fn steady(results: &Results) -> String {
    let mut columns = NAMED.to_vec();
    columns.extend([
        "round",
        "members",
        "payload_bytes",
        "loop",
        "clients",
        "rate_asked",
        "rate",
        "p50_us",
        "p90_us",
        "p99_us",
        "p999_us",
        "max_us",
        "refused",
        "unknown",
        "cpu_us",
        "sent_bytes",
        "messages",
        "disk_bytes",
    ]);
    let mut table = Table::new(&columns);
    for one in &results.steady {
        let (kind, clients, asked) = match one.load {
            Load::Closed(clients) => ("closed", Some(clients), None),
            Load::Open(rate) => ("open", None, Some(rate)),
        };
        let measured = &one.measured;
        let at = |quantile| known(measured.latency.at(quantile));
        let mut row = named(results, one.contender);
        row.extend([
            one.round.to_string(),
            one.members.to_string(),
            one.payload.to_string(),
            kind.to_owned(),
            known(clients),
            known(asked),
            format!("{:.1}", measured.rate()),
            at(0.5),
            at(0.9),
            at(0.99),
            at(0.999),
            at(1.0),
            measured.tally.refused.to_string(),
            measured.tally.unknown.to_string(),
            format!("{:.2}", one.cost.cpu_us),
            known(one.cost.sent_bytes.map(|bytes| format!("{bytes:.1}"))),
            known(one.cost.messages.map(|messages| format!("{messages:.3}"))),
            format!("{:.0}", one.cost.disk_bytes),
        ]);
        table.row(row);
    }
    table.text
}

fn faults(results: &Results) -> String {
    let mut columns = NAMED.to_vec();
    columns.extend([
        "trial",
        "fault",
        "from_ms",
        "to_ms",
        "outage_ms",
        "recovered_ms",
        "restart_ms",
        "stale_ms",
        "lost_in_trial",
        "extra_in_trial",
        "refused_in_trial",
        "unknown_in_trial",
        "written_in_trial",
    ]);
    let mut table = Table::new(&columns);
    for trial in &results.trials {
        for event in &trial.events {
            let mut row = named(results, trial.contender);
            row.extend([
                trial.number.to_string(),
                crate::cluster::layout::typed(&event.fault),
                format!("{:.1}", event.from_ms),
                format!("{:.1}", event.to_ms),
                format!("{:.1}", event.outage_ms),
                known(event.recovered_ms.map(|time| format!("{time:.1}"))),
                known(event.restart_ms.map(|time| format!("{time:.1}"))),
                format!("{:.1}", event.stale_ms),
                trial.lost.to_string(),
                trial.extra.to_string(),
                trial.tally.refused.to_string(),
                trial.tally.unknown.to_string(),
                trial.written.to_string(),
            ]);
            table.row(row);
        }
    }
    table.text
}

fn timeline(results: &Results) -> String {
    let columns = [
        "contender",
        "trial",
        "at_ms",
        "served",
        "failed",
        "p50_us",
        "p99_us",
    ];
    let mut table = Table::new(&columns);
    for trial in &results.trials {
        for (slot, place) in trial.slots.iter().zip(0..) {
            table.row(vec![
                results.contenders[trial.contender].name(),
                trial.number.to_string(),
                (place * trial.slot_ms).to_string(),
                slot.served.to_string(),
                slot.failed.to_string(),
                known(slot.p50_us),
                known(slot.p99_us),
            ]);
        }
    }
    table.text
}

fn limits(results: &Results) -> String {
    let mut table = Table::new(&[
        "round",
        "write_and_fdatasync_quickest_us",
        "write_and_fdatasync_median_us",
        "loopback_round_trip_quickest_us",
        "loopback_round_trip_median_us",
    ]);
    for (limits, round) in results.limits.iter().zip(0..) {
        let round: u32 = round;
        table.row(vec![
            round.to_string(),
            format!("{:.1}", limits.sync.quickest_us),
            format!("{:.1}", limits.sync.median_us),
            format!("{:.1}", limits.round_trip.quickest_us),
            format!("{:.1}", limits.round_trip.median_us),
        ]);
    }
    table.text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::sample;

    /// Takes a table apart again.
    fn parse(text: &str) -> Vec<Vec<String>> {
        let mut rows = vec![vec![String::new()]];
        let mut quoted = false;
        let mut letters = text.trim_end().chars().peekable();
        while let Some(letter) = letters.next() {
            let row = rows.last_mut().expect("there is a row");
            let field = row.last_mut().expect("there is a field");
            match letter {
                '"' if quoted && letters.peek() == Some(&'"') => field.extend(letters.next()),
                '"' => quoted = !quoted,
                ',' if !quoted => row.push(String::new()),
                '\n' if !quoted => rows.push(vec![String::new()]),
                letter => field.push(letter),
            }
        }
        rows
    }

    #[test]
    fn every_figure_has_a_row_that_says_what_it_is() {
        let results = sample::results();
        let tables: Vec<_> = all(&results)
            .into_iter()
            .map(|(name, text)| (name, parse(&text)))
            .collect();
        let rows = tables.iter().map(|(name, rows)| (*name, rows.len() - 1));
        let expected = [
            ("steady.csv", 60),
            ("faults.csv", 8),
            ("timeline.csv", 160),
            ("limits.csv", 2),
        ];
        assert_eq!(rows.collect::<Vec<_>>(), expected);
        for (name, rows) in &tables {
            assert!(rows.iter().all(|row| row.len() == rows[0].len()), "{name}");
        }
        let (_, steady) = &tables[0];
        let column = |name: &str| {
            steady[0]
                .iter()
                .position(|column| column == name)
                .expect("it is there")
        };
        let last = steady.last().expect("there is a row");
        assert_eq!(last[column("contender")], "redis <7> & \"8\" + WAIT 1");
        assert_eq!(last[column("durability")], "fsync");
        assert_eq!(last[column("machine")], "2 × Some, \"fast\" <one>");
        assert_eq!(last[column("commit")], "0123456789ab");
        assert_eq!(last[column("rate")], "1401.0");
    }
}
