//! A fake S3 service whose one fault is switched while it runs; as private as the real ones when there is none.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Anybody lists.
    List,
    /// Anybody gets what they can name, and learns which names there are.
    Get,
    /// One object's own access list is open.
    Object(String),
    /// The bucket is a website; its configuration is told.
    Website,
    /// Anybody writes.
    Write,
    Redirect,
    Slow,
    ServerError,
    /// An empty yes to everything.
    Yes,
    /// Nobody is connected to it any more.
    HangUp,
}

/// The server, listening as long as the test runs.
#[derive(Clone)]
pub struct Fake {
    pub endpoint: String,
    fault: Arc<Mutex<Fault>>,
}

impl Fake {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("its address"));
        let fault = Arc::new(Mutex::new(Fault::None));
        let served = fault.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, served.clone()));
            }
        });
        Self { endpoint, fault }
    }

    pub fn switch(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }
}

async fn answer(mut stream: TcpStream, fault: Arc<Mutex<Fault>>) {
    let mut question = Vec::new();
    while !question.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut question).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let text = String::from_utf8_lossy(&question).into_owned();
    assert!(
        !text.to_lowercase().contains("authorization:"),
        "a stranger has no credentials"
    );
    let mut words = text.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let name = path.splitn(3, '/').nth(2).unwrap_or_default();
    let fault = fault.lock().unwrap().clone();
    if fault == Fault::HangUp {
        return;
    }
    if fault == Fault::Slow {
        tokio::time::sleep(Duration::from_secs(30)).await;
    }
    let listing = "<ListBucketResult><Name>b</Name></ListBucketResult>";
    let (status, body) = match &fault {
        Fault::List if name.is_empty() && (query.is_empty() || query.starts_with("list-type")) => (200, listing),
        // The fake holds whatever is asked for.
        Fault::Get if !name.is_empty() && method != "PUT" => (200, "DCVO sealed"),
        Fault::Object(open) if open == name && method != "PUT" => (200, "DCVO sealed"),
        Fault::Website if query == "website" => (200, "<WebsiteConfiguration></WebsiteConfiguration>"),
        Fault::Write if method == "PUT" => (200, ""),
        Fault::Redirect => (307, ""),
        Fault::ServerError => (500, "<Error><Code>InternalError</Code></Error>"),
        Fault::Yes => (200, ""),
        _ => (403, "<Error><Code>AccessDenied</Code></Error>"),
    };
    let sent = if method == "HEAD" { "" } else { body };
    let head = format!(
        "HTTP/1.1 {status} as asked\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{sent}",
        body.len()
    );
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.shutdown().await;
}
