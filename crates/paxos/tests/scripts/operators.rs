//! What operators ask for, and what they are told.

use quorate_core::{Change, Input, Member, NodeId, PeerStatus, ReplicatedLog, Report};

use crate::stage::Stage;

impl Stage {
    /// Carries out what an operator asks member N for:
    /// - `add N ID`, `promote N ID`, `demote N ID`, `remove N ID`, `replace N OLD NEW`, `prefer N ID PRIORITY`, `set N
    ///   ID…`: other members;
    /// - `transfer N [ID]`: another leader;
    /// - `peers N`, `lease N`: what it knows.
    pub fn operate(&mut self, verb: &str, numbers: &[u64]) {
        let nodes: Vec<NodeId> = numbers.iter().copied().map(NodeId).collect();
        let (id, change) = match (verb, &nodes[..]) {
            ("add", [id, new]) => (id, Change::Add(Member::learner(*new, ""))),
            ("promote", [id, learner]) => (id, Change::Promote(*learner)),
            ("demote", [id, voter]) => (id, Change::Demote(*voter)),
            ("remove", [id, member]) => (id, Change::Remove(*member)),
            ("replace", [id, old, new]) => (
                id,
                Change::Replace {
                    old: *old,
                    new: *new,
                },
            ),
            ("prefer", [id, member, priority]) => {
                (id, Change::Prefer(*member, priority.get() as u8))
            }
            ("set", [id, voters @ ..]) => {
                let members = voters.iter().map(|id| Member::voter(*id, ""));
                (id, Change::Set(members.collect()))
            }
            ("transfer", [id, to @ ..]) => return self.transfer(id.get(), to.first().copied()),
            ("peers", [id]) => return self.peers(id.get()),
            ("lease", [id]) => return self.lease(id.get()),
            _ => panic!("what is `{verb}` with {numbers:?}?"),
        };
        let ticket = self.ticket();
        self.step(id.get(), Input::Reconfigure { ticket, change });
    }

    fn transfer(&mut self, id: u64, to: Option<NodeId>) {
        let ticket = self.ticket();
        self.step(id, Input::Transfer { ticket, to });
    }

    fn peers(&mut self, id: u64) {
        let peers = self.members[&id].paxos.as_ref().unwrap().peers();
        for PeerStatus { id, matched, heard } in peers {
            let heard = self.now.since(heard).as_millis();
            self.note(&format!("{id} has {matched}, heard {heard} ms ago"));
        }
    }

    fn lease(&mut self, id: u64) {
        let lease = self.members[&id].paxos.as_ref().unwrap().lease(self.now);
        let lease = lease.map_or("no lease".into(), |at| format!("a lease at {at}"));
        self.note(&format!("{id} holds {lease}"));
    }

    pub fn on_report(&mut self, id: u64, report: Report) {
        match report {
            Report::Reconfigured { ticket, at } => {
                self.note(&format!("{id} reports {ticket}: reconfigured at {at}"));
            }
            Report::Transferred { ticket, to, epoch } => {
                self.note(&format!("{id} reports {ticket}: {to} leads in {epoch}"));
            }
            other => panic!("Multi-Paxos reports no {other:?}"),
        }
    }
}
