//! Tables of rates.

use comfy_table::{Table, presets};
use quorate_benches::rounds::Rate;

/// A table with these columns that a page in Markdown can take over.
pub(crate) fn of(columns: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(columns);
    table
}

/// A rate in thousands, and its spread.
pub(crate) fn cell(rate: Rate) -> String {
    format!("{:.0} ({:.0} %)", rate.median / 1e3, rate.spread() * 100.0)
}
