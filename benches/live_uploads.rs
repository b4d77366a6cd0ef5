//! How much memory the service takes while 2,000 uploads are alive at 1 Mbit/s each: at most 1 GiB, and at most 64 MiB and
//! 256 KiB for each above what it holds when idle.
//!
//! The real program, SQLite and a folder. Every upload is one PATCH over a connection of its own that sends its share ten times
//! a second for as long as the bench lasts; a service that is slower than all of them holds them back, and the rate that was
//! reached is printed beside the memory.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dashvault_test_support::{Vault, client_from};
use futures_util::future::join_all;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;

const LIVE: usize = 2000;
/// One owner's apps may bring 32 at once.
const OWNERS: usize = 80;
const LASTS: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_millis(100);
/// 1 Mbit/s in ticks.
const TICK_BYTES: usize = 12_500;
/// More than is ever sent: no upload ends before the bench does.
const UPLOAD_BYTES: u64 = 1 << 30;
const LIMIT_BYTES: u64 = 1 << 30;
const RISE_LIMIT_BYTES: u64 = (64 << 20) + LIVE as u64 * (256 << 10);

static SENT: AtomicU64 = AtomicU64::new(0);

fn main() -> ExitCode {
    // A socket for each upload, on both sides; the service inherits it.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            ..limit
        },
    )
    .expect("as many files as are allowed");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(bench())
}

async fn bench() -> ExitCode {
    let mut vault = Vault::setup().start();
    let tokens: Vec<_> = (0..OWNERS)
        .map(|n| vault.owner(&format!("owner{n}@example.org")).token)
        .collect();
    let idle = vault.resident_bytes();
    let mut uploads = Vec::new();
    for (n, token) in tokens.iter().enumerate() {
        let from = Ipv4Addr::new(127, 0, 1, n as u8 + 1);
        for _ in 0..LIVE / OWNERS {
            uploads.push((from, create(&vault, token, from).await));
        }
    }
    let port = vault
        .url("")
        .rsplit(':')
        .next()
        .and_then(|port| port.parse().ok())
        .expect("a port");
    let began = Instant::now();
    let sent = join_all(
        uploads
            .into_iter()
            .map(|(from, head)| tokio::spawn(send((from, 0).into(), port, head, began))),
    )
    .await;
    let early: Vec<_> = sent
        .into_iter()
        .filter_map(|sent| sent.expect("a sender").err())
        .collect();
    let alive = LIVE - early.len();
    if let Some(told) = early.first() {
        println!(
            "an upload that ended early was told: {}",
            told.lines().next().unwrap_or_default()
        );
    }
    let peak = vault.peak_resident_bytes();
    let rate = SENT.load(Ordering::Relaxed) as f64 * 8.0 / 1e6 / LASTS.as_secs_f64() / LIVE as f64;
    println!(
        "{alive} of {LIVE} uploads alive for {LASTS:?} at {rate:.2} Mbit/s each: idle {} MiB, peak {} MiB (at most {}), rise {} MiB (at most {})",
        idle >> 20,
        peak >> 20,
        LIMIT_BYTES >> 20,
        peak.saturating_sub(idle) >> 20,
        RISE_LIMIT_BYTES >> 20,
    );
    vault.kill();
    if alive == LIVE && peak <= LIMIT_BYTES && peak.saturating_sub(idle) <= RISE_LIMIT_BYTES {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Creates an upload; the head of its PATCH. Each owner has an address, since requests are limited for each.
async fn create(vault: &Vault, token: &str, from: Ipv4Addr) -> String {
    let made = client_from(from.into())
        .post(vault.url("/v1/uploads"))
        .bearer_auth(token);
    let made = made
        .header("Tus-Resumable", "1.0.0")
        .header("Upload-Length", UPLOAD_BYTES);
    let made = made.send().await.expect("an answer");
    assert_eq!(made.status(), 201, "creation");
    let location = made.headers()["Location"].to_str().expect("ASCII");
    let path = location.split("/v1/").nth(1).expect("an upload's address");
    format!(
        "PATCH /v1/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\nTus-Resumable: 1.0.0\r\n\
         Upload-Offset: 0\r\nContent-Type: application/offset+octet-stream\r\nContent-Length: {UPLOAD_BYTES}\r\n\r\n"
    )
}

/// Sends the head and then a share each tick. An error is what an upload that did not live until the end was told.
async fn send(from: SocketAddr, port: u16, head: String, began: Instant) -> Result<(), String> {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(from).expect("an address of our own");
    let to = (Ipv4Addr::LOCALHOST, port).into();
    let mut stream = socket.connect(to).await.expect("a connection");
    stream.write_all(head.as_bytes()).await.expect("the head of a request");
    static SHARE: [u8; TICK_BYTES] = [7; TICK_BYTES];
    let mut ticks = tokio::time::interval(TICK);
    while began.elapsed() < LASTS {
        ticks.tick().await;
        let left = LASTS.saturating_sub(began.elapsed());
        match tokio::time::timeout(left, stream.write_all(&SHARE)).await {
            Ok(Ok(())) => SENT.fetch_add(SHARE.len() as u64, Ordering::Relaxed),
            Ok(Err(_)) => break,
            Err(_) => break,
        };
    }
    let mut answer = [0; 512];
    // Nothing is answered before the body ends: what can be read is a refusal or the end.
    match stream.try_read(&mut answer) {
        Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => Ok(()),
        Err(e) => Err(e.to_string()),
        Ok(n) => Err(String::from_utf8_lossy(&answer[..n]).into_owned()),
    }
}
