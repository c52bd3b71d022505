//! The tables on the terminal.

use comfy_table::{Table, presets};

use super::contender::Contender;
use super::results::{Load, Results};
use super::summary::{Cell, Middle, cells, limits, over_trials, trials};
use crate::console::{Console, Tone};

/// Prints all of them.
pub(crate) fn print(results: &Results, console: Console) {
    let about = &results.about;
    let (members, payload) = (about.members, about.payload);
    println!("\n{}", about.machine.words());
    println!(
        "commit {}, {}, {:.1} minutes, {}",
        about.commit, about.date, about.minutes, about.command
    );
    let heading = |text: &str| println!("\n{}", console.paint(Tone::Strong, text));
    let cells = cells(results);
    heading(&format!(
        "acknowledged a second, median of {} rounds (spread); {members} members, {payload} B",
        about.rounds
    ));
    println!("{}", rates(results, &cells));
    heading(
        "latency: p50 / p99, milliseconds; in open loop from when a request was meant to start",
    );
    println!("{}", latencies(results, &cells));
    if let Some(limits) = limits(results) {
        println!(
            "the machine by itself, at its quickest (median): write and fdatasync {:.0} ({:.0}) µs, a round trip over \
             loopback {:.0} ({:.0}) µs",
            limits.sync.quickest_us,
            limits.sync.median_us,
            limits.round_trip.quickest_us,
            limits.round_trip.median_us
        );
    }
    heading("what one acknowledged request costs all members together, at 64 clients");
    println!("{}", costs(results, &cells));
    if !results.trials.is_empty() {
        heading(&format!(
            "faults, at {} requests a second: without service / as before after, milliseconds",
            results.trials[0].rate
        ));
        println!("{}", outages(results));
        heading("what was lost and what was stale in the fault runs");
        println!("{}", losses(results));
    }
    for line in &results.skipped {
        println!("{line}");
    }
    for trial in &results.trials {
        let name = results.contenders[trial.contender].name();
        for broken in &trial.broken {
            println!("{} {name}: {broken}", console.paint(Tone::Bad, "✗"));
        }
    }
}

fn new_table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table
}

/// The usual loads, as columns.
fn loads(results: &Results, cells: &[Cell]) -> Vec<Load> {
    let mut loads = Vec::new();
    for cell in cells.iter().filter(|cell| is_usual(results, cell)) {
        if !loads.contains(&cell.load) {
            loads.push(cell.load);
        }
    }
    loads
}

/// Whether a cell has the usual number of members and bytes.
pub(crate) fn is_usual(results: &Results, cell: &Cell) -> bool {
    cell.members == results.about.members && cell.payload == results.about.payload
}

fn by_load(results: &Results, cells: &[Cell], figure: impl Fn(&Cell) -> String) -> Table {
    let loads = loads(results, cells);
    let mut table = new_table();
    let mut header = vec![
        String::new(),
        "durability".to_owned(),
        "acknowledged at".to_owned(),
        "simulated".to_owned(),
    ];
    header.extend(loads.iter().map(|load| load.words()));
    table.set_header(header);
    for (place, contender) in results.contenders.iter().enumerate() {
        let mut row = vec![
            contender.name(),
            contender.durability(),
            contender.acknowledgement(),
            contender.standing().words(),
        ];
        for load in &loads {
            let mut found = cells.iter().filter(|cell| {
                cell.contender == place && cell.load == *load && is_usual(results, cell)
            });
            row.push(found.next().map_or_else(|| "-".to_owned(), &figure));
        }
        table.add_row(row);
    }
    table
}

fn rates(results: &Results, cells: &[Cell]) -> Table {
    by_load(results, cells, |cell| {
        let failed = if cell.failed > 0 {
            format!(", {} failed", cell.failed)
        } else {
            String::new()
        };
        format!(
            "{:.0} ({:.0} %{failed})",
            cell.rate.median,
            cell.rate.spread() * 100.0
        )
    })
}

fn latencies(results: &Results, cells: &[Cell]) -> Table {
    by_load(results, cells, |cell| {
        let at = |quantile| {
            cell.latency
                .at(quantile)
                .map_or_else(|| "-".to_owned(), millis)
        };
        format!("{} / {}", at(0.5), at(0.99))
    })
}

/// Microseconds as milliseconds, with as many digits as matter.
pub(crate) fn millis(us: u64) -> String {
    match us {
        0..10_000 => format!("{:.2}", us as f64 / 1e3),
        10_000..100_000 => format!("{:.1}", us as f64 / 1e3),
        _ => format!("{:.0}", us as f64 / 1e3),
    }
}

fn costs(results: &Results, cells: &[Cell]) -> Table {
    let mut table = new_table();
    table.set_header([
        "",
        "members",
        "value, B",
        "CPU, µs",
        "sent, B",
        "messages",
        "to disks, B",
    ]);
    let cost_load = Load::Closed(super::plan::COST_CLIENTS);
    for cell in cells.iter().filter(|cell| cell.load == cost_load) {
        let known = |figure: Option<f64>, digits: usize| {
            figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.digits$}"))
        };
        table.add_row([
            results.contenders[cell.contender].name(),
            cell.members.to_string(),
            cell.payload.to_string(),
            format!("{:.1}", cell.cost.cpu_us),
            known(cell.cost.sent_bytes, 0),
            known(cell.cost.messages, 2),
            format!("{:.0}", cell.cost.disk_bytes),
        ]);
    }
    table
}

fn faulted(results: &Results) -> impl Iterator<Item = (usize, &Contender)> {
    let all = results.contenders.iter().enumerate();
    all.filter(|(place, _)| trials(results, *place).next().is_some())
}

fn outages(results: &Results) -> Table {
    let mut table = new_table();
    let events = &results.trials[0].events;
    let names = events.iter().map(|event| event.fault.words().to_owned());
    table.set_header(std::iter::once(String::new()).chain(names));
    for (place, contender) in faulted(results) {
        let mut row = vec![contender.name()];
        for event in 0..events.len() {
            let outage = over_trials(results, place, event, |event| Some(event.outage_ms));
            let recovered = over_trials(results, place, event, |event| event.recovered_ms);
            let text = |middle: Option<Middle>| {
                middle.map_or_else(
                    || "not".to_owned(),
                    |middle| format!("{:.0}", middle.median),
                )
            };
            row.push(format!("{} / {}", text(outage), text(recovered)));
        }
        table.add_row(row);
    }
    table
}

fn losses(results: &Results) -> Table {
    let mut table = new_table();
    table.set_header([
        "",
        "written",
        "lost",
        "refused but there",
        "refused",
        "unknown",
        "stale reads",
        "worst, ms",
    ]);
    for (place, contender) in faulted(results) {
        let sum = |figure: fn(&super::results::Trial) -> u64| {
            trials(results, place).map(figure).sum::<u64>().to_string()
        };
        let worst = trials(results, place)
            .map(|trial| trial.stale_ms)
            .fold(0.0, f64::max);
        table.add_row([
            contender.name(),
            sum(|trial| trial.written),
            sum(|trial| trial.lost),
            sum(|trial| trial.extra),
            sum(|trial| trial.tally.refused),
            sum(|trial| trial.tally.unknown),
            sum(|trial| trial.stale),
            format!("{worst:.0}"),
        ]);
    }
    table
}
