//! Servers that speak the Redis protocol: Quorate's, and Redis itself.

use std::io;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use redis_protocol::resp2::decode::decode_range;
use redis_protocol::resp2::encode::extend_encode_borrowed;
use redis_protocol::resp2::types::{BorrowedFrame, RangeFrame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::target::{Fate, Session, Target};

/// A member that does not take a connection within this time is passed over.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(400);

/// Members that speak the Redis protocol.
#[derive(Clone, Debug)]
pub struct Resp {
    /// Where they listen, `host:port`.
    pub addresses: Vec<String>,
    /// After every write, wait until so many replicas have it (`WAIT`): what Redis needs to say that more than one has it.
    pub replicas: Option<u32>,
    /// An answer that takes longer is given up: whether the request was carried out is unknown then.
    pub patience: Duration,
}

impl Target for Resp {
    type Session = RespSession;

    fn members(&self) -> usize {
        self.addresses.len()
    }

    async fn connect(&self, member: usize) -> io::Result<RespSession> {
        let dial = TcpStream::connect(&self.addresses[member]);
        let stream = timeout(CONNECT_TIMEOUT, dial)
            .await
            .map_err(|_| io::ErrorKind::TimedOut)??;
        stream.set_nodelay(true)?;
        Ok(RespSession {
            stream,
            output: BytesMut::new(),
            input: BytesMut::new(),
            replicas: self.replicas.map(|count| count.to_string()),
            patience: self.patience,
        })
    }
}

/// A connection to one of them.
#[derive(Debug)]
pub struct RespSession {
    stream: TcpStream,
    output: BytesMut,
    input: BytesMut,
    /// As [`Resp::replicas`].
    replicas: Option<String>,
    patience: Duration,
}

/// An answer.
enum Answer {
    Text,
    Number(i64),
    Value(Bytes),
    Nothing,
    Error { unknown: bool },
}

impl Session for RespSession {
    async fn put(&mut self, key: &[u8], value: &[u8]) -> Fate<()> {
        self.request(&[b"SET", key, value]);
        let Some(wanted) = self.replicas.clone() else {
            return match self.exchange().await {
                Ok(Answer::Text) => Fate::Done(()),
                Ok(answer) => failure(&answer),
                Err(_) => Fate::Unknown { usable: false },
            };
        };
        let patience = self.patience.as_millis().to_string();
        self.request(&[b"WAIT", wanted.as_bytes(), patience.as_bytes()]);
        match self.exchange().await {
            Ok(Answer::Text) => {}
            // The answer to the WAIT is still to come; nobody needs it.
            Ok(answer) => {
                let fate = failure(&answer);
                return match self.exchange().await {
                    Ok(_) => fate,
                    Err(_) => Fate::Unknown { usable: false },
                };
            }
            Err(_) => return Fate::Unknown { usable: false },
        }
        let enough = |count: i64| wanted.parse().is_ok_and(|wanted: i64| count >= wanted);
        match self.exchange().await {
            Ok(Answer::Number(count)) if enough(count) => Fate::Done(()),
            Ok(_) => Fate::Unknown { usable: true },
            Err(_) => Fate::Unknown { usable: false },
        }
    }

    async fn get(&mut self, key: &[u8]) -> Fate<Option<Bytes>> {
        self.request(&[b"GET", key]);
        match self.exchange().await {
            Ok(Answer::Value(value)) => Fate::Done(Some(value)),
            Ok(Answer::Nothing) => Fate::Done(None),
            Ok(answer) => failure(&answer),
            Err(_) => Fate::Unknown { usable: false },
        }
    }
}

/// What an answer that is none means. Of Quorate's errors only `UNKNOWN` leaves it open whether the request is carried out.
fn failure<T>(answer: &Answer) -> Fate<T> {
    match answer {
        Answer::Error { unknown: false } => Fate::Refused,
        Answer::Error { unknown: true }
        | Answer::Text
        | Answer::Number(_)
        | Answer::Value(_)
        | Answer::Nothing => Fate::Unknown { usable: true },
    }
}

impl RespSession {
    /// Puts a request behind those that are to be sent.
    fn request(&mut self, words: &[&[u8]]) {
        let words: Vec<_> = words
            .iter()
            .map(|word| BorrowedFrame::BulkString(word))
            .collect();
        let frame = BorrowedFrame::Array(&words);
        let encoded = extend_encode_borrowed(&mut self.output, &frame, false);
        encoded.expect("the buffer grows as it must");
    }

    /// Sends what is to be sent, and takes one answer.
    async fn exchange(&mut self) -> io::Result<Answer> {
        let patience = self.patience;
        timeout(patience, self.exchange_at_leisure())
            .await
            .map_err(|_| io::ErrorKind::TimedOut)?
    }

    async fn exchange_at_leisure(&mut self) -> io::Result<Answer> {
        if !self.output.is_empty() {
            self.stream.write_all(&self.output).await?;
            self.output.clear();
        }
        loop {
            if let Some(answer) = self.answer()? {
                return Ok(answer);
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// The next answer, if it is there in full.
    fn answer(&mut self) -> io::Result<Option<Answer>> {
        let decoded = decode_range(&self.input);
        let decoded = decoded.map_err(|_| io::ErrorKind::InvalidData)?;
        let Some((frame, length)) = decoded else {
            return Ok(None);
        };
        let answer = match frame {
            RangeFrame::SimpleString(_) => Answer::Text,
            RangeFrame::Integer(number) => Answer::Number(number),
            RangeFrame::Null => Answer::Nothing,
            RangeFrame::BulkString((from, to)) => {
                Answer::Value(Bytes::copy_from_slice(&self.input[from..to]))
            }
            RangeFrame::Error((from, to)) => {
                let unknown = self.input[from..to].starts_with(b"UNKNOWN");
                Answer::Error { unknown }
            }
            RangeFrame::Array(_) => return Err(io::ErrorKind::InvalidData.into()),
        };
        self.input.advance(length);
        Ok(Some(answer))
    }
}
