//! What is wrong with a value that a key cannot hold.

use std::collections::BTreeMap;

use super::ledger::{Cell, Kind};

/// Something that an honest store could not have answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Acknowledged writes that are missing from the value.
    pub(crate) lost: u64,
    /// Writes that took effect more than once, or although they were refused.
    pub(crate) extra: u64,
    /// What was expected and what was found.
    pub(crate) text: String,
}

impl Finding {
    /// An answer that is wrong, though no write is known to be lost or doubled by it.
    pub(crate) fn odd(key: &str, text: impl std::fmt::Display) -> Self {
        Self {
            lost: 0,
            extra: 0,
            text: format!("{key}: {text}"),
        }
    }
}

/// Counts what is missing and what is too much in `found`, which is none of the values that `cell` may hold.
pub(crate) fn judge(cell: &Cell, found: &str) -> Finding {
    let most = cell.doubt.as_deref().unwrap_or(&cell.value);
    let (lost, extra) = match cell.kind {
        Kind::Register => register(&cell.value, found),
        Kind::Counter => counter(&cell.value, most, found),
        Kind::Log => log(&cell.value, most, found),
    };
    let doubt = cell
        .doubt
        .as_ref()
        .map(|doubt| format!(" or {}", quoted(doubt)));
    let text = format!(
        "{} holds {}, not {}{}",
        cell.key,
        quoted(found),
        quoted(&cell.value),
        doubt.unwrap_or_default()
    );
    Finding { lost, extra, text }
}

fn register(value: &str, found: &str) -> (u64, u64) {
    // The last acknowledged write is gone, unless a later one that was refused lies over it.
    match number(found) {
        Some(found) if found > number(value).unwrap_or(0) => (0, 1),
        _ => (u64::from(!value.is_empty()), 0),
    }
}

fn counter(value: &str, most: &str, found: &str) -> (u64, u64) {
    let [value, most, found] = [value, most, found].map(|text| number(text).unwrap_or(0));
    (value.saturating_sub(found), found.saturating_sub(most))
}

fn log(value: &str, most: &str, found: &str) -> (u64, u64) {
    let mut seen = BTreeMap::<&str, u64>::new();
    for token in found.split_terminator(';') {
        *seen.entry(token).or_default() += 1;
    }
    let lost = value
        .split_terminator(';')
        .filter(|token| !seen.contains_key(token))
        .count();
    let extra: u64 = seen
        .iter()
        .map(|(token, &times)| {
            times - u64::from(most.split_terminator(';').any(|other| other == *token))
        })
        .sum();
    (lost as u64, extra)
}

fn number(text: &str) -> Option<u64> {
    text.parse().ok()
}

fn quoted(text: &str) -> String {
    const SHOWN: usize = 120;
    match text.char_indices().nth(SHOWN) {
        _ if text.is_empty() => "nothing".to_owned(),
        Some((end, _)) => format!("'{}…' ({} bytes)", &text[..end], text.len()),
        None => format!("'{text}'"),
    }
}
