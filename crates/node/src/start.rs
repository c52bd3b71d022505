//! Starting a member, and seeing it to its end.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use quorate_core::{Life, Mark, ReplicatedLog, StateMachine};
use quorate_handoff::{BatchReceiver, BatchSender, batch_queue, watermark};
use quorate_journal::{Disk, Durability, FileDisk, Journal, JournalError, MemDisk};
use quorate_transport::{Config as TransportConfig, Transport};
use tokio::sync::watch;
use tokio::task::{self, JoinHandle};
use tokio::time::timeout;
use tracing::{Instrument, Span};

use crate::archive::Archive;
use crate::clock::{Alarm, Clocks};
use crate::config::NodeConfig;
use crate::core::{Core, Limits, Moment, Scratch};
use crate::door::{Hall, door};
use crate::error::{StartError, Stopped};
use crate::gate::{CloseOnDrop, Gate};
use crate::inputs::{Durable, Inputs, Notice, StopSignal};
use crate::ledger::{self, Ledger};
use crate::members::Members;
use crate::node::{Handle, Node, Refusal};
use crate::orders::Orders;
use crate::outlets::{Losses, Lost, Name, Outlets};
use crate::recovery::{LogConfig, Recovered, Seed, fresh_incarnation, recover};
use crate::status::{Board, HealthStatus};
use crate::waiting::Waiting;
use crate::writer::Writer;

/// Bytes that the member's own threads may have in the queue to the core; then they wait.
const NOTICE_BYTES_MAX: usize = 64 << 20;
/// How long a member that failed waits for its threads before it says so.
const FAILED_GRACE: Duration = Duration::from_millis(500);

impl<S: StateMachine> Node<S> {
    /// Starts the member that `config` describes, over the log `L`: opens or makes its directory, recovers what is
    /// there, listens, and begins to work. `empty` makes the state before the first command; it is called only if there
    /// is no snapshot.
    ///
    /// Must be called within a tokio runtime with time and I/O enabled, of either flavour. Recovery runs on its
    /// blocking threads.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running then, and no vote was cast.
    pub async fn start<L>(
        config: NodeConfig,
        log: L::Config,
        empty: impl FnOnce() -> S + Send + 'static,
    ) -> Result<Self, StartError>
    where
        L: ReplicatedLog + Send + 'static,
        L::Config: Send + 'static,
    {
        Self::start_with::<L>(config, move |_| log, empty).await
    }

    /// As [`Node::start`], for a log whose config says which run of the member this is: that is known only once the
    /// journal is open.
    ///
    /// # Errors
    /// As [`Node::start`].
    pub async fn start_with<L>(
        config: NodeConfig,
        log: impl FnOnce(Life) -> L::Config + Send + 'static,
        empty: impl FnOnce() -> S + Send + 'static,
    ) -> Result<Self, StartError>
    where
        L: ReplicatedLog + Send + 'static,
    {
        config.check()?;
        let log: LogConfig<L> = Box::new(log);
        let span = member_span(&config);
        if config.journal.durability == Durability::Memory {
            let launched = launch::<_, L, S, _>(|| Ok(MemDisk::new()), config, log, empty);
            return launched.instrument(span).await;
        }
        let dir = config.data_dir.clone();
        let launched = launch::<_, L, S, _>(move || FileDisk::open(dir), config, log, empty);
        launched.instrument(span).await
    }

    /// As [`Node::start`], on any [`Disk`]: how a test sees to it that the disk fails. `config.data_dir` only names
    /// it.
    pub async fn start_on<D, L>(
        disk: D,
        config: NodeConfig,
        log: L::Config,
        empty: impl FnOnce() -> S + Send + 'static,
    ) -> Result<Self, StartError>
    where
        D: Disk + Send + 'static,
        D::File: Send,
        L: ReplicatedLog + Send + 'static,
        L::Config: Send + 'static,
    {
        Self::start_with_on::<D, L>(disk, config, move |_| log, empty).await
    }

    /// As [`Node::start_with`], on any [`Disk`].
    ///
    /// # Errors
    /// As [`Node::start`].
    pub async fn start_with_on<D, L>(
        disk: D,
        config: NodeConfig,
        log: impl FnOnce(Life) -> L::Config + Send + 'static,
        empty: impl FnOnce() -> S + Send + 'static,
    ) -> Result<Self, StartError>
    where
        D: Disk + Send + 'static,
        D::File: Send,
        L: ReplicatedLog + Send + 'static,
    {
        config.check()?;
        let log: LogConfig<L> = Box::new(log);
        let span = member_span(&config);
        launch::<_, L, S, _>(|| Ok(disk), config, log, empty)
            .instrument(span)
            .await
    }
}

/// What all that a member says in its tasks and threads stands under.
fn member_span(config: &NodeConfig) -> Span {
    tracing::info_span!("member", id = %config.id)
}

async fn launch<D, L, S, F>(
    open: impl FnOnce() -> Result<D, JournalError> + Send + 'static,
    config: NodeConfig,
    log: LogConfig<L>,
    empty: F,
) -> Result<Node<S>, StartError>
where
    D: Disk + Send + 'static,
    D::File: Send,
    L: ReplicatedLog + Send + 'static,
    S: StateMachine,
    F: FnOnce() -> S + Send + 'static,
{
    let clocks = Clocks::new();
    let seed = Seed { log, empty, clocks };
    let span = Span::current();
    let recovering = task::spawn_blocking(move || {
        let _entered = span.entered();
        let recovered = recover::<D, L, S, F>(open()?, &config, seed)?;
        Ok::<_, StartError>((recovered, config))
    });
    let (mut recovered, config) = match recovering.await {
        Ok(recovered) => recovered?,
        Err(error) => return Err(StartError::Panicked(error.to_string())),
    };
    let (door, peers) = door(&config.links.control, &config.links.bulk);
    let (told, notices) = batch_queue(NOTICE_BYTES_MAX);
    let gate = Arc::new(Gate::new(recovered.book.take(), told.clone()));
    let bound = transport_config(&config, recovered.name);
    let bound = Transport::bind_guarded(bound, door, Arc::clone(&gate) as _).await?;
    let ends = Ends {
        gate: gate.closer(),
        peers,
        told,
        notices,
    };
    match assemble(recovered, &config, clocks, ends, bound.clone()) {
        Ok((core, node, ended)) => {
            let core = task::spawn(work(core).in_current_span());
            task::spawn(see_to_the_end(core, bound, ended).in_current_span());
            Ok(node)
        }
        Err(error) => {
            bound.shutdown(Duration::ZERO).await;
            Err(error)
        }
    }
}

fn transport_config(config: &NodeConfig, name: Name) -> TransportConfig {
    let mut transport = TransportConfig::new(config.cluster, config.id, config.listen.clone());
    transport.network = config.network.clone();
    transport.incarnation = name.incarnation;
    transport.life = name.life;
    transport.advertise.clone_from(&config.advertise);
    transport.strangers_max = config.links.strangers_max;
    transport.control = config.links.control;
    transport.bulk = config.links.bulk;
    transport.timing = config.links.timing;
    transport.seed = fresh_incarnation().0;
    transport
}

/// The core's ends of queues that others fill already.
struct Ends<M, S> {
    gate: CloseOnDrop,
    peers: Hall<M>,
    told: BatchSender<Notice<M, S>>,
    notices: BatchReceiver<Notice<M, S>>,
}

type Assembled<L, S> = (Core<L, S>, Node<S>, watch::Sender<Option<Stopped>>);

/// Starts the threads and puts everything together.
fn assemble<D, L, S>(
    recovered: Recovered<D, L, S>,
    config: &NodeConfig,
    clocks: Clocks,
    ends: Ends<L::Message, S>,
    transport: Transport,
) -> Result<Assembled<L, S>, StartError>
where
    D: Disk + Send + 'static,
    D::File: Send,
    L: ReplicatedLog + Send + 'static,
    S: StateMachine,
{
    let (clients, requests) = batch_queue(config.replica.pending_bytes_max as usize);
    let (stop, stopping) = watermark(0);
    let archive = Archive::start(recovered.store, ends.told.clone()).map_err(StartError::Thread)?;
    let (writer, durable) = writer(recovered.journal, ends.told)?;
    let members = Members::new(&recovered.replica, config, &transport);
    let links = members.links();
    let outlets = Outlets {
        name: recovered.name,
        ledger: ledger(writer, recovered.durable, config),
        archive,
        transport: transport.clone(),
        members,
        _gate: ends.gate,
        waiting: Waiting::new(),
        frames: Vec::new(),
        lost: Lost::default(),
        link_changes: 0,
        health: HealthStatus::default(),
        orders: Orders::default(),
        losses: Losses::default(),
    };
    let board =
        Board::new(outlets.status(&recovered.replica, &ends.peers, (clocks.read().now, false)));
    let (ended, end) = watch::channel(None);
    let handle = Handle {
        clients,
        stop: Mutex::new(stop),
        transport,
        links,
        status: board.status.subscribe(),
        leadership: board.leadership.subscribe(),
        ended: end,
        refusal: refusal(config),
    };
    let core = Core {
        replica: recovered.replica,
        inputs: Inputs {
            clients: requests,
            peers: ends.peers,
            notices: ends.notices,
            durable,
            stop: StopSignal::new(stopping),
            alarm: Alarm::new(clocks),
        },
        outlets,
        board,
        clocks,
        limits: limits(config),
        moment: Moment::default(),
        scratch: Scratch::new(),
    };
    Ok((core, Node::new(handle), ended))
}

fn ledger(writer: Option<Writer>, durable: Mark, config: &NodeConfig) -> Ledger {
    let limits = ledger::Limits {
        bytes_max: config.pace.journal_bytes_max,
        sync_here_max: config.pace.sync_here_max,
    };
    Ledger::new(writer, config.journal.durability, durable, limits)
}

fn limits(config: &NodeConfig) -> Limits {
    Limits {
        pace: config.pace,
        backlog_bytes_max: config.replica.backlog_bytes_max.saturating_mul(2),
    }
}

/// The journal's thread, and how far it is; neither without a journal.
fn writer<D, M, S>(
    journal: Option<Journal<D>>,
    told: BatchSender<Notice<M, S>>,
) -> Result<(Option<Writer>, Option<Durable>), StartError>
where
    D: Disk + Send + 'static,
    D::File: Send,
    M: Send + 'static,
    S: StateMachine,
{
    let Some(journal) = journal else {
        return Ok((None, None));
    };
    let (writer, observer) = Writer::start(journal, told)?;
    Ok((Some(writer), Some(Durable::new(observer))))
}

/// What a client is told at the door.
const fn refusal(config: &NodeConfig) -> Refusal {
    Refusal {
        retry_after: config.replica.retry_after,
        limit: config.replica.command_bytes_max,
    }
}

async fn work<L: ReplicatedLog, S: StateMachine>(mut core: Core<L, S>) -> (Core<L, S>, Stopped) {
    let stopped = core.run().await;
    (core, stopped)
}

/// Waits for the core, closes what it leaves behind, and only then says that the member has ended.
async fn see_to_the_end<L: ReplicatedLog, S: StateMachine>(
    core: JoinHandle<(Core<L, S>, Stopped)>,
    transport: Transport,
    ended: watch::Sender<Option<Stopped>>,
) {
    let end = match core.await {
        Ok((core, stopped)) => close(core, stopped, &transport).await,
        Err(error) => {
            if error.is_panic() {
                tracing::error!(%error, "the member panicked");
            }
            transport.shutdown(Duration::ZERO).await;
            Stopped::Aborted
        }
    };
    match &end {
        Stopped::Asked => tracing::info!("stopped"),
        failed => tracing::error!(error = %failed, code = failed.exit_code(), "member ended"),
    }
    ended.send_replace(Some(end));
}

/// Ends what waits, then the links, then the threads. A member that failed does not wait for a disk that may never
/// answer.
async fn close<L: ReplicatedLog, S: StateMachine>(
    mut core: Core<L, S>,
    stopped: Stopped,
    transport: &Transport,
) -> Stopped {
    core.abandon();
    let grace = core.limits.pace.stop_grace;
    let Core {
        inputs, outlets, ..
    } = core;
    let Outlets {
        mut ledger,
        archive,
        ..
    } = outlets;
    drop(inputs);
    if !matches!(stopped, Stopped::Asked) {
        transport.shutdown(Duration::ZERO).await;
        let threads = async {
            archive.close().await;
            // It has nothing to say that would change the reason.
            let _ = ledger.close().await;
        };
        if timeout(FAILED_GRACE, threads).await.is_err() {
            tracing::warn!("the disk does not answer; its thread is left behind");
        }
        return stopped;
    }
    ledger.hand_over();
    transport.shutdown(grace).await;
    archive.close().await;
    match ledger.close().await {
        Ok(()) => Stopped::Asked,
        Err(failed) => failed,
    }
}
