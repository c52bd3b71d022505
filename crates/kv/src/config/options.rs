//! The settings as they are given.

use std::path::PathBuf;

use clap::{CommandFactory, Parser};
use serde::Deserialize;

use super::ConfigError;

/// A member of a replicated key-value store that speaks the Redis protocol.
///
/// Every setting can be given as a flag, as a variable of the environment, or in a TOML file, under the same name:
/// `--client-addr`, `QUORATE_CLIENT_ADDR`, `client-addr = "…"`. A flag wins over a variable, a variable over the
/// file. What is not known is refused.
///
/// Exit codes: 0 stopped as asked (SIGTERM, SIGINT), 65 the data directory is not what was written to it, 66 the member was
/// here before with another data directory and has to come back under a new id, 69 an address cannot be listened at, 70 a bug, 74 the disk failed, 78 the settings make no sense or the
/// directory is in use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Parser, Deserialize)]
#[command(name = "quorate-kv", version, rename_all = "kebab-case")]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Options {
    /// Read settings from this TOML file
    #[arg(long, env = "QUORATE_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// This member's number in the cluster, from 1 (needed)
    #[arg(long, env = "QUORATE_ID", value_name = "N")]
    pub id: Option<u64>,
    /// The cluster's number: members of others are refused [default: 1]
    #[arg(long, env = "QUORATE_CLUSTER", value_name = "N")]
    pub cluster: Option<u64>,
    /// Where journal and snapshots are kept (needed, but for --durability memory)
    #[arg(long, env = "QUORATE_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Refuse to start as a new member in an empty directory: for members that have been here before
    #[arg(long, env = "QUORATE_REQUIRE_DATA", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub require_data: Option<bool>,
    /// Listen here for clients [default: 127.0.0.1, port 17000 + id]
    #[arg(long, env = "QUORATE_CLIENT_ADDR", value_name = "HOST:PORT")]
    pub client_addr: Option<String>,
    /// Listen here for other members [default: 127.0.0.1, port 18000 + id]
    #[arg(long, env = "QUORATE_PEER_ADDR", value_name = "HOST:PORT")]
    pub peer_addr: Option<String>,
    /// All members that vote and where they listen for each other, the same on each [default: this one alone]
    #[arg(long, env = "QUORATE_PEERS", value_name = "ID=HOST:PORT,…")]
    pub peers: Option<String>,
    /// Where other members reach this one, if not at --peer-addr [default: its entry in --peers, else --peer-addr]
    #[arg(long, env = "QUORATE_ADDRESS", value_name = "HOST:PORT")]
    pub address: Option<String>,
    /// Join a cluster that runs, instead of --peers: its present voters and where they listen for each other. This member
    /// follows without a vote once it was added there (QUORATE ADD), and votes once the cluster says so
    #[arg(long, env = "QUORATE_JOIN", value_name = "ID=HOST:PORT,…")]
    pub join: Option<String>,
    /// The whole choice: protocol, strategy, write acknowledgement, read level, durability; what is left out at the end is
    /// the default [default: raft/push/quorum/linearizable/fsync]
    #[arg(long, env = "QUORATE_POLICY", value_name = "POLICY")]
    pub policy: Option<String>,
    /// The replicated log: raft, paxos or primary-backup, instead of the policy's
    #[arg(long, env = "QUORATE_PROTOCOL", value_name = "NAME")]
    pub protocol: Option<String>,
    /// When a write counts as written: fsync (on the medium), buffered (with the system), memory (nowhere), instead of the
    /// policy's
    #[arg(long, env = "QUORATE_DURABILITY", value_name = "HOW")]
    pub durability: Option<String>,
    /// How fresh reads are that do not say otherwise: linearizable, lease, bounded:500ms, local; instead of the
    /// policy's
    #[arg(long, env = "QUORATE_READ_LEVEL", value_name = "LEVEL")]
    pub read_level: Option<String>,
    /// Let a leader answer lease reads without a quorum, on the assumption that no member's clock runs faster than another's
    /// by more than so many millionths; the same on all members [default: no leases]
    #[arg(long, env = "QUORATE_LEASE_DRIFT_PPM", value_name = "PPM")]
    pub lease_drift_ppm: Option<u64>,
    /// Seek to lead after so long without a leader; drawn anew each time between this and twice this
    /// [default: 300]
    #[arg(long, env = "QUORATE_ELECTION_TIMEOUT_MS", value_name = "MS")]
    pub election_timeout_ms: Option<u64>,
    /// How often a leader makes itself heard, at most a third of the election timeout [default: 50]
    #[arg(long, env = "QUORATE_HEARTBEAT_MS", value_name = "MS")]
    pub heartbeat_ms: Option<u64>,
    /// How long a request may take before its outcome is given up as unknown [default: 5000]
    #[arg(long, env = "QUORATE_REQUEST_TIMEOUT_MS", value_name = "MS")]
    pub request_timeout_ms: Option<u64>,
    /// The size of a journal file, a multiple of 4096, 64 KiB to 1 GiB [default: 67108864]
    #[arg(long, env = "QUORATE_SEGMENT_BYTES", value_name = "BYTES")]
    pub segment_bytes: Option<u64>,
    /// Commands applied between two snapshots; the journal keeps what two span [default: 67108864]
    #[arg(long, env = "QUORATE_SNAPSHOT_EVERY_BYTES", value_name = "BYTES")]
    pub snapshot_every_bytes: Option<u64>,
    /// Members to which this one sends snapshots at once [default: 4]
    #[arg(long, env = "QUORATE_SNAPSHOT_RECEIVERS", value_name = "N")]
    pub snapshot_receivers: Option<u64>,
    /// Bytes of snapshots that this member sends in a second, to all others together; 0 is no limit [default: 0]
    #[arg(long, env = "QUORATE_SNAPSHOT_BYTES_PER_SECOND", value_name = "BYTES")]
    pub snapshot_bytes_per_second: Option<u64>,
    /// The largest value [default: 1048576]
    #[arg(long, env = "QUORATE_MAX_VALUE_BYTES", value_name = "BYTES")]
    pub max_value_bytes: Option<u64>,
    /// The largest request, MSET with all its values [default: 8388608]
    #[arg(long, env = "QUORATE_MAX_REQUEST_BYTES", value_name = "BYTES")]
    pub max_request_bytes: Option<u64>,
    /// Clients at once [default: 10000]
    #[arg(long, env = "QUORATE_MAX_CONNECTIONS", value_name = "N")]
    pub max_connections: Option<u64>,
    /// Let clients disturb the links to other members, and the disk, with QUORATE FAULT, for tests and demos [default: false]
    #[arg(long, env = "QUORATE_ALLOW_FAULTS", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub allow_faults: Option<bool>,
    /// Threads that serve clients and the log; 1 is best up to a few cores [default: 1]
    #[arg(long, env = "QUORATE_THREADS", value_name = "N")]
    pub threads: Option<u64>,
    /// What to log to stderr: error, warn, info, debug, trace, or by module (`quorate_raft=debug`)
    /// [default: info]
    #[arg(long, env = "QUORATE_LOG", value_name = "FILTER")]
    pub log: Option<String>,
}

impl Options {
    /// What the command line, the environment and the file named there say together. Ends the process if the
    /// command line asks for help or cannot be understood.
    ///
    /// # Errors
    /// [`ConfigError`] if a variable is not known, or the file cannot be understood.
    pub fn gather() -> Result<Self, ConfigError> {
        let given = Self::try_parse().unwrap_or_else(|error| {
            let _ = error.print();
            // 78: what the settings deserve, here as everywhere.
            std::process::exit(if error.use_stderr() { 78 } else { 0 })
        });
        refuse_unknown(std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()))?;
        given.with_file()
    }

    /// Completes what is given by what stands in the file.
    fn with_file(self) -> Result<Self, ConfigError> {
        let Some(path) = &self.config else {
            return Ok(self);
        };
        let file = path.display().to_string();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => return Err(ConfigError::File { file, error }),
        };
        match toml::from_str(&text) {
            Ok(other) => Ok(self.or(other)),
            Err(error) => {
                let error = Box::new(error);
                Err(ConfigError::Toml { file, error })
            }
        }
    }

    fn or(self, other: Self) -> Self {
        Self {
            config: self.config,
            id: self.id.or(other.id),
            cluster: self.cluster.or(other.cluster),
            data: self.data.or(other.data),
            require_data: self.require_data.or(other.require_data),
            client_addr: self.client_addr.or(other.client_addr),
            peer_addr: self.peer_addr.or(other.peer_addr),
            policy: self.policy.or(other.policy),
            address: self.address.or(other.address),
            join: self.join.or(other.join),
            peers: self.peers.or(other.peers),
            protocol: self.protocol.or(other.protocol),
            durability: self.durability.or(other.durability),
            read_level: self.read_level.or(other.read_level),
            lease_drift_ppm: self.lease_drift_ppm.or(other.lease_drift_ppm),
            election_timeout_ms: self.election_timeout_ms.or(other.election_timeout_ms),
            heartbeat_ms: self.heartbeat_ms.or(other.heartbeat_ms),
            request_timeout_ms: self.request_timeout_ms.or(other.request_timeout_ms),
            segment_bytes: self.segment_bytes.or(other.segment_bytes),
            snapshot_every_bytes: self.snapshot_every_bytes.or(other.snapshot_every_bytes),
            snapshot_receivers: self.snapshot_receivers.or(other.snapshot_receivers),
            snapshot_bytes_per_second: self
                .snapshot_bytes_per_second
                .or(other.snapshot_bytes_per_second),
            max_value_bytes: self.max_value_bytes.or(other.max_value_bytes),
            max_request_bytes: self.max_request_bytes.or(other.max_request_bytes),
            max_connections: self.max_connections.or(other.max_connections),
            allow_faults: self.allow_faults.or(other.allow_faults),
            threads: self.threads.or(other.threads),
            log: self.log.or(other.log),
        }
    }
}

/// A misspelt variable must not be passed over in silence.
fn refuse_unknown(names: impl Iterator<Item = String>) -> Result<(), ConfigError> {
    let command = Options::command();
    let known = |name: &str| {
        let variables = command.get_arguments().filter_map(clap::Arg::get_env);
        variables.into_iter().any(|variable| variable == name)
    };
    let mut unknown = names.filter(|name| name.starts_with("QUORATE_") && !known(name));
    match unknown.next() {
        Some(name) => Err(ConfigError::Variable(name)),
        None => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;
    use crate::config::variable;

    #[test]
    fn every_setting_has_one_name_in_all_three_places() {
        let command = Options::command();
        let settings = command
            .get_arguments()
            .filter(|argument| argument.get_env().is_some());
        let mut count = 0;
        for argument in settings {
            let name = argument.get_long().unwrap();
            assert_eq!(
                argument.get_env().unwrap().to_str().unwrap(),
                variable(name)
            );
            if name != "config" {
                let tried = ["1", "\"1\"", "true"].map(|value| format!("{name} = {value}"));
                assert!(
                    tried
                        .iter()
                        .any(|text| toml::from_str::<Options>(text).is_ok()),
                    "{name}"
                );
            }
            count += 1;
        }
        assert_eq!(count, 28);
    }

    #[test]
    fn a_flag_wins_over_the_file_and_what_is_unknown_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "id = 7\ncluster = 9\nallow-faults = true\n").unwrap();
        let flags = [
            "quorate-kv",
            "--id",
            "3",
            "--config",
            file.path().to_str().unwrap(),
        ];
        let options = Options::try_parse_from(flags).unwrap().with_file().unwrap();
        let (id, cluster, allow_faults) = (options.id, options.cluster, options.allow_faults);
        assert_eq!((id, cluster, allow_faults), (Some(3), Some(9), Some(true)));
        std::fs::write(file.path(), "id = 7\nclutser = 9\n").unwrap();
        let error = Options::try_parse_from(flags)
            .unwrap()
            .with_file()
            .unwrap_err();
        assert!(error.to_string().contains("clutser"), "{error}");
        std::fs::remove_file(file.path()).unwrap();
        assert!(Options::try_parse_from(flags).unwrap().with_file().is_err());
        assert!(Options::try_parse_from(["quorate-kv", "--ids", "3"]).is_err());
        let names = |names: [&str; 2]| refuse_unknown(names.map(String::from).into_iter());
        assert!(names(["QUORATE_ID", "PATH"]).is_ok());
        assert!(names(["QUORATE_ID", "QUORATE_DURABILTY"]).is_err());
    }
}
