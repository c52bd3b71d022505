//! Redis's protocol, word for word, over a real socket and a real member.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use quorate_core::{ClusterId, NodeId};
use quorate_kv::KvStore;
use quorate_kv::server::{Limits, Server, ServerConfig};
use quorate_node::{Node, NodeConfig};
use quorate_raft::{Raft, RaftConfig};
use tokio::sync::watch;

/// What a client of a fresh server sends, and gets, byte for byte.
fn conversation(script: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    let runtime = runtime.unwrap();
    let (node, address, _close) = runtime.block_on(async {
        let id = NodeId(1);
        let config = NodeConfig::in_memory(ClusterId(1), id);
        let raft = RaftConfig::new(id, &[id]);
        let node = Node::start::<Raft>(config, raft, KvStore::new)
            .await
            .unwrap();
        let server = ServerConfig {
            policy: "raft/push/quorum/linearizable/memory".parse().unwrap(),
            limits: Limits::default(),
            allow_faults: false,
        };
        let server = Server::bind("127.0.0.1:0", server).await.unwrap();
        let address = server.local_addr().unwrap();
        let (close, closing) = watch::channel(false);
        tokio::spawn(server.serve(node.clone(), closing));
        (node, address, close)
    });
    let mut client = TcpStream::connect(address).unwrap();
    client
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    for exchange in script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        let (request, expected) = exchange.split_once(" -> ").unwrap();
        client.write_all(&encode(request)).unwrap();
        match expected.strip_prefix(":~") {
            Some(about) => expect_about(&mut client, about.parse().unwrap(), request),
            None => expect(&mut client, &expected.replace("\\r\\n", "\r\n"), request),
        }
    }
    runtime.block_on(node.stop());
}

fn expect(client: &mut TcpStream, expected: &str, request: &str) {
    let mut said = vec![0; expected.len()];
    let length = read_up_to(client, &mut said);
    let said = said[..length].escape_ascii().to_string();
    assert_eq!(
        said,
        expected.as_bytes().escape_ascii().to_string(),
        "{request}"
    );
}

/// A number of seconds, of which some have passed since.
fn expect_about(client: &mut TcpStream, most: u64, request: &str) {
    let mut line = Vec::new();
    let mut byte = [0];
    while read_up_to(client, &mut byte) == 1 && byte != *b"\n" {
        line.push(byte[0]);
    }
    let line = String::from_utf8(line).unwrap();
    let seconds: u64 = line.trim_end().strip_prefix(':').unwrap().parse().unwrap();
    assert!((most - 9..=most).contains(&seconds), "{request}: {line}");
}

fn read_up_to(client: &mut TcpStream, bytes: &mut [u8]) -> usize {
    let mut length = 0;
    while length < bytes.len() {
        match client.read(&mut bytes[length..]) {
            Ok(0) | Err(_) => break,
            Ok(more) => length += more,
        }
    }
    length
}

/// Words as an array of bulk strings; `''` is the empty one, `_` in a word a space.
fn encode(request: &str) -> Vec<u8> {
    let words: Vec<_> = request.split(' ').collect();
    let mut bytes = format!("*{}\r\n", words.len());
    for word in words {
        let word = if word == "''" {
            String::new()
        } else {
            word.replace('_', " ")
        };
        write!(bytes, "${}\r\n{word}\r\n", word.len()).unwrap();
    }
    bytes.into_bytes()
}

#[test]
fn strings_are_set_and_read() {
    conversation(
        r"
        PING -> +PONG\r\n
        ping hello -> $5\r\nhello\r\n
        ECHO '' -> $0\r\n\r\n
        GET k -> $-1\r\n
        SET k v -> +OK\r\n
        GET k -> $1\r\nv\r\n
        SET k w NX -> $-1\r\n
        SET other w XX -> $-1\r\n
        SET k w XX GET -> $1\r\nv\r\n
        SET k x NX GET -> $1\r\nw\r\n
        SET new x NX GET -> $-1\r\n
        GET new -> $1\r\nx\r\n
        SETNX k y -> :0\r\n
        SETNX k2 y -> :1\r\n
        GETSET k z -> $1\r\nw\r\n
        GETDEL k -> $1\r\nz\r\n
        GETDEL k -> $-1\r\n
        APPEND k abc -> :3\r\n
        APPEND k '' -> :3\r\n
        STRLEN k -> :3\r\n
        STRLEN absent -> :0\r\n
        MSET a 1 b 2 a 3 -> +OK\r\n
        MGET a absent b -> *3\r\n$1\r\n3\r\n$-1\r\n$1\r\n2\r\n
        EXISTS a a absent -> :2\r\n
        DEL a a absent -> :1\r\n
        UNLINK b -> :1\r\n
        DBSIZE -> :3\r\n
        FLUSHDB SYNC -> +OK\r\n
        DBSIZE -> :0\r\n
        SET '' empty -> +OK\r\n
        GET '' -> $5\r\nempty\r\n
        FLUSHALL ASYNC -> +OK\r\n
        FLUSHALL NOW -> -ERR syntax error\r\n
        ",
    );
}

#[test]
fn numbers_are_counted() {
    conversation(
        r"
        INCR n -> :1\r\n
        INCRBY n 41 -> :42\r\n
        DECR n -> :41\r\n
        DECRBY n 50 -> :-9\r\n
        GET n -> $2\r\n-9\r\n
        SET n 9223372036854775807 -> +OK\r\n
        INCR n -> -ERR increment or decrement would overflow\r\n
        DECRBY n -9223372036854775808 -> -ERR decrement would overflow\r\n
        INCRBY n x -> -ERR value is not an integer or out of range\r\n
        SET n 1_ -> +OK\r\n
        INCR n -> -ERR value is not an integer or out of range\r\n
        GET n -> $2\r\n1 \r\n
        ",
    );
}

#[test]
fn keys_expire() {
    conversation(
        r"
        TTL k -> :-2\r\n
        SET k v EX 100 -> +OK\r\n
        TTL k -> :~100
        SET k w KEEPTTL -> +OK\r\n
        TTL k -> :~100
        APPEND k x -> :2\r\n
        TTL k -> :~100
        SET k v -> +OK\r\n
        TTL k -> :-1\r\n
        PTTL k -> :-1\r\n
        EXPIRE k 50 -> :1\r\n
        TTL k -> :~50
        EXPIRE k 60 NX -> :0\r\n
        EXPIRE k 40 GT -> :0\r\n
        EXPIRE k 40 LT -> :1\r\n
        PEXPIRE k 45000 XX -> :1\r\n
        TTL k -> :~45
        PERSIST k -> :1\r\n
        PERSIST k -> :0\r\n
        EXPIRE k 40 GT -> :0\r\n
        EXPIRE absent 40 -> :0\r\n
        EXPIRE k 40 XY -> -ERR Unsupported option XY\r\n
        EXPIREAT k 4000000000 -> :1\r\n
        EXPIRE k 9223372036854775807 -> -ERR invalid expire time in 'expire' command\r\n
        PEXPIRE k 9223372036854775807 -> -ERR invalid expire time in 'pexpire' command\r\n
        EXPIRE k -1 -> :1\r\n
        EXISTS k -> :0\r\n
        SET k v PXAT 1 -> +OK\r\n
        EXISTS k -> :0\r\n
        SET k v EX 0 -> -ERR invalid expire time in 'set' command\r\n
        SET k v PX -5 -> -ERR invalid expire time in 'set' command\r\n
        SET k v EX 9223372036854775807 -> -ERR invalid expire time in 'set' command\r\n
        SET k v PX 9223372036854775807 -> -ERR invalid expire time in 'set' command\r\n
        SET k v EX x -> -ERR value is not an integer or out of range\r\n
        SET k v EX -> -ERR syntax error\r\n
        SET k v EX 1 PX 1 -> -ERR syntax error\r\n
        SET k v NX XX -> -ERR syntax error\r\n
        SETEX k 10 v -> +OK\r\n
        TTL k -> :~10
        PSETEX k 0 v -> -ERR invalid expire time in 'psetex' command\r\n
        ",
    );
}

#[test]
fn keys_are_listed() {
    conversation(
        r"
        SCAN 0 -> *2\r\n$1\r\n0\r\n*0\r\n
        MSET user:1 a user:2 b thing c -> +OK\r\n
        KEYS user:* -> *2\r\n$6\r\nuser:1\r\n$6\r\nuser:2\r\n
        KEYS nothing* -> *0\r\n
        SCAN 0 MATCH th*g COUNT 100 -> *2\r\n$1\r\n0\r\n*1\r\n$5\r\nthing\r\n
        SCAN 0 MATCH t* COUNT 100 TYPE string -> *2\r\n$1\r\n0\r\n*1\r\n$5\r\nthing\r\n
        SCAN 0 COUNT 100 TYPE hash -> *2\r\n$1\r\n0\r\n*0\r\n
        SCAN x -> -ERR invalid cursor\r\n
        SCAN -1 -> -ERR invalid cursor\r\n
        SCAN 0 COUNT 0 -> -ERR syntax error\r\n
        SCAN 0 COUNT x -> -ERR value is not an integer or out of range\r\n
        SCAN 0 MATCH -> -ERR syntax error\r\n
        SCAN 0 SORT up -> -ERR syntax error\r\n
        ",
    );
}

#[test]
fn clients_and_tools_find_their_way() {
    conversation(
        r"
        SELECT 0 -> +OK\r\n
        SELECT 1 -> -ERR DB index is out of range\r\n
        CLIENT SETNAME worker -> +OK\r\n
        CLIENT GETNAME -> $6\r\nworker\r\n
        CLIENT SETNAME a_b -> -ERR Client names cannot contain spaces, newlines or special characters.\r\n
        CLIENT ID -> :1\r\n
        CLIENT SETINFO LIB-NAME x -> +OK\r\n
        CLIENT NO-EVICT ON -> +OK\r\n
        CLIENT KILL x -> -ERR unknown subcommand or wrong number of arguments for 'client kill'\r\n
        CONFIG GET save -> *2\r\n$4\r\nsave\r\n$0\r\n\r\n
        CONFIG GET append* data*s -> *4\r\n$10\r\nappendonly\r\n$2\r\nno\r\n$9\r\ndatabases\r\n$1\r\n1\r\n
        CONFIG SET save 1 -> -ERR only CONFIG GET is understood: the config is given at the start\r\n
        COMMAND COUNT -> :41\r\n
        COMMAND DOCS -> *0\r\n
        COMMAND INFO get nope -> *2\r\n*10\r\n$3\r\nget\r\n:2\r\n*0\r\n:0\r\n:0\r\n:0\r\n*0\r\n*0\r\n*0\r\n*0\r\n$-1\r\n
        HELLO 2 AUTH a b -> -ERR AUTH is not understood: this server has no passwords\r\n
        NOPE a -> -ERR unknown command 'NOPE', with args beginning with: 'a'\r\n
        GET -> -ERR wrong number of arguments for 'get' command\r\n
        MSET a 1 b -> -ERR wrong number of arguments for 'mset' command\r\n
        QUORATE DANCE -> -ERR unknown subcommand of 'quorate', try QUORATE HELP\r\n
        HELLO 3 SETNAME other -> %7\r\n$6\r\nserver\r\n$7\r\nquorate\r\n$7\r\nversion\r\n$5\r\n0.1.0\r\n$5\r\nproto\r\n:3\r\n$2\r\nid\r\n:1\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n
        GET absent -> _\r\n
        CONFIG GET save -> %1\r\n$4\r\nsave\r\n$0\r\n\r\n
        CLIENT GETNAME -> $5\r\nother\r\n
        RESET -> +RESET\r\n
        CLIENT GETNAME -> $-1\r\n
        QUIT -> +OK\r\n
        ",
    );
}
