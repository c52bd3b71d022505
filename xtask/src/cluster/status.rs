//! What a member says of itself.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use redis::{AsyncConnectionConfig, Cmd, Value};

/// A member that runs answers within this time.
const TIMEOUT: Duration = Duration::from_millis(500);

/// The fields of `QUORATE STATUS`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Status {
    fields: BTreeMap<String, String>,
}

impl Status {
    /// Asks the member whose clients' address is `address`.
    ///
    /// # Errors
    /// If it does not answer within half a second.
    pub(crate) async fn of(address: &str) -> Result<Self> {
        let mut command = Cmd::new();
        command.arg("QUORATE").arg("STATUS");
        Self::parse(ask(address, &command).await?)
    }

    fn parse(value: Value) -> Result<Self> {
        let fields = match value {
            Value::Map(pairs) => pairs
                .iter()
                .map(|(name, value)| (text(name), text(value)))
                .collect(),
            Value::Array(items) => items
                .chunks_exact(2)
                .map(|pair| (text(&pair[0]), text(&pair[1])))
                .collect(),
            ref value @ (Value::BulkString(_) | Value::VerbatimString { .. }) => text(value)
                .lines()
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
                .collect(),
            other => bail!("QUORATE STATUS answered {other:?}"),
        };
        Ok(Self { fields })
    }

    /// A field as the member printed it; empty if it has no such field.
    pub(crate) fn get(&self, field: &str) -> &str {
        self.fields.get(field).map_or("", String::as_str)
    }

    /// A field that is a number.
    pub(crate) fn number(&self, field: &str) -> Option<u64> {
        self.get(field).parse().ok()
    }

    /// Whether the member believes that it leads.
    pub(crate) fn leads(&self) -> bool {
        self.get("role") == "leader"
    }

    /// Whether the configuration that it goes by is known to be committed, and no change is under way.
    pub(crate) fn is_settled(&self) -> bool {
        let configured = self.number("configured");
        self.get("joint") == "no" && configured.is_some() && configured <= self.number("commit")
    }

    /// Whether this member has a vote.
    pub(crate) fn has_voter(&self, id: u16) -> bool {
        self.names("members", id)
    }

    /// Whether this is a member, with a vote or without.
    pub(crate) fn has_member(&self, id: u16) -> bool {
        self.names("members", id) || self.names("learners", id)
    }

    fn names(&self, field: &str, id: u16) -> bool {
        let mut ids = self.get(field).split(',');
        ids.any(|member| member.parse() == Ok(id))
    }

    /// Who has a vote.
    pub(crate) fn voters(&self) -> Vec<u16> {
        let ids = self.get("members").split(',');
        ids.filter_map(|id| id.parse().ok()).collect()
    }

    /// The round of its epoch: among several that believe that they lead, the one with the highest is right.
    pub(crate) fn round(&self) -> u64 {
        let mut digits = self.get("epoch").split(|c: char| !c.is_ascii_digit());
        digits.find_map(|digits| digits.parse().ok()).unwrap_or(0)
    }
}

/// Sends one command to the member at `address` over a connection of its own.
///
/// # Errors
/// If it does not answer within half a second, or answers an error.
pub(crate) async fn ask(address: &str, command: &Cmd) -> Result<Value> {
    ask_within(address, command, TIMEOUT).await
}

/// As [`ask`], for what takes longer.
///
/// # Errors
/// If it does not answer in time, or answers an error.
pub(crate) async fn ask_within(address: &str, command: &Cmd, limit: Duration) -> Result<Value> {
    let client = redis::Client::open(format!("redis://{address}"))?;
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(TIMEOUT))
        .set_response_timeout(Some(limit));
    let mut connection = client
        .get_multiplexed_async_connection_with_config(&config)
        .await
        .with_context(|| format!("{address} takes no connection"))?;
    command
        .query_async(&mut connection)
        .await
        .with_context(|| format!("{address} gives no answer"))
}

/// Names and values of each map in an array of them.
pub(crate) fn maps(value: Value) -> Vec<Vec<(String, String)>> {
    let pairs = |value: &Value| match value {
        Value::Map(pairs) => pairs
            .iter()
            .map(|(name, value)| (text(name), text(value)))
            .collect(),
        Value::Array(items) => {
            let pairs = items.chunks_exact(2);
            pairs.map(|pair| (text(&pair[0]), text(&pair[1]))).collect()
        }
        _ => Vec::new(),
    };
    match value {
        Value::Array(members) => members.iter().map(pairs).collect(),
        _ => Vec::new(),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => text.clone(),
        Value::Int(number) => number.to_string(),
        Value::Okay => "OK".to_owned(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(","),
        Value::Nil => String::new(),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn the_fields_are_read_from_a_map_an_array_or_lines() {
        let bulk = |text: &str| Value::BulkString(text.into());
        let map = Value::Map(vec![
            (bulk("role"), bulk("leader")),
            (bulk("applied"), Value::Int(7)),
        ]);
        let array = Value::Array(vec![
            bulk("role"),
            bulk("leader"),
            bulk("applied"),
            bulk("7"),
        ]);
        let lines = bulk("# quorate\r\nrole:leader\r\napplied:7\r\n");
        for value in [map, array, lines] {
            let status = Status::parse(value).unwrap();
            assert!(status.leads());
            assert_eq!(status.number("applied"), Some(7));
            assert_eq!(status.get("digest"), "");
        }
    }
}
