//! Two ends of a TCP connection on loopback, the far one in a thread and a runtime of its own.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

/// What a write is gathered into before it goes to the socket.
const BUFFER: usize = 64 << 10;

/// The near end.
#[derive(Debug)]
pub struct RawTcp {
    runtime: Runtime,
    stream: TcpStream,
    size: usize,
}

impl RawTcp {
    /// A connection for messages of `size` bytes to a far end that answers each message with itself.
    ///
    /// # Errors
    /// Those of the system.
    pub fn ping_pong(size: usize) -> io::Result<Self> {
        Self::connect(size, move |mut stream| async move {
            let mut buffer = vec![0; size];
            while stream.read_exact(&mut buffer).await.is_ok() {
                stream.write_all(&buffer).await?;
            }
            Ok(())
        })
    }

    /// A connection for messages of `size` bytes to a far end that is told how many bytes will come, reads them, and
    /// answers with one byte.
    ///
    /// # Errors
    /// Those of the system.
    pub fn stream(size: usize) -> io::Result<Self> {
        Self::connect(size, move |mut stream| async move {
            let mut buffer = vec![0; BUFFER];
            loop {
                let bytes = stream.read_u64().await?;
                let mut left = bytes;
                while left > 0 {
                    let part = left.min(BUFFER as u64) as usize;
                    left -= stream.read(&mut buffer[..part]).await? as u64;
                }
                stream.write_u8(1).await?;
            }
        })
    }

    fn connect<F>(
        size: usize,
        far: impl FnOnce(TcpStream) -> F + Send + 'static,
    ) -> io::Result<Self>
    where
        F: Future<Output = io::Result<()>>,
    {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        // It ends with the connection.
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let (stream, _) = TcpListener::from_std(listener)?.accept().await?;
                stream.set_nodelay(true)?;
                far(stream).await
            })
        });
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let stream = runtime.block_on(TcpStream::connect(address))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            runtime,
            stream,
            size,
        })
    }

    /// Sends a message and waits for its answer, `rounds` times; how long that took.
    ///
    /// # Errors
    /// Those of the connection.
    pub fn ask(&mut self, rounds: u64) -> io::Result<Duration> {
        let mut buffer = vec![7; self.size];
        let begun = Instant::now();
        self.runtime.block_on(async {
            for _ in 0..rounds {
                self.stream.write_all(&buffer).await?;
                self.stream.read_exact(&mut buffer).await?;
            }
            io::Result::Ok(())
        })?;
        Ok(begun.elapsed())
    }

    /// Sends `messages`, gathered into large writes, and waits until all are there; how long that took.
    ///
    /// # Errors
    /// Those of the connection.
    pub fn pour(&mut self, messages: u64) -> io::Result<Duration> {
        let message = vec![7; self.size];
        let mut gathered = Vec::with_capacity(BUFFER + self.size);
        let begun = Instant::now();
        self.runtime.block_on(async {
            self.stream.write_u64(messages * self.size as u64).await?;
            for _ in 0..messages {
                gathered.extend_from_slice(&message);
                if gathered.len() >= BUFFER {
                    self.stream.write_all(&gathered).await?;
                    gathered.clear();
                }
            }
            self.stream.write_all(&gathered).await?;
            self.stream.read_u8().await
        })?;
        Ok(begun.elapsed())
    }
}
