//! The direction of every link changed all the time.

use std::sync::Arc;
use std::time::Duration;

use quorate::core::Direction;
use tokio::time::sleep;

use crate::cluster::Cluster;
use crate::load::{self, Until};
use crate::{DIRECTIONS, verdict};

const BYTES: usize = 1 << 10;
const CLIENTS: usize = 64;
const EVERY: Duration = Duration::from_millis(200);
const LASTS: Duration = Duration::from_secs(10);

/// Whether nothing is lost or reordered.
pub(crate) async fn run() -> bool {
    println!(
        "every link directed anew every {EVERY:?} for {LASTS:?}, {CLIENTS} clients on all 3 members, raft, fsync"
    );
    let cluster = Arc::new(Cluster::start(Direction::Push, 0).await);
    let turning = Arc::clone(&cluster);
    let turning = tokio::spawn(async move {
        for turn in 0.. {
            for (own, member) in turning.members.iter().enumerate() {
                // A queue that is full for a moment costs one turn.
                let _ = member.direct(None, DIRECTIONS[(turn + own) % DIRECTIONS.len()]);
            }
            sleep(EVERY).await;
        }
    });
    let outcome = load::run(&cluster.members, CLIENTS, BYTES, Until::Over(LASTS)).await;
    turning.abort();
    // It was at its pause or between two orders: nothing is half done.
    let _ = turning.await;
    let (_, equal) = cluster.settled().await;
    let commands = cluster.members[0]
        .read(quorate::core::ReadLevel::Linearizable, |tally, _| {
            tally.commands
        })
        .await;
    let commands = commands.expect("there is a leader");
    let least = outcome.acknowledged;
    let holds = equal && (least..=least + outcome.unknown).contains(&commands);
    println!(
        "{least} acknowledged ({:.0}/s), {} unknown, {commands} applied on every member, equal: {equal}  {}\n",
        outcome.rate(),
        outcome.unknown,
        verdict(holds)
    );
    if let Ok(cluster) = Arc::try_unwrap(cluster) {
        cluster.stop().await;
    }
    holds
}
