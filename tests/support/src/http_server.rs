//! A small HTTP server on loopback whose answers a test makes up: it stands before another server, or in the place of one.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// A connection on which nothing comes for so long is given up.
const SILENCE: Duration = Duration::from_secs(60);
/// Of a body; nothing that the tests send is longer.
const MAX_BODY_BYTES: usize = 1 << 20;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    /// `POST`.
    pub method: String,
    /// With the query.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// As long as its header says.
    pub body: Vec<u8>,
}

impl Request {
    /// A header's value, empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }
}

/// What comes of a request.
pub enum Reply {
    /// An answer.
    Answer(u16, Vec<u8>),
    /// Sends elsewhere (307).
    Moved(String),
    /// The connection is closed without one.
    Close,
}

impl Reply {
    /// An answer of 200.
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::Answer(200, body.into())
    }
}

/// A server that lives as long as its value.
pub struct HttpServer {
    port: u16,
    ended: Arc<AtomicBool>,
}

impl HttpServer {
    /// Answers every request by `answer`, each connection in a thread of its own.
    pub fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let ended = Arc::new(AtomicBool::new(false));
        let (answer, over) = (Arc::new(answer), ended.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let (answer, over) = (answer.clone(), over.clone());
                // A client that goes away ends its own connection only.
                thread::spawn(move || serve(&stream, &*answer, &over));
            }
        });
        Self { port, ended }
    }

    /// The address, `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // Wakes the thread that waits for connections.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn serve(stream: &TcpStream, answer: &(impl Fn(&Request) -> Reply + ?Sized), over: &AtomicBool) -> Option<()> {
    stream.set_read_timeout(Some(SILENCE)).ok()?;
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream);
    loop {
        let request = read_request(&mut reader)?;
        if over.load(Ordering::Relaxed) {
            return None;
        }
        match answer(&request) {
            Reply::Close => return None,
            Reply::Moved(to) => {
                let out = format!("HTTP/1.1 307 X\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
                (&*stream).write_all(out.as_bytes()).ok()?;
            }
            Reply::Answer(status, body) => {
                let mut out = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
                out.extend_from_slice(&body);
                (&*stream).write_all(&out).ok()?;
            }
        }
    }
}

fn read_request(reader: &mut BufReader<&TcpStream>) -> Option<Request> {
    let (first, headers) = read_head(reader)?;
    let mut words = first.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut request = Request {
        method,
        path,
        headers,
        body: Vec::new(),
    };
    let length = request.header("content-length").parse().unwrap_or(0_usize);
    assert!(length <= MAX_BODY_BYTES, "a request of {length} bytes");
    request.body.resize(length, 0);
    reader.read_exact(&mut request.body).ok()?;
    Some(request)
}

fn read_head(reader: &mut BufReader<&TcpStream>) -> Option<(String, Vec<(String, String)>)> {
    let mut line = || {
        let mut line = String::new();
        let length = reader.read_line(&mut line).ok()?;
        (length > 0).then(|| line.trim_end().to_owned())
    };
    let first = line()?;
    let mut headers = Vec::new();
    loop {
        let line = line()?;
        let Some((name, value)) = line.split_once(':') else {
            return Some((first, headers));
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

/// Sends a request over a connection of its own, and gives status and body.
pub(crate) fn ask(port: u16, request: &Request) -> Option<(u16, Vec<u8>)> {
    let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(SILENCE)).ok()?;
    let mut out = format!("{} {} HTTP/1.1\r\nConnection: close\r\n", request.method, request.path);
    for (name, value) in &request.headers {
        if !["connection", "content-length"].contains(&name.as_str()) {
            out += &format!("{name}: {value}\r\n");
        }
    }
    out += &format!("Content-Length: {}\r\n\r\n", request.body.len());
    let mut out = out.into_bytes();
    out.extend_from_slice(&request.body);
    (&stream).write_all(&out).ok()?;
    let mut reader = BufReader::new(&stream);
    let (first, headers) = read_head(&mut reader)?;
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut body = Vec::new();
    match length.and_then(|(_, length)| length.parse().ok()) {
        Some(length) => {
            body.resize(length, 0);
            reader.read_exact(&mut body).ok()?;
        }
        None => {
            reader.read_to_end(&mut body).ok()?;
        }
    }
    Some((first.split(' ').nth(1)?.parse().ok()?, body))
}
