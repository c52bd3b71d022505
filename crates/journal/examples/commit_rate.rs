//! Compares the journal with a bare loop of write and `fdatasync` on the same disk.
//!
//! ```text
//! cargo run --release -p quorate-journal --example commit_rate -- [directory] [records per round]
//! ```
//! Both write the same bytes into a zero-written file, one record a sync. The rounds of the two alternate, so that a
//! disk that changes its pace meets both; the ratio is that of the medians. A third figure shows group
//! commit: the journal's thread with many records under way.

use std::error::Error;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Instant;

use quorate_core::{ClusterId, Incarnation, Mark, NodeId};
use quorate_journal::{Entry, Event, FileDisk, Identity, Journal, JournalConfig, JournalThread};
use quorate_journal::{JournalError, Room};

const ROUNDS: u64 = 41;
const RECORD: usize = 256;
const UNDER_WAY: u64 = 256;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let base = arguments.next().unwrap_or_else(|| ".".to_owned());
    let records: u64 = arguments.next().map_or(Ok(100), |text| text.parse())?;
    let dir = Path::new(&base).join(format!("commit-rate-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let result = measure(&dir, records);
    std::fs::remove_dir_all(&dir)?;
    result
}

fn measure(dir: &Path, records: u64) -> Result<(), Box<dyn Error>> {
    let mut journal = open(dir)?;
    while journal.make_room()? == Room::Making {}
    let (mut raw, mut own) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        raw.push(bare_loop(dir, records)?);
        own.push(journal_loop(&mut journal, records)?);
    }
    let (raw, own) = (median(raw), median(own));
    println!("bare loop      {raw:>10.0} records/s");
    println!(
        "journal        {own:>10.0} records/s   ratio {:.2}",
        own / raw
    );
    let grouped = group_commit(journal, records * 500)?;
    println!("group commit   {grouped:>10.0} records/s   with {UNDER_WAY} under way");
    Ok(())
}

fn open(dir: &Path) -> Result<Journal<FileDisk>, JournalError> {
    let identity = Identity {
        cluster: ClusterId(1),
        member: NodeId(1),
        fresh: Some(Incarnation(1)),
        unix_micros: 1,
    };
    let disk = FileDisk::open(dir)?;
    Ok(Journal::open(disk, identity, JournalConfig::default())?.0)
}

fn entry(mark: Mark) -> Entry {
    Entry {
        mark,
        head: vec![mark.0 as u8; RECORD].into(),
        ..Entry::default()
    }
}

/// The same bytes on disk as the journal's: header, payload, padding.
fn bare_loop(dir: &Path, records: u64) -> std::io::Result<f64> {
    let bytes = [7; (48 + RECORD).next_multiple_of(8)];
    let path = dir.join("bare");
    let file = std::fs::File::create(&path)?;
    file.write_all_at(&vec![0; bytes.len() * records as usize], 0)?;
    file.sync_all()?;
    let start = Instant::now();
    for record in 0..records {
        file.write_all_at(&bytes, record * bytes.len() as u64)?;
        file.sync_data()?;
    }
    let rate = records as f64 / start.elapsed().as_secs_f64();
    std::fs::remove_file(path)?;
    Ok(rate)
}

fn journal_loop(journal: &mut Journal<FileDisk>, records: u64) -> Result<f64, JournalError> {
    let start = Instant::now();
    for _ in 0..records {
        journal.append(&entry(journal.last().next()))?;
        journal.sync()?;
    }
    Ok(records as f64 / start.elapsed().as_secs_f64())
}

fn group_commit(journal: Journal<FileDisk>, records: u64) -> Result<f64, Box<dyn Error>> {
    let first = journal.last();
    let (send, events) = channel();
    let thread = JournalThread::spawn(journal, move |event| drop(send.send(event)))?;
    let start = Instant::now();
    let (mut given, mut durable) = (first, first);
    while durable < first.plus(records) {
        let upto = durable.plus(UNDER_WAY).min(first.plus(records));
        thread.append((given.0 + 1..=upto.0).map(|mark| entry(Mark(mark))))?;
        given = upto;
        match events.recv()? {
            Event::Durable(mark) => durable = mark,
            Event::Room(_) => {}
            Event::Failed(error) => return Err(error.into()),
        }
    }
    let rate = records as f64 / start.elapsed().as_secs_f64();
    thread.stop()?;
    Ok(rate)
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}
