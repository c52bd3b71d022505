//! Medians and spreads over the rounds.

use quorate_load::Latency;

use super::results::{Cost, Limits, Load, Results, Steady, Trial, Waited};

/// The middle of some figures, and how far they lie apart.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Middle {
    /// The median.
    pub(crate) median: f64,
    /// The least.
    pub(crate) least: f64,
    /// The most.
    pub(crate) most: f64,
}

impl Middle {
    /// Of at least one figure.
    pub(crate) fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut figures: Vec<_> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        let (least, most) = (*figures.first()?, *figures.last()?);
        let half = figures.len() / 2;
        let median = if figures.len() % 2 == 0 {
            f64::midpoint(figures[half - 1], figures[half])
        } else {
            figures[half]
        };
        Some(Self {
            median,
            least,
            most,
        })
    }

    /// From the least to the most, as a share of the median.
    pub(crate) fn spread(&self) -> f64 {
        if self.median > 0.0 {
            (self.most - self.least) / self.median
        } else {
            0.0
        }
    }
}

/// All rounds of one cell.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cell {
    /// Whose, by place.
    pub(crate) contender: usize,
    /// Of how many members.
    pub(crate) members: u16,
    /// Bytes of a value.
    pub(crate) payload: usize,
    /// How it was asked.
    pub(crate) load: Load,
    /// Acknowledged requests a second.
    pub(crate) rate: Middle,
    /// All latencies of all rounds together.
    pub(crate) latency: Latency,
    /// Requests that were not acknowledged, of all rounds together.
    pub(crate) failed: u64,
    /// Medians of the costs.
    pub(crate) cost: Cost,
}

/// All cells, in the order of the contenders and then of the measurement.
pub(crate) fn cells(results: &Results) -> Vec<Cell> {
    let mut cells = Vec::new();
    for contender in 0..results.contenders.len() {
        let mut seen = Vec::new();
        for one in results
            .steady
            .iter()
            .filter(|one| one.contender == contender)
        {
            let key = (one.members, one.payload, one.load);
            if !seen.contains(&key) {
                seen.push(key);
                let rounds = results.steady.iter().filter(|other| {
                    other.contender == contender
                        && (other.members, other.payload, other.load) == key
                });
                cells.push(cell(&rounds.collect::<Vec<_>>()));
            }
        }
    }
    cells
}

fn cell(rounds: &[&Steady]) -> Cell {
    let mut latency = Latency::default();
    for round in rounds {
        latency.add(&round.measured.latency);
    }
    let first = rounds[0];
    let rates = rounds.iter().map(|round| round.measured.rate());
    Cell {
        contender: first.contender,
        members: first.members,
        payload: first.payload,
        load: first.load,
        rate: Middle::of(rates).expect("a cell has a round"),
        latency,
        failed: rounds
            .iter()
            .map(|round| round.measured.tally.failed())
            .sum(),
        cost: cost(rounds),
    }
}

fn cost(rounds: &[&Steady]) -> Cost {
    let median = |figure: fn(&Cost) -> Option<f64>| {
        let known = rounds.iter().filter_map(|round| figure(&round.cost));
        Middle::of(known).map(|middle| middle.median)
    };
    Cost {
        cpu_us: median(|cost| Some(cost.cpu_us)).unwrap_or_default(),
        disk_bytes: median(|cost| Some(cost.disk_bytes)).unwrap_or_default(),
        sent_bytes: median(|cost| cost.sent_bytes),
        messages: median(|cost| cost.messages),
    }
}

/// The machine by itself: medians over the rounds.
pub(crate) fn limits(results: &Results) -> Option<Limits> {
    let median = |figure: fn(&Limits) -> f64| {
        let figures = results.limits.iter().map(figure);
        Middle::of(figures).map(|middle| middle.median)
    };
    Some(Limits {
        sync: Waited {
            quickest_us: median(|limits| limits.sync.quickest_us)?,
            median_us: median(|limits| limits.sync.median_us)?,
        },
        round_trip: Waited {
            quickest_us: median(|limits| limits.round_trip.quickest_us)?,
            median_us: median(|limits| limits.round_trip.median_us)?,
        },
    })
}

/// The trials of a contender.
pub(crate) fn trials(results: &Results, contender: usize) -> impl Iterator<Item = &Trial> {
    let trials = results.trials.iter();
    trials.filter(move |trial| trial.contender == contender)
}

/// One figure of the event at this place, over all trials of a contender; none where a trial has none.
pub(crate) fn over_trials(
    results: &Results,
    contender: usize,
    event: usize,
    figure: impl Fn(&super::results::Event) -> Option<f64>,
) -> Option<Middle> {
    let figures: Option<Vec<_>> = trials(results, contender)
        .map(|trial| trial.events.get(event).and_then(&figure))
        .collect();
    Middle::of(figures?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_middle_of_an_even_number_lies_between() {
        let middle = Middle::of([4.0, 1.0, 3.0, 2.0]).expect("there are some");
        let expected = Middle {
            median: 2.5,
            least: 1.0,
            most: 4.0,
        };
        assert_eq!(middle, expected);
        assert!((middle.spread() - 1.2).abs() < 1e-9);
        assert_eq!(Middle::of([]), None);
    }
}
