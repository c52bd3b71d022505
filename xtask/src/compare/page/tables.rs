//! The tables of the page.

use maud::{Markup, html};

use super::look::Look;
use super::scale::{count, digits, time};
use crate::compare::contender::Standing;
use crate::compare::results::{Event, Limits, Load, Results, Trial};
use crate::compare::summary::{self, Cell, Middle, over_trials, trials};
use crate::compare::tables::{is_usual, millis};

/// Who is compared, and what each promises.
pub(crate) fn contenders(results: &Results) -> Markup {
    html! {
        div class="wide" { table {
            tr { th { "contender" } th class="text" { "durability" } th class="text" { "strategy" }
                th class="text" { "a write is acknowledged when on" } th class="text" { "simulator" } }
            @for contender in &results.contenders {
                tr {
                    td { (contender.name()) }
                    td class="text" { (contender.durability()) }
                    td class="text" { (contender.strategy()) }
                    td class="text" { (contender.acknowledgement()) }
                    @match contender.standing() {
                        Standing::Simulated => td class="text good" { "passes it" },
                        standing @ Standing::Outside(_) => td class="text bad" { (standing.words()) },
                        Standing::Foreign => td class="text" { "-" },
                    }
                }
            }
        } }
    }
}

/// The latency of one client beside what the machine needs at least.
pub(crate) fn limits(results: &Results, cells: &[Cell], looks: &[Look]) -> Markup {
    let Some(limits) = summary::limits(results) else {
        return html! {};
    };
    let Limits { sync, round_trip } = limits;
    let sum = sync.quickest_us + round_trip.quickest_us;
    let alone = cells
        .iter()
        .filter(|cell| cell.load == Load::Closed(1) && is_usual(results, cell));
    html! {
        h3 { "One client, beside the machine's own limit" }
        p {
            "In the same rounds the machine by itself took " (time(sync.quickest_us)) " at its quickest (median " (time(sync.median_us))
            ") to write a value to a file that was written before and " code { "fdatasync" } " it, and " (time(round_trip.quickest_us))
            " (median " (time(round_trip.median_us)) ") for a value to another thread and back over loopback. A commit of one client takes at least about "
            (time(sum)) ", both at their quickest. Where a median is much more, other processes of the machine took their share, of the servers' time as well."
        }
        div class="wide" { table {
            tr { th { "contender" } th { "p50, ms" } th { "p99, ms" } th { "p50 / limit" } }
            @for cell in alone {
                @let at = |quantile| cell.latency.at(quantile);
                tr {
                    td { (looks[cell.contender].name) }
                    td { (at(0.5).map(millis).unwrap_or_default()) }
                    td { (at(0.99).map(millis).unwrap_or_default()) }
                    td { (at(0.5).map(|us| format!("{:.1}", us as f64 / sum)).unwrap_or_default()) }
                }
            }
        } }
    }
}

/// What each fault did to each policy.
pub(crate) fn faults(results: &Results, looks: &[Look]) -> Markup {
    let events = &results.trials[0].events;
    html! {
        div class="wide" { table {
            tr { th { "without service / as before after, ms" }
                @for event in events { th { (event.fault.words()) } } }
            @for (place, look) in looks.iter().enumerate() {
                @if trials(results, place).next().is_some() {
                    tr {
                        td { (look.name) }
                        @for event in 0..events.len() { td { (outcome(results, place, event)) } }
                    }
                }
            }
        } }
        p class="faint" {
            "Without service: the longest time without any answer, from the fault to the next one. As before: when the median latency of "
            "five slots in a row is again at most four times the usual one (or 20 ms), and nothing fails; \"not\": not before the next fault. "
            "Each fault lasted " (lasted(events)) ". Medians"
            @if results.trials.iter().any(|trial| trial.number > 0) { " of all runs, in brackets the least and the most" } "."
        }
    }
}

fn lasted(events: &[Event]) -> String {
    let lasted = Middle::of(events.iter().map(|event| event.to_ms - event.from_ms));
    lasted.map_or_else(String::new, |lasted| time(lasted.median * 1e3))
}

fn outcome(results: &Results, contender: usize, event: usize) -> Markup {
    let outage = over_trials(results, contender, event, |event| Some(event.outage_ms));
    let recovered = over_trials(results, contender, event, |event| event.recovered_ms);
    let text = |middle: Option<Middle>| match middle {
        None => html! { "not" },
        Some(Middle {
            median,
            least,
            most,
        }) => html! {
            (format!("{median:.0}"))
            @if most - least > 1.0 { small { (format!(" ({least:.0}–{most:.0})")) } }
        },
    };
    html! { (text(outage)) " / " (text(recovered)) }
}

/// What was lost, and what was stale.
pub(crate) fn losses(results: &Results, looks: &[Look]) -> Markup {
    html! {
        div class="wide" { table {
            tr { th { "in the fault runs" } th { "writes acknowledged" } th { "of these lost" } th { "refused, yet there" }
                th { "refused" } th { "unknown" } th { "reads" } th { "stale" } th { "worst staleness" } th class="text" { "" } }
            @for (place, look) in looks.iter().enumerate() {
                @let runs: Vec<_> = trials(results, place).collect();
                @if !runs.is_empty() {
                    @let sum = |figure: fn(&Trial) -> u64| runs.iter().map(|trial| figure(trial)).sum::<u64>();
                    @let worst = runs.iter().map(|trial| trial.stale_ms).fold(0.0, f64::max);
                    @let broken: Vec<_> = runs.iter().flat_map(|trial| &trial.broken).cloned().collect();
                    tr {
                        td { (look.name) }
                        td { (sum(|trial| trial.written)) }
                        td class=[(sum(|trial| trial.lost) > 0).then_some("bad")] { (sum(|trial| trial.lost)) }
                        td class=[(sum(|trial| trial.extra) > 0).then_some("bad")] { (sum(|trial| trial.extra)) }
                        td { (sum(|trial| trial.tally.refused)) }
                        td { (sum(|trial| trial.tally.unknown)) }
                        td { (sum(|trial| trial.read)) }
                        td { (sum(|trial| trial.stale)) }
                        td { @if worst > 0.0 { (time(worst * 1e3)) } @else { "-" } }
                        td class="text bad" { (broken.join("; ")) }
                    }
                }
            }
        } }
        p class="faint" {
            "Every acknowledged write is looked for on every member in the end. A read looks for a write that was acknowledged before; "
            "if it is not there yet, the read is stale by the time since. Refused: surely not carried out within 2 s of asking again and again. "
            "Unknown: it may or may not be there, and nobody claims to know."
        }
    }
}

/// Every cell, so that each row names what it is about.
pub(crate) fn rows(results: &Results, cells: &[Cell], looks: &[Look]) -> Markup {
    html! {
        h2 { "All rows" }
        div class="wide" { table {
            tr { th { "contender" } th class="text" { "durability" } th class="text" { "strategy" } th { "members" } th { "value, B" }
                th class="text" { "load" } th { "a second" } th { "spread" } th { "p50, ms" } th { "p99" } th { "p99.9" } th { "max" }
                th { "failed" } th { "CPU, µs" } th { "sent, B" } th { "messages" } }
            @for cell in cells {
                @let contender = &results.contenders[cell.contender];
                @let at = |quantile| cell.latency.at(quantile).map(millis).unwrap_or_default();
                tr {
                    td { (looks[cell.contender].name) }
                    td class="text" { (contender.durability()) }
                    td class="text" { (contender.strategy()) }
                    td { (cell.members) }
                    td { (cell.payload) }
                    td class="text" { (cell.load.words()) }
                    td { (count(cell.rate.median)) }
                    td { (format!("{:.0} %", cell.rate.spread() * 100.0)) }
                    td { (at(0.5)) }
                    td { (at(0.99)) }
                    td { (at(0.999)) }
                    td { (at(1.0)) }
                    td class=[(cell.failed > 0).then_some("bad")] { (cell.failed) }
                    td { (format!("{:.0}", cell.cost.cpu_us)) }
                    td { (cell.cost.sent_bytes.map(|bytes| format!("{bytes:.0}")).unwrap_or_default()) }
                    td { (cell.cost.messages.map(digits).unwrap_or_default()) }
                }
            }
        } }
    }
}
