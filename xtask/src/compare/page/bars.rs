//! Figures of bars, one beside each name, with whiskers from the least to the most.

use maud::{Markup, html};

use super::look::{Look, place};
use super::scale::Scale;
use crate::compare::summary::Middle;

const WIDTH: f64 = 370.0;
const LEFT: f64 = 146.0;
const RIGHT: f64 = 58.0;
const ROW: f64 = 21.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = 44.0;

/// A bar.
pub(crate) struct Bar<'a> {
    /// Whose.
    pub(crate) look: &'a Look,
    /// How long, and how far the rounds lie apart.
    pub(crate) figure: Middle,
}

/// Draws bars from zero on, over one axis.
pub(crate) fn draw(title: &str, axis: &str, bars: &[Bar], text: fn(f64) -> String) -> Markup {
    let scale = Scale::linear(bars.iter().map(|bar| bar.figure.most));
    let bottom = TOP + ROW * bars.len() as f64;
    let across = |figure: f64| LEFT + scale.place(figure) * (WIDTH - LEFT - RIGHT);
    html! {
        svg class="bars" viewBox=(format!("0 0 {WIDTH} {}", bottom + BOTTOM)) role="img" aria-label=(title) {
            text class="title" x="0" y="14" { (title) }
            g class="axes" {
                // Every other figure, so that none lies over the next.
                @for tick in scale.ticks().iter().step_by(2) {
                    line class="grid" x1=(place(across(*tick))) x2=(place(across(*tick))) y1=(place(TOP)) y2=(place(bottom)) {}
                    text x=(place(across(*tick))) y=(place(bottom + 16.0)) text-anchor="middle" { (text(*tick)) }
                }
                text class="name" x=(place(across(0.0))) y=(place(bottom + 36.0)) { (axis) }
            }
            @for (bar, row) in bars.iter().zip(0u32..) {
                (self::row(bar, TOP + ROW * f64::from(row), &across, text))
            }
        }
    }
}

fn row(bar: &Bar, top: f64, across: &dyn Fn(f64) -> f64, text: fn(f64) -> String) -> Markup {
    let Middle {
        median,
        least,
        most,
    } = bar.figure;
    let (middle, from) = (top + ROW / 2.0, across(0.0));
    let spread = format!(
        "{}: {}, {} to {}",
        bar.look.name,
        text(median),
        text(least),
        text(most)
    );
    html! {
        g class=(bar.look.colour) {
            title { (spread) }
            text class="label" x=(place(from - 8.0)) y=(place(middle + 4.0)) text-anchor="end" { (bar.look.name) }
            rect class="bar" x=(place(from)) y=(place(top + 4.0)) height=(place(ROW - 8.0)) width=(place((across(median) - from).max(0.5))) {}
            @if most > least {
                path class="whisker" d=(format!("M{} {y}H{}M{} {a}V{b}M{} {a}V{b}", place(across(least)), place(across(most)),
                    place(across(least)), place(across(most)), y = place(middle), a = place(middle - 4.0), b = place(middle + 4.0))) {}
            }
            text class="figure" x=(place(across(most) + 6.0)) y=(place(middle + 4.0)) { (text(median)) }
        }
    }
}
