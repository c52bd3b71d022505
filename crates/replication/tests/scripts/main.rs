//! Scripts: what happens is written in `cases/*.script`, everything that was said and written in `*.trace` beside it.
//!
//! `UPDATE_EXPECT=1 cargo test -p quorate-replication --test scripts` writes the traces anew, to be reviewed as a diff.
//! The first line of a script is `raft` or `paxos`, a direction, and the number of learners; further lines are those of
//! [`act`].
#![allow(unreachable_pub)] // Modules that several test programs share.

#[path = "../support/mod.rs"]
mod support;

use std::path::Path;
use std::time::Duration;

use expect_test::expect_file;
use quorate_core::{Input, Ticket};
use support::kinds::{Kind, OfPaxos, OfRaft};
use support::world::{Setup, World};

fn play(name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts/cases");
    let script = std::fs::read_to_string(folder.join(format!("{name}.script")));
    let script = script.expect("a script of this name");
    let (first, rest) = script.split_once('\n').expect("lines");
    let words: Vec<_> = first.split_whitespace().collect();
    let mut setup = Setup::three(words[1].parse().expect("a direction"));
    setup.learners = words[2].parse().expect("a number");
    setup.budget.fetch_bytes = 100_000;
    let trace = match words[0] {
        "raft" => trace::<OfRaft>(&setup, rest),
        "paxos" => trace::<OfPaxos>(&setup, rest),
        other => panic!("{other} is no log"),
    };
    expect_file![folder.join(format!("{name}.trace"))].assert_eq(&format!("> {first}\n{trace}"));
}

fn trace<K: Kind>(setup: &Setup, script: &str) -> String {
    let mut world: World<K> = World::new(setup);
    let leader = world.elect();
    world.run(Duration::from_secs(1));
    world.trace = Some(format!("  {leader} leads\n"));
    for line in script.lines() {
        world.say(if line.starts_with('#') || line.is_empty() {
            line.to_owned()
        } else {
            format!("> {line}")
        });
        act(&mut world, line);
    }
    world.trace.take().expect("it was begun")
}

/// Carries out one line:
/// - `propose N BYTES`; `read N`; `direct N PEER DIRECTION`; `compact N`; `crash N`, `start N`;
/// - `wait MS`: what happens is said; `pass MS`: it is not;
/// - `cut A B`: both ways; `deaf A B`: from A to B; `heal`; `rate A B BYTES`: a second, from A to B;
/// - `status N`: its links.
fn act<K: Kind>(world: &mut World<K>, line: &str) {
    let words: Vec<_> = line.split_whitespace().collect();
    let numbers: Vec<u64> = words.iter().filter_map(|word| word.parse().ok()).collect();
    match (words.first().copied(), &numbers[..]) {
        (Some("propose"), [id, bytes]) => world.propose(*id, *bytes as usize),
        (Some("read"), [id]) => world.step(*id, Input::Read { ticket: Ticket(0) }),
        (Some("direct"), [id, peer]) => {
            let direction = words[3].parse().expect("a direction");
            world.direct(*id, Some(*peer), direction);
        }
        (Some("compact"), [id]) => world.compact(*id),
        (Some("crash"), [id]) => world.crash(*id),
        (Some("start"), [id]) => world.start(*id),
        (Some("wait"), [ms]) => world.run(Duration::from_millis(*ms)),
        (Some("pass"), [ms]) => {
            let trace = world.trace.take();
            world.run(Duration::from_millis(*ms));
            world.trace = trace;
        }
        (Some("cut"), [a, b]) => world.wire(*a, *b, |wire| wire.cut = true),
        (Some("deaf"), [a, b]) => world.wires.entry((*a, *b)).or_default().cut = true,
        (Some("heal"), []) => world.every_wire(|wire| wire.cut = false),
        (Some("rate"), [a, b, rate]) => {
            world.wires.entry((*a, *b)).or_default().rate = Some(*rate);
        }
        (Some("status"), [id]) => {
            for link in world.seat(*id).links() {
                world.say(format!(
                    "  {id} to {}: {} in force, {} flying, {} B in {} messages, {} B hollow",
                    link.peer, link.flow, link.flying, link.bytes, link.messages, link.hollow
                ));
            }
        }
        (None | Some("#"), _) => {}
        other => panic!("{line}: {other:?}"),
    }
}

macro_rules! scripts {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            play(stringify!($name));
        }
    )*};
}

scripts! {
    a_command_by_push
    a_command_by_pull
    a_large_command_by_mixed
    a_hollow_command_whose_holder_is_gone
    a_lost_message_is_given_up_by_a_probe
    learners_in_a_row
    a_link_is_turned_while_it_runs
    two_commands_over_paxos_by_mixed
}
