//! Who is there? Sixty-eight bytes each way before the first frame, all numbers little-endian; behind those of the
//! dialling side stands where it can be reached.
//!
//! ```text
//!   0  mark      8   "QUORATE>" from the dialling side, "QUORATE<" in answer
//!   8  oldest    1   oldest wire version offered; in the answer the version agreed on
//!   9  newest    1   newest wire version offered; in the answer the same again
//!  10  lane      1   0 control, 1 bulk
//!  11  verdict   1   0 in a hello; in the answer 0 welcome, else why not (`Refusal`)
//!  12  cluster   8
//!  20  from      8   the member that speaks
//!  28  to        8   the member it takes the other side for
//!  36  incarnation 8 of the member that speaks
//!  44  life      8   of the member that speaks
//!  52  dial      8   counts the dials of this life and lane; the answer repeats it
//!  60  address   2   in a hello the length of the address behind it, at most 256; in the answer 0
//!  62  zero      2
//!  64  crc32c    4   of the 64 bytes before it
//!  68  address       `host:port`, as long as said, and the crc32c of it; nothing if the length is 0
//! ```

use quorate_core::{ClusterId, Incarnation, Life, NodeId};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::config::{ADDRESS_MAX, Config, Versions};
use crate::error::{HandshakeError, Refusal};
use crate::frame::Lane;

/// Bytes of a hello and of its answer.
pub(crate) const HELLO_BYTES: usize = 68;

const MARK_HELLO: [u8; 8] = *b"QUORATE>";
const MARK_ANSWER: [u8; 8] = *b"QUORATE<";

/// What each side says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) versions: Versions,
    pub(crate) lane: Lane,
    pub(crate) cluster: ClusterId,
    pub(crate) from: NodeId,
    pub(crate) to: NodeId,
    pub(crate) incarnation: Incarnation,
    pub(crate) life: Life,
    pub(crate) dial: u64,
    /// Bytes of the address that follows.
    pub(crate) address: u16,
}

impl Hello {
    pub(crate) fn new(config: &Config, to: NodeId, lane: Lane, dial: u64) -> Self {
        Self {
            versions: config.versions,
            lane,
            cluster: config.cluster,
            from: config.node,
            to,
            incarnation: config.incarnation,
            life: config.life,
            dial,
            address: 0,
        }
    }

    /// The answer to `hello`: the agreed version, and who answers.
    fn answer(config: &Config, hello: &Self, version: u8) -> Self {
        let versions = Versions {
            oldest: version,
            newest: version,
        };
        Self {
            versions,
            ..Self::new(config, hello.from, hello.lane, hello.dial)
        }
    }

    fn to_bytes(self, mark: [u8; 8], verdict: u8) -> [u8; HELLO_BYTES] {
        let mut bytes = [0; HELLO_BYTES];
        bytes[..8].copy_from_slice(&mark);
        let small = [
            self.versions.oldest,
            self.versions.newest,
            self.lane.index() as u8,
            verdict,
        ];
        bytes[8..12].copy_from_slice(&small);
        let numbers = [
            self.cluster.get(),
            self.from.get(),
            self.to.get(),
            self.incarnation.get(),
            self.life.get(),
            self.dial,
        ];
        for (slot, number) in bytes[12..60].chunks_exact_mut(8).zip(numbers) {
            slot.copy_from_slice(&number.to_le_bytes());
        }
        bytes[60..62].copy_from_slice(&self.address.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[..64]);
        bytes[64..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; HELLO_BYTES], mark: [u8; 8]) -> Result<(Self, u8), HandshakeError> {
        if bytes[..8] != mark {
            return Err(HandshakeError::NotQuorate);
        }
        if bytes[64..] != crc32c::crc32c(&bytes[..64]).to_le_bytes() {
            return Err(HandshakeError::Checksum);
        }
        let lane = Lane::from_byte(bytes[10]).ok_or(HandshakeError::Lane(bytes[10]))?;
        let number = |place: usize| {
            let at = 12 + 8 * place;
            let bytes = bytes[at..]
                .first_chunk()
                .expect("six numbers stand before the checksum");
            u64::from_le_bytes(*bytes)
        };
        let hello = Self {
            versions: Versions {
                oldest: bytes[8],
                newest: bytes[9],
            },
            lane,
            cluster: ClusterId(number(0)),
            from: NodeId(number(1)),
            to: NodeId(number(2)),
            incarnation: Incarnation(number(3)),
            life: Life(number(4)),
            dial: number(5),
            address: u16::from_le_bytes([bytes[60], bytes[61]]),
        };
        Ok((hello, bytes[11]))
    }
}

/// Says `hello`, and that this member can be reached at `address`, and waits for the answer; returns the agreed version
/// and who answered.
pub(crate) async fn greet<S>(
    stream: &mut S,
    hello: &Hello,
    address: &str,
    config: &Config,
) -> Result<(u8, Hello), HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(&introduction(hello, address)).await?;
    let (answer, verdict) = hear(stream, MARK_ANSWER).await?;
    if verdict != 0 {
        return Err(HandshakeError::Refused(Refusal::from_byte(verdict)));
    }
    if answer.cluster != hello.cluster {
        return Err(HandshakeError::WrongCluster {
            theirs: answer.cluster,
        });
    }
    if answer.from != hello.to || answer.to != hello.from {
        return Err(HandshakeError::WrongMember {
            wanted: hello.to,
            found: answer.from,
        });
    }
    if answer.lane != hello.lane || answer.dial != hello.dial {
        return Err(HandshakeError::Answer);
    }
    let version = config.versions.agree(answer.versions);
    let version = version.ok_or(HandshakeError::Version {
        theirs: answer.versions,
    })?;
    Ok((version, answer))
}

/// A hello and the address behind it.
fn introduction(hello: &Hello, address: &str) -> Vec<u8> {
    let address = if address.len() > ADDRESS_MAX {
        ""
    } else {
        address
    };
    let hello = Hello {
        address: address.len() as u16,
        ..*hello
    };
    let mut bytes = hello.to_bytes(MARK_HELLO, 0).to_vec();
    if !address.is_empty() {
        bytes.extend(address.as_bytes());
        bytes.extend(crc32c::crc32c(address.as_bytes()).to_le_bytes());
    }
    bytes
}

/// Waits for a hello of this cluster, meant for this member; returns it with the agreed version and the address where
/// the other side can be reached. One that is refused is told why before the error is returned.
pub(crate) async fn listen<S>(
    stream: &mut S,
    config: &Config,
) -> Result<(Hello, u8, String), HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (hello, _) = hear(stream, MARK_HELLO).await?;
    let address = hear_address(stream, hello.address).await?;
    match judge(&hello, config) {
        Ok(version) => Ok((hello, version, address)),
        Err((refusal, error)) => {
            refuse(stream, &hello, config, refusal).await?;
            Err(error)
        }
    }
}

fn judge(hello: &Hello, config: &Config) -> Result<u8, (Refusal, HandshakeError)> {
    if hello.cluster != config.cluster {
        let error = HandshakeError::WrongCluster {
            theirs: hello.cluster,
        };
        return Err((Refusal::WrongCluster, error));
    }
    if hello.to != config.node {
        let error = HandshakeError::WrongMember {
            wanted: hello.to,
            found: config.node,
        };
        return Err((Refusal::WrongMember, error));
    }
    if hello.from == config.node {
        return Err((Refusal::Myself, HandshakeError::Myself));
    }
    let version = config.versions.agree(hello.versions);
    version.ok_or((
        Refusal::Version,
        HandshakeError::Version {
            theirs: hello.versions,
        },
    ))
}

/// Lets the other side in: from now on it may send frames of `version`.
pub(crate) async fn welcome<S: AsyncWrite + Unpin>(
    stream: &mut S,
    hello: &Hello,
    config: &Config,
    version: u8,
) -> Result<(), HandshakeError> {
    let answer = Hello::answer(config, hello, version);
    Ok(stream.write_all(&answer.to_bytes(MARK_ANSWER, 0)).await?)
}

/// Tells the other side why it may not come in.
pub(crate) async fn refuse<S: AsyncWrite + Unpin>(
    stream: &mut S,
    hello: &Hello,
    config: &Config,
    refusal: Refusal,
) -> Result<(), HandshakeError> {
    let answer = Hello::answer(config, hello, 0);
    stream
        .write_all(&answer.to_bytes(MARK_ANSWER, refusal as u8))
        .await?;
    Ok(stream.shutdown().await?)
}

async fn hear<S: AsyncRead + Unpin>(
    stream: &mut S,
    mark: [u8; 8],
) -> Result<(Hello, u8), HandshakeError> {
    let mut bytes = [0; HELLO_BYTES];
    stream.read_exact(&mut bytes).await?;
    Hello::from_bytes(&bytes, mark)
}

/// The address behind a hello: text of printable characters, so that it may stand in a log.
async fn hear_address<S: AsyncRead + Unpin>(
    stream: &mut S,
    length: u16,
) -> Result<String, HandshakeError> {
    let length = usize::from(length);
    if length == 0 {
        return Ok(String::new());
    }
    if length > ADDRESS_MAX {
        return Err(HandshakeError::Address);
    }
    let mut bytes = vec![0; length + 4];
    stream.read_exact(&mut bytes).await?;
    let (address, checksum) = bytes.split_at(length);
    if checksum != crc32c::crc32c(address).to_le_bytes() {
        return Err(HandshakeError::Checksum);
    }
    if !address.iter().all(u8::is_ascii_graphic) {
        return Err(HandshakeError::Address);
    }
    String::from_utf8(bytes[..length].to_vec()).map_err(|_| HandshakeError::Address)
}
