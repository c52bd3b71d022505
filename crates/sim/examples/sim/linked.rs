//! Any log behind links that can be directed, as the simulator sees it.

use quorate_core::{Batch, Direction, Epoch, Message as _, NodeId, Rng};
use quorate_replication::{Body, Budget, Frame, LearnedRecord, LearnerConfig, LinkConfig, Page};
use quorate_sim::{Claim, Cluster, Member, Protocol, Remembered, Rules, Run};

use super::seat::{Seat, SeatConfig, SeatRecord};

/// A log whose members send in one direction at first, or each in one of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LinkedProtocol<P> {
    name: &'static str,
    log: P,
    direction: Option<Direction>,
}

impl<P> LinkedProtocol<P> {
    /// `log` with every link in `direction`; none: drawn for each member and life.
    pub(crate) const fn new(name: &'static str, log: P, direction: Option<Direction>) -> Self {
        Self {
            name,
            log,
            direction,
        }
    }
}

type Message<P> = <<P as Protocol>::Log as quorate_core::ReplicatedLog>::Message;

impl<P: Protocol> Protocol for LinkedProtocol<P> {
    type Log = Seat<P::Log>;
    type Notes = P::Notes;

    fn name(&self) -> &'static str {
        self.name
    }

    fn config(
        &self,
        member: &Member,
    ) -> SeatConfig<<P::Log as quorate_core::ReplicatedLog>::Config> {
        let Member {
            id, life, cluster, ..
        } = member;
        let (members, learners) = (&cluster.members, &cluster.learners);
        if learners.contains(id) {
            return SeatConfig::Learner(Box::new(LearnerConfig {
                budget: budget(cluster),
                refresh: cluster.limits.election_timeout / 2,
                log_bytes_max: cluster.limits.log_bytes,
                ..LearnerConfig::new(*id, *life, members, learners)
            }));
        }
        let mut rng = Rng::new(member.seed ^ life.0);
        let drawn = Direction::ALL[rng.below(4) as usize];
        let direction = self.direction.unwrap_or(drawn);
        // Who only learns is unknown to the log itself: it pulls.
        let mut voter = member.clone();
        voter.cluster.learners.clear();
        let log = self.log.config(&voter);
        SeatConfig::Voter(Box::new(LinkConfig {
            learners: learners.clone(),
            budget: budget(cluster),
            ..LinkConfig::new(log, *id, *life, members, direction)
        }))
    }

    fn rules(&self, cluster: &Cluster) -> Rules {
        self.log.rules(cluster)
    }

    fn remembered(
        &self,
        record: &<Self::Log as quorate_core::ReplicatedLog>::Record,
    ) -> Vec<Remembered> {
        match record {
            SeatRecord::Log(record) => self.log.remembered(record),
            SeatRecord::Learned(record) => learned(record),
        }
    }

    fn has_learners(&self) -> bool {
        true
    }

    fn claims(&self, from: NodeId, to: NodeId, frame: &Frame<Message<P>>) -> Vec<Claim> {
        let claims = |message| self.log.claims(from, to, message);
        match &frame.body {
            Body::Carried(messages) => messages.iter().flat_map(claims).collect(),
            Body::Page(page) => taught(page),
            // What is hollow is claimed where it was proposed; its sender's epoch and leadership it shares with control.
            Body::Hollow { .. }
            | Body::Probe
            | Body::Ask(_)
            | Body::Lend { .. }
            | Body::Pull(_) => Vec::new(),
        }
    }

    fn is_directed(&self) -> bool {
        true
    }

    fn is_appointed(&self) -> bool {
        self.log.is_appointed()
    }

    fn mark_message(
        &self,
        notes: &mut P::Notes,
        from: NodeId,
        to: NodeId,
        frame: &Frame<Message<P>>,
    ) -> Option<&'static str> {
        match &frame.body {
            Body::Carried(messages) if messages.is_empty() => Some(FETCH),
            Body::Carried(messages) => {
                let mut marks = messages
                    .iter()
                    .map(|one| self.log.mark_message(notes, from, to, one));
                marks.find_map(|mark| mark)
            }
            Body::Hollow { .. } => Some(HOLLOW),
            Body::Probe => Some(PROBE),
            Body::Lend { pieces, .. } if pieces.is_empty() => Some(NOT_HERE),
            Body::Lend { .. } => Some(LENT),
            Body::Page(page) if page.gone.is_some() => Some(GONE),
            Body::Page(page) if page.leader != Some(from) => Some(TAUGHT),
            Body::Ask(_) | Body::Pull(_) | Body::Page(_) => None,
        }
    }

    fn mark_record(
        &self,
        notes: &mut P::Notes,
        member: NodeId,
        record: &<Self::Log as quorate_core::ReplicatedLog>::Record,
    ) -> Option<&'static str> {
        match record {
            SeatRecord::Log(record) => self.log.mark_record(notes, member, record),
            SeatRecord::Learned(_) => None,
        }
    }

    fn rare(&self) -> &'static [&'static str] {
        &[FETCH, HOLLOW, PROBE, NOT_HERE, LENT, GONE, TAUGHT]
    }

    fn describe(&self, frame: &Frame<Message<P>>) -> String {
        match &frame.body {
            Body::Carried(messages) => {
                let said: Vec<_> = messages.iter().map(|one| self.log.describe(one)).collect();
                format!("{} | {}", said.join(" + "), frame.head)
            }
            Body::Hollow { message, voids } => {
                format!(
                    "Hollow {} lacks {}",
                    self.log.describe(message),
                    voids.len()
                )
            }
            Body::Probe | Body::Ask(_) | Body::Lend { .. } | Body::Pull(_) | Body::Page(_) => {
                format!("{:?}, bulk {}", frame.body, frame.is_bulk())
            }
        }
    }
}

const FETCH: &str = "links: a fetch with nothing else to say";
const HOLLOW: &str = "links: a command went hollow";
const PROBE: &str = "links: a peer was asked what became of what was sent";
const NOT_HERE: &str = "links: a body was asked for where it is not";
const LENT: &str = "links: a body was lent";
const GONE: &str = "links: a learner asked for what is forgotten";
const TAUGHT: &str = "links: a learner was taught by one that does not lead";

/// What is chosen is all that a learner remembers.
fn learned(record: &LearnedRecord) -> Vec<Remembered> {
    let heard = |epoch: &Epoch| Remembered::Promise {
        epoch: *epoch,
        vote: None,
    };
    match record {
        LearnedRecord::Chosen { first, runs } => vec![Remembered::Learned {
            first: *first,
            runs: runs.iter().map(run).collect(),
        }],
        LearnedRecord::Heard { epoch } => vec![heard(epoch)],
        LearnedRecord::Base { upto, epoch } => vec![
            heard(epoch),
            Remembered::Base {
                upto: *upto,
                keeps: true,
            },
        ],
    }
}

/// What a page says is chosen, is, whoever sends it.
fn taught(page: &Page) -> Vec<Claim> {
    let runs = Claim::Teaches {
        first: page.first,
        runs: page.runs.iter().map(run).collect(),
    };
    let chosen = Claim::Chosen {
        upto: page.committed,
    };
    let offer = page.gone.map(|meta| Claim::Covers {
        upto: meta.position,
    });
    [
        Some(runs),
        Some(chosen),
        Some(Claim::Epoch(page.epoch)),
        offer,
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn run((epoch, batch): &(Epoch, Batch)) -> Run {
    Run {
        accepted: *epoch,
        born: *epoch,
        batch: batch.clone(),
    }
}

/// As tight as the run's other limits.
fn budget(cluster: &Cluster) -> Budget {
    let window = cluster.limits.window_bytes;
    let timeout = cluster.limits.election_timeout;
    Budget {
        window_initial: window,
        window_min: window.min(1 << 10),
        window_max: 4 * window,
        messages_max: cluster.limits.window_messages,
        // A page becomes one record, which has to fit into a segment.
        fetch_bytes: window.min(16 << 10),
        hollow_bytes: 256,
        catchup_bytes: 32,
        lend_bytes: 4 * window,
        parked_max: 4,
        body_timeout: timeout / 4,
        behind_after: timeout,
        restore_after: 2 * timeout,
        probe_after: timeout / 4,
    }
}
