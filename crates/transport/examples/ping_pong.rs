//! Two members in one process over loopback: a question on the control lane, its answer, the time between.
//!
//! `cargo run --release -p quorate-transport --example ping_pong`

use std::time::{Duration, Instant};

use quorate_core::{ClusterId, NodeId};
use quorate_transport::{BindError, Config, Frame, Incoming, Lane, Transport};

const ROUNDS: u32 = 20_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BindError> {
    let (one, two) = (NodeId(1), NodeId(2));
    let cluster = ClusterId(7);
    let (a, from_b) = Transport::bind(Config::new(cluster, one, "127.0.0.1:0")).await?;
    let (b, from_a) = Transport::bind(Config::new(cluster, two, "127.0.0.1:0")).await?;
    a.set_peer(two, b.address());
    b.set_peer(one, a.address());
    while !(a.is_connected(two, Lane::Control) && b.is_connected(one, Lane::Control)) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    let echo = tokio::spawn(echo(b.clone(), from_a));
    let took = ask(&a, two, from_b).await;
    println!("{ROUNDS} rounds, {:?} each", took / ROUNDS);
    for link in a.links() {
        println!(
            "{} to {}: {} frames sent, {} received",
            link.lane, link.peer, link.frames_sent, link.frames_received
        );
    }
    let lost = a.shutdown(Duration::from_secs(1)).await + b.shutdown(Duration::from_secs(1)).await;
    println!("{lost} frames lost");
    // The echo ends when its transport has stopped; that it did is all we want to know.
    let _ = echo.await;
    Ok(())
}

async fn ask(transport: &Transport, whom: NodeId, mut answers: Incoming) -> Duration {
    let begun = Instant::now();
    for _ in 0..ROUNDS {
        if transport
            .send(whom, Frame::new(Lane::Control, &b"ping"[..]))
            .is_err()
        {
            break;
        }
        if answers.recv().await.is_none() {
            break;
        }
    }
    begun.elapsed()
}

async fn echo(transport: Transport, mut questions: Incoming) {
    while let Some(question) = questions.recv().await {
        let answer = Frame::new(question.lane, question.payload);
        if let Err(error) = transport.send(question.from, answer) {
            println!("an answer was lost: {error}");
        }
    }
}
