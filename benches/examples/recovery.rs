//! How long does a member take to read its journal again after a restart, beside reading a file of that length? From the disk, not
//! from the page cache: what is cached of the files is forgotten before each round. Rounds alternate.
//!
//! ```text
//! cargo run --release -p quorate-benches --example recovery -- [mebibytes] [bytes a record]
//! ```

use std::error::Error;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::time::Instant;

use quorate_benches::journal::{Writer, directory, open};
use quorate_benches::rounds::alternate;
use rustix::fs::{Advice, fadvise};

/// What is read at once from the file.
const PIECE: usize = 1 << 20;
/// Bytes of records behind which the journal is synced while it is made.
const BATCH: u64 = 1 << 20;
const ROUNDS: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let mut number = |usual: u64| words.next().map_or(Ok(usual), |text| text.parse());
    let (mebibytes, record) = (number(1024)?, number(4096)?);
    let dir = directory();
    let (journal, plain) = (dir.path().join("journal"), dir.path().join("plain"));
    let mut writer = Writer::open(&journal, record as usize);
    for _ in 0..mebibytes {
        writer.write(BATCH / record);
    }
    drop(writer);
    fs::write(&plain, vec![7; PIECE])?;
    let bytes = length_of(&journal)?;
    let file = File::options().append(true).open(&plain)?;
    for _ in 1..bytes / PIECE as u64 {
        std::io::Write::write_all(&mut &file, &vec![7; PIECE])?;
    }
    file.sync_all()?;
    let mut kinds = [false, true];
    let rates = alternate(ROUNDS, &mut kinds, |recovers| {
        forget(dir.path()).expect("files can be opened");
        let begun = Instant::now();
        let read = if *recovers {
            recover(&journal)
        } else {
            stream(&plain)
        };
        read as f64 / begun.elapsed().as_secs_f64() / f64::from(1 << 20)
    });
    let [raw, own] = [rates[0], rates[1]];
    println!(
        "{mebibytes} MiB in records of {record} B: journal {:.0} MiB/s ({:.0} %), file {:.0} MiB/s ({:.0} %), ratio {:.2}",
        own.median,
        100.0 * own.spread(),
        raw.median,
        100.0 * raw.spread(),
        own.median / raw.median
    );
    Ok(())
}

/// Reads all records; how many bytes they hold.
fn recover(journal: &Path) -> u64 {
    let (_journal, records) = open(journal);
    let read = records.map(|record| record.expect("it is sound"));
    read.map(|(_, payload)| payload.len() as u64).sum()
}

/// Reads the file from beginning to end; how many bytes it holds.
fn stream(plain: &Path) -> u64 {
    let mut file = File::open(plain).expect("it is there");
    let (mut piece, mut bytes) = (vec![0; PIECE], 0);
    loop {
        match file.read(&mut piece).expect("the disk reads") {
            0 => return bytes,
            count => bytes += count as u64,
        }
    }
}

fn length_of(dir: &Path) -> std::io::Result<u64> {
    let lengths = fs::read_dir(dir)?.map(|entry| Ok(entry?.metadata()?.len()));
    lengths.sum()
}

/// Forgets what is cached of all files.
fn forget(dir: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            forget(&path)?;
        } else {
            let file = File::open(&path)?;
            file.sync_all()?;
            fadvise(&file, 0, None, Advice::DontNeed)?;
        }
    }
    Ok(())
}
