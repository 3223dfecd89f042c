//! A mail server that takes everything, at once, and counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// What it has taken.
pub struct Sink {
    pub port: u16,
    counted: Arc<Counted>,
}

#[derive(Default)]
struct Counted {
    mails: AtomicUsize,
    more: Notify,
}

// === impl Sink ===

impl Sink {
    /// On threads of its own, as a mail server is a process of its own.
    pub fn start() -> anyhow::Result<Self> {
        let counted = Arc::new(Counted::default());
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let of_server = counted.clone();
        let serve = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener)?;
                loop {
                    let (stream, _) = listener.accept().await?;
                    tokio::spawn(talk(stream, of_server.clone()));
                }
            })
        };
        std::thread::Builder::new().name("sink".to_owned()).spawn(move || -> std::io::Result<()> { serve() })?;
        Ok(Self { port, counted })
    }

    pub fn mails(&self) -> usize {
        self.counted.mails.load(Ordering::Acquire)
    }

    /// Waits until it has taken so many.
    pub async fn reaches(&self, mails: usize) {
        loop {
            let more = self.counted.more.notified();
            if self.mails() >= mails {
                return;
            }
            more.await;
        }
    }
}

async fn talk(stream: TcpStream, counted: Arc<Counted>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    let mut line = Vec::new();
    write.write_all(b"220 sink ESMTP\r\n").await?;
    while next(&mut read, &mut line).await? {
        let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        let answer: &[u8] = match verb.as_slice() {
            b"EHLO" | b"HELO" => b"250-sink\r\n250 ENHANCEDSTATUSCODES\r\n",
            b"DATA" => {
                write.write_all(b"354 go on\r\n").await?;
                while next(&mut read, &mut line).await? && line != b".\r\n" {}
                counted.mails.fetch_add(1, Ordering::Release);
                counted.more.notify_waiters();
                b"250 2.0.0 Ok: queued\r\n"
            }
            b"QUIT" => b"221 2.0.0 Bye\r\n",
            _ => b"250 2.1.0 Ok\r\n",
        };
        write.write_all(answer).await?;
        if verb == b"QUIT" {
            break;
        }
    }
    Ok(())
}

/// The next line. What has come is acknowledged at once: a client that writes a letter in pieces and does not say TCP_NODELAY, as
/// lettre does not, would wait for that for 40 ms each time, and be measured by it.
async fn next(read: &mut BufReader<OwnedReadHalf>, line: &mut Vec<u8>) -> std::io::Result<bool> {
    line.clear();
    if read.buffer().is_empty() {
        rustix::net::sockopt::set_tcp_quickack(read.get_ref().as_ref(), true)?;
    }
    Ok(read.read_until(b'\n', line).await? > 0)
}
