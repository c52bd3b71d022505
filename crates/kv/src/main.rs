//! The server binary.
#![forbid(unsafe_code)]

use std::io::{IsTerminal, Write, stderr, stdout};
use std::process::ExitCode;
use std::time::Duration;

use quorate_core::{Durability, ReplicatedLog};
use quorate_journal::{FileDisk, SlowDisk, Slowness};
use quorate_kv::KvStore;
use quorate_kv::config::{LogConfig, Options, Settings};
use quorate_kv::server::Server;
use quorate_node::{Node, StartError, Stopped};
use quorate_paxos::Paxos;
use quorate_primary_backup::PrimaryBackup;
use quorate_raft::Raft;
use quorate_replication::{LinkConfig, Linked};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing_subscriber::EnvFilter;

/// How long the process waits for what is left of its tasks at the end.
const EXIT_GRACE: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    let prepared = prepare();
    let (settings, runtime) = match prepared {
        Ok(prepared) => prepared,
        Err(end) => return end.tell(),
    };
    let end = runtime.block_on(run(settings));
    runtime.shutdown_timeout(EXIT_GRACE);
    match end {
        Ok(()) => ExitCode::SUCCESS,
        Err(end) => end.tell(),
    }
}

/// Why the process ends, if not because it was asked to.
struct End {
    code: u8,
    why: String,
}

impl End {
    fn new(code: u8, why: impl std::fmt::Display) -> Self {
        let why = why.to_string();
        Self { code, why }
    }

    /// Says it where an operator looks first: the last line.
    fn tell(self) -> ExitCode {
        let _ = writeln!(stderr(), "quorate-kv: {}", self.why);
        ExitCode::from(self.code)
    }
}

impl From<StartError> for End {
    fn from(error: StartError) -> Self {
        Self::new(error.exit_code(), error)
    }
}

fn prepare() -> Result<(Settings, Runtime), End> {
    let options = Options::gather().map_err(|error| End::new(78, error))?;
    let settings = Settings::new(&options).map_err(|error| End::new(78, error))?;
    let filter = options.log.as_deref().unwrap_or("info");
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| End::new(78, format_args!("--log {filter}: {error}")))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal())
        .init();
    let mut builder = match settings.threads {
        1 => Builder::new_current_thread(),
        threads => {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(threads);
            builder
        }
    };
    let runtime = builder.enable_all().build();
    let runtime = runtime.map_err(|error| End::new(71, format_args!("cannot start: {error}")))?;
    Ok((settings, runtime))
}

async fn run(settings: Settings) -> Result<(), End> {
    let unsignalled = |error| End::new(71, format_args!("cannot listen for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(unsignalled)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(unsignalled)?;
    let disk = Slowness::default();
    let node = start(&settings, &disk).await?;
    // Only now: until there is somebody to answer, clients are better refused than kept waiting.
    let (close, closing) = watch::channel(false);
    let mut serving = match serve(&settings, &node, disk, closing).await {
        Ok(serving) => serving,
        Err(end) => {
            node.stop().await;
            return Err(end);
        }
    };
    let stopped = tokio::select! {
        stopped = node.stopped() => stopped,
        Some(()) = terminate.recv() => stop(&node, "SIGTERM").await,
        Some(()) = interrupt.recv() => stop(&node, "SIGINT").await,
    };
    // The member is gone; those who wait are told so before the process ends.
    close.send_replace(true);
    if let Stopped::Asked = stopped {
        let _ = (&mut serving).await;
        tracing::info!("stopped");
        return Ok(());
    }
    let _ = tokio::time::timeout(EXIT_GRACE, &mut serving).await;
    Err(End::new(stopped.exit_code(), stopped))
}

async fn start(settings: &Settings, disk: &Slowness) -> Result<Node<KvStore>, StartError> {
    match settings.log.clone() {
        LogConfig::Raft(raft) => launch::<Raft>(settings, raft, disk).await,
        LogConfig::Paxos(paxos) => launch::<Paxos>(settings, paxos, disk).await,
        LogConfig::PrimaryBackup(plain) => launch::<PrimaryBackup>(settings, plain, disk).await,
    }
}

/// Starts a member over this log, whose links follow the policy's strategy until they are directed otherwise. Only where
/// faults are allowed, its disk can be slowed down.
async fn launch<L>(
    settings: &Settings,
    log: L::Config,
    slowness: &Slowness,
) -> Result<Node<KvStore>, StartError>
where
    L: ReplicatedLog + Send + 'static,
    L::Config: Send + 'static,
{
    let node = settings.node.clone();
    let (id, strategy) = (node.id, settings.server.policy.strategy);
    let members = settings.founding.members();
    let linked = move |life| LinkConfig::new(log, id, life, &members, strategy);
    if !settings.server.allow_faults || node.journal.durability == Durability::Memory {
        return Node::start_with::<Linked<L>>(node, linked, KvStore::new).await;
    }
    let disk = SlowDisk::new(FileDisk::open(&node.data_dir)?, slowness.clone());
    Node::start_with_on::<_, Linked<L>>(disk, node, linked, KvStore::new).await
}

/// Listens for clients, and says so on stdout: whoever started this process waits for that line.
async fn serve(
    settings: &Settings,
    node: &Node<KvStore>,
    disk: Slowness,
    closing: watch::Receiver<bool>,
) -> Result<JoinHandle<()>, End> {
    let address = &settings.client_addr;
    let unheard = |error| End::new(69, format_args!("--client-addr {address}: {error}"));
    let server = Server::bind(address, settings.server.clone())
        .await
        .map_err(unheard)?
        .with_disk(disk);
    let client = server.local_addr().map_err(unheard)?;
    let serving = tokio::spawn(server.serve(node.clone(), closing));
    let (id, peer) = (settings.node.id, node.address());
    let durability = settings.node.journal.durability;
    // Nobody may be reading it.
    let _ = writeln!(
        stdout(),
        "ready id={id} client={client} peer={peer} durability={durability}"
    );
    Ok(serving)
}

async fn stop(node: &Node<KvStore>, signal: &str) -> Stopped {
    tracing::info!(signal, "stopping");
    node.stop().await;
    node.stopped().await
}
