//! Drawing what operators ask for: other members, another leader.

use std::time::Duration;

use quorate_core::Rng;

use super::draw::pick;
use super::{Act, Fault, Planned};
use crate::Moment;

/// Draws orders: some in the midst of what goes wrong, some in quick succession, of `hosts` machines at most.
pub(super) fn draw(
    dice: &mut Rng,
    (changes, transfers): (bool, bool),
    (hosts, lasts, timeout): (usize, Duration, Duration),
    faults: &mut Vec<Planned>,
) {
    let moments: Vec<Moment> = faults.iter().map(|planned| planned.at).collect();
    let at = |dice: &mut Rng| {
        if dice.one_in(2) && !moments.is_empty() {
            let after = dice.duration(Duration::ZERO, timeout);
            return pick(dice, &moments).after(after);
        }
        Moment::START.after(dice.duration(Duration::ZERO, lasts))
    };
    if changes {
        for _ in 0..4 + dice.below(28) {
            let at = at(dice);
            faults.push(order(at, change(dice)));
            if dice.one_in(3) {
                let soon = dice.duration(Duration::ZERO, timeout / 4);
                faults.push(order(at.after(soon), change(dice)));
            }
        }
    }
    if transfers && dice.one_in(2) {
        for _ in 0..=dice.below(16) {
            let to = (!dice.one_in(3)).then(|| dice.below(hosts as u64) as usize);
            let dice_of = dice.next();
            faults.push(order(at(dice), Fault::Transfer { to, dice: dice_of }));
        }
    }
}

fn change(dice: &mut Rng) -> Fault {
    Fault::Change {
        act: *pick(dice, &Act::ALL),
        dice: dice.next(),
    }
}

/// An order has no end.
fn order(at: Moment, fault: Fault) -> Planned {
    Planned {
        at,
        lasts: Duration::ZERO,
        fault,
    }
}
