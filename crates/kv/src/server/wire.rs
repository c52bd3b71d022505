//! From bytes to requests: where one ends, and what it holds.
//!
//! The frames are taken apart by `redis-protocol`. Before that [`Scanner`] finds where a request ends, so that
//! nothing is parsed twice while it is still coming in, and refuses what no client has to send: nested arrays
//! (whose depth would be the parser's stack), other frames than bulk strings, and lengths beyond the limits.

use bytes::{Bytes, BytesMut};
use redis_protocol::resp2::decode::decode_bytes;
use redis_protocol::resp2::types::BytesFrame;

/// The longest inline request, as in Redis.
const INLINE_BYTES_MAX: usize = 64 << 10;
/// The longest line that announces a length: `$`, 20 digits and the end of the line.
const LENGTH_LINE_BYTES_MAX: usize = 32;
/// Arguments of one request, its name included.
pub(crate) const ARGUMENTS_MAX: u64 = 64 << 10;

/// Why a connection cannot be understood any further. The texts are those of Redis, where it has one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProtocolError {
    #[error("Protocol error: invalid multibulk length")]
    Arguments,
    #[error("Protocol error: invalid bulk length")]
    Length,
    #[error("Protocol error: expected '$', got '{}'", .0.escape_ascii())]
    NotBulk(u8),
    #[error("Protocol error: a bulk string does not end where it should")]
    End,
    #[error("Protocol error: too big inline request")]
    InlineTooLong,
    #[error("Protocol error: quotes are not understood in inline requests")]
    Quotes,
    #[error("Protocol error: request over the limit of {0} bytes")]
    TooLarge(usize),
    #[error("Protocol error: {0}")]
    Frame(String),
}

/// Takes requests off the front of what has come in. Remembers how far it has looked.
#[derive(Debug)]
pub(crate) struct Scanner {
    request_bytes_max: usize,
    /// Bytes from the front that need not be looked at again.
    seen: usize,
    /// Arguments that are still to come; none: the request has not begun.
    missing: Option<u64>,
}

impl Scanner {
    pub(crate) const fn new(request_bytes_max: usize) -> Self {
        Self {
            request_bytes_max,
            seen: 0,
            missing: None,
        }
    }

    /// The arguments of the next request, name first; none as long as it is not all there. Never empty.
    pub(crate) fn next(
        &mut self,
        buffer: &mut BytesMut,
    ) -> Result<Option<Vec<Bytes>>, ProtocolError> {
        while let Some(first) = buffer.first() {
            let arguments = if *first == b'*' {
                let Some(length) = self.multibulk(buffer)? else {
                    return Ok(None);
                };
                (self.seen, self.missing) = (0, None);
                arguments(&buffer.split_to(length).freeze())?
            } else {
                match take_line(buffer)? {
                    Some(line) => words(&line)?,
                    None => return Ok(None),
                }
            };
            // Redis passes over empty requests in silence.
            if !arguments.is_empty() {
                return Ok(Some(arguments));
            }
        }
        Ok(None)
    }

    /// Where the array of bulk strings at the front ends, if it is all there.
    fn multibulk(&mut self, buffer: &[u8]) -> Result<Option<usize>, ProtocolError> {
        let mut missing = match self.missing {
            Some(missing) => missing,
            None => match length_line(&buffer[1..], ProtocolError::Arguments)? {
                None => return Ok(None),
                Some((count, _)) if count > i64::try_from(ARGUMENTS_MAX).unwrap_or(i64::MAX) => {
                    return Err(ProtocolError::Arguments);
                }
                Some((count, bytes)) => {
                    self.seen = 1 + bytes;
                    u64::try_from(count).unwrap_or(0)
                }
            },
        };
        while missing > 0 {
            self.missing = Some(missing);
            let Some(end) = self.bulk(buffer)? else {
                return Ok(None);
            };
            self.seen = end;
            missing -= 1;
        }
        Ok(Some(self.seen))
    }

    /// Where the bulk string at `seen` ends, if it is all there.
    fn bulk(&self, buffer: &[u8]) -> Result<Option<usize>, ProtocolError> {
        let rest = &buffer[self.seen..];
        match rest.first() {
            None => return Ok(None),
            Some(b'$') => {}
            Some(other) => return Err(ProtocolError::NotBulk(*other)),
        }
        let Some((length, bytes)) = length_line(&rest[1..], ProtocolError::Length)? else {
            return Ok(None);
        };
        let length = usize::try_from(length).map_err(|_| ProtocolError::Length)?;
        let begin = self.seen + 1 + bytes;
        if begin.saturating_add(length) > self.request_bytes_max {
            return Err(ProtocolError::TooLarge(self.request_bytes_max));
        }
        let end = begin + length + 2;
        match buffer.get(end - 2..end) {
            None => Ok(None),
            Some(b"\r\n") => Ok(Some(end)),
            Some(_) => Err(ProtocolError::End),
        }
    }
}

/// The number on the line that begins here, and how long the line is; none if its end has not come.
fn length_line(rest: &[u8], error: ProtocolError) -> Result<Option<(i64, usize)>, ProtocolError> {
    let head = &rest[..rest.len().min(LENGTH_LINE_BYTES_MAX)];
    let Some(end) = head.iter().position(|byte| *byte == b'\n') else {
        return if head.len() == LENGTH_LINE_BYTES_MAX {
            Err(error)
        } else {
            Ok(None)
        };
    };
    let number = head[..end]
        .strip_suffix(b"\r")
        .and_then(|digits| std::str::from_utf8(digits).ok())
        .filter(|digits| !digits.starts_with('+'))
        .and_then(|digits| digits.parse().ok());
    match number {
        Some(number) => Ok(Some((number, end + 1))),
        None => Err(error),
    }
}

/// The arguments of a whole request.
fn arguments(request: &Bytes) -> Result<Vec<Bytes>, ProtocolError> {
    let frame = decode_bytes(request).map_err(|error| ProtocolError::Frame(error.to_string()))?;
    let Some((BytesFrame::Array(frames), _)) = frame else {
        // An array of length -1 is null: as good as empty.
        return Ok(Vec::new());
    };
    let bulk = |frame| match frame {
        BytesFrame::BulkString(bytes) => Ok(bytes),
        _ => Err(ProtocolError::Length),
    };
    frames.into_iter().map(bulk).collect()
}

/// Takes the line at the front, without its end.
fn take_line(buffer: &mut BytesMut) -> Result<Option<Bytes>, ProtocolError> {
    let head = &buffer[..buffer.len().min(INLINE_BYTES_MAX)];
    let Some(end) = head.iter().position(|byte| *byte == b'\n') else {
        return if head.len() == INLINE_BYTES_MAX {
            Err(ProtocolError::InlineTooLong)
        } else {
            Ok(None)
        };
    };
    let mut line = buffer.split_to(end + 1).freeze();
    line.truncate(if line[..end].ends_with(b"\r") {
        end - 1
    } else {
        end
    });
    Ok(Some(line))
}

/// The words of an inline request: what people type by hand.
fn words(line: &Bytes) -> Result<Vec<Bytes>, ProtocolError> {
    if line.iter().any(|byte| matches!(byte, b'"' | b'\'')) {
        return Err(ProtocolError::Quotes);
    }
    let words = line.split(|byte| byte.is_ascii_whitespace() || *byte == 0);
    let words = words.filter(|word| !word.is_empty());
    Ok(words.map(|word| line.slice_ref(word)).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scan(input: &[u8]) -> Result<Vec<Vec<Bytes>>, ProtocolError> {
        let (mut scanner, mut buffer) = (Scanner::new(1000), BytesMut::from(input));
        let mut requests = Vec::new();
        while let Some(request) = scanner.next(&mut buffer)? {
            requests.push(request);
        }
        Ok(requests)
    }

    #[test]
    fn requests_are_taken_apart_as_redis_does() {
        let words =
            |words: &[&'static str]| words.iter().map(|w| Bytes::from(*w)).collect::<Vec<_>>();
        assert_eq!(
            scan(b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*0\r\n*-1\r\n\r\nPING  x\r\n*1\r\n$0\r\n\r\n*1\r\n$4\r\nPI"),
            Ok(vec![words(&["GET", "k"]), words(&["PING", "x"]), words(&[""])])
        );
    }

    #[test]
    fn what_no_client_has_to_send_is_refused_at_once() {
        let refused: &[(&[u8], ProtocolError)] = &[
            (b"*1\r\n*1\r\n", ProtocolError::NotBulk(b'*')),
            (b"*1\r\n:1\r\n", ProtocolError::NotBulk(b':')),
            (b"*x\r\n", ProtocolError::Arguments),
            (b"*+1\r\n", ProtocolError::Arguments),
            (b"*1000000000\r\n", ProtocolError::Arguments),
            (
                b"*11111111111111111111111111111111",
                ProtocolError::Arguments,
            ),
            (b"*1\r\n$-1\r\n", ProtocolError::Length),
            (b"*1\r\n$1x\r\n", ProtocolError::Length),
            (
                b"*1\r\n$9223372036854775807\r\n",
                ProtocolError::TooLarge(1000),
            ),
            (b"*2\r\n$500\r\n", ProtocolError::Length),
            (b"*1\r\n$1\r\nabc", ProtocolError::End),
            (b"set a \"b c\"\r\n", ProtocolError::Quotes),
        ];
        for (input, error) in refused {
            if *error == ProtocolError::Length && input.starts_with(b"*2") {
                assert_eq!(scan(input), Ok(vec![]), "500 bytes may still come");
                continue;
            }
            assert_eq!(scan(input).as_ref(), Err(error), "{}", input.escape_ascii());
        }
        assert_eq!(
            scan("a".repeat(INLINE_BYTES_MAX).as_bytes()),
            Err(ProtocolError::InlineTooLong)
        );
        let two = [&b"*2\r\n$500\r\n"[..], &[b'x'; 500], b"\r\n$500\r\n"].concat();
        assert_eq!(scan(&two), Err(ProtocolError::TooLarge(1000)));
    }

    fn encode(request: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = format!("*{}\r\n", request.len()).into_bytes();
        for argument in request {
            bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
            bytes.extend_from_slice(argument);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes
    }

    fn config() -> ProptestConfig {
        ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::default()
        }
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn requests_arrive_whole_however_they_are_cut(
            requests in prop::collection::vec(
                prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 1..5), 0..6),
            cuts in prop::collection::vec(1usize..30, 1..20),
        ) {
            let bytes = requests.iter().flat_map(|request| encode(request)).collect::<Vec<_>>();
            let (mut scanner, mut buffer) = (Scanner::new(1000), BytesMut::new());
            let (mut seen, mut rest) = (Vec::new(), &bytes[..]);
            for cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                rest = later;
                buffer.extend_from_slice(now);
                while let Some(request) = scanner.next(&mut buffer).unwrap() {
                    seen.push(request.iter().map(|argument| argument.to_vec()).collect::<Vec<_>>());
                }
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(seen, requests);
            prop_assert!(buffer.is_empty());
        }

        #[test]
        fn no_bytes_make_it_panic_or_wait_for_more_than_the_limit(
            bytes in prop::collection::vec(
                prop_oneof![prop::sample::select(b"*$:\r\n0123-+ \"".to_vec()), any::<u8>()], 0..200),
        ) {
            let (mut scanner, mut buffer) = (Scanner::new(100), BytesMut::new());
            for byte in bytes {
                buffer.extend_from_slice(&[byte]);
                match scanner.next(&mut buffer) {
                    Ok(Some(arguments)) => prop_assert!(!arguments.is_empty()),
                    Ok(None) => prop_assert!(buffer.first() != Some(&b'*') || buffer.len() < 140),
                    Err(_) => break,
                }
            }
        }
    }
}
