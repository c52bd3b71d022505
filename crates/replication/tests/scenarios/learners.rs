//! Copies without a vote.

use std::time::Duration;

use quorate_core::{Direction, Input, RoleKind, Ticket};

use crate::support::kinds::Kind;
use crate::support::world::{LEARNERS, Setup, World};
use crate::{MS, load, over_every_log};

over_every_log! {
    x5_the_tail_of_a_source_that_does_not_lead_is_never_learned
    x7_a_learner_behind_the_compacted_prefix_installs_a_snapshot
    a_learner_that_crashes_while_it_installs_begins_behind_the_snapshot
    x11_learners_go_round_a_dead_source_and_come_back
    ten_learners_cost_the_leader_little
    a_learner_tells_who_leads_and_refuses_reads
    a_learner_remembers_over_a_restart
}

fn with_learners<K: Kind>(learners: u64) -> World<K> {
    let mut setup = Setup::three(Direction::Push);
    setup.learners = learners;
    World::new(&setup)
}

fn x5_the_tail_of_a_source_that_does_not_lead_is_never_learned<K: Kind>() {
    let mut world = with_learners::<K>(1);
    let old = world.elect();
    load(&mut world, old, (10, 100), MS);
    world.run(100 * MS);
    for other in world.followers(old) {
        world.wire(old, other, |wire| wire.cut = true);
        world.wire(LEARNERS, other, |wire| wire.cut = true);
    }
    load(&mut world, old, (10, 100), MS);
    world.run(Duration::from_secs(2));
    let (source, learner) = (world.seat(old).status(), world.seat(LEARNERS).status());
    assert!(source.last > source.committed, "there is a tail");
    assert_eq!(learner.last, source.committed, "and none of it is learned");
    let new = world.leader().expect("the others have one");
    load(&mut world, new, (10, 100), MS);
    world.every_wire(|wire| wire.cut = false);
    world.run(Duration::from_secs(3));
    world.assert_equal();
}

fn x7_a_learner_behind_the_compacted_prefix_installs_a_snapshot<K: Kind>() {
    let mut world = with_learners::<K>(2);
    let leader = world.elect();
    load(&mut world, leader, (20, 100), MS);
    world.crash(LEARNERS);
    world.crash(LEARNERS + 1);
    for _ in 0..3 {
        load(&mut world, leader, (20, 100), MS);
        world.run(50 * MS);
        for id in [1, 2, 3] {
            world.compact(id);
        }
    }
    world.start(LEARNERS);
    world.run(Duration::from_secs(1));
    assert_eq!(world.installs, 1);
    load(&mut world, leader, (20, 100), MS);
    world.run(100 * MS);
    world.compact(LEARNERS);
    load(&mut world, leader, (20, 100), MS);
    world.run(100 * MS);
    world.compact(LEARNERS);
    // The second one finds its source a learner that has forgotten, too.
    world.start(LEARNERS + 1);
    world.run(Duration::from_secs(1));
    assert_eq!(world.installs, 2);
    world.assert_equal();
    // And both remember where they begin.
    for id in [LEARNERS, LEARNERS + 1] {
        world.crash(id);
        world.start(id);
    }
    load(&mut world, leader, (5, 100), MS);
    world.run(Duration::from_secs(1));
    world.assert_equal();
}

fn a_learner_that_crashes_while_it_installs_begins_behind_the_snapshot<K: Kind>() {
    let mut world = with_learners::<K>(1);
    let leader = world.elect();
    world.run(100 * MS);
    world.crash(LEARNERS);
    for _ in 0..3 {
        load(&mut world, leader, (20, 100), MS);
        world.run(50 * MS);
        for id in [1, 2, 3] {
            world.compact(id);
        }
    }
    world.sync_time.insert(LEARNERS, Duration::from_secs(9));
    world.start(LEARNERS);
    world.run(Duration::from_secs(1));
    assert_eq!(world.installs, 1);
    // The snapshot is there, the record of it is not.
    world.crash(LEARNERS);
    world.sync_time.clear();
    for _ in 0..2 {
        world.start(LEARNERS);
        load(&mut world, leader, (5, 100), MS);
        world.run(500 * MS);
        world.assert_equal();
        world.crash(LEARNERS);
    }
    world.start(LEARNERS);
    world.run(500 * MS);
    world.assert_equal();
    assert_eq!(world.installs, 1);
}

/// Bytes from one member to another.
fn sent<K: Kind>(world: &World<K>, from: u64, to: u64) -> u64 {
    world.meters.get(&(from, to)).map_or(0, |meter| meter.bytes)
}

fn x11_learners_go_round_a_dead_source_and_come_back<K: Kind>() {
    let mut world = with_learners::<K>(3);
    let [first, second, third] = [0, 1, 2].map(|offset| LEARNERS + offset);
    let leader = world.elect();
    load(&mut world, leader, (20, 1_000), MS);
    world.run(100 * MS);
    assert!(sent(&world, first, second) > 20_000 && sent(&world, second, third) > 20_000);
    world.crash(second);
    world.run(Duration::from_secs(1));
    let before = sent(&world, first, third);
    load(&mut world, leader, (20, 1_000), MS);
    world.run(100 * MS);
    assert!(
        sent(&world, first, third) > before + 20_000,
        "the next in the row feeds it"
    );
    world.start(second);
    world.run(Duration::from_secs(1));
    let before = (sent(&world, first, third), sent(&world, second, third));
    load(&mut world, leader, (20, 1_000), MS);
    world.run(100 * MS);
    assert!(
        sent(&world, second, third) > before.1 + 20_000,
        "it has come back"
    );
    assert!(
        sent(&world, first, third) < before.0 + 20_000,
        "to one source only"
    );
    world.assert_equal();
}

fn ten_learners_cost_the_leader_little<K: Kind>() {
    let cost = |learners| {
        let mut world = with_learners::<K>(learners);
        let leader = world.elect();
        world.run(Duration::from_secs(1));
        let before = world.outgoing(leader);
        load(&mut world, leader, (500, 1_000), MS);
        world.run(Duration::from_secs(1));
        world.assert_equal();
        world.outgoing(leader) - before
    };
    let (alone, fed) = (cost(0), cost(10));
    println!(
        "{}: {alone} bytes to two followers, {fed} with ten learners",
        K::NAME
    );
    assert!(2 * fed <= 3 * alone, "{fed} instead of {alone}");
}

fn a_learner_tells_who_leads_and_refuses_reads<K: Kind>() {
    let mut world = with_learners::<K>(2);
    let leader = world.elect();
    world.run(Duration::from_secs(1));
    for id in [LEARNERS, LEARNERS + 1] {
        let (own, leads) = (world.seat(id).status(), world.seat(leader).status());
        assert_eq!(own.role, RoleKind::Learner);
        assert_eq!(own.leader.map(|id| id.0), Some(leader));
        assert_eq!(own.epoch, leads.epoch);
    }
    world.step(LEARNERS, Input::Read { ticket: Ticket(1) });
    world.propose(LEARNERS, 10);
    assert_eq!((world.rejected, world.ready.len()), (2, 0));
    world.crash(leader);
    world.run(Duration::from_secs(3));
    let new = world.leader().expect("another leads");
    let own = world.seat(LEARNERS + 1).status();
    assert_eq!(
        own.leader.map(|id| id.0),
        Some(new),
        "it heard of the change"
    );
}

fn a_learner_remembers_over_a_restart<K: Kind>() {
    let mut world = with_learners::<K>(1);
    let leader = world.elect();
    load(&mut world, leader, (20, 1_000), MS);
    world.run(Duration::from_secs(1));
    let before = world.seat(LEARNERS).status();
    world.crash(LEARNERS);
    let fetched: u64 = [1, 2, 3].iter().map(|id| sent(&world, *id, LEARNERS)).sum();
    world.start(LEARNERS);
    world.run(Duration::from_secs(1));
    let after = world.seat(LEARNERS).status();
    assert_eq!((before.epoch, before.last), (after.epoch, after.last));
    let again: u64 = [1, 2, 3].iter().map(|id| sent(&world, *id, LEARNERS)).sum();
    assert!(again - fetched < 2_000, "nothing was learned twice");
    world.assert_equal();
}
