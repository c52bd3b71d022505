//! Does a long log cost more than a short one? Ten million commands through three members in one thread, which forget
//! what is behind as they go: rate, what the logs hold, and what the process takes, by tenths.
//!
//! ```text
//! cargo run --release -p quorate-benches --example growth -- [commands]
//! ```

use std::error::Error;
use std::fs;
use std::time::Duration;

use quorate_benches::cores::{Contender, Cores, Members, Shape};
use quorate_benches::rounds::{pace, thread_time};
use quorate_paxos::Paxos;
use quorate_raft::Raft;

fn main() -> Result<(), Box<dyn Error>> {
    let commands: u64 = std::env::args()
        .nth(1)
        .map_or(Ok(10_000_000), |text| text.parse())?;
    println!("| log | commands | K entries/s | held, KiB | resident, MiB |");
    println!("|---|---|---|---|---|");
    grow::<Raft>(commands)?;
    grow::<Paxos>(commands)
}

fn grow<L: Contender>(commands: u64) -> Result<(), Box<dyn Error>> {
    let mut members = Members::<L>::new(Shape::new(256, 16));
    let (mut done, tenth) = (0, commands.div_ceil(10));
    while done < commands {
        let mut held = 0;
        let rate = pace(Duration::ZERO, thread_time, || {
            let begun = done;
            while done < begun + tenth {
                done += members.round();
                held = held.max(members.held());
            }
            done - begun
        });
        println!(
            "| {} | {done} | {:.0} | {} | {} |",
            L::NAME,
            rate / 1e3,
            held >> 10,
            resident()? >> 20
        );
    }
    Ok(())
}

/// Bytes of this process in memory.
fn resident() -> Result<u64, Box<dyn Error>> {
    let pages = fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = pages
        .split_whitespace()
        .nth(1)
        .ok_or("a short statm")?
        .parse()?;
    Ok(pages * rustix::param::page_size() as u64)
}
