//! Shows what is in a journal: every record with its file, offset, mark and length, and any damage.
//!
//! ```text
//! cargo run -p quorate-journal --example inspect -- <directory>
//! ```
//! Nothing is changed, and the directory may be in use. Exit code 65 if something is damaged.

use std::io::Write;
use std::process::ExitCode;

use quorate_journal::{FileDisk, JournalError, Stretch, inspect};

fn main() -> ExitCode {
    let Some(dir) = std::env::args_os().nth(1) else {
        eprintln!("usage: inspect <directory>");
        return ExitCode::from(64);
    };
    match show(FileDisk::read_only(dir)) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(65),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(error.exit_code())
        }
    }
}

/// Prints the journal and gives the number of damaged stretches.
fn show(disk: FileDisk) -> Result<usize, JournalError> {
    let inspection = inspect(disk)?;
    let mut out = std::io::stdout().lock();
    let mut damaged = 0;
    let head = format!(
        "member {} of cluster {}, incarnation {:x}, life {}, first record {}, durable up to {}",
        inspection.member,
        inspection.cluster,
        inspection.incarnation.0,
        inspection.life,
        inspection.first,
        inspection.watermark,
    );
    let rows = inspection.map(|row| {
        damaged += usize::from(matches!(row.what, Stretch::Damaged { .. }));
        row.to_string()
    });
    for line in std::iter::once(head).chain(rows) {
        if writeln!(out, "{line}").is_err() {
            // The reader has seen enough.
            break;
        }
    }
    Ok(damaged)
}
