//! What goes wrong between members.

use std::time::Duration;

use quorate_core::{Direction, Flow, Input, LinkReason, NodeId, Position, RoleKind};
use quorate_replication::{Body, Budget, Frame, Head};

use crate::support::kinds::Kind;
use crate::support::wires::Wire;
use crate::support::world::{Setup, World};
use crate::{ALL, MS, load, over_every_log};

over_every_log! {
    x3_a_divergent_puller_rolls_back_only_what_is_uncommitted
    x4_x14_grants_of_former_runs_are_not_believed
    x6_a_body_whose_source_has_changed_its_mind_is_never_taken
    x7_a_puller_behind_the_compacted_prefix_installs_a_snapshot
    x8_what_is_asked_of_one_that_does_not_lead_yet_counts_once_it_does
    x9_a_leader_by_pull_stays_while_it_is_heard_and_leaves_when_it_is_not
    x10_push_and_pull_overlap_without_harm
    x12_an_idle_cluster_commits_its_last_entry
    x13_a_slow_puller_pins_neither_memory_nor_log
    what_is_confirmed_is_on_disk
    a_lost_fetch_is_asked_for_again
    a_peer_that_falls_behind_pulls_until_it_has_caught_up
}

fn isolate<K: Kind>(world: &mut World<K>, id: u64, cut: bool) {
    for other in world.ids() {
        if other != id {
            world.wire(id, other, |wire| wire.cut = cut);
        }
    }
}

fn x3_a_divergent_puller_rolls_back_only_what_is_uncommitted<K: Kind>() {
    let mut world: World<K> = World::new(&Setup::three(Direction::Pull));
    let old = world.elect();
    load(&mut world, old, (20, 100), MS);
    isolate(&mut world, old, true);
    load(&mut world, old, (10, 100), MS);
    let tail = world.seat(old).status().last;
    world.run(2 * Duration::from_secs(1));
    let new = world.leader().expect("the others have one");
    assert_ne!(new, old);
    let chosen = world.seat(old).status().committed;
    assert!(tail > chosen, "it holds what nobody else does");
    load(&mut world, new, (30, 100), MS);
    isolate(&mut world, old, false);
    world.run(Duration::from_secs(2));
    // The ledger, which saw every commit of everyone, would have stopped any other.
    world.assert_equal();
    assert!(world.ledger.len() as u64 > tail.0);
}

fn x4_x14_grants_of_former_runs_are_not_believed<K: Kind>() {
    let mut setup = Setup::three(Direction::Pull);
    setup.budget.fetch_bytes = 10_000;
    let mut world: World<K> = World::new(&setup);
    let leader = world.elect();
    let peer = world.followers(leader)[0];
    world.crash(peer);
    world.start(peer);
    world.run(500 * MS);
    let (life, own) = (world.seat(peer).life(), world.seat(leader).life());
    let forge = |world: &mut World<K>, life: u64, heard: u64, sent: u64| {
        let head = Head {
            life: life.into(),
            sent: 0,
            flow: Flow::Pull,
            heard: heard.into(),
            done: sent,
            grant: 1 << 40,
        };
        let message = Frame {
            head,
            body: Body::Carried([].into_iter().collect()),
        };
        let from = NodeId(peer);
        world.step(leader, Input::Receive { from, message });
    };
    world.wire(leader, peer, |wire| wire.cut = true);
    load(&mut world, leader, (20, 2_000), MS);
    let stuck = world.link(leader, peer);
    assert!(stuck.flying >= 10_000 && stuck.credit == 0, "{stuck:?}");
    forge(&mut world, life.0 - 1, own.0, stuck.flying);
    forge(&mut world, life.0, own.0 + 1, stuck.flying);
    forge(&mut world, life.0, own.0, u64::MAX);
    assert_eq!(
        world.link(leader, peer),
        stuck,
        "none of these was its peer's"
    );
    forge(&mut world, life.0, own.0, 0);
    let after = world.link(leader, peer);
    assert!(
        after.flying <= 10_000 + 3_000,
        "no more is held than the own budget says: {after:?}"
    );
}

fn x6_a_body_whose_source_has_changed_its_mind_is_never_taken<K: Kind>() {
    let mut world: World<K> = World::new(&Setup::three(Direction::Mixed));
    let old = world.elect();
    let [a, b] = [world.followers(old)[0], world.followers(old)[1]];
    // One of the two gets the bodies hollow, and nothing else: neither can the other lend them.
    for (from, to) in [(old, a), (old, b)] {
        world.wires.entry((to, from)).or_default().cut = true;
    }
    world.wire(a, b, |wire| wire.cut = true);
    load(&mut world, old, (6, 50_000), Duration::ZERO);
    world.run(2 * MS);
    isolate(&mut world, old, true);
    world.wire(a, b, |wire| wire.cut = false);
    world.run(Duration::from_secs(2));
    let new = world.leader().expect("the others have one");
    load(&mut world, new, (6, 50_000), MS);
    isolate(&mut world, old, false);
    world.run(Duration::from_secs(5));
    world.assert_equal();
    assert!(world.ledger.len() >= 7);
}

fn x7_a_puller_behind_the_compacted_prefix_installs_a_snapshot<K: Kind>() {
    for direction in ALL {
        let mut world: World<K> = World::new(&Setup::three(direction));
        let leader = world.elect();
        let peer = world.followers(leader)[0];
        load(&mut world, leader, (20, 100), MS);
        world.crash(peer);
        for _ in 0..3 {
            load(&mut world, leader, (20, 100), MS);
            world.compact(leader);
        }
        world.start(peer);
        world.run(Duration::from_secs(2));
        world.assert_equal();
        assert_eq!(world.installs, 1, "{direction}");
    }
}

fn x8_what_is_asked_of_one_that_does_not_lead_yet_counts_once_it_does<K: Kind>() {
    let mut world: World<K> = World::new(&Setup::three(Direction::Pull));
    let leader = world.elect();
    world.run(Duration::from_secs(1));
    let [a, b] = [world.followers(leader)[0], world.followers(leader)[1]];
    world.crash(leader);
    world.run(Duration::from_secs(2));
    let new = world.leader().expect("one of the others leads");
    let other = if new == a { b } else { a };
    assert!(
        world.link(new, other).credit > 0,
        "asked for before it was needed"
    );
    let proposed = load(&mut world, new, (1, 100), 20 * MS);
    assert!(world.seat(new).status().committed >= proposed[0].0);
}

fn x9_a_leader_by_pull_stays_while_it_is_heard_and_leaves_when_it_is_not<K: Kind>() {
    let mut world: World<K> = World::new(&Setup::three(Direction::Pull));
    let leader = world.elect();
    let epoch = world.seat(leader).status().epoch;
    world.run(Duration::from_secs(10));
    assert_eq!(
        world.seat(leader).status().epoch,
        epoch,
        "nothing happens, nothing changes"
    );
    for peer in world.followers(leader) {
        // It is heard and hears nobody.
        world.wires.entry((peer, leader)).or_default().cut = true;
    }
    world.run(Duration::from_secs(2));
    assert_ne!(world.seat(leader).status().role, RoleKind::Leader);
    let new = world.leader().expect("another leads");
    load(&mut world, new, (5, 100), 10 * MS);
    assert!(world.seat(new).status().committed >= Position(5));
}

fn x10_push_and_pull_overlap_without_harm<K: Kind>() {
    let mut world: World<K> = World::new(&Setup::three(Direction::Push));
    world.every_wire(|wire| wire.jitter = 2 * MS);
    let leader = world.elect();
    for round in 0..200 {
        world.direct(leader, None, ALL[round % 4]);
        load(&mut world, leader, (5, 3_000 * (round % 20)), MS / 4);
    }
    world.run(Duration::from_secs(3));
    world.assert_equal();
    let epoch = world.seat(leader).status().epoch;
    let once = world.ledger.iter().filter(|hash| **hash != 1).count();
    assert_eq!(
        (once, world.rejected),
        (1000, 0),
        "each once, in epoch {epoch}"
    );
    assert!(
        world.events.len() >= 2 * 199,
        "every change of a link is an event"
    );
}

fn x12_an_idle_cluster_commits_its_last_entry<K: Kind>() {
    for direction in ALL {
        for bytes in [0, 10, 100_000] {
            let mut setup = Setup::three(direction);
            setup.learners = 2;
            let mut world: World<K> = World::new(&setup);
            let leader = world.elect();
            world.run(Duration::from_secs(1));
            load(&mut world, leader, (1, bytes), Duration::ZERO);
            world.run(300 * MS);
            world.assert_equal();
        }
    }
}

fn x13_a_slow_puller_pins_neither_memory_nor_log<K: Kind>() {
    let mut setup = Setup::three(Direction::Pull);
    setup.budget.fetch_bytes = 200_000;
    let mut world: World<K> = World::new(&setup);
    let leader = world.elect();
    let slow = world.followers(leader)[0];
    world.wire(leader, slow, |wire| wire.rate = Some(100_000));
    let (mut most, mut lag) = (0, 0);
    for _ in 0..20 {
        for _ in 0..50 {
            load(&mut world, leader, (1, 10_000), MS);
            most = most.max(world.link(leader, slow).flying);
            let [own, its] = [leader, slow].map(|id| world.seat(id).status().committed.0);
            lag = lag.max(own - its);
        }
        world.compact(leader);
    }
    let status = world.seat(leader).status();
    assert!(most <= 200_000 + 70_000, "{most} bytes were held for it");
    assert!(
        status.compacted.0 > 900,
        "the log went on forgetting: {status:?}"
    );
    assert!(lag >= 90, "it fell behind by {lag} only");
    world.wire(leader, slow, |wire| wire.rate = None);
    world.run(Duration::from_secs(3));
    world.assert_equal();
}

fn what_is_confirmed_is_on_disk<K: Kind>() {
    for direction in ALL {
        let mut world: World<K> = World::new(&Setup::three(direction));
        let leader = world.elect();
        world.run(Duration::from_secs(1));
        for peer in world.followers(leader) {
            world.sync_time.insert(peer, 40 * MS);
        }
        for bytes in [100, 100_000] {
            load(&mut world, leader, (1, bytes), 30 * MS);
            for peer in world.followers(leader) {
                let link = world.link(leader, peer);
                assert!(
                    link.flying > 0,
                    "{direction}: nothing is on disk yet: {link:?}"
                );
            }
            world.run(100 * MS);
            for peer in world.followers(leader) {
                assert_eq!(world.link(leader, peer).flying, 0, "{direction}");
            }
        }
    }
}

fn a_lost_fetch_is_asked_for_again<K: Kind>() {
    let mut setup = Setup::three(Direction::Pull);
    setup.budget.fetch_bytes = 5_000;
    let mut world: World<K> = World::new(&setup);
    world.every_wire(|wire| wire.loss = 4);
    let leader = world.elect();
    for _ in 0..100 {
        if let Some(leader) = world.leader() {
            load(&mut world, leader, (3, 1_000), 20 * MS);
        }
    }
    assert_ne!(leader, 0);
    world.every_wire(|wire| *wire = Wire::default());
    world.run(Duration::from_secs(4));
    world.assert_equal();
    assert!(world.ledger.len() > 100);
}

fn a_peer_that_falls_behind_pulls_until_it_has_caught_up<K: Kind>() {
    for (direction, away) in [
        (Direction::Auto, Flow::Pull),
        (Direction::Mixed, Flow::Catchup),
    ] {
        let mut setup = Setup::three(direction);
        setup.budget = Budget {
            window_max: 1 << 20,
            ..setup.budget
        };
        let mut world: World<K> = World::new(&setup);
        let leader = world.elect();
        let slow = world.followers(leader)[0];
        let home = world.link(leader, slow).flow;
        for other in world.followers(leader) {
            world.wire(slow, other, |wire| wire.rate = Some(1_000_000));
        }
        world.wire(leader, slow, |wire| wire.rate = Some(1_000_000));
        load(&mut world, leader, (1_000, 8_000), 2 * MS);
        assert_eq!(world.link(leader, slow).flow, away, "{direction}");
        world.run(Duration::from_secs(12));
        world.assert_equal();
        let mine: Vec<_> = world
            .events
            .iter()
            .filter(|(id, _)| *id == leader)
            .collect();
        let [(_, gone), (_, back)] = mine[..] else {
            panic!("there and back, once each: {mine:?}");
        };
        assert_eq!((gone.peer.0, gone.from, gone.to), (slow, home, away));
        assert!(matches!(gone.why, LinkReason::Behind(lag) if lag >= setup.budget.behind_after));
        assert_eq!((back.peer.0, back.from, back.to), (slow, away, home));
        assert!(
            matches!(back.why, LinkReason::CaughtUp(time) if time >= setup.budget.restore_after)
        );
    }
}
