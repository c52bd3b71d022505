//! The timeline as text: throughput in bars, latency on a logarithmic scale, outages marked below.

#![allow(
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    reason = "columns, rows and rates are never negative"
)]

use std::fmt::Write;
use std::time::Duration;

use super::faults::Fault;
use super::timeline::{Slot, Timeline};
use crate::console::{Console, Tone};

/// The place for the scale, left of the columns.
const SCALE: usize = 10;
const MOST_COLUMNS: usize = 90;
const RATE_ROWS: usize = 6;
const LATENCY_ROWS: usize = 6;
const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Draws `timeline` with the times of `faults` marked below.
pub(crate) fn draw(timeline: &Timeline, faults: &[Fault], console: Console) -> String {
    let most = usize::from(console.width())
        .saturating_sub(SCALE + 3)
        .clamp(20, MOST_COLUMNS);
    let (each, columns) = timeline.in_columns(most);
    let outages = marks(faults, each, columns.len());
    let mut lines = Vec::new();
    lines.push(console.paint(
        Tone::Strong,
        &format!("answered per second (one column = {} ms)", each.as_millis()),
    ));
    lines.extend(rates(&columns, each, &outages, console));
    lines.push(console.paint(Tone::Strong, "latency: • p99, · p50"));
    lines.extend(latencies(&columns, &outages, console));
    lines.push(console.paint(Tone::Strong, "outages: K killed, P paused, C cut off"));
    lines.push(format!(
        "{:SCALE$} {}",
        "",
        painted(&outages, &outages, console)
    ));
    lines.push(seconds(each, columns.len()));
    lines.join("\n")
}

fn rates(columns: &[Slot], each: Duration, outages: &[char], console: Console) -> Vec<String> {
    let rates: Vec<f64> = columns
        .iter()
        .map(|column| column.served() as f64 / each.as_secs_f64())
        .collect();
    let top = round_up(rates.iter().copied().fold(1.0, f64::max));
    let mut lines = Vec::new();
    for row in (0..RATE_ROWS).rev() {
        let cells: Vec<char> = rates
            .iter()
            .map(|rate| {
                let eighths = (rate / top * (RATE_ROWS * 8) as f64).round() as usize;
                // A column in which anything was answered is never drawn as if nothing had been.
                let eighths = if *rate > 0.0 { eighths.max(1) } else { 0 };
                BARS[eighths.saturating_sub(row * 8).min(8)]
            })
            .collect();
        let label = match row {
            0 => "0".to_owned(),
            _ if row == RATE_ROWS - 1 => count(top),
            _ => String::new(),
        };
        lines.push(format!(
            "{label:>SCALE$}│{}",
            painted(&cells, outages, console)
        ));
    }
    lines
}

fn latencies(columns: &[Slot], outages: &[char], console: Console) -> Vec<String> {
    let known = |quantile| {
        columns
            .iter()
            .filter_map(move |column| column.latency_us(quantile))
    };
    let Some(low) = known(0.5).min() else {
        return vec![format!("{:SCALE$}│ nothing was answered", "")];
    };
    let high = known(0.99).max().unwrap_or(low);
    let scale = LogScale::new(low, high);
    let mut lines = Vec::new();
    for row in (0..LATENCY_ROWS).rev() {
        let cells: Vec<char> = columns
            .iter()
            .map(|column| {
                let at = |quantile| column.latency_us(quantile).map(|us| scale.row(us));
                match () {
                    () if at(0.99) == Some(row) => '•',
                    () if at(0.5) == Some(row) => '·',
                    () => ' ',
                }
            })
            .collect();
        let label = latency(scale.value(row));
        lines.push(format!(
            "{label:>SCALE$}│{}",
            painted(&cells, outages, console)
        ));
    }
    lines
}

/// Rows at equal ratios from the lowest value to the highest.
struct LogScale {
    low: f64,
    ratio: f64,
}

impl LogScale {
    fn new(low: u64, high: u64) -> Self {
        let low = low.max(1) as f64;
        let steps = (LATENCY_ROWS - 1) as f64;
        // At least a third more a row, so that noise does not fill the picture.
        Self {
            low,
            ratio: (high as f64 / low).powf(1.0 / steps).max(4.0 / 3.0),
        }
    }

    fn row(&self, us: u64) -> usize {
        let row = ((us.max(1) as f64 / self.low).ln() / self.ratio.ln()).round();
        row.clamp(0.0, (LATENCY_ROWS - 1) as f64) as usize
    }

    fn value(&self, row: usize) -> f64 {
        self.low * self.ratio.powi(row as i32)
    }
}

/// For each column the sign of the fault that touches it: a letter where it begins, a line while it lasts.
fn marks(faults: &[Fault], each: Duration, columns: usize) -> Vec<char> {
    let mut marks = vec![' '; columns];
    let column = |time: Duration| (time.as_nanos() / each.as_nanos()) as usize;
    for fault in faults {
        let first = column(fault.from).min(columns - 1);
        let last = column(fault.to).min(columns - 1);
        marks[first..=last].fill('━');
        marks[first] = fault.kind.letter();
    }
    marks
}

/// The cells as text, those during an outage in colour.
fn painted(cells: &[char], outages: &[char], console: Console) -> String {
    let cells: Vec<(char, bool)> = cells
        .iter()
        .zip(outages)
        .map(|(&cell, &outage)| (cell, outage != ' '))
        .collect();
    let mut text = String::new();
    for run in cells.chunk_by(|left, right| left.1 == right.1) {
        let part: String = run.iter().map(|(cell, _)| cell).collect();
        text += &if run[0].1 {
            console.paint(Tone::Bad, &part)
        } else {
            part
        };
    }
    text.trim_end().to_owned()
}

/// A label every so many columns, at full seconds.
fn seconds(each: Duration, columns: usize) -> String {
    let total = each.as_secs_f64() * columns as f64;
    let step = [1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 120.0, 300.0, 600.0, 1800.0]
        .into_iter()
        .find(|step| total / step <= 10.0)
        .unwrap_or(3600.0);
    let mut line = String::new();
    let mut time = 0.0;
    while time < total {
        let column = (time / each.as_secs_f64()).round() as usize;
        while line.chars().count() < column {
            line.push(' ');
        }
        write!(line, "{time:.0}").expect("a string takes everything");
        time += step;
    }
    format!("{:>SCALE$} {line} s", "")
}

fn round_up(rate: f64) -> f64 {
    let power = 10f64.powf(rate.log10().floor());
    let steps = [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    steps
        .iter()
        .map(|step| step * power)
        .find(|&top| top >= rate)
        .unwrap_or(rate)
}

fn count(number: f64) -> String {
    if number >= 10_000.0 {
        format!("{:.0}k", number / 1000.0)
    } else {
        format!("{number:.0}")
    }
}

/// A time in microseconds, for people.
pub(crate) fn latency(us: f64) -> String {
    match us {
        us if us < 1000.0 => format!("{us:.0} µs"),
        us if us < 10_000.0 => format!("{:.1} ms", us / 1000.0),
        us if us < 1_000_000.0 => format!("{:.0} ms", us / 1000.0),
        us => format!("{:.1} s", us / 1_000_000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::super::faults::Kind;
    use super::*;

    fn fault(from: u64, to: u64) -> Fault {
        let [from, to] = [from, to].map(Duration::from_millis);
        Fault {
            kind: Kind::Kill,
            member: 1,
            led: true,
            from,
            to,
            restart: None,
        }
    }

    #[test]
    fn an_outage_is_marked_from_its_first_column_to_its_last() {
        let marks = marks(
            &[fault(200, 450), fault(900, 5000)],
            Duration::from_millis(100),
            10,
        );
        assert_eq!(marks.into_iter().collect::<String>(), "  K━━    K");
    }

    #[test]
    fn full_seconds_stand_below_their_columns() {
        let line = seconds(Duration::from_millis(500), 20);
        assert_eq!(line.trim_start(), "0 1 2 3 4 5 6 7 8 9 s");
    }

    #[test]
    fn the_scale_reaches_from_the_lowest_to_the_highest_latency() {
        let scale = LogScale::new(100, 1_000_000);
        assert_eq!(scale.row(100), 0);
        assert_eq!(scale.row(1_000_000), LATENCY_ROWS - 1);
        assert_eq!(scale.row(10_000), 3);
    }

    #[test]
    fn a_plot_without_any_answer_says_so() {
        let timeline = super::super::timeline::Recorder::new(Duration::from_secs(1)).finish();
        let text = draw(&timeline, &[], Console::plain());
        assert!(text.contains("nothing was answered"), "{text}");
    }
}
