//! One script through every log, and what shows when a log is broken.

#[path = "../examples/sim/logs.rs"]
mod logs;

use bytes::Bytes;
use quorate_core::{
    Batch, Committed, Configuration, Epoch, Input, Instant, LinkStatus, Memory, NodeId, Outbox,
    PeerStatus, Position, ReplicatedLog, RestoreError, Status,
};
use quorate_sim::differential::Trial;
use quorate_sim::{Claim, Cluster, Member, Options, Protocol, Remembered, Rules};

#[test]
fn every_log_ends_in_the_state_that_the_oracle_knows() {
    for seed in 0..12 {
        let mut trial = Trial::new(seed, &Options::default());
        trial.run(&logs::RaftProtocol);
        trial.run(&logs::PaxosProtocol);
        trial.run(&logs::PrimaryBackupProtocol);
        if let Err(why) = trial.verdict() {
            panic!("seed {seed}: {why}");
        }
        let states: Vec<_> = trial.reports().map(|(_, report)| report.state).collect();
        assert_eq!(states[0], states[1], "seed {seed}");
        assert_eq!(states[0], states[2], "seed {seed}");
    }
}

/// A log with a bug that no invariant sees: what it is asked to append now and then, it appends altered, to the same
/// bytes on all members.
struct Altering<L: ReplicatedLog> {
    log: L,
    outbox: Outbox<L>,
}

/// One bit of the operand of a change.
fn altered(batch: &Batch) -> Batch {
    let mut command = batch.command(0).to_vec();
    command[24] ^= 1;
    Batch::one(batch.label(), Bytes::from(command))
}

impl<L: ReplicatedLog> ReplicatedLog for Altering<L> {
    type Config = L::Config;
    type Message = L::Message;
    type Record = L::Record;
    const ELECTS: bool = L::ELECTS;

    fn restore(
        config: L::Config,
        now: Instant,
        memory: Memory<'_, L::Record>,
    ) -> Result<Self, RestoreError> {
        Ok(Self {
            log: L::restore(config, now, memory)?,
            outbox: Outbox::new(),
        })
    }

    fn step(&mut self, now: Instant, input: Input<L::Message>, out: &mut Outbox<Self>) {
        let input = match input {
            Input::Propose { ticket, batch }
                if batch.len() == 1 && batch.label().sequence % 7 == 0 =>
            {
                let batch = altered(&batch);
                Input::Propose { ticket, batch }
            }
            input => input,
        };
        self.log.step(now, input, &mut self.outbox);
        self.outbox.drain().for_each(|output| out.push(output));
    }

    fn deadline(&self) -> Option<Instant> {
        self.log.deadline()
    }

    fn status(&self) -> Status {
        self.log.status()
    }

    fn configuration(&self) -> &Configuration {
        self.log.configuration()
    }

    fn peers(&self) -> Vec<PeerStatus> {
        self.log.peers()
    }

    fn lease(&self, now: Instant) -> Option<Position> {
        self.log.lease(now)
    }

    fn chosen(&self, at: Position, bytes_max: u64) -> Option<Committed> {
        self.log.chosen(at, bytes_max)
    }

    fn held(&self, at: Position, bytes_max: u64) -> Option<(Epoch, Batch)> {
        self.log.held(at, bytes_max)
    }

    fn links(&self) -> Vec<LinkStatus> {
        self.log.links()
    }
}

struct AlteringProtocol<P>(P);

impl<P: Protocol> Protocol for AlteringProtocol<P> {
    type Log = Altering<P::Log>;
    type Notes = ();

    fn name(&self) -> &'static str {
        "altering"
    }

    fn config(&self, member: &Member) -> <P::Log as ReplicatedLog>::Config {
        self.0.config(member)
    }

    fn rules(&self, cluster: &Cluster) -> Rules {
        self.0.rules(cluster)
    }

    fn remembered(&self, record: &<P::Log as ReplicatedLog>::Record) -> Vec<Remembered> {
        self.0.remembered(record)
    }

    fn claims(
        &self,
        from: NodeId,
        to: NodeId,
        message: &<P::Log as ReplicatedLog>::Message,
    ) -> Vec<Claim> {
        self.0.claims(from, to, message)
    }

    fn is_appointed(&self) -> bool {
        self.0.is_appointed()
    }

    fn describe(&self, message: &<P::Log as ReplicatedLog>::Message) -> String {
        self.0.describe(message)
    }
}

macro_rules! broken {
    ($name:ident, $protocol:expr) => {
        mod $name {
            use super::*;

            #[test]
            fn a_bug_that_no_invariant_sees_is_seen_by_the_oracle() {
                let mut told = 0;
                for seed in 0..6 {
                    let mut trial = Trial::new(seed, &Options::default());
                    trial.run(&AlteringProtocol($protocol));
                    told += u32::from(trial.verdict().is_err());
                }
                assert!(told > 0, "nobody noticed");
            }
        }
    };
}

logs::each_log!(broken);
