//! Which figures there are, and what each of them shows.

use maud::{Markup, html};
use quorate_load::Latency;

use super::bars::{self, Bar};
use super::lines::{self, Axis, Line, Point};
use super::look::Look;
use super::scale::{Scale, count, digits, time};
use crate::compare::plan::COST_CLIENTS;
use crate::compare::results::{Load, Results};
use crate::compare::summary::{Cell, Middle};
use crate::compare::tables::is_usual;

/// The shares below which latencies are told.
const SHARES: [f64; 9] = [0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999];

/// All that figures are drawn from.
pub(crate) struct Source<'a> {
    /// What was measured.
    pub(crate) results: &'a Results,
    /// The same, summed up over the rounds.
    pub(crate) cells: &'a [Cell],
    /// How each contender looks.
    pub(crate) looks: &'a [Look],
}

impl Source<'_> {
    /// The usual cells of one contender under closed loops, by clients.
    fn ladder(&self, contender: usize) -> Vec<(usize, &Cell)> {
        let cells = self
            .cells
            .iter()
            .filter(|cell| cell.contender == contender && is_usual(self.results, cell));
        let mut ladder: Vec<_> = cells
            .filter_map(|cell| match cell.load {
                Load::Closed(clients) => Some((clients, cell)),
                Load::Open(_) => None,
            })
            .collect();
        ladder.sort_by_key(|(clients, _)| *clients);
        ladder
    }

    /// Each contender's usual cell under this load.
    fn under(&self, load: Load) -> impl Iterator<Item = (&Look, &Cell)> {
        let cells = self
            .cells
            .iter()
            .filter(move |cell| cell.load == load && is_usual(self.results, cell));
        cells.map(|cell| (&self.looks[cell.contender], cell))
    }

    /// All loads in the usual cells of this kind.
    pub(crate) fn loads(&self, kind: fn(&Load) -> bool) -> Vec<Load> {
        let mut loads = Vec::new();
        for cell in self
            .cells
            .iter()
            .filter(|cell| is_usual(self.results, cell))
        {
            if kind(&cell.load) && !loads.contains(&cell.load) {
                loads.push(cell.load);
            }
        }
        loads
    }

    /// Throughput against latency: a line for each contender through its numbers of clients.
    pub(crate) fn throughput(&self, quantile: f64, name: &str) -> Markup {
        let lines: Vec<_> = self
            .looks
            .iter()
            .enumerate()
            .map(|(contender, look)| {
                let points = self
                    .ladder(contender)
                    .into_iter()
                    .filter_map(|(clients, cell)| {
                        let latency = cell.latency.at(quantile)? as f64;
                        let rate = cell.rate.median;
                        let title = format!(
                            "{}, {clients} clients: {}/s, {name} {}",
                            look.name,
                            count(rate),
                            time(latency)
                        );
                        Some(Point {
                            x: rate,
                            y: latency,
                            title,
                        })
                    });
                let points = points.collect();
                Line { look, points }
            })
            .collect();
        let all = || lines.iter().flat_map(|line| &line.points);
        let x = Axis::new(
            "acknowledged writes a second (log)",
            Scale::log(all().map(|point| point.x)),
            count,
        );
        let y = Axis::new(
            format!("{name} latency (log)"),
            Scale::log(all().map(|point| point.y)),
            time,
        );
        lines::draw(
            &format!("throughput against {name} latency"),
            &x,
            &y,
            &lines,
        )
    }

    /// Latency by the share that stayed below it, under one load.
    pub(crate) fn percentiles(&self, load: Load) -> Markup {
        let lines: Vec<_> = self
            .under(load)
            .map(|(look, cell)| Line {
                look,
                points: percentiles(look, &cell.latency),
            })
            .collect();
        let all = || lines.iter().flat_map(|line| &line.points);
        let ticks = [0.5, 0.9, 0.99, 0.999]
            .map(|share| (nines(share), format!("p{}", digits(share * 100.0))));
        let x = Axis {
            label: "share of requests that were faster".to_owned(),
            scale: Scale::Linear {
                least: nines(0.5),
                most: nines(0.999),
            },
            ticks: ticks.to_vec(),
        };
        let y = Axis::new(
            "latency (log)",
            Scale::log(all().map(|point| point.y)),
            time,
        );
        lines::draw(
            &format!("latency percentiles, {}", load.words()),
            &x,
            &y,
            &lines,
        )
    }

    /// Acknowledged requests a second under one load, in bars.
    pub(crate) fn rates(&self, load: Load) -> Markup {
        let bars: Vec<_> = self
            .under(load)
            .map(|(look, cell)| Bar {
                look,
                figure: cell.rate,
            })
            .collect();
        bars::draw(&load.words(), "acknowledged a second", &bars, count)
    }

    /// One cost at the usual load, in bars; without those who do not say it.
    pub(crate) fn costs(&self, title: &str, axis: &str, cost: fn(&Cell) -> Option<f64>) -> Markup {
        let bars: Vec<_> = self
            .under(Load::Closed(COST_CLIENTS))
            .filter_map(|(look, cell)| {
                let median = cost(cell)?;
                let (least, most) = (median, median);
                let figure = Middle {
                    median,
                    least,
                    most,
                };
                Some(Bar { look, figure })
            })
            .collect();
        bars::draw(title, axis, &bars, count)
    }

    /// Processor time for a request against what `size` says of a cell, at the usual load.
    pub(crate) fn scaling(
        &self,
        axis: &str,
        size: fn(&Cell) -> f64,
        of: impl Fn(&Cell) -> bool,
    ) -> Markup {
        let mut lines = Vec::new();
        for (contender, look) in self.looks.iter().enumerate() {
            let cells = self.cells.iter().filter(|cell| {
                cell.contender == contender && cell.load == Load::Closed(COST_CLIENTS) && of(cell)
            });
            let mut points: Vec<_> = cells
                .map(|cell| {
                    let (x, y) = (size(cell), cell.cost.cpu_us);
                    let title = format!(
                        "{}, {axis} {}: {} of processor time",
                        look.name,
                        digits(x),
                        time(y)
                    );
                    Point { x, y, title }
                })
                .collect();
            points.sort_by(|one, other| one.x.total_cmp(&other.x));
            // One point says nothing about growth.
            if points.len() > 1 {
                lines.push(Line { look, points });
            }
        }
        let all = || lines.iter().flat_map(|line| &line.points);
        let mut sizes: Vec<_> = all().map(|point| point.x).collect();
        sizes.sort_by(f64::total_cmp);
        sizes.dedup();
        let x = Axis {
            label: format!("{axis} (log)"),
            scale: Scale::log(all().map(|point| point.x)),
            ticks: sizes.into_iter().map(|size| (size, digits(size))).collect(),
        };
        let y = Axis::new(
            "processor time a request",
            Scale::linear(all().map(|point| point.y)),
            time,
        );
        lines::draw(
            &format!("processor time a request against {axis}"),
            &x,
            &y,
            &lines,
        )
    }

    /// Whether there is more than one figure for `size`.
    pub(crate) fn varies(&self, size: fn(&Cell) -> f64) -> bool {
        let mut sizes: Vec<_> = self.cells.iter().map(size).collect();
        sizes.sort_by(f64::total_cmp);
        sizes.dedup();
        sizes.len() > 1
    }
}

fn percentiles(look: &Look, latency: &Latency) -> Vec<Point> {
    let point = |share| {
        let us = latency.at(share)? as f64;
        let title = format!("{}: p{} {}", look.name, digits(share * 100.0), time(us));
        Some(Point {
            x: nines(share),
            y: us,
            title,
        })
    };
    SHARES.into_iter().filter_map(point).collect()
}

/// How many nines a share has: equal distances are equal ratios of what is slower.
fn nines(share: f64) -> f64 {
    -(1.0 - share).log10()
}

/// A figure with what it says below.
pub(crate) fn figure(drawing: &Markup, caption: &Markup) -> Markup {
    html! {
        figure { (drawing) figcaption { (caption) } }
    }
}
