//! What a read of each level asks for, sees, and refuses.

use std::time::Duration;

use quorate_core::{Life, NodeId, Parcel, Position, ReadLevel, Rejection, ReplicaConfig};

use crate::support::{Bench, Order, foreign};

const BOUNDED: ReadLevel = ReadLevel::Bounded(Duration::from_millis(400));

/// A member that has started anew, follows member 2, and has applied what stands at position 1.
fn follower() -> Bench {
    let mut bench = Bench::with_past(3);
    bench.order(Order::Follow(4, 2));
    commit(&mut bench);
    bench.seen();
    bench
}

/// One more command is committed.
fn commit(bench: &mut Bench) {
    let number = bench.replica.applied().get();
    bench.order(Order::Commit(foreign(2, number, &[b"a"])));
}

/// The leader's answer to this round of this member.
fn answer(bench: &mut Bench, round: u64, at: u64) {
    let parcel = Parcel::ReadFrom {
        round: Bench::LIFE + round,
        leased: false,
        answer: Ok(Position(at)),
    };
    bench.receive(2, parcel);
}

fn asked(round: u64, lease: bool) -> String {
    let round = Bench::LIFE + round;
    format!("Send to 2: ReadAt {{ round: {round}, lease: {lease} }}")
}

#[test]
fn a_leader_with_a_lease_answers_without_asking_anybody() {
    let mut bench = Bench::new();
    bench.order(Order::Lead(1)).order(Order::Lease(100)).seen();
    let seen = bench.read_at(1, ReadLevel::Lease).seen();
    assert_eq!(seen, ["Read 1: lease at 0, 0ns behind"]);
    let seen = bench.read_at(2, ReadLevel::Linearizable).seen();
    assert!(
        seen[0].contains("Asked"),
        "the lease is not for those: {seen:?}"
    );
}

#[test]
fn a_lease_that_is_over_when_the_question_is_looked_at_counts_for_nothing() {
    let mut bench = Bench::new();
    bench.order(Order::Lead(1)).order(Order::Lease(100)).seen();
    // The member was stopped for a while, and reads its clock after it took in what came meanwhile.
    bench.clock.now = bench.clock.now + Duration::from_millis(100);
    let seen = bench.read_at(1, ReadLevel::Lease).seen();
    assert!(
        seen[0].contains("Asked"),
        "a quorum has to answer: {seen:?}"
    );
    let question = Parcel::ReadAt {
        round: 7,
        lease: true,
    };
    let seen = bench.receive(3, question).seen();
    assert!(seen[0].contains("Asked"), "for others too: {seen:?}");
}

#[test]
fn a_lease_read_that_took_a_quorum_says_so() {
    let mut bench = Bench::new();
    bench.order(Order::Lead(1)).seen();
    bench.read_at(1, ReadLevel::Lease).seen();
    let seen = bench.order(Order::Answer(Bench::LIFE + 1, 0)).seen();
    assert_eq!(seen, ["Read 1: linearizable at 0, 0ns behind"]);
}

#[test]
fn a_follower_asks_for_leases_and_quorums_apart_and_the_leader_answers_each() {
    let mut bench = follower();
    bench
        .read_at(1, ReadLevel::Lease)
        .read_at(2, ReadLevel::Linearizable);
    assert_eq!(bench.seen(), [asked(1, true), asked(2, false)]);
    bench.receive(
        2,
        Parcel::ReadFrom {
            round: Bench::LIFE + 1,
            leased: true,
            answer: Ok(Position(1)),
        },
    );
    assert_eq!(bench.seen(), ["Read 1: lease at 1, 0ns behind"]);

    let mut leader = Bench::new();
    leader.order(Order::Lead(1)).order(Order::Lease(100)).seen();
    let question = |lease| Parcel::ReadAt { round: 7, lease };
    let seen = leader.receive(3, question(true)).seen();
    let expected = "Send to 3: ReadFrom { round: 7, leased: true, answer: Ok(Position(0)) }";
    assert_eq!(seen, [expected]);
    assert!(leader.receive(3, question(false)).seen()[0].contains("Asked"));
}

#[test]
fn a_bounded_read_is_answered_at_once_while_the_last_question_is_young_enough() {
    let mut bench = follower();
    assert_eq!(bench.read_at(1, BOUNDED).seen(), [asked(1, false)]);
    bench.after(50).seen();
    answer(&mut bench, 1, 1);
    assert_eq!(bench.seen(), ["Read 1: bounded:400ms at 1, 0ns behind"]);
    bench.after(100).seen();
    let seen = bench.read_at(2, BOUNDED).seen();
    assert_eq!(seen, ["Read 2: bounded:400ms at 1, 150ms behind"]);
}

#[test]
fn a_state_is_as_old_as_the_question_was_not_the_answer() {
    let mut bench = follower();
    bench.read_at(1, BOUNDED).after(90).seen();
    answer(&mut bench, 1, 1);
    bench.after(311).seen();
    let seen = bench.read_at(2, BOUNDED).seen();
    assert_eq!(seen, [asked(2, false)], "401 ms since it was asked");
}

#[test]
fn an_answer_makes_nothing_fresh_before_it_is_applied() {
    let mut bench = follower();
    bench.read_at(1, BOUNDED).seen();
    answer(&mut bench, 1, 2);
    assert_eq!(bench.read_at(2, BOUNDED).seen(), [asked(2, false)]);
    commit(&mut bench);
    assert_eq!(bench.seen(), ["Read 1: bounded:400ms at 2, 0ns behind"]);
    let seen = bench.read_at(3, BOUNDED).seen();
    assert_eq!(seen, ["Read 3: bounded:400ms at 2, 0ns behind"]);
}

#[test]
fn bounded_reads_keep_the_state_fresh_while_there_are_any() {
    let mut bench = follower();
    bench.read_at(1, BOUNDED);
    answer(&mut bench, 1, 1);
    bench.after(201).seen();
    let seen = bench.read_at(2, BOUNDED).seen();
    let read = "Read 2: bounded:400ms at 1, 201ms behind".to_owned();
    assert_eq!(seen, [read, asked(2, false)], "answered, and asked anew");
    bench.read_at(3, BOUNDED);
    assert_eq!(bench.seen().len(), 1, "one question is enough");
    answer(&mut bench, 2, 1);
    bench.after(150).seen();
    let seen = bench.read_at(4, BOUNDED).seen();
    assert_eq!(seen, ["Read 4: bounded:400ms at 1, 150ms behind"]);
    for _ in 0..20 {
        assert!(bench.after(100).seen().is_empty(), "nobody reads any more");
    }
}

#[test]
fn a_member_that_is_cut_off_refuses_what_it_cannot_know_to_be_fresh() {
    let mut bench = follower();
    bench.read_at(1, BOUNDED);
    answer(&mut bench, 1, 1);
    bench.after(500).read_at(2, BOUNDED).seen();
    let seen = bench.after(1000).seen();
    let failure = "Fail 2: the state here may be older than the read allows, and no leader said otherwise in time";
    assert!(seen.contains(&failure.to_owned()), "{seen:?}");
    let seen = bench.read_at(3, ReadLevel::Local).seen();
    assert!(seen.contains(&"Read 3: local at 1".into()), "{seen:?}");
}

#[test]
fn a_lease_says_nothing_about_the_age_of_a_state() {
    let mut bench = Bench::with_past(3);
    bench.order(Order::Lead(4)).order(Order::Lease(1000));
    bench.read_at(1, ReadLevel::Lease).seen();
    assert!(bench.read_at(2, BOUNDED).seen()[0].contains("Asked"));
    assert!(bench.read_at(3, ReadLevel::Local).seen()[0].contains("Asked"));
}

#[test]
fn a_member_that_started_anew_shows_nothing_until_it_has_what_a_leader_names() {
    let mut bench = follower();
    assert_eq!(bench.read_at(1, ReadLevel::Local).seen(), [asked(1, false)]);
    answer(&mut bench, 1, 2);
    assert!(bench.seen().is_empty(), "it may have had position 2");
    commit(&mut bench);
    assert_eq!(bench.seen(), ["Read 1: local at 2, 0ns behind"]);
    let seen = bench.read_at(2, ReadLevel::Local).seen();
    assert_eq!(seen, ["Read 2: local at 2"], "from now on at once");
}

#[test]
fn a_member_that_started_anew_and_finds_no_leader_says_why_it_shows_nothing() {
    let mut bench = Bench::with_past(3);
    bench.read_at(1, ReadLevel::Local);
    let seen = bench.after(1000).seen();
    assert!(
        seen[0].starts_with("Fail 1: the state here may be older"),
        "{seen:?}"
    );
}

#[test]
fn a_member_that_is_new_shows_what_it_has() {
    let mut bench = Bench::new();
    let seen = bench.read_at(1, ReadLevel::Local).seen();
    assert_eq!(seen, ["Read 1: local at 0"]);
}

#[test]
fn a_read_of_any_level_waits_for_what_it_has_to_include() {
    let mut bench = follower();
    bench.read(9);
    answer(&mut bench, 1, 1);
    bench.seen();
    let calls = [
        ReadLevel::Local,
        BOUNDED,
        ReadLevel::Linearizable,
        ReadLevel::Lease,
    ];
    for (ticket, level) in (1..).zip(calls) {
        bench.read_at(ticket, level.after(Position(2)));
    }
    assert_eq!(bench.seen(), [asked(2, false), asked(3, true)]);
    answer(&mut bench, 2, 1);
    answer(&mut bench, 3, 1);
    assert!(bench.seen().is_empty());
    assert_eq!(bench.replica.open().2, 4);
    commit(&mut bench);
    assert_eq!(
        bench.seen(),
        [
            "Read 1: local at 2",
            "Read 2: bounded:400ms at 2, 0ns behind",
            "Read 3: linearizable at 2, 0ns behind",
            "Read 4: linearizable at 2, 0ns behind",
        ]
    );
    assert_eq!(bench.replica.open().2, 0);
    let seen = bench.read_at(5, ReadLevel::Local.after(Position(2))).seen();
    assert_eq!(seen, ["Read 5: local at 2"]);
}

#[test]
fn a_read_of_what_never_comes_fails_by_its_name() {
    let mut bench = Bench::new();
    bench.read_at(1, ReadLevel::Local.after(Position(7))).seen();
    assert!(bench.replica.deadline().is_some());
    let seen = bench.after(1000).seen();
    let failure = "Fail 1: position 7 was not applied here in time, the last one is 0";
    assert_eq!(seen, [failure]);
    assert_eq!(bench.replica.deadline(), None);
}

#[test]
fn reads_that_wait_are_as_many_as_the_config_says_and_end_with_the_member() {
    let mut bench = Bench::with(|config| config.pending_max = 2);
    bench.read_at(1, ReadLevel::Local.after(Position(7)));
    bench.read_at(2, BOUNDED).seen();
    let seen = bench.read_at(3, ReadLevel::Lease).seen();
    assert!(seen[0].starts_with("Fail 3: overloaded"), "{seen:?}");
    bench.replica.abandon(&mut bench.out);
    let stopped = |ticket| format!("Fail {ticket}: the member has stopped");
    assert_eq!(bench.seen(), [stopped(2), stopped(1)]);
}

#[test]
fn a_read_is_asked_again_when_leadership_moves_and_never_ends_as_unknown() {
    let mut bench = Bench::new();
    bench.order(Order::Follow(1, 2)).read(4).seen();
    assert_eq!(
        bench.order(Order::Lead(2)).seen().len(),
        1,
        "the own log is asked now"
    );
    let seen = bench.after(1000).seen();
    assert!(
        seen.contains(&"Fail 4: no leader took the request in time".into()),
        "{seen:?}"
    );
}

#[test]
fn a_refused_question_is_asked_again() {
    let mut bench = follower();
    bench.read_at(1, BOUNDED).seen();
    let parcel = Parcel::ReadFrom {
        round: Bench::LIFE + 1,
        leased: false,
        answer: Err(Rejection::NoRoom),
    };
    bench.receive(2, parcel).after(50);
    assert_eq!(bench.seen(), [asked(1, false)]);
    // What comes now may be the answer to the first question.
    answer(&mut bench, 1, 1);
    bench.seen();
    let seen = bench.read_at(2, BOUNDED).seen();
    assert_eq!(seen, ["Read 2: bounded:400ms at 1, 50ms behind"]);
}

impl Bench {
    /// A member that was in the epoch of this round before it started.
    fn with_past(round: u64) -> Self {
        let mut config = ReplicaConfig::new(NodeId(1), Life(Self::LIFE));
        config.retry_interval = Duration::from_millis(100);
        config.request_timeout = Duration::from_secs(1);
        Self::again(config, round)
    }
}
