//! The timeline of a fault run: latency above, answers a second below, faults as bands behind both.

use std::fmt::Write;

use maud::{Markup, html};

use super::look::{Look, place};
use super::scale::{Scale, count, time};
use crate::compare::results::{Slot, Trial};

const WIDTH: f64 = 760.0;
const LEFT: f64 = 66.0;
const RIGHT: f64 = 12.0;
const NAMES: f64 = 20.0;
const LATENCY: f64 = 84.0;
const GAP: f64 = 10.0;
const SERVED: f64 = 40.0;
const BOTTOM: f64 = 34.0;
const TAKES: &str = "a string takes all";

/// All timelines have these in common, so that they can be compared at a glance.
pub(crate) struct Common {
    latency: Scale,
    served: Scale,
}

impl Common {
    /// For these trials.
    pub(crate) fn of<'a>(trials: impl Iterator<Item = &'a Trial> + Clone) -> Self {
        let slots = trials.clone().flat_map(|trial| &trial.slots);
        let latencies = slots.flat_map(|slot| [slot.p50_us, slot.p99_us]).flatten();
        // Behind an outage answers come all at once: what matters is the rate that was asked for.
        let rates = trials.map(|trial| 2.0 * f64::from(trial.rate));
        Self {
            latency: Scale::log(latencies.map(|us| us as f64)),
            served: Scale::linear(rates),
        }
    }
}

/// Draws one.
pub(crate) fn draw(common: &Common, look: &Look, trial: &Trial) -> Markup {
    let length = trial.slots.len() as f64 * trial.slot_ms as f64;
    let across = |ms: f64| LEFT + ms / length * (WIDTH - LEFT - RIGHT);
    let (top, below) = (NAMES, NAMES + LATENCY + GAP);
    let height = below + SERVED + BOTTOM;
    let upper = |us: f64| top + (1.0 - common.latency.place(us).clamp(0.0, 1.0)) * LATENCY;
    let lower = |rate: f64| below + (1.0 - common.served.place(rate).clamp(0.0, 1.0)) * SERVED;
    let title = format!(
        "{} under faults: latency and answers a second over time",
        look.name
    );
    html! {
        svg viewBox=(format!("0 0 {WIDTH} {height}")) role="img" aria-label=(title) {
            @for event in &trial.events {
                @let (from, to) = (across(event.from_ms), across(event.to_ms));
                rect class="band" x=(place(from)) width=(place(to - from)) y=(place(top)) height=(place(below + SERVED - top)) {}
                text class="fault" x=(place(from)) y=(place(top - 6.0)) { (event.fault.words()) }
            }
            (frame(common, &upper, &lower, height))
            @for second in (0..=trial.slots.len() as u64 * trial.slot_ms / 1000).step_by(2) {
                text class="tick" x=(place(across(second as f64 * 1000.0))) y=(place(height - 18.0)) text-anchor="middle" { (second) }
            }
            text class="name" x=(place(f64::midpoint(LEFT, WIDTH - RIGHT))) y=(place(height - 3.0)) text-anchor="middle" { "time, s" }
            g class=(look.colour) {
                (curve("line faint", trial, &across, |slot| slot.p99_us.map(|us| upper(us as f64))))
                (curve("line", trial, &across, |slot| slot.p50_us.map(|us| upper(us as f64))))
                path class="area" d=(area(trial, &across, &lower)) {}
            }
        }
    }
}

fn frame(
    common: &Common,
    upper: &dyn Fn(f64) -> f64,
    lower: &dyn Fn(f64) -> f64,
    height: f64,
) -> Markup {
    let ticks = common
        .latency
        .ticks()
        .into_iter()
        .filter(|tick| is_power_of_ten(*tick));
    let lines = ticks.map(|tick| (upper(tick), time(tick)));
    let most = common.served.ticks().last().copied().unwrap_or_default();
    let below = [(lower(0.0), "0".to_owned()), (lower(most), count(most))];
    html! {
        g class="axes" {
            @for (y, text) in lines.chain(below) {
                line class="grid" x1=(place(LEFT)) x2=(place(WIDTH - RIGHT)) y1=(place(y)) y2=(place(y)) {}
                text x=(place(LEFT - 8.0)) y=(place(y + 4.0)) text-anchor="end" { (text) }
            }
            text class="name" transform=(format!("translate(12 {}) rotate(-90)", place(NAMES + LATENCY / 2.0))) text-anchor="middle" { "latency" }
            text class="name" transform=(format!("translate(12 {}) rotate(-90)", place(height - BOTTOM - SERVED / 2.0))) text-anchor="middle" { "per s" }
        }
    }
}

fn is_power_of_ten(figure: f64) -> bool {
    (figure.log10() - figure.log10().round()).abs() < 1e-6
}

/// A curve through the middles of the slots; where a slot has no figure it breaks.
fn curve(
    class: &str,
    trial: &Trial,
    across: &dyn Fn(f64) -> f64,
    y: impl Fn(&Slot) -> Option<f64>,
) -> Markup {
    let mut path = String::new();
    let mut down = false;
    for (slot, number) in trial.slots.iter().zip(0u32..) {
        let middle = (f64::from(number) + 0.5) * trial.slot_ms as f64;
        let Some(y) = y(slot) else {
            down = false;
            continue;
        };
        let to = if down { 'L' } else { 'M' };
        write!(path, "{to}{} {}", place(across(middle)), place(y)).expect(TAKES);
        down = true;
    }
    html! { path class=(class) d=(path) {} }
}

/// Answers a second, from below.
fn area(trial: &Trial, across: &dyn Fn(f64) -> f64, lower: &dyn Fn(f64) -> f64) -> String {
    let mut path = format!("M{} {}", place(across(0.0)), place(lower(0.0)));
    for (slot, number) in trial.slots.iter().zip(0u32..) {
        let ms = trial.slot_ms as f64;
        let (from, to) = (f64::from(number) * ms, f64::from(number + 1) * ms);
        let y = place(lower(slot.served as f64 * 1000.0 / ms));
        write!(
            path,
            "L{} {y}L{} {y}",
            place(across(from)),
            place(across(to))
        )
        .expect(TAKES);
    }
    let end = trial.slots.len() as f64 * trial.slot_ms as f64;
    path + &format!("L{} {}Z", place(across(end)), place(lower(0.0)))
}
