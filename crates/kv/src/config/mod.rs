//! What `quorate-kv` is told at its start: flags, environment and a file, under the same names.

mod members;
mod options;
mod settings;

pub use members::Founding;
pub use options::Options;
pub use settings::{LogConfig, Settings};

/// Why the server cannot be started as told.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("--config {file}: {error}")]
    File {
        /// Which.
        file: String,
        /// Why.
        error: std::io::Error,
    },
    /// The file is not TOML, or has keys or values that are not known.
    #[error("--config {file}: {error}")]
    Toml {
        /// Which.
        file: String,
        /// Where and what.
        error: Box<toml::de::Error>,
    },
    /// A variable of the environment that begins like ours and is none.
    #[error("the environment has {0}, which is no setting (see --help)")]
    Variable(String),
    /// A setting is needed and not given.
    #[error("--{0} is needed (or {env}, or `{0} = …` in the file)", env = variable(.0))]
    Missing(&'static str),
    /// A setting makes no sense.
    #[error("--{name} {value}: {why}")]
    Absurd {
        /// Which setting.
        name: &'static str,
        /// What was given.
        value: String,
        /// What must hold.
        why: String,
    },
}

/// The variable of a setting.
fn variable(name: &str) -> String {
    format!("QUORATE_{}", name.to_uppercase().replace('-', "_"))
}
