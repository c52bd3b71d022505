//! The load of `cargo xtask compare` on a cluster of etcd that runs already.

mod api;

use std::cell::Cell;
use std::io;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use quorate_load::{
    Closed, Fate, Keys, Open, Session, Target, Workload, closed, in_this_thread, open,
};
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use self::api::{Client, PutRequest, RangeRequest};

/// Connections are made before an open loop begins.
const HEAD_START: Duration = Duration::from_millis(500);
/// What is not answered by then is given up.
const PATIENCE: Duration = Duration::from_secs(3);

/// The load; what it measured is printed as JSON.
#[derive(Debug, clap::Args)]
pub(crate) struct Plan {
    /// The clients' addresses of the members, host:port.
    #[arg(long, required = true, value_delimiter = ',')]
    members: Vec<String>,
    /// The member that all are connected to, from 0 on; otherwise they spread.
    #[arg(long)]
    through: Option<usize>,
    /// How many clients, each with one request under way.
    #[arg(long)]
    clients: usize,
    /// How many connections they share; 0: one each.
    #[arg(long, default_value_t = 0)]
    connections: usize,
    /// Requests a second, in open loop; in closed loop otherwise.
    #[arg(long)]
    rate: Option<u32>,
    /// Milliseconds at the start that do not count.
    #[arg(long)]
    warm_ms: u64,
    /// Milliseconds that do.
    #[arg(long)]
    measure_ms: u64,
    /// Everything is drawn from this number.
    #[arg(long)]
    seed: u64,
    /// Over how many keys writes spread.
    #[arg(long)]
    keys: u64,
    /// Bytes of a value.
    #[arg(long)]
    payload: usize,
    /// How many of a hundred requests are reads.
    #[arg(long, default_value_t = 0)]
    reads: u8,
}

/// Runs it.
pub(crate) fn run(plan: &Plan) -> Result<()> {
    let workload = Workload {
        seed: plan.seed,
        keys: Keys::Spread(plan.keys),
        payload: plan.payload,
        reads: plan.reads,
    };
    workload.check()?;
    let warm = Duration::from_millis(plan.warm_ms);
    let measure = Duration::from_millis(plan.measure_ms);
    let measured = in_this_thread(async {
        let etcd = Etcd::connect(plan).await?;
        let Some(rate) = plan.rate else {
            let plan = Closed {
                clients: plan.clients,
                through: plan.through,
                warm,
                measure,
            };
            plan.check()?;
            return anyhow::Ok(closed(etcd, &plan, &workload).await?);
        };
        let length = warm + measure;
        let plan = Open {
            clients: plan.clients,
            through: plan.through,
            rate,
            begin: Instant::now() + HEAD_START,
            length,
            drain: Duration::from_secs(1),
            insist: Duration::from_secs(2),
        };
        plan.check()?;
        Ok(open(etcd, &plan, &workload).await?.measured(warm, length))
    })??;
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
}

/// Connections to all members, made before the load begins and kept.
struct Etcd {
    channels: Vec<Vec<Channel>>,
    next: Cell<usize>,
}

impl Etcd {
    async fn connect(plan: &Plan) -> Result<Self> {
        let each = match plan.connections {
            0 => plan.clients,
            some => some.min(plan.clients),
        };
        let mut channels = Vec::new();
        for (member, address) in plan.members.iter().enumerate() {
            let endpoint = Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true);
            let wanted = plan.through.is_none_or(|only| only == member);
            let mut some = Vec::new();
            for _ in 0..if wanted { each } else { 0 } {
                let channel = endpoint.connect().await;
                some.push(channel.with_context(|| format!("{address} takes no connection"))?);
            }
            channels.push(some);
        }
        let next = Cell::new(0);
        Ok(Self { channels, next })
    }
}

impl Target for Etcd {
    type Session = Client;

    fn members(&self) -> usize {
        self.channels.len()
    }

    async fn connect(&self, member: usize) -> io::Result<Client> {
        let channels = &self.channels[member];
        let turn = self.next.replace(self.next.get() + 1);
        let channel = channels
            .get(turn.checked_rem(channels.len()).unwrap_or(0))
            .ok_or(io::ErrorKind::NotConnected)?;
        Ok(Client::new(channel.clone()))
    }
}

impl Session for Client {
    async fn put(&mut self, key: &[u8], value: &[u8]) -> Fate<()> {
        let request = PutRequest {
            key: Bytes::copy_from_slice(key),
            value: Bytes::copy_from_slice(value),
        };
        fate(tokio::time::timeout(PATIENCE, Client::put(self, request)).await).map(drop)
    }

    async fn get(&mut self, key: &[u8]) -> Fate<Option<Bytes>> {
        let request = RangeRequest {
            key: Bytes::copy_from_slice(key),
        };
        let answer = tokio::time::timeout(PATIENCE, self.range(request)).await;
        fate(answer).map(|found| found.pairs.into_iter().next().map(|pair| pair.value))
    }
}

/// None of its errors says for sure that nothing was carried out.
fn fate<T>(answer: Result<Result<T, Status>, tokio::time::error::Elapsed>) -> Fate<T> {
    match answer {
        Ok(Ok(answer)) => Fate::Done(answer),
        Ok(Err(_)) | Err(_) => Fate::Unknown { usable: true },
    }
}
