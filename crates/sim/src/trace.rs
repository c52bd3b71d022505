//! What happened: as a hash always, as lines if somebody wants to read them.

use std::collections::BTreeSet;
use std::fmt;

use crate::Moment;
use crate::checker::stir;

/// The trace of one run.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: u64,
    lines: Option<Vec<Line>>,
    marks: BTreeSet<&'static str>,
}

/// One line of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When.
    pub at: Moment,
    /// On which member, counted from zero; none: everywhere.
    pub host: Option<usize>,
    /// The sender of a message that arrives, and when it left.
    pub from: Option<(usize, Moment)>,
    /// What.
    pub text: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self
            .host
            .map_or_else(|| "  ".to_owned(), |host| format!("n{}", host + 1));
        let from = self
            .from
            .map_or_else(String::new, |(from, _)| format!("\u{2190}n{}", from + 1));
        write!(f, "{} {host} {from:<3} {}", self.at, self.text)
    }
}

impl Trace {
    pub(crate) fn new(readable: bool) -> Self {
        Self {
            hash: 0,
            lines: readable.then(Vec::new),
            marks: BTreeSet::new(),
        }
    }

    /// Something happened that two runs of a seed have to agree in.
    pub(crate) fn hash(&mut self, words: [u64; 3]) {
        self.hash = words.into_iter().fold(self.hash, stir);
    }

    pub(crate) fn line(&mut self, at: Moment, host: Option<usize>, text: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(Line {
                at,
                host,
                from: None,
                text: text(),
            });
        }
    }

    pub(crate) fn arrival(
        &mut self,
        at: Moment,
        host: usize,
        from: (usize, Moment),
        text: impl FnOnce() -> String,
    ) {
        if let Some(lines) = &mut self.lines {
            lines.push(Line {
                at,
                host: Some(host),
                from: Some(from),
                text: text(),
            });
        }
    }

    /// A rare state was reached.
    pub(crate) fn mark(&mut self, mark: &'static str) {
        self.marks.insert(mark);
    }

    pub(crate) fn finish(self) -> (u64, Vec<Line>, BTreeSet<&'static str>) {
        (self.hash, self.lines.unwrap_or_default(), self.marks)
    }
}
