//! What the three ways cost and promise on links that are slow, long, or dear.

use std::time::Duration;

use quorate_core::{Direction, Position};

use crate::support::kinds::Kind;
use crate::support::world::{Setup, World};
use crate::{ALL, MS, load, median, over, over_every_log};

over_every_log! {
    a_slow_follower_costs_bounded_memory_and_slows_nobody
    large_commands_wait_for_no_slow_carrier
    a_long_link_is_kept_full_by_push
    mixed_halves_what_large_commands_cost_the_leader
    catching_up_by_mixed_costs_the_leader_headers
    an_idle_puller_costs_next_to_nothing
}

// Nobody has to be elected here.
over! {
    over_primary_backup OfPrimaryBackup
    a_slow_follower_costs_bounded_memory_and_slows_nobody
    large_commands_wait_for_no_slow_carrier
    a_long_link_is_kept_full_by_push
    mixed_halves_what_large_commands_cost_the_leader
    catching_up_by_mixed_costs_the_leader_headers
    an_idle_puller_costs_next_to_nothing
}

fn a_slow_follower_costs_bounded_memory_and_slows_nobody<K: Kind>() {
    for direction in ALL {
        let run = |rate: Option<u64>| {
            let mut setup = Setup::three(direction);
            (setup.budget.window_max, setup.budget.fetch_bytes) = (2 << 20, 1 << 20);
            let mut world: World<K> = World::new(&setup);
            let leader = world.elect();
            let slow = world.followers(leader)[0];
            for other in world.ids() {
                if other != slow {
                    world.wire(slow, other, |wire| wire.rate = rate);
                }
            }
            let (mut most, mut proposed) = (0, Vec::new());
            for _ in 0..800 {
                proposed.extend(load(&mut world, leader, (1, 10_000), MS));
                most = most.max(world.link(leader, slow).flying);
            }
            world.run(Duration::from_secs(15));
            world.assert_equal();
            (most, median(&world, &proposed))
        };
        let (well, (most, slowed)) = (run(None).1, run(Some(1_000_000)));
        println!(
            "{} {direction}: {most} B held, {well:?} became {slowed:?}",
            K::NAME
        );
        assert!(
            most <= (2 << 20) + (70 << 10),
            "{direction}: {most} bytes held"
        );
        assert!(
            slowed <= well * 12 / 10,
            "{direction}: {slowed:?} instead of {well:?}"
        );
    }
}

/// How long each of `count` commands took to be chosen, one after the other.
fn in_turn<K: Kind>(
    world: &mut World<K>,
    leader: u64,
    (count, bytes): (u64, usize),
) -> Vec<Duration> {
    let committed = |world: &World<K>| world.seat(leader).status().committed;
    let mut times = Vec::new();
    for _ in 0..count {
        let (began, before) = (world.now, committed(world));
        world.propose(leader, bytes);
        while committed(world) == before {
            assert!(world.turn(began + Duration::from_secs(10)), "it is chosen");
        }
        times.push(world.now.since(began));
    }
    times
}

/// The slow follower is no carrier: otherwise every second body would reach the fast one by way of it. Known at once if
/// the link was slow from the start, after a few bodies if it becomes slow.
fn large_commands_wait_for_no_slow_carrier<K: Kind>() {
    for (bytes, fast, most) in [(40_000, 0, 2), (200_000, 0, 2), (40_000, 20, 300)] {
        let run = |rate: Option<u64>| {
            let mut world: World<K> = World::new(&Setup::three(Direction::Mixed));
            let leader = world.elect();
            let slow = world.followers(leader)[0];
            in_turn(&mut world, leader, (fast, bytes));
            world.wire(leader, slow, |wire| wire.rate = rate);
            let mut times = in_turn(&mut world, leader, (300, bytes));
            world.run(Duration::from_secs(3));
            world.assert_equal();
            times.sort_unstable();
            (times[times.len() / 2], times.iter().sum::<Duration>())
        };
        let ((well, all), (slowed, all_slowed)) = (run(None), run(Some(1_000_000)));
        println!(
            "{} {bytes} B: {well:?} became {slowed:?}, {all:?} in all {all_slowed:?}",
            K::NAME
        );
        assert!(slowed <= well * 12 / 10, "{slowed:?} instead of {well:?}");
        assert!(
            all_slowed <= all * 12 / 10 + most * MS,
            "{all_slowed:?} instead of {all:?}"
        );
    }
}

/// Bytes chosen in two seconds, as much being proposed as is taken, over links of 10 MB/s and this delay. The window has
/// to grow to thirty times what it begins with to fill the longest.
fn carried<K: Kind>(direction: Direction, delay: Duration) -> u64 {
    let mut setup = Setup::three(direction);
    setup.budget.window_initial = setup.budget.window_min;
    let mut world: World<K> = World::new(&setup);
    let leader = world.elect();
    world.every_wire(|wire| (wire.delay, wire.rate) = (delay, Some(10_000_000)));
    let mut chosen = [Position::ZERO; 2];
    for chosen in &mut chosen {
        let end = world.now + Duration::from_secs(2);
        while world.now < end {
            let status = world.seat(leader).status();
            let open = status.last.0 - status.committed.0;
            for _ in open..300 {
                world.propose(leader, 20_000);
            }
            world.run(5 * MS);
        }
        *chosen = world.seat(leader).status().committed;
    }
    (chosen[1].0 - chosen[0].0) * 20_000
}

fn a_long_link_is_kept_full_by_push<K: Kind>() {
    let near = carried::<K>(Direction::Push, MS / 5);
    for direction in [
        Direction::Push,
        Direction::Auto,
        Direction::Pull,
        Direction::Mixed,
    ] {
        let far = carried::<K>(direction, 100 * MS);
        println!(
            "{} {direction}: {near} B near, {far} B over 100 ms",
            K::NAME
        );
        if matches!(direction, Direction::Push | Direction::Auto) {
            assert!(far * 10 >= near * 8, "{direction}: {far} of {near}");
        }
    }
}

fn mixed_halves_what_large_commands_cost_the_leader<K: Kind>() {
    let cost = |direction| {
        let mut world: World<K> = World::new(&Setup::three(direction));
        let leader = world.elect();
        let before = world.outgoing(leader);
        let proposed = load(&mut world, leader, (50, 200_000), 5 * MS);
        world.run(Duration::from_secs(1));
        world.assert_equal();
        assert!(world.events.is_empty(), "nobody fell behind");
        (world.outgoing(leader) - before, median(&world, &proposed))
    };
    let (pushed, time) = cost(Direction::Push);
    let (mixed, mixed_time) = cost(Direction::Mixed);
    println!(
        "{}: {pushed} B by push in {time:?}, {mixed} B mixed in {mixed_time:?}",
        K::NAME
    );
    assert!(10 * mixed <= 6 * pushed, "{mixed} of {pushed}");
    assert!(
        mixed_time <= time * 12 / 10,
        "the choice waits for no question"
    );
}

fn catching_up_by_mixed_costs_the_leader_headers<K: Kind>() {
    let mut world: World<K> = World::new(&Setup::three(Direction::Mixed));
    let leader = world.elect();
    let [late, holder] = [world.followers(leader)[0], world.followers(leader)[1]];
    load(&mut world, leader, (1, 100), 10 * MS);
    world.crash(late);
    load(&mut world, leader, (600, 5_000), 3 * MS);
    world.start(late);
    let sent = |world: &World<K>, from| {
        let meter = world.meters.get(&(from, late));
        meter.map_or(0, |meter| meter.bytes)
    };
    let before = [leader, holder].map(|from| sent(&world, from));
    world.run(Duration::from_secs(3));
    world.assert_equal();
    let after = [leader, holder].map(|from| sent(&world, from));
    let [by_leader, by_holder] = [after[0] - before[0], after[1] - before[1]];
    println!(
        "{}: {by_leader} B of the leader, {by_holder} B of the other",
        K::NAME
    );
    assert!(by_leader < 300_000, "{by_leader} of three million bytes");
    assert!(by_holder > 2_500_000);
}

fn an_idle_puller_costs_next_to_nothing<K: Kind>() {
    let frames = |direction| {
        let mut world: World<K> = World::new(&Setup::three(direction));
        world.elect();
        world.run(Duration::from_secs(1));
        world.meters.clear();
        world.run(Duration::from_secs(10));
        world.meters.values().map(|meter| meter.frames).sum::<u64>()
    };
    let pushed = frames(Direction::Push);
    for direction in [Direction::Pull, Direction::Mixed, Direction::Auto] {
        assert_eq!(
            frames(direction),
            pushed,
            "{direction}: the log's own heartbeats and no more"
        );
    }
}
