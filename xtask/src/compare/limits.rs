//! What the machine does by itself, in the same run: no server can commit faster than a write reaches the disk and a message
//! reaches its receiver and comes back.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use quorate_load::raw::{RawFile, RawTcp};

use super::results::{Limits, Waited};

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
        let sync = syncs(&path, payload).context("the disk cannot be measured")?;
        let round_trip = round_trips(payload).context("loopback cannot be measured")?;
        std::fs::remove_file(&path).context("a file of the measurement stays behind")?;
        Ok(Limits { sync, round_trip })
    });
    measuring.await.expect("measuring does not panic")
}

fn syncs(path: &Path, payload: usize) -> std::io::Result<Waited> {
    let mut file = RawFile::create(path, FILE_BYTES)?;
    let value = vec![7; payload];
    let mut times = Vec::new();
    let end = Instant::now() + TAKES / 2;
    while Instant::now() < end {
        let began = Instant::now();
        file.append(&value)?;
        times.push(began.elapsed());
    }
    Ok(waited(times))
}

fn round_trips(payload: usize) -> std::io::Result<Waited> {
    let mut tcp = RawTcp::ping_pong(payload)?;
    let mut times = Vec::new();
    let end = Instant::now() + TAKES / 2;
    while Instant::now() < end {
        times.push(tcp.ask(BATCH)? / BATCH as u32);
    }
    Ok(waited(times))
}

/// Sums up at least one.
fn waited(mut times: Vec<Duration>) -> Waited {
    times.sort_unstable();
    let us = |time: Duration| time.as_secs_f64() * 1e6;
    Waited {
        quickest_us: us(times[0]),
        median_us: us(times[times.len() / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quickest_stands_beside_the_median() {
        let times = [4000, 100, 4100].map(Duration::from_micros);
        let Waited {
            quickest_us,
            median_us,
        } = waited(times.into());
        assert!((quickest_us - 100.0).abs() < 1e-6 && (median_us - 4000.0).abs() < 1e-6);
    }
}
