//! What happens, and when, to requests that come in one go.

use std::time::Duration;

use quorate_core::{Epoch, Failure, NodeId, SessionId};

use super::super::member::{FaultKind, FaultOrder};
use super::{Client, Fake, UNLIMITED, config, serve};

#[tokio::test]
async fn consecutive_writes_are_handed_in_together_and_answered_in_order() {
    let member = Fake::new(0);
    let server = serve(&member, config()).await;
    let mut client = Client::connect(&server).await;
    client.send("SET a 1\nINCR a\nPING\nINCR a\n").await;
    member.saw("www").await;
    member.allowed.add_permits(3);
    client.expect("+OK\r\n:2\r\n+PONG\r\n:3\r\n").await;
}

#[tokio::test]
async fn consecutive_reads_are_asked_as_one() {
    let member = Fake::new(UNLIMITED);
    let server = serve(&member, config()).await;
    let mut client = Client::connect(&server).await;
    client.send("SET a 1\n").await;
    client.expect("+OK\r\n").await;
    client
        .send("GET a\nECHO x\nSTRLEN a\nMGET a b a\nKEYS *\nGET b\nEXISTS a a b\nTTL a\n")
        .await;
    client
        .expect("$1\r\n1\r\n$1\r\nx\r\n:1\r\n*3\r\n$1\r\n1\r\n$-1\r\n$1\r\n1\r\n*1\r\n$1\r\na\r\n$-1\r\n:2\r\n:-1\r\n")
        .await;
    member.saw("wr").await;
}

#[tokio::test]
async fn a_read_waits_for_the_writes_before_it() {
    let member = Fake::new(0);
    let server = serve(&member, config()).await;
    let mut client = Client::connect(&server).await;
    client.send("SET a 1\nSET b 2\nGET a\n").await;
    member.saw("ww").await;
    member.allowed.add_permits(1);
    member.saw("ww").await;
    member.allowed.add_permits(1);
    member.saw("wwr").await;
    member.allowed.add_permits(1);
    client.expect("+OK\r\n+OK\r\n$1\r\n1\r\n").await;
}

#[tokio::test]
async fn a_write_waits_for_the_reads_before_it() {
    let member = Fake::new(0);
    let server = serve(&member, config()).await;
    let mut client = Client::connect(&server).await;
    client.send("GET a\nGET b\nSET a 1\nGET a\n").await;
    member.saw("r").await;
    member.allowed.add_permits(1);
    member.saw("rw").await;
    member.allowed.add_permits(2);
    client.expect("$-1\r\n$-1\r\n+OK\r\n$1\r\n1\r\n").await;
}

#[tokio::test]
async fn a_change_of_protocol_holds_from_its_own_answer_on() {
    let member = Fake::new(UNLIMITED);
    let server = serve(&member, config()).await;
    let mut client = Client::connect(&server).await;
    client
        .send("GET a\nHELLO 3\nGET a\nRESET\nGET a\nHELLO 4\nQUIT\nPING\n")
        .await;
    client.expect("$-1\r\n%7\r\n$6\r\nserver\r\n").await;
    let rest = client.rest().await;
    let expected =
        "_\\r\\n+RESET\\r\\n$-1\\r\\n-NOPROTO unsupported protocol version\\r\\n+OK\\r\\n";
    assert!(rest.ends_with(expected), "{rest}");
}

#[tokio::test]
async fn every_failure_reaches_its_own_client_under_its_own_name() {
    let member = Fake::new(UNLIMITED);
    let server = serve(&member, config()).await;
    let mut client = Client::connect(&server).await;
    let failures = [
        Failure::NotLeader {
            leader: Some(NodeId(2)),
            epoch: Epoch {
                round: 7,
                node: NodeId(0),
            },
        },
        Failure::Overloaded {
            retry_after: Duration::from_millis(20),
        },
        Failure::NoRoom,
        Failure::Unknown,
        Failure::Stopped,
    ];
    member.state.lock().unwrap().failures.extend(failures);
    client
        .send("SET a 1\nSET a 2\nSET a 3\nSET a 4\nSET a 5\nSET a 6\n")
        .await;
    client
        .expect(
            "-NOTLEADER no leader took the request in time (leader: 2, epoch: 7)\r\n\
             -OVERLOADED retry after 20 ms\r\n\
             -ERR no room on disk: nothing was written, free space and retry\r\n\
             -UNKNOWN the outcome is not known: it may have been applied, or may be later\r\n\
             -STOPPED the member has stopped before it took the request\r\n\
             +OK\r\n",
        )
        .await;
    // One refused question is the answer to all that were asked with it.
    member
        .state
        .lock()
        .unwrap()
        .failures
        .push_back(Failure::Stopped);
    client.send("GET a\nGET a\n").await;
    let stopped = "-STOPPED the member has stopped before it took the request\r\n";
    client.expect(&stopped.repeat(2)).await;
    client.send("GET a\n").await;
    client.expect("$1\r\n6\r\n").await;
}

#[tokio::test]
async fn a_slow_reader_holds_up_only_itself() {
    let member = Fake::new(UNLIMITED);
    let server = serve(&member, config()).await;
    let mut slow = Client::connect(&server).await;
    let megabyte = "x".repeat(1 << 20);
    slow.send(format!(
        "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n{megabyte}\r\n",
        1 << 20
    ))
    .await;
    slow.expect("+OK\r\n").await;
    slow.send("GET k\n".repeat(100)).await;
    // It asks for as much as it may hold, and for more only when the client takes it.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let asked = member.seen().len();
    assert!(asked < 8, "{asked} times asked for 8 MiB each");
    let mut other = Client::connect(&server).await;
    other.send("STRLEN k\n").await;
    other.expect(":1048576\r\n").await;
    let answer = format!("$1048576\r\n{megabyte}\r\n");
    for _ in 0..100 {
        slow.expect(&answer).await;
    }
}

#[tokio::test]
async fn a_closing_server_finishes_what_it_took_and_frees_the_rest() {
    let member = Fake::new(0);
    let server = serve(&member, config()).await;
    let (mut busy, mut idle) = (
        Client::connect(&server).await,
        Client::connect(&server).await,
    );
    idle.send("PING\n").await;
    idle.expect("+PONG\r\n").await;
    busy.send("SET a 1\n").await;
    member.saw("w").await;
    server.close.send_replace(true);
    idle.expect_end().await;
    assert!(!server.serving.is_finished());
    member.allowed.add_permits(1);
    assert_eq!(busy.rest().await, "+OK\\r\\n");
    server.serving.await.unwrap();
}

#[tokio::test]
async fn faults_are_ordered_only_where_they_are_allowed() {
    let member = Fake::new(UNLIMITED);
    let mut config = config();
    let closed = serve(&member, config.clone()).await;
    config.allow_faults = true;
    let open = serve(&member, config).await;
    let mut client = Client::connect(&closed).await;
    client.send("QUORATE FAULT * both cut\n").await;
    client
        .expect("-ERR faults are off: start this member with --allow-faults\r\n")
        .await;
    assert_eq!(member.state.lock().unwrap().faults.len(), 0);
    let mut client = Client::connect(&open).await;
    client
        .send("QUORATE FAULT 2 in cut\nQUORATE FAULT 9 in cut\nQUORATE STATUS\n")
        .await;
    client
        .expect("+OK\r\n-ERR 9 is no peer of this member\r\n*2\r\n$4\r\nrole\r\n$6\r\nleader\r\n")
        .await;
    let faults = member.state.lock().unwrap().faults.clone();
    let [FaultOrder::Links(order)] = &faults[..] else {
        panic!("{faults:?}")
    };
    assert_eq!(order.kind, FaultKind::Cut);
    assert!(order.inwards && !order.outwards);
}

#[tokio::test]
async fn an_operator_directs_links_and_promotes() {
    let member = Fake::new(UNLIMITED);
    let server = serve(&member, config()).await;
    let mut client = Client::connect(&server).await;
    client
        .send("QUORATE POLICY\nQUORATE POLICY pull\nQUORATE POLICY auto 3\nQUORATE POLICY auto 4\n")
        .await;
    let policy = "*2\r\n$6\r\npolicy\r\n$35\r\nraft/push/quorum/linearizable/fsync\r\n";
    client.expect(policy).await;
    client
        .expect("+OK\r\n+OK\r\n-ERR 4 is no peer of this member\r\n")
        .await;
    let directed = member.state.lock().unwrap().directed.clone();
    let peers: Vec<_> = directed.iter().map(|order| order.peer).collect();
    assert_eq!(peers, [None, Some(NodeId(3))]);
    client
        .send("QUORATE PROMOTE ROUND 9\nQUORATE PROMOTE\nQUORATE PROMOTE FORCE\n")
        .await;
    client
        .expect("*4\r\n$5\r\nepoch\r\n$3\r\n9.1\r\n$7\r\nmissing\r\n$1\r\n9\r\n")
        .await;
    client
        .expect("*4\r\n$5\r\nepoch\r\n$3\r\n2.1\r\n$7\r\nmissing\r\n$7\r\nunknown\r\n")
        .await;
    client.expect("-ERR this log cannot do that\r\n").await;
}

#[tokio::test]
async fn an_operator_lists_and_changes_members() {
    let member = Fake::new(UNLIMITED);
    let server = serve(&member, config()).await;
    let mut client = Client::connect(&server).await;
    client
        .send("QUORATE MEMBERS\nQUORATE ADD 4 h:1 VOTE\nQUORATE TRANSFER\nQUORATE SNAPSHOT\n")
        .await;
    client
        .expect("*2\r\n*2\r\n$2\r\nid\r\n$1\r\n1\r\n*2\r\n$2\r\nid\r\n$1\r\n2\r\n")
        .await;
    client
        .expect("*2\r\n$10\r\nconfigured\r\n$1\r\n7\r\n")
        .await;
    client.expect("-UNDECIDED the leader went").await;
    client.send("QUORATE ADD 4\n").await;
    let rest = " before it was decided: it may or may not come about\r\n";
    client.expect(rest).await;
    client.expect("-ERR nothing was applied yet\r\n").await;
    let usage = "-ERR usage: QUORATE ADD <id> <host:port> [VOTE | REPLACE <old>]\r\n";
    client.expect(usage).await;
}

#[tokio::test]
async fn commands_of_a_session_are_handed_in_like_others_under_their_numbers() {
    let member = Fake::new(UNLIMITED);
    let server = serve(&member, config()).await;
    let mut client = Client::connect(&server).await;
    client
        .send("QUORATE SESSION OPEN 77\nQUORATE SESSION 77 1 INCR a\nINCR a\nQUORATE SESSION 77 2 SET a 5\n")
        .await;
    client.expect(":77\r\n:1\r\n:2\r\n+OK\r\n").await;
    let places = member.state.lock().unwrap().places.clone();
    assert_eq!(places, [(SessionId(77), 1), (SessionId(77), 2)]);
    client.send("QUORATE SESSION CLOSE 77\n").await;
    client
        .expect("-NOSESSION no such session: it has expired, was closed, or never was\r\n")
        .await;
    client.send("QUORATE SESSION 77 3 GET a\n").await;
    client
        .expect("-ERR only commands that write are numbered in a session\r\n")
        .await;
}
