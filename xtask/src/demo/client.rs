//! One connection to one member, and what its errors say about the fate of a command.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, ErrorKind, RedisError, RedisResult, Value};

use super::ledger::{Action, Answer, Outcome};

/// A member that does not take a connection and answer a first command within this time is passed over.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(400);

/// Connects to the member at `address`; no answer may take longer than `response`.
///
/// # Errors
/// If nobody listens there, or nobody answers in time. Nothing was sent that changes anything.
pub(crate) async fn connect(
    address: &str,
    response: Duration,
) -> RedisResult<MultiplexedConnection> {
    let client = redis::Client::open(format!("redis://{address}"))?;
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(response));
    client
        .get_multiplexed_async_connection_with_config(&config)
        .await
}

/// The command that `action` stands for.
pub(crate) fn command(action: &Action) -> Cmd {
    let mut command = Cmd::new();
    match action {
        Action::Get(key) => command.arg("GET").arg(key),
        Action::Set(key, value) => command.arg("SET").arg(key).arg(value),
        Action::Incr(key) => command.arg("INCR").arg(key),
        Action::Append(key, token) => command.arg("APPEND").arg(key).arg(token),
    };
    command
}

/// How a command ended, and whether the connection is still good.
pub(crate) fn outcome(result: RedisResult<Value>) -> (Outcome, bool) {
    match result {
        Ok(value) => (Outcome::Acknowledged(answer(value)), true),
        Err(error) if surely_not_applied(&error) => (Outcome::Refused(error.to_string()), true),
        Err(error) => {
            let usable = error.code() == Some("UNKNOWN");
            (Outcome::Unknown(error.to_string()), usable)
        }
    }
}

/// Every error that a member answers says that nothing was applied, except for `UNKNOWN`.
fn surely_not_applied(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Server(_) | ErrorKind::Extension => error.code() != Some("UNKNOWN"),
        _ => false,
    }
}

/// What a value that a member answered means.
pub(crate) fn answer(value: Value) -> Answer {
    match value {
        Value::Okay => Answer::Done,
        Value::Int(number) => Answer::Number(number),
        Value::BulkString(bytes) => {
            Answer::Value(Some(String::from_utf8_lossy(&bytes).into_owned()))
        }
        Value::Nil => Answer::Value(None),
        other => Answer::Value(Some(format!("{other:?}"))),
    }
}
