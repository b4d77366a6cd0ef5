//! The positive control: a listener of our own that is open to everybody. A watch that does not see it open is blind, and
//! its round is void.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::ask::{Address, Questions, Stranger};
use super::judge::{Form, Probe, judge};

/// A question is a few lines; whoever sends more is not the watch.
const MOST_QUESTION_BYTES: usize = 8192;
/// Whoever connects and says nothing is let go.
const PATIENCE: Duration = Duration::from_secs(2);
const LISTING: &str = "<?xml version=\"1.0\"?><ListBucketResult><Name>control</Name></ListBucketResult>";
/// What an object of ours begins with, and nothing behind it.
const OBJECT: &str = "DCVO control";

/// The open listener, gone with this value.
pub(super) struct Control {
    address: Address,
    _serving: AbortOnDropHandle<()>,
}

impl Control {
    /// Whether the stranger sees one open that is opened for it. It does not see one that cannot be opened.
    pub async fn is_seen(stranger: &Stranger, until: Instant) -> bool {
        match Self::open().await {
            Ok(control) => control.is_seen_by(stranger, until).await,
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the watch cannot open its own listener"
                );
                false
            }
        }
    }

    /// Opens it on loopback, at any port.
    async fn open() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let base = format!("http://{}/control", listener.local_addr()?);
        let serving = tokio::spawn(async move {
            // One after the other: there is one watch.
            while let Ok((stream, _)) = listener.accept().await {
                let _ = tokio::time::timeout(PATIENCE, answer(stream)).await;
            }
        });
        Ok(Self {
            address: Address {
                form: Form::PathStyle,
                base,
                host: None,
            },
            _serving: AbortOnDropHandle::new(serving),
        })
    }

    /// Whether the stranger sees that it is open, by a listing and by an object.
    async fn is_seen_by(&self, stranger: &Stranger, until: Instant) -> bool {
        let questions = Questions {
            canary: Some("object".to_owned()),
            objects: Vec::new(),
            missing: "missing".to_owned(),
            write: None,
        };
        let judged = judge(
            Form::PathStyle,
            &stranger.ask(&self.address, &questions, None, until).await,
        );
        let seen = |probe: Probe| judged.openings.iter().any(|opening| opening.probe == probe.as_str());
        seen(Probe::ListV2) && seen(Probe::GetCanary)
    }
}

async fn answer(mut stream: TcpStream) -> io::Result<()> {
    let mut question = Vec::new();
    while !question.windows(4).any(|end| end == b"\r\n\r\n") {
        if question.len() > MOST_QUESTION_BYTES || stream.read_buf(&mut question).await? == 0 {
            return Ok(());
        }
    }
    let line = String::from_utf8_lossy(&question);
    let line = line.lines().next().unwrap_or_default();
    let (status, body) = match line.split(' ').nth(1).unwrap_or_default() {
        "/control/object" => ("200 OK", OBJECT),
        "/control/missing" => ("404 Not Found", "<Error><Code>NoSuchKey</Code></Error>"),
        _ => ("200 OK", LISTING),
    };
    let sent = if line.starts_with("HEAD ") { "" } else { body };
    let length = body.len();
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{sent}");
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}
