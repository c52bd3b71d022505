//! Closed and open loop against a server of the test's own.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use quorate_load::{
    Closed, Ending, Keys, Measured, Open, Opened, Resp, Workload, closed, in_this_thread, open,
};

/// What the server does beside answering.
#[derive(Clone, Copy, Default)]
struct Whims {
    /// It stands still from the first moment to the second, since it was started.
    stall: Option<(Duration, Duration)>,
    /// So many commands are refused at first.
    refusals: usize,
    /// Every so many-th write is of unknown outcome.
    unknown: Option<usize>,
    /// Reads find nothing.
    forgetful: bool,
    /// What `WAIT` answers.
    replicas: u32,
}

#[derive(Default)]
struct State {
    commands: usize,
    keys: BTreeSet<String>,
}

/// Serves in threads that end with their connections.
fn server(whims: Whims) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (state, begun) = (Arc::new(Mutex::new(State::default())), Instant::now());
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let state = Arc::clone(&state);
            thread::spawn(move || serve(&stream, whims, &state, begun));
        }
    });
    address
}

fn serve(stream: &TcpStream, whims: Whims, state: &Mutex<State>, begun: Instant) {
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    while let Some(words) = command(&mut reader) {
        if let Some((from, to)) = whims.stall
            && (from..to).contains(&begun.elapsed())
        {
            thread::sleep(to.saturating_sub(begun.elapsed()));
        }
        let answer = answer(&words, whims, &mut state.lock().unwrap());
        if writer.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn answer(words: &[String], whims: Whims, state: &mut State) -> String {
    state.commands += 1;
    if state.commands <= whims.refusals {
        return "-NOTLEADER nobody leads\r\n".into();
    }
    match words[0].as_str() {
        "SET"
            if whims
                .unknown
                .is_some_and(|each| state.commands.is_multiple_of(each)) =>
        {
            "-UNKNOWN it may be written\r\n".into()
        }
        "SET" => {
            state.keys.insert(words[1].clone());
            "+OK\r\n".into()
        }
        "WAIT" => format!(":{}\r\n", whims.replicas),
        "GET" if state.keys.contains(&words[1]) && !whims.forgetful => "$1\r\nv\r\n".into(),
        "GET" => "$-1\r\n".into(),
        other => panic!("a load sends no {other}"),
    }
}

fn command(reader: &mut impl BufRead) -> Option<Vec<String>> {
    let line = |reader: &mut dyn BufRead| {
        let mut line = String::new();
        let length = reader.read_line(&mut line).ok()?;
        (length > 0).then(|| line[1..].trim().parse::<usize>().unwrap())
    };
    let count = line(reader)?;
    let mut words = Vec::new();
    for _ in 0..count {
        let mut word = vec![0; line(reader)? + 2];
        reader.read_exact(&mut word).ok()?;
        word.truncate(word.len() - 2);
        words.push(String::from_utf8_lossy(&word).into_owned());
    }
    Some(words)
}

fn resp(addresses: Vec<String>) -> Resp {
    Resp {
        addresses,
        replicas: None,
        patience: Duration::from_secs(3),
    }
}

fn workload(keys: Keys, reads: u8) -> Workload {
    Workload {
        seed: 1,
        keys,
        payload: 16,
        reads,
    }
}

fn run_closed(target: Resp, measure: Duration) -> Measured {
    let plan = Closed {
        clients: 4,
        through: None,
        warm: Duration::from_millis(50),
        measure,
    };
    let workload = workload(Keys::Spread(100), 20);
    in_this_thread(closed(target, &plan, &workload))
        .unwrap()
        .unwrap()
}

fn run_open(target: Resp, clients: usize, length: Duration, workload: &Workload) -> Opened {
    let plan = Open {
        clients,
        through: None,
        rate: 500,
        begin: Instant::now() + Duration::from_millis(50),
        length,
        drain: Duration::from_secs(10),
        insist: Duration::from_secs(1),
    };
    let opened = in_this_thread(open(target, &plan, workload))
        .unwrap()
        .unwrap();
    assert_eq!(opened.ends.len() as u64, plan.requests());
    opened
}

#[test]
fn a_server_that_stands_still_keeps_all_waiting_that_were_meant_to_start_meanwhile() {
    let stall = Some((Duration::from_millis(300), Duration::from_millis(900)));
    let whims = Whims {
        stall,
        ..Whims::default()
    };
    // The clients of a closed loop ask once each and then wait: four slow answers.
    let closed = run_closed(resp(vec![server(whims)]), Duration::from_secs(1));
    let total = closed.latency.count();
    let slow = 1.0 - 4.5 / total as f64;
    assert!(closed.latency.at(slow).unwrap() < 300_000, "{closed:?}");
    // In open loop the other 150 of the first half of the stall waited as long, though nobody was free to send them.
    let length = Duration::from_secs(2);
    let workload = workload(Keys::Spread(100), 20);
    let opened = run_open(resp(vec![server(whims)]), 4, length, &workload);
    let waited = |end: &&quorate_load::End| end.latency() >= Duration::from_millis(300);
    let slow = opened.ends.iter().filter(waited).count();
    assert!(slow >= 140, "{slow}");
    let longest = opened.ends.iter().map(quorate_load::End::latency).max();
    assert!(
        longest.unwrap() >= Duration::from_millis(550),
        "{longest:?}"
    );
    let measured = opened.measured(Duration::from_millis(100), length);
    assert_eq!(measured.tally.done, 950);
    assert!(measured.latency.at(0.9).unwrap() > 300_000);
    assert_eq!(measured.whole.done, 1000);
}

#[test]
fn what_was_refused_is_asked_again_and_what_is_unknown_is_not() {
    let whims = Whims {
        refusals: 30,
        unknown: Some(100),
        ..Whims::default()
    };
    let workload = workload(Keys::Fresh, 0);
    let opened = run_open(
        resp(vec![server(whims)]),
        8,
        Duration::from_secs(1),
        &workload,
    );
    let count = |ending| {
        opened
            .ends
            .iter()
            .filter(|end| end.ending == ending)
            .count()
    };
    assert_eq!(count(Ending::Refused), 0);
    // 530 commands, of which the hundredth, two-hundredth and so on.
    assert_eq!(count(Ending::Unknown), 5);
    assert_eq!(count(Ending::Written), 495);
}

#[test]
fn a_member_that_is_gone_is_left_for_another() {
    let gone = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let there = server(Whims::default());
    let workload = workload(Keys::Fresh, 0);
    let target = resp(vec![there, gone]);
    // The plan connects to every member first: through one only, then.
    let refused = Open {
        clients: 2,
        through: None,
        rate: 100,
        begin: Instant::now(),
        length: Duration::from_millis(100),
        drain: Duration::ZERO,
        insist: Duration::ZERO,
    };
    let outcome = in_this_thread(open(target.clone(), &refused, &workload)).unwrap();
    assert!(outcome.is_err());
    let through = Open {
        through: Some(0),
        ..refused
    };
    let opened = in_this_thread(open(target, &through, &workload))
        .unwrap()
        .unwrap();
    assert!(opened.ends.iter().all(|end| end.ending == Ending::Written));
}

#[test]
fn a_read_that_misses_what_was_acknowledged_is_stale_by_that_age() {
    let workload = workload(Keys::Fresh, 50);
    let length = Duration::from_secs(1);
    for forgetful in [false, true] {
        let whims = Whims {
            forgetful,
            ..Whims::default()
        };
        let opened = run_open(resp(vec![server(whims)]), 4, length, &workload);
        let stale = opened.ends.iter().filter_map(|end| match end.ending {
            Ending::Read(stale) => stale,
            Ending::Written | Ending::Refused | Ending::Unknown => None,
        });
        let worst = stale.max();
        if forgetful {
            assert!(worst.unwrap() > Duration::from_millis(500), "{worst:?}");
        } else {
            assert_eq!(worst, None);
        }
    }
}

#[test]
fn what_a_server_has_no_time_for_is_given_up_in_the_end() {
    let stall = Some((Duration::ZERO, Duration::from_millis(700)));
    let whims = Whims {
        stall,
        ..Whims::default()
    };
    let plan = Open {
        clients: 1,
        through: None,
        rate: 100,
        begin: Instant::now(),
        length: Duration::from_millis(300),
        drain: Duration::from_millis(100),
        insist: Duration::ZERO,
    };
    let target = resp(vec![server(whims)]);
    let opened = in_this_thread(open(target, &plan, &workload(Keys::Fresh, 0)))
        .unwrap()
        .unwrap();
    let endings: Vec<_> = opened.ends.iter().map(|end| end.ending).collect();
    assert_eq!((endings.len(), endings[0]), (30, Ending::Written));
    assert!(endings[1..].iter().all(|ending| *ending == Ending::Refused));
}

#[test]
fn too_few_replicas_leave_a_write_unknown() {
    for (replicas, expected) in [(1, true), (0, false)] {
        let whims = Whims {
            replicas,
            ..Whims::default()
        };
        let target = Resp {
            replicas: Some(1),
            ..resp(vec![server(whims)])
        };
        let opened = run_open(
            target,
            4,
            Duration::from_millis(200),
            &workload(Keys::Fresh, 0),
        );
        let written = |end: &quorate_load::End| end.ending == Ending::Written;
        assert!(opened.ends.iter().all(|end| written(end) == expected));
    }
}
