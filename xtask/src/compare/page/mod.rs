//! The page: one file that needs no other.

mod bars;
mod figures;
mod lines;
mod look;
mod scale;
mod tables;
mod timeline;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use self::figures::{Source, figure};
use self::look::{Look, looks};
use super::plan::COST_CLIENTS;
use super::results::{Load, Results};
use super::summary::{cells, trials};
use super::trial::OPERATOR;

const STYLE: &str = include_str!("style.css");

/// Draws it.
pub(crate) fn draw(results: &Results) -> String {
    let (cells, looks) = (cells(results), looks(results));
    let source = Source {
        results,
        cells: &cells,
        looks: &looks,
    };
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Quorate compared" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (head(results))
                (throughput(&source))
                (percentiles(&source))
                @if !results.trials.is_empty() { (faults(results, &looks)) }
                (costs(&source))
                (tables::rows(results, &cells, &looks))
            }
        }
    };
    page.into_string()
}

fn head(results: &Results) -> Markup {
    let about = &results.about;
    html! {
        h1 { "Replicated logs, compared" }
        p {
            (about.members) " server processes on one machine, a client in one thread, values of " (about.payload)
            " bytes, all over TCP on loopback. Every contender gets the same requests, drawn from seed " (about.seed)
            ", through the member that leads. They take turns, " (about.rounds) " rounds of " (scale::digits(about.seconds))
            " s a measurement, so that a machine that changes its pace meets all alike; figures are medians of the rounds."
        }
        p class="faint" {
            (about.date) " · commit " code { (about.commit) } " · " (about.machine.words()) " · "
            (scale::digits(about.minutes)) " min" br; code { (about.command) }
        }
        @for line in &results.skipped { p { (line) } }
        (tables::contenders(results))
        p class="faint" {
            "Ratios within this page mean something; the absolute figures belong to this machine, on which servers and client share the cores."
        }
    }
}

fn throughput(source: &Source) -> Markup {
    let closed = source.loads(|load| matches!(load, Load::Closed(_)));
    html! {
        h2 { "Throughput" }
        p { "Closed loop: each client waits for its answer before it asks again." }
        div class="panels" {
            @for load in &closed { (source.rates(*load)) }
        }
        p class="faint" { "Bars are medians, whiskers reach from the slowest round to the fastest." }
        h3 { "Throughput against latency" }
        (figure(&source.throughput(0.5, "p50"), &html! {
            "Each line goes through the numbers of clients, fewest at the left. Lower and further right is better. "
            "Colour is the protocol, line and mark the strategy."
        }))
        (figure(&source.throughput(0.99, "p99"), &html! { "The same against what a hundredth of the requests exceeded." }))
        (tables::limits(source.results, source.cells, source.looks))
    }
}

fn percentiles(source: &Source) -> Markup {
    let open = source.loads(|load| matches!(load, Load::Open(_)));
    let closed = source.loads(|load| *load == Load::Closed(COST_CLIENTS));
    html! {
        @if !(closed.is_empty() && open.is_empty()) {
            h2 { "Latency" }
        }
        @for load in closed.iter().chain(&open) {
            h3 {
                @match load {
                    Load::Closed(clients) => { "Closed loop, " (clients) " clients" }
                    Load::Open(rate) => { "Open loop, " (rate) " requests a second" }
                }
            }
            (figure(&source.percentiles(*load), &match load {
                Load::Closed(_) => html! { "From when a request was sent: a server that stands still is asked less meanwhile." },
                Load::Open(_) => html! {
                    "From when a request was meant to start, whether or not the ones before were answered: what waits in a queue counts. "
                    "A contender that cannot keep up has latencies as long as its queue."
                },
            }))
        }
    }
}

fn faults(results: &Results, looks: &[Look]) -> Markup {
    let common = timeline::Common::of(results.trials.iter());
    let first = &results.trials[0];
    html! {
        h2 { "Faults" }
        p {
            "The same faults at the same moments for each policy, under an open loop of " (first.rate)
            " requests a second over all members, a fifth of them reads. A request that was surely not carried out is asked again; its latency goes on. "
            "Where members do not elect a leader (primary-backup), an operator promotes another " (OPERATOR.as_millis())
            " ms after the leader was struck: its times are the operator's."
        }
        (tables::faults(results, looks))
        (tables::losses(results, looks))
        h3 { "Timelines" }
        p class="faint" {
            "Above: latency of what was meant to start in each " (first.slot_ms) " ms, p50 strong and p99 faint, on a logarithmic scale. "
            "Below: answers a second. Bands are faults. The first run of each is drawn."
        }
        @for (place, look) in looks.iter().enumerate() {
            @if let Some(trial) = trials(results, place).next() {
                h3 class=(look.colour) { (look.name) }
                figure { (timeline::draw(&common, look, trial)) }
            }
        }
    }
}

fn costs(source: &Source) -> Markup {
    let usual = &source.results.about;
    let (members, payload) = (usual.members, usual.payload);
    html! {
        h2 { "Cost" }
        p {
            "What one acknowledged write costs all members together, at " (COST_CLIENTS)
            " clients: what was used during the whole load, divided by what was acknowledged in it."
        }
        div class="panels" {
            (source.costs("processor time", "µs a write", |cell| Some(cell.cost.cpu_us)))
            (source.costs("sent between members", "bytes a write", |cell| cell.cost.sent_bytes))
            (source.costs("messages between members", "messages a write", |cell| cell.cost.messages))
            (source.costs("written to disks", "bytes a write", |cell| Some(cell.cost.disk_bytes)))
        }
        p class="faint" {
            "Bytes sent are what the servers count themselves: Quorate with headers and heartbeats, etcd what its peers sent, Redis its replication stream. "
            "Bytes to disks are the kernel's count of pages, so that small synced writes count a whole page."
        }
        @if source.varies(|cell| f64::from(cell.members)) {
            h3 { "Processor time against members" }
            (figure(&source.scaling("members", |cell| f64::from(cell.members), |cell| cell.payload == payload), &html! {
                "All members together, at " (COST_CLIENTS) " clients and " (payload) " B."
            }))
        }
        @if source.varies(|cell| cell.payload as f64) {
            h3 { "Processor time against the size of values" }
            (figure(&source.scaling("bytes of a value", |cell| cell.payload as f64, |cell| cell.members == members), &html! {
                "At " (COST_CLIENTS) " clients and " (members) " members."
            }))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::collections::BTreeSet;

    use super::*;
    use crate::compare::sample;

    /// Every drawing of a page, parsed.
    fn drawings(page: &str) -> Vec<roxmltree::Document<'_>> {
        let starts: Vec<_> = page.match_indices("<svg").map(|(start, _)| start).collect();
        let drawing = |&start: &usize| {
            let end = start + page[start..].find("</svg>").unwrap() + "</svg>".len();
            roxmltree::Document::parse(&page[start..end]).unwrap()
        };
        starts.iter().map(drawing).collect()
    }

    #[test]
    fn every_drawing_is_sound_and_no_figure_lies_outside() {
        let page = draw(&sample::results());
        let drawings = drawings(&page);
        // Two rates, two throughputs, two percentiles, four timelines, four costs, two growths.
        assert_eq!(drawings.len(), 16);
        for drawing in &drawings {
            let view = drawing.root_element().attribute("viewBox").unwrap();
            let view: Vec<f64> = view.split(' ').map(|side| side.parse().unwrap()).collect();
            for node in drawing.descendants() {
                for (name, most) in [
                    ("x", view[2]),
                    ("y", view[3]),
                    ("cx", view[2]),
                    ("cy", view[3]),
                ] {
                    if let Some(value) = node.attribute(name) {
                        let value: f64 = value.parse().unwrap();
                        assert!(
                            (-0.1..=most + 0.1).contains(&value),
                            "{name}={value} in {view:?}"
                        );
                    }
                }
            }
            assert!(!page.contains("NaN") && !page.contains(">inf"));
        }
    }

    #[test]
    fn every_contender_is_named_by_its_lines_and_no_two_look_alike() {
        let results = sample::results();
        let page = draw(&results);
        for drawing in drawings(&page) {
            let title = drawing.root_element().attribute("aria-label").unwrap();
            if title.starts_with("throughput against") {
                let names: BTreeSet<_> = drawing
                    .descendants()
                    .filter(|node| node.attribute("class") == Some("label"))
                    .filter_map(|node| node.text().map(str::to_owned))
                    .collect();
                let expected = results
                    .contenders
                    .iter()
                    .map(super::super::contender::Contender::name);
                assert_eq!(names, expected.collect());
            }
        }
        let looks = looks(&results);
        for (place, look) in looks.iter().enumerate() {
            let alike = |other: &Look| (other.colour, other.mark) == (look.colour, look.mark);
            assert!(!looks[..place].iter().any(alike), "{look:?}");
        }
    }

    #[test]
    fn what_others_named_is_text_and_each_row_names_what_it_is_about() {
        let page = draw(&sample::results());
        assert!(page.contains("&lt;7&gt; &amp; &quot;8&quot;") && !page.contains("<7>"));
        assert!(page.contains("NOT simulated"));
        assert!(page.contains("<code>0123456789ab</code>"));
        assert!(!page.contains("http:") && !page.contains("https:"));
    }
}
