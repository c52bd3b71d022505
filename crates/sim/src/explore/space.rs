//! The search, depth first.
//!
//! A state in which more was said stands for one in which less was: whatever can follow from the latter can follow from
//! the former, for nobody has to hear what was said. Likewise one with more crashes still to come.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use quorate_core::{NodeId, Position};

use super::cast::{Cast, Cause, Effect, print};
use super::{Bound, Found, Model, Seen, Value};

/// One state of everything, in numbers of what is kept once.
struct World {
    members: Rc<[u32]>,
    /// Every message ever sent.
    sent: u32,
    /// Which entries of the bound's bids are still to come, as bits.
    bids: u32,
    proposals: u32,
    crashes: u32,
}

impl World {
    /// The members, and what they may still do.
    fn place(&self) -> u128 {
        print(&(&self.members, self.bids, self.proposals))
    }
}

/// A state that is kept.
struct Kept {
    origin: Option<Origin>,
    depth: u32,
    sent: u32,
    crashes: u32,
    /// Another one at the same place, or itself: none stands for another.
    next: u32,
    /// Another one, found later, stands for it.
    stale: bool,
}

/// How a state was reached.
#[derive(Clone, Copy)]
struct Origin {
    from: u32,
    member: u8,
    cause: Cause,
}

/// What the disks have chosen.
struct Choice {
    chosen: BTreeMap<Position, Value>,
    carried: bool,
}

struct Space<'a, M: Model> {
    bound: &'a Bound,
    cast: Cast<'a, M>,
    sets: Sets,
    kept: Vec<Kept>,
    /// The newest state at each place.
    places: HashMap<u128, u32>,
    open: Vec<(u32, World)>,
    choices: HashMap<Vec<u32>, Result<Rc<Choice>, String>>,
    seen: Seen,
}

/// Walks through all states within `bound`, or up to its limit. `progress` is told now and then.
///
/// # Errors
/// [`Found`]: the first state in which something is wrong.
///
/// # Panics
/// If there are more than 31 bids.
pub fn explore<M: Model>(
    model: &M,
    bound: &Bound,
    mut progress: impl FnMut(&Seen),
) -> Result<Seen, Found> {
    let mut space = Space::new(model, bound)?;
    let mut looked_at = 0u64;
    while let Some((number, world)) = space.open.pop() {
        if space.kept[number as usize].stale {
            continue;
        }
        for (member, cause) in space.causes(&world) {
            space.follow(number, &world, member, cause)?;
            if space.seen.cut {
                return Ok(space.seen());
            }
        }
        looked_at += 1;
        if looked_at.is_multiple_of(1 << 20) {
            progress(&space.seen());
        }
    }
    Ok(space.seen())
}

impl<'a, M: Model> Space<'a, M> {
    fn new(model: &'a M, bound: &'a Bound) -> Result<Self, Found> {
        assert!(bound.bids.len() < 32, "bids are few");
        let ids: Vec<NodeId> = (1..=bound.members).map(NodeId).collect();
        let mut cast = Cast::new(model, ids.clone());
        let members: Result<Vec<u32>, String> =
            ids.into_iter().map(|id| cast.newcomer(id)).collect();
        let way = Vec::new();
        let members = members.map_err(|what| Found { what, way })?;
        let mut sets = Sets::default();
        let world = World {
            members: members.into(),
            sent: sets.keep(&[]),
            bids: (1 << bound.bids.len()) - 1,
            proposals: 0,
            crashes: 0,
        };
        let mut space = Self {
            bound,
            cast,
            sets,
            kept: Vec::new(),
            places: HashMap::new(),
            open: Vec::new(),
            choices: HashMap::new(),
            seen: Seen::default(),
        };
        space.keep(world, None, 0);
        Ok(space)
    }

    /// All that can happen next.
    fn causes(&self, world: &World) -> Vec<(usize, Cause)> {
        let mut causes = Vec::new();
        for (index, member) in world.members.iter().enumerate() {
            let member = &self.cast.members[*member as usize];
            if !member.leads() && self.bid(world, index).is_some() {
                causes.push((index, Cause::Bid));
            }
            if member.leads() && world.proposals < self.bound.proposals {
                causes.push((index, Cause::Propose(world.proposals + 1)));
            }
            let unsynced = member.synced + 1..=member.written();
            causes.extend(unsynced.map(|upto| (index, Cause::Sync(upto))));
            if world.crashes < self.bound.crashes {
                let kept = member.synced..=member.written();
                causes.extend(kept.map(|kept| (index, Cause::Crash(kept))));
            }
        }
        for flight in self.sets.get(world.sent) {
            let to = self.cast.flights[*flight as usize].to;
            causes.push((to.get() as usize - 1, Cause::Deliver(*flight)));
        }
        causes
    }

    /// The first bid of this member that is still to come, as a bit.
    fn bid(&self, world: &World, index: usize) -> Option<u32> {
        let id = NodeId(index as u64 + 1);
        let bids = (0..).map(|bit| 1u32 << bit).zip(&self.bound.bids);
        let mut own = bids.filter(|(bit, bidder)| world.bids & bit != 0 && **bidder == id);
        own.next().map(|(bit, _)| bit)
    }

    /// Makes one step, and keeps where it leads unless a known state stands for that.
    fn follow(
        &mut self,
        number: u32,
        world: &World,
        index: usize,
        cause: Cause,
    ) -> Result<(), Found> {
        let before = world.members[index];
        let next = self.cast.step(before, cause).and_then(|effect| {
            let next = self.after(world, index, cause, &effect);
            let choice = self.choice(&next.members)?;
            check(&choice, &effect, u64::from(next.proposals))?;
            Ok(next)
        });
        let origin = Origin {
            from: number,
            member: u8::try_from(index).expect("members are few"),
            cause,
        };
        let next = next.map_err(|what| Found {
            what,
            way: self.way(origin),
        })?;
        let idle = next.members == world.members && next.sent == world.sent;
        if idle && next.bids == world.bids {
            return Ok(());
        }
        self.seen.steps += 1;
        if !self.is_covered(&next) {
            let depth = self.kept[number as usize].depth + 1;
            self.keep(next, Some(origin), depth);
        }
        Ok(())
    }

    fn after(&mut self, world: &World, index: usize, cause: Cause, effect: &Effect) -> World {
        let mut members = Rc::clone(&world.members);
        if members[index] != effect.member {
            Rc::make_mut(&mut members)[index] = effect.member;
        }
        let mut next = World {
            members,
            sent: self.sets.with(world.sent, &effect.sent),
            ..*world
        };
        match cause {
            Cause::Bid => next.bids &= !self.bid(world, index).expect("a bid was to come"),
            Cause::Propose(number) => next.proposals = number,
            Cause::Crash(_) => next.crashes += 1,
            Cause::Sync(_) | Cause::Deliver(_) => {}
        }
        next
    }

    /// The states known at a place.
    fn at(&self, place: u128) -> impl Iterator<Item = u32> {
        let first = self.places.get(&place).copied();
        std::iter::successors(first, |number| {
            let next = self.kept[*number as usize].next;
            (next != *number).then_some(next)
        })
    }

    /// Whether a known state stands for this one.
    fn is_covered(&self, world: &World) -> bool {
        let mut known = self.at(world.place());
        known.any(|number| {
            let kept = &self.kept[number as usize];
            kept.crashes <= world.crashes && self.sets.includes(kept.sent, world.sent)
        })
    }

    /// Keeps a state. It stands for others from now on.
    fn keep(&mut self, world: World, origin: Option<Origin>, depth: u32) {
        if self.kept.len() >= self.bound.states {
            self.seen.cut = true;
            return;
        }
        let number = u32::try_from(self.kept.len()).expect("memory ends before that");
        let place = world.place();
        let known: Vec<u32> = self.at(place).collect();
        let mut next = number;
        for other in known.into_iter().rev() {
            let kept = &mut self.kept[other as usize];
            kept.stale |=
                world.crashes <= kept.crashes && self.sets.includes(world.sent, kept.sent);
            if !kept.stale {
                kept.next = if next == number { other } else { next };
                next = other;
            }
        }
        self.places.insert(place, number);
        self.kept.push(Kept {
            origin,
            depth,
            sent: world.sent,
            crashes: world.crashes,
            next,
            stale: false,
        });
        self.note(&world, depth);
        self.open.push((number, world));
    }

    fn note(&mut self, world: &World, depth: u32) {
        self.seen.depth = self.seen.depth.max(depth as usize);
        if let Ok(choice) = self.choice(&world.members) {
            self.seen.chosen += usize::from(!choice.chosen.is_empty());
            self.seen.carried += usize::from(choice.carried);
        }
        let told = |member: &u32| self.cast.members[*member as usize].told > Position::ZERO;
        self.seen.handed_out += usize::from(world.members.iter().any(told));
    }

    /// What the disks of these members have chosen.
    fn choice(&mut self, members: &[u32]) -> Result<Rc<Choice>, String> {
        let votes = |member: &u32| self.cast.members[*member as usize].votes;
        let key: Vec<u32> = members.iter().map(votes).collect();
        if let Some(known) = self.choices.get(&key) {
            return known.clone();
        }
        let made = choose(&self.cast, &key).map(Rc::new);
        self.choices.insert(key, made.clone());
        made
    }

    /// The steps that lead to what was found.
    fn way(&self, last: Origin) -> Vec<String> {
        let origin = |origin: &Origin| self.kept[origin.from as usize].origin;
        let origins = std::iter::successors(Some(last), origin);
        let line = |origin: Origin| {
            let id = NodeId(u64::from(origin.member) + 1);
            self.cast.describe(id, origin.cause)
        };
        let mut way: Vec<String> = origins.map(line).collect();
        way.reverse();
        way
    }

    fn seen(&self) -> Seen {
        Seen {
            states: self.kept.len(),
            open: self.open.len(),
            members: self.cast.members.len(),
            messages: self.cast.flights.len(),
            ..self.seen
        }
    }
}

/// One value a position and epoch; one chosen value a position.
fn choose<M: Model>(cast: &Cast<'_, M>, disks: &[u32]) -> Result<Choice, String> {
    let mut tally = BTreeMap::new();
    for vote in disks.iter().flat_map(|disk| &cast.votes[*disk as usize]) {
        let (position, epoch) = (vote.position, vote.epoch);
        let (value, count) = tally.entry((position, epoch)).or_insert((vote.value, 0));
        if *value != vote.value {
            return Err(format!("two values at {position} in {epoch}"));
        }
        *count += 1;
    }
    let carried = |((_, epoch), (value, _)): (&(_, _), &(Value, _))| value.born < *epoch;
    let mut choice = Choice {
        chosen: BTreeMap::new(),
        carried: tally.iter().any(carried),
    };
    for ((position, _), (value, count)) in tally {
        if count * 2 > disks.len() && *choice.chosen.entry(position).or_insert(value) != value {
            return Err(format!("two values are chosen at {position}"));
        }
    }
    Ok(choice)
}

/// What is handed out is chosen, and was proposed.
fn check(choice: &Choice, effect: &Effect, proposals: u64) -> Result<(), String> {
    for (position, value) in &effect.handed_out {
        if choice.chosen.get(position) != Some(value) {
            return Err(format!(
                "{value:?} is handed out at {position}, and not chosen"
            ));
        }
        if value.proposal > proposals {
            return Err(format!("{value:?} at {position} was never proposed"));
        }
    }
    Ok(())
}

/// Sets of messages, each kept once.
#[derive(Default)]
struct Sets {
    all: Vec<Rc<[u32]>>,
    known: HashMap<Rc<[u32]>, u32>,
}

impl Sets {
    /// Its messages, ascending.
    fn get(&self, set: u32) -> &[u32] {
        &self.all[set as usize]
    }

    fn keep(&mut self, messages: &[u32]) -> u32 {
        if let Some(known) = self.known.get(messages) {
            return *known;
        }
        let number = u32::try_from(self.all.len()).expect("memory ends before that");
        let messages: Rc<[u32]> = messages.into();
        self.all.push(Rc::clone(&messages));
        self.known.insert(messages, number);
        number
    }

    /// A set and more messages.
    fn with(&mut self, set: u32, more: &[u32]) -> u32 {
        let has = |message: &u32| self.get(set).binary_search(message).is_ok();
        if more.iter().all(has) {
            return set;
        }
        let mut messages = [self.get(set), more].concat();
        messages.sort_unstable();
        messages.dedup();
        self.keep(&messages)
    }

    /// Whether `more` has all of `less`.
    fn includes(&self, more: u32, less: u32) -> bool {
        let (more, less) = (self.get(more), self.get(less));
        let mut more = more.iter();
        less.iter().all(|wanted| more.any(|one| one == wanted))
    }
}
