//! How each contender looks in every figure: colour by protocol, line and mark by strategy.

use maud::{Markup, html};
use quorate_core::{Direction, Protocol};

use crate::compare::contender::Contender;
use crate::compare::results::Results;

/// How one looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    /// Its name.
    pub(crate) name: String,
    /// The class that colours it.
    pub(crate) colour: &'static str,
    /// The pattern of its line.
    pub(crate) dash: &'static str,
    /// Its mark.
    pub(crate) mark: Mark,
}

/// A mark at a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// ●
    Circle,
    /// ■
    Square,
    /// ▲
    Triangle,
    /// ◆
    Diamond,
}

/// The looks of all, by place. Of two with one protocol and strategy the later is drawn in a further colour.
pub(crate) fn looks(results: &Results) -> Vec<Look> {
    const FURTHER: [&str; 4] = ["c5", "c6", "c7", "c8"];
    let mut looks: Vec<Look> = Vec::new();
    let mut further = FURTHER.into_iter().cycle();
    for contender in &results.contenders {
        let mut look = look(contender);
        let same = |other: &Look| other.colour == look.colour && other.mark == look.mark;
        if looks.iter().any(same) {
            look.colour = further.next().unwrap_or("c5");
        }
        looks.push(look);
    }
    looks
}

fn look(contender: &Contender) -> Look {
    let (colour, strategy) = match contender {
        Contender::Quorate(policy) => {
            let colour = match policy.protocol {
                Protocol::Raft => "c0",
                Protocol::Paxos => "c1",
                Protocol::PrimaryBackup => "c2",
            };
            (colour, Some(policy.strategy))
        }
        Contender::Etcd(_) => ("c3", None),
        Contender::Redis(_) => ("c4", None),
    };
    let (dash, mark) = match strategy {
        Some(Direction::Push) => ("", Mark::Circle),
        Some(Direction::Pull) => ("7 4", Mark::Square),
        Some(Direction::Mixed) => ("2 3", Mark::Triangle),
        Some(Direction::Auto) => ("9 3 2 3", Mark::Diamond),
        None => ("", Mark::Diamond),
    };
    Look {
        name: contender.name(),
        colour,
        dash,
        mark,
    }
}

impl Mark {
    /// The mark around a point.
    pub(crate) fn at(self, x: f64, y: f64) -> Markup {
        let r = 3.6;
        let path = match self {
            Self::Circle => return html! { circle cx=(place(x)) cy=(place(y)) r=(r) {} },
            Self::Square => format!(
                "M{} {}h{s}v{s}h-{s}z",
                place(x - r),
                place(y - r),
                s = 2.0 * r
            ),
            Self::Triangle => format!(
                "M{} {}l{} {}h-{}z",
                place(x),
                place(y - r - 1.0),
                r + 0.6,
                2.0 * r + 0.6,
                2.0 * r + 1.2
            ),
            Self::Diamond => {
                let d = r + 1.2;
                format!("M{} {}l{d} {d}l-{d} {d}l-{d} -{d}z", place(x), place(y - d))
            }
        };
        html! { path d=(path) {} }
    }
}

/// A coordinate, to a tenth of a pixel.
pub(crate) fn place(coordinate: f64) -> String {
    let text = format!("{coordinate:.1}");
    if text == "-0.0" {
        "0.0".to_owned()
    } else {
        text
    }
}
