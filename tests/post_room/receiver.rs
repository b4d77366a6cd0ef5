//! A webhook's receiver that checks every signature by itself, as the specification of Standard Webhooks tells it to.

use std::sync::atomic::{AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dashvault::model::{Clock as _, SystemClock};
use dashvault::post::{Address, Config, WebhookConfig, WebhookSecret};
use dashvault_test_support::{HttpServer, Reply, Request};
use data_encoding::BASE64;
use ring::hmac;
use serde_json::{Value, json};

/// What the reference libraries allow between the sender's time and theirs.
const TOLERANCE_SECS: i64 = 5 * 60;

#[derive(Default)]
struct Inner {
    got: Mutex<Vec<Value>>,
    unverified: AtomicUsize,
    beats: AtomicUsize,
    status: AtomicU16,
    takes_ms: AtomicU64,
    elsewhere: Mutex<Option<String>>,
}

/// The receiver.
pub struct Receiver {
    server: HttpServer,
    inner: Arc<Inner>,
    secret: [u8; 32],
}

impl Receiver {
    pub fn start() -> Self {
        let inner = Arc::new(Inner::default());
        inner.status.store(200, Ordering::SeqCst);
        let secret: [u8; 32] = rand::random();
        let kept = inner.clone();
        let server = HttpServer::start(move |request| kept.take(request, &secret));
        Self { server, inner, secret }
    }

    pub fn url(&self) -> String {
        self.server.url()
    }

    pub fn address(&self, path: &str) -> Address {
        Address::parse("the test's address", &format!("{}{path}", self.server.url())).unwrap()
    }

    /// A post room that tells this receiver.
    pub fn config(&self) -> Config {
        let secret = format!("whsec_{}", BASE64.encode(&self.secret));
        Config {
            origin: "https://vault.example.org".to_owned(),
            webhook: Some(WebhookConfig {
                url: self.address("/hook"),
                secret: WebhookSecret::parse(&secret).unwrap(),
            }),
            ..Config::default()
        }
    }

    pub fn answer_with(&self, status: u16) {
        self.inner.status.store(status, Ordering::SeqCst);
    }

    pub fn take_ms(&self, ms: u64) {
        self.inner.takes_ms.store(ms, Ordering::SeqCst);
    }

    pub fn send_to(&self, url: &str) {
        *self.inner.elsewhere.lock().unwrap() = Some(url.to_owned());
    }

    /// What came, headers and body, whatever it was answered.
    pub fn got(&self) -> Vec<Value> {
        self.inner.got.lock().unwrap().clone()
    }

    /// How many of them bore no signature that holds.
    pub fn unverified(&self) -> usize {
        self.inner.unverified.load(Ordering::SeqCst)
    }

    pub fn beats(&self) -> usize {
        self.inner.beats.load(Ordering::SeqCst)
    }
}

impl Inner {
    fn take(&self, request: &Request, secret: &[u8]) -> Reply {
        if request.path == "/heartbeat" {
            self.beats.fetch_add(1, Ordering::SeqCst);
            return Reply::ok("");
        }
        if !is_signed(request, secret) {
            self.unverified.fetch_add(1, Ordering::SeqCst);
        }
        std::thread::sleep(Duration::from_millis(self.takes_ms.load(Ordering::SeqCst)));
        let headers: serde_json::Map<_, _> = request
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), json!(value)))
            .collect();
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        self.got
            .lock()
            .unwrap()
            .push(json!({ "headers": headers, "body": body }));
        match &*self.elsewhere.lock().unwrap() {
            Some(url) => Reply::Moved(url.clone()),
            None => Reply::Answer(self.status.load(Ordering::SeqCst), Vec::new()),
        }
    }
}

fn is_signed(request: &Request, secret: &[u8]) -> bool {
    let (id, at) = (request.header("webhook-id"), request.header("webhook-timestamp"));
    let now = SystemClock.now_ms() / 1_000;
    if !at.parse::<i64>().is_ok_and(|at| (now - at).abs() <= TOLERANCE_SECS) || id.is_empty() {
        return false;
    }
    let signed = [id.as_bytes(), b".", at.as_bytes(), b".", &request.body].concat();
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let mut signatures = request.header("webhook-signature").split(' ');
    signatures.any(|one| {
        let tag = one
            .strip_prefix("v1,")
            .and_then(|text| BASE64.decode(text.as_bytes()).ok());
        tag.is_some_and(|tag| hmac::verify(&key, &signed, &tag).is_ok())
    })
}
