//! Clients that are broken, or worse.

use std::fmt::Write;

use proptest::prelude::*;
use tokio::io::AsyncWriteExt;

use super::{Client, Fake, UNLIMITED, config, serve};

#[tokio::test]
async fn what_came_before_nonsense_is_answered_and_the_connection_ends() {
    let member = Fake::new(UNLIMITED);
    let server = serve(&member, config()).await;
    let mut client = Client::connect(&server).await;
    client.send("SET a 1\n*1\r\n+PING\r\nSET a 2\n").await;
    client
        .expect("+OK\r\n-ERR Protocol error: expected '$', got '+'\r\n")
        .await;
    client.expect_end().await;
    member.saw("w").await;
}

#[tokio::test]
async fn nested_arrays_do_not_reach_the_stack() {
    let server = serve(&Fake::new(UNLIMITED), config()).await;
    let mut client = Client::connect(&server).await;
    // It may be cut off before all of it is sent.
    let _ = client
        .0
        .write_all("*1\r\n".repeat(1_000_000).as_bytes())
        .await;
    let mut other = Client::connect(&server).await;
    other.send("PING\n").await;
    other.expect("+PONG\r\n").await;
}

#[tokio::test]
async fn an_announced_giant_costs_nothing_but_the_connection() {
    let server = serve(&Fake::new(UNLIMITED), config()).await;
    let giants = [
        "*2\r\n$3\r\nGET\r\n$999999999999\r\n",
        "*99999999\r\n",
        "*2\r\n$8388609\r\n",
    ];
    for giant in giants {
        let mut client = Client::connect(&server).await;
        client.send(giant).await;
        let rest = client.rest().await;
        assert!(rest.starts_with("-ERR Protocol error"), "{rest}");
    }
}

#[tokio::test]
async fn keys_and_values_beyond_the_limit_are_refused_and_the_connection_goes_on() {
    let mut config = config();
    config.limits.value_bytes_max = 10;
    config.limits.key_bytes_max = 5;
    let server = serve(&Fake::new(UNLIMITED), config).await;
    let mut client = Client::connect(&server).await;
    client
        .send("SET k 12345678901\nMSET k 1 kkkkkk 2\nGET k\nSET k 1234567890\nAPPEND k 1\n")
        .await;
    client
        .expect(
            "-ERR value of 11 bytes over the limit of 10\r\n\
             -ERR key of 6 bytes over the limit of 5\r\n\
             $-1\r\n+OK\r\n\
             -ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n",
        )
        .await;
}

#[tokio::test]
async fn an_answer_that_would_be_too_large_is_refused() {
    let mut config = config();
    config.limits.answer_bytes_max = 10_000;
    let server = serve(&Fake::new(UNLIMITED), config).await;
    let mut client = Client::connect(&server).await;
    client.send(format!("SET k {}\n", "v".repeat(1000))).await;
    client
        .send(format!("MGET {}\nSTRLEN k\n", "k ".repeat(20)))
        .await;
    client
        .expect("+OK\r\n-ERR the values take more than 10000 bytes\r\n:1000\r\n")
        .await;
}

#[tokio::test]
async fn large_requests_share_a_budget() {
    let mut config = config();
    config.limits.large_requests_bytes_max = 1 << 20;
    let server = serve(&Fake::new(UNLIMITED), config).await;
    let half = format!(
        "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\n{}",
        "x".repeat(600_000)
    );
    let mut first = Client::connect(&server).await;
    first.send(&half).await;
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let mut second = Client::connect(&server).await;
    let _ = second.0.write_all(half.as_bytes()).await;
    let said = second.rest().await;
    assert!(said.starts_with("-OVERLOADED retry after"), "{said}");
    first.send("x".repeat(400_000) + "\r\n").await;
    first.expect("+OK\r\n").await;
    // What the first held is free again, without another word from it.
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let mut third = Client::connect(&server).await;
    third.send(half + &"x".repeat(400_000) + "\r\n").await;
    third.expect("+OK\r\n").await;
}

#[tokio::test]
async fn too_many_clients_are_told_so() {
    let mut config = config();
    config.limits.connections_max = 2;
    let server = serve(&Fake::new(UNLIMITED), config).await;
    let mut clients = [
        Client::connect(&server).await,
        Client::connect(&server).await,
    ];
    for client in &mut clients {
        client.send("PING\n").await;
        client.expect("+PONG\r\n").await;
    }
    let mut third = Client::connect(&server).await;
    assert_eq!(
        third.rest().await,
        "-ERR max number of clients reached\\r\\n"
    );
    let [first, mut second] = clients;
    drop(first);
    second.send("PING\n").await;
    second.expect("+PONG\r\n").await;
    let mut fourth = Client::connect(&server).await;
    fourth.send("PING\n").await;
    fourth.expect("+PONG\r\n").await;
}

fn sent() -> impl Strategy<Value = Vec<u8>> {
    let word = prop::sample::select(vec![
        "GET",
        "SET",
        "MSET",
        "SCAN",
        "EXPIRE",
        "HELLO",
        "CLIENT",
        "CONFIG",
        "COMMAND",
        "QUORATE",
        "FAULT",
        "k",
        "1",
        "-1",
        "NX",
        "EX",
        "COUNT",
        "MATCH",
        "*",
        "[",
        "3",
        "INFO",
        "9999999999999999999",
    ]);
    let bulk = prop::collection::vec(word, 1..6).prop_map(|words| {
        let mut bytes = format!("*{}\r\n", words.len());
        for word in words {
            write!(bytes, "${}\r\n{word}\r\n", word.len()).unwrap();
        }
        bytes.into_bytes()
    });
    let noise = prop::collection::vec(
        prop_oneof![
            prop::sample::select(b"*$:\r\n01-+ \"".to_vec()),
            any::<u8>()
        ],
        0..40,
    );
    let piece = prop_oneof![8 => bulk, 1 => noise];
    prop::collection::vec(piece, 1..20).prop_map(|pieces| pieces.concat())
}

#[test]
fn no_bytes_harm_the_server_or_other_clients() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut config = config();
    config.allow_faults = true;
    let server = runtime.block_on(serve(&Fake::new(UNLIMITED), config));
    let proptest = ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(proptest, |(bytes in sent())| {
        runtime.block_on(async {
            let mut client = Client::connect(&server).await;
            // It may be cut off meanwhile.
            let _ = client.0.write_all(&bytes).await;
            let _ = client.0.shutdown().await;
            client.rest().await;
            let mut other = Client::connect(&server).await;
            other.send("PING\n").await;
            other.expect("+PONG\r\n").await;
        });
    });
}
