//! Figures of lines with marks, each labelled at its end.

use maud::{Markup, html};

use super::look::{Look, place};
use super::scale::Scale;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 380.0;
const LEFT: f64 = 66.0;
const RIGHT: f64 = 196.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 50.0;
/// Labels keep so far from each other.
const LABEL: f64 = 14.0;

/// An axis.
pub(crate) struct Axis {
    /// What it says, with the unit.
    pub(crate) label: String,
    /// How figures are spread over it.
    pub(crate) scale: Scale,
    /// The figures that are written beside it, with their texts.
    pub(crate) ticks: Vec<(f64, String)>,
}

impl Axis {
    /// An axis whose scale chooses the figures.
    pub(crate) fn new(label: impl Into<String>, scale: Scale, text: fn(f64) -> String) -> Self {
        let ticks = scale.ticks().into_iter().map(|tick| (tick, text(tick)));
        Self {
            label: label.into(),
            scale,
            ticks: ticks.collect(),
        }
    }
}

/// A line.
pub(crate) struct Line<'a> {
    /// How it looks, and its name.
    pub(crate) look: &'a Look,
    /// Its figures, in order.
    pub(crate) points: Vec<Point>,
}

/// A figure on it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Point {
    /// To the right.
    pub(crate) x: f64,
    /// Upwards.
    pub(crate) y: f64,
    /// What is said when one points at it.
    pub(crate) title: String,
}

/// Draws lines over two axes. What it shows is said by `title` to those who do not see it.
pub(crate) fn draw(title: &str, x: &Axis, y: &Axis, lines: &[Line]) -> Markup {
    let at = |point: &Point| (across(x.scale.place(point.x)), up(y.scale.place(point.y)));
    let ends: Vec<_> = lines
        .iter()
        .filter_map(|line| line.points.last().map(|last| (line, at(last))))
        .collect();
    let heights = spread(ends.iter().map(|(_, (_, height))| *height).collect());
    html! {
        svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(title) {
            (axes(x, y))
            @for line in lines {
                @let points: Vec<_> = line.points.iter().map(at).collect();
                g class=(line.look.colour) {
                    polyline class="line" stroke-dasharray=(line.look.dash)
                        points=(points.iter().map(|(x, y)| format!("{},{}", place(*x), place(*y))).collect::<Vec<_>>().join(" ")) {}
                    @for (point, (x, y)) in line.points.iter().zip(&points) {
                        g class="mark" { title { (point.title) } (line.look.mark.at(*x, *y)) }
                    }
                }
            }
            @for ((line, (x, y)), height) in ends.iter().zip(&heights) {
                @let label = WIDTH - RIGHT + 24.0;
                g class=(line.look.colour) {
                    path class="leader" d=(format!("M{} {}L{} {}", place(x + 5.0), place(*y), place(label - 4.0), place(*height))) {}
                    text class="label" x=(place(label)) y=(place(height + 4.0)) { (line.look.name) }
                }
            }
        }
    }
}

fn across(share: f64) -> f64 {
    LEFT + share * (WIDTH - LEFT - RIGHT)
}

fn up(share: f64) -> f64 {
    HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
}

fn axes(x: &Axis, y: &Axis) -> Markup {
    let (left, right, top, bottom) = (across(0.0), across(1.0), up(1.0), up(0.0));
    html! {
        g class="axes" {
            @for (tick, text) in &y.ticks {
                @let height = up(y.scale.place(*tick));
                line class="grid" x1=(place(left)) x2=(place(right)) y1=(place(height)) y2=(place(height)) {}
                text x=(place(left - 8.0)) y=(place(height + 4.0)) text-anchor="end" { (text) }
            }
            @for (tick, text) in &x.ticks {
                @let place_x = across(x.scale.place(*tick));
                line class="grid" x1=(place(place_x)) x2=(place(place_x)) y1=(place(top)) y2=(place(bottom)) {}
                text x=(place(place_x)) y=(place(bottom + 17.0)) text-anchor="middle" { (text) }
            }
            path class="frame" d=(format!("M{left} {top}V{bottom}H{right}")) {}
            text class="name" x=(place(f64::midpoint(left, right))) y=(place(bottom + 38.0)) text-anchor="middle" { (x.label) }
            text class="name" transform=(format!("translate(14 {}) rotate(-90)", place(f64::midpoint(top, bottom)))) text-anchor="middle" { (y.label) }
        }
    }
}

/// Moves labels apart that would lie over each other, as little as it takes, and keeps them within the figure.
fn spread(heights: Vec<f64>) -> Vec<f64> {
    let mut order: Vec<_> = (0..heights.len()).collect();
    order.sort_by(|&one, &other| heights[one].total_cmp(&heights[other]));
    let mut placed = heights;
    let (top, bottom) = (up(1.0), up(0.0));
    let mut least = top;
    for &label in &order {
        placed[label] = placed[label].max(least);
        least = placed[label] + LABEL;
    }
    let mut most = bottom;
    for &label in order.iter().rev() {
        placed[label] = placed[label].min(most);
        most = placed[label] - LABEL;
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_never_lie_over_each_other() {
        let heights = vec![100.0, 101.0, 20.0, 100.5, 400.0, 401.0];
        let placed = spread(heights);
        let mut sorted = placed.clone();
        sorted.sort_by(f64::total_cmp);
        assert!(
            sorted
                .windows(2)
                .all(|pair| pair[1] - pair[0] >= LABEL - 1e-9),
            "{placed:?}"
        );
        assert!(
            placed
                .iter()
                .all(|&height| (up(1.0)..=up(0.0)).contains(&height)),
            "{placed:?}"
        );
        // In the order in which the lines end.
        assert!(placed[2] < placed[0] && placed[0] < placed[3] && placed[3] < placed[1]);
    }
}
