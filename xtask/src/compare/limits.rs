//! What the machine does by itself, in the same run: no server can commit faster than a write reaches the disk and a message
//! reaches its receiver and comes back.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use quorate_load::raw::{RawFile, RawTcp};

use super::results::Limits;

/// What measuring both takes.
pub(crate) const TAKES: Duration = Duration::from_millis(800);
const FILE_BYTES: u64 = 32 << 20;
/// Round trips that are timed together.
const BATCH: u64 = 50;

/// Measures both with values of `payload` bytes; the file is made in `dir`.
///
/// # Errors
/// Those of the disk and of the connection.
pub(crate) async fn measure(dir: &Path, payload: usize) -> Result<Limits> {
    let path = dir.join("limit");
    let measuring = tokio::task::spawn_blocking(move || {
        let sync_us = syncs(&path, payload).context("the disk cannot be measured")?;
        let round_trip_us = round_trips(payload).context("loopback cannot be measured")?;
        std::fs::remove_file(&path).context("a file of the measurement stays behind")?;
        Ok(Limits {
            sync_us,
            round_trip_us,
        })
    });
    measuring.await.expect("measuring does not panic")
}

fn syncs(path: &Path, payload: usize) -> std::io::Result<f64> {
    let mut file = RawFile::create(path, FILE_BYTES)?;
    let value = vec![7; payload];
    let mut times = Vec::new();
    let end = Instant::now() + TAKES / 2;
    while Instant::now() < end {
        let began = Instant::now();
        file.append(&value)?;
        times.push(began.elapsed());
    }
    Ok(median_us(times))
}

fn round_trips(payload: usize) -> std::io::Result<f64> {
    let mut tcp = RawTcp::ping_pong(payload)?;
    let mut times = Vec::new();
    let end = Instant::now() + TAKES / 2;
    while Instant::now() < end {
        times.push(tcp.ask(BATCH)? / BATCH as u32);
    }
    Ok(median_us(times))
}

fn median_us(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e6
}
