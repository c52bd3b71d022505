//! From figures to places on an axis, and the figures that are written beside it.

/// How figures are spread over an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scale {
    /// Equal distances are equal differences.
    Linear {
        /// At the beginning.
        least: f64,
        /// At the end.
        most: f64,
    },
    /// Equal distances are equal ratios.
    Log {
        /// At the beginning, above zero.
        least: f64,
        /// At the end.
        most: f64,
    },
}

impl Scale {
    /// From zero to a round figure above all of `figures`.
    pub(crate) fn linear(figures: impl IntoIterator<Item = f64>) -> Self {
        let most = figures.into_iter().fold(0.0, f64::max);
        let step = step(most.max(1e-9) / 5.0);
        let most = (most / step).ceil().max(1.0) * step;
        Self::Linear { least: 0.0, most }
    }

    /// Around all of `figures` that are above zero.
    pub(crate) fn log(figures: impl IntoIterator<Item = f64>) -> Self {
        let figures: Vec<_> = figures.into_iter().filter(|figure| *figure > 0.0).collect();
        let least = figures.iter().copied().fold(f64::INFINITY, f64::min);
        let most = figures.iter().copied().fold(0.0, f64::max);
        if figures.is_empty() {
            return Self::Log {
                least: 1.0,
                most: 10.0,
            };
        }
        Self::Log {
            least: least / 1.25,
            most: (most * 1.25).max(least * 2.0),
        }
    }

    /// The place of a figure, 0 to 1; outside of these if it lies outside.
    pub(crate) fn place(self, figure: f64) -> f64 {
        match self {
            Self::Linear { least, most } => (figure - least) / (most - least),
            Self::Log { least, most } => (figure / least).ln() / (most / least).ln(),
        }
    }

    /// The figures that are written beside the axis.
    pub(crate) fn ticks(self) -> Vec<f64> {
        match self {
            Self::Linear { least, most } => {
                let step = step((most - least) / 5.0);
                let count = ((most - least) / step + 1e-6).floor();
                let mut ticks = Vec::new();
                let mut at = 0.0;
                while at <= count {
                    ticks.push(least + at * step);
                    at += 1.0;
                }
                ticks
            }
            Self::Log { least, most } => log_ticks(least, most),
        }
    }
}

/// Powers of ten, and between them as many as there is room for.
fn log_ticks(least: f64, most: f64) -> Vec<f64> {
    let decades = (most / least).log10();
    let within: &[f64] = if decades < 1.5 {
        &[1.0, 2.0, 3.0, 5.0]
    } else if decades < 3.0 {
        &[1.0, 3.0]
    } else {
        &[1.0]
    };
    let mut ticks = Vec::new();
    let mut power = 10f64.powf(least.log10().floor());
    while power <= most {
        ticks.extend(within.iter().map(|digit| digit * power));
        power *= 10.0;
    }
    ticks.retain(|tick| (least..=most).contains(tick));
    ticks
}

/// The round figure next above.
fn step(rough: f64) -> f64 {
    let power = 10f64.powf(rough.log10().floor());
    let digits = [1.0, 2.0, 2.5, 5.0, 10.0];
    let fits = digits
        .into_iter()
        .find(|digit| digit * power >= rough * 0.999);
    fits.unwrap_or(10.0) * power
}

/// A count in few letters: 850, 12k, 1.5M.
pub(crate) fn count(figure: f64) -> String {
    let (scaled, unit) = match figure {
        figure if figure >= 1e6 => (figure / 1e6, "M"),
        figure if figure >= 1e3 => (figure / 1e3, "k"),
        figure => (figure, ""),
    };
    format!("{}{unit}", digits(scaled))
}

/// A time that is given in microseconds.
pub(crate) fn time(us: f64) -> String {
    match us {
        us if us >= 1e6 => format!("{} s", digits(us / 1e6)),
        us if us >= 1e3 => format!("{} ms", digits(us / 1e3)),
        us => format!("{} µs", digits(us)),
    }
}

/// Three digits at most, none that says nothing.
pub(crate) fn digits(figure: f64) -> String {
    let places = match figure.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{figure:.places$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_axis_ends_at_a_round_figure_above_all() {
        let scale = Scale::linear([3.0, 870.0, 12.0]);
        assert_eq!(scale.ticks(), [0.0, 200.0, 400.0, 600.0, 800.0, 1000.0]);
        assert!((scale.place(500.0) - 0.5).abs() < 1e-9);
        assert_eq!(Scale::linear([]).ticks().first(), Some(&0.0));
    }

    #[test]
    fn a_log_axis_has_figures_within_it_and_equal_ratios_take_equal_room() {
        for (least, most) in [(150.0, 900.0), (90.0, 40_000.0), (3.0, 5e6)] {
            let scale = Scale::log([least, most]);
            let ticks = scale.ticks();
            assert!(ticks.len() >= 3, "{ticks:?}");
            assert!(
                ticks
                    .iter()
                    .all(|&tick| (0.0..=1.0).contains(&scale.place(tick)))
            );
        }
        let scale = Scale::log([10.0, 1000.0]);
        let room = |from, to| scale.place(to) - scale.place(from);
        assert!((room(10.0, 100.0) - room(100.0, 1000.0)).abs() < 1e-9);
        assert!(!Scale::log([0.0]).ticks().is_empty());
    }

    #[test]
    fn figures_are_written_in_few_letters() {
        let counts = [850.0, 12_000.0, 1_540_000.0, 0.0, 2.5].map(count);
        assert_eq!(counts, ["850", "12k", "1.54M", "0", "2.5"]);
        let times = [90.0, 1500.0, 20_000.0, 3e6].map(time);
        assert_eq!(times, ["90 µs", "1.5 ms", "20 ms", "3 s"]);
    }
}
