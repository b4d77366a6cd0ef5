//! A vault as a vehicle sees it, over real sockets, with mishaps to order. It keeps the contract: it tells no offset that
//! it does not hold, takes no token that is not signed, and signs receipts only for what it has.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dashvault_keys::receipt::{Receipt, ReceiptSigner};
use dashvault_keys::token::{parse_device_token, verify_pairing_proof};
use dashvault_keys::{Secret32, digest};
use data_encoding::{BASE32_NOPAD, BASE64, BASE64URL_NOPAD};
use serde_json::{Value, json};

pub const CODE: &str = "7KQ4-M2XA-9TBE";
const DEVICE: [u8; 16] = [3; 16];

/// What befalls the next request of a kind.
#[derive(Debug, Clone)]
pub enum Mishap {
    /// The connection breaks after so many bytes of the body; they are kept.
    Cut(usize),
    /// Everything is taken, and the answer is lost.
    AnswerLost,
    /// This status, with a `Retry-After` in seconds.
    Status(u16, u32),
}

#[derive(Default)]
pub struct State {
    pub received: Vec<u8>,
    pub length: usize,
    pub metadata: String,
    /// How many uploads were begun.
    pub beginnings: usize,
    /// Bytes of bodies that came over the wire, kept or not.
    pub on_the_wire: usize,
    pub requests: Vec<String>,
    pub posts: VecDeque<Mishap>,
    pub patches: VecDeque<Mishap>,
    pub heads: VecDeque<Mishap>,
    /// How many times a receipt is not ready yet.
    pub pending: usize,
    /// The bytes are not those that were announced: there will be no receipt.
    pub quarantined: bool,
    /// Changes a receipt before it is signed.
    pub twist: Option<fn(&mut Receipt)>,
    /// How far this clock is ahead of the vehicle's.
    pub ahead: Duration,
    /// The receipt is signed by another's key.
    pub forged: bool,
    /// Where `Location` leads instead.
    pub location: Option<String>,
    public_key: Option<[u8; 32]>,
}

#[derive(Clone)]
pub struct Fake {
    state: Arc<Mutex<State>>,
    pub url: String,
}

struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
}

impl Fake {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let fake = Self {
            state: Arc::default(),
            url: format!("http://{}", listener.local_addr().unwrap()),
        };
        let serving = fake.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = serving.clone();
                std::thread::spawn(move || serving.serve(stream));
            }
        });
        fake
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The known key of `Upload-Metadata`, decoded.
    pub fn told(&self, key: &str) -> Option<String> {
        let metadata = self.state().metadata.clone();
        let mut pairs = metadata.split(',').filter_map(|pair| pair.split_once(' '));
        let value = pairs.find(|(name, _)| *name == key)?.1.to_owned();
        Some(String::from_utf8(BASE64.decode(value.as_bytes()).unwrap()).unwrap())
    }

    fn now_ms(&self) -> i64 {
        let now = SystemTime::now() + self.state().ahead;
        now.duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
    }

    fn serve(&self, stream: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let request = Request::read(&mut reader)?;
        let told = format!(
            "{} {}",
            request.method,
            request.path.split('/').nth(2).unwrap_or_default()
        );
        self.state().requests.push(told);
        let length: usize = request.header("content-length").map_or(0, |text| text.parse().unwrap());
        let mut body = reader.take(length as u64);
        if request.path == "/v1/devices" {
            let mut text = Vec::new();
            body.read_to_end(&mut text).unwrap();
            return answer(&stream, &self.pair(&serde_json::from_slice(&text).unwrap()));
        }
        if !self.is_allowed(&request) {
            let date = httpdate::fmt_http_date(SystemTime::now() + self.state().ahead);
            return answer(
                &stream,
                &format!("401 Unauthorized\r\nDate: {date}\r\nContent-Length: 0\r\n\r\n"),
            );
        }
        let mishap = match request.method.as_str() {
            "POST" => self.state().posts.pop_front(),
            "PATCH" => self.state().patches.pop_front(),
            "HEAD" => self.state().heads.pop_front(),
            _ => None,
        };
        if let Some(Mishap::Status(status, retry_after)) = mishap {
            let _ = std::io::copy(&mut body, &mut std::io::sink());
            let head = format!("{status} No\r\nRetry-After: {retry_after}\r\nContent-Length: 0\r\n\r\n");
            return answer(&stream, &head);
        }
        let text = match request.method.as_str() {
            "POST" => self.begin(&request),
            "HEAD" => self.offset(),
            "PATCH" => self.append(&request, body, mishap)?,
            // This vault has rotated nothing, and has no policy.
            _ if matches!(request.path.as_str(), "/v1/receipt-keys" | "/v1/vehicle/policy") => {
                ok("404 Not Found", &json!({"title": "There is nothing here"}))
            }
            _ => self.receipt(),
        };
        answer(&stream, &text)
    }

    fn is_allowed(&self, request: &Request) -> bool {
        let token = request.header("authorization").unwrap_or_default();
        let token = token.strip_prefix("Bearer ").unwrap_or_default();
        let public_key = self.state().public_key.expect("a paired vehicle");
        let claims = parse_device_token(token).and_then(|token| token.verify(&public_key));
        let now = self.now_ms();
        claims.is_some_and(|claims| claims.device == DEVICE && (claims.issued_at_ms - now).abs() < 600_000)
    }

    fn pair(&self, request: &Value) -> String {
        let text = |key: &str| request[key].as_str().unwrap().to_owned();
        let public_key = BASE64URL_NOPAD.decode(text("public_key").as_bytes()).unwrap();
        let public_key: [u8; 32] = public_key.try_into().unwrap();
        if text("code") != CODE || !verify_pairing_proof(&public_key, CODE, &text("proof")) {
            return ok("404 Not Found", &json!({"title": "There is nothing here"}));
        }
        self.state().public_key = Some(public_key);
        let key = signer(false).public_key();
        let answer = json!({"device_id": base32(&DEVICE), "vault_public_key": BASE64URL_NOPAD.encode(&key)});
        ok("201 Created", &answer)
    }

    fn begin(&self, request: &Request) -> String {
        let mut state = self.state();
        state.beginnings += 1;
        state.received.clear();
        state.length = request.header("upload-length").unwrap().parse().unwrap();
        state.metadata = request.header("upload-metadata").unwrap();
        let location = format!("{}/v1/uploads/{}", self.url, base32(&clip(state.beginnings)));
        let location = state.location.clone().unwrap_or(location);
        format!("201 Created\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
    }

    fn offset(&self) -> String {
        let state = self.state();
        format!(
            "200 OK\r\nUpload-Offset: {}\r\nUpload-Length: {}\r\n\r\n",
            state.received.len(),
            state.length
        )
    }

    fn append(&self, request: &Request, mut body: impl std::io::Read, mishap: Option<Mishap>) -> Option<String> {
        let offset: usize = request.header("upload-offset").unwrap().parse().unwrap();
        if offset != self.state().received.len() {
            return Some("409 Conflict\r\nContent-Length: 0\r\n\r\n".to_owned());
        }
        let most = match mishap {
            Some(Mishap::Cut(bytes)) => bytes,
            _ => usize::MAX,
        };
        let (mut taken, mut chunk) = (0, vec![0; 16 << 10]);
        loop {
            let read = body.read(&mut chunk).unwrap_or(0);
            let kept = read.min(most - taken);
            taken += kept;
            let mut state = self.state();
            state.on_the_wire += kept;
            state.received.extend_from_slice(&chunk[..kept]);
            if taken == most {
                return None;
            }
            if read == 0 {
                break;
            }
        }
        if matches!(mishap, Some(Mishap::AnswerLost)) {
            return None;
        }
        let offset = self.state().received.len();
        Some(format!("204 No Content\r\nUpload-Offset: {offset}\r\n\r\n"))
    }

    fn receipt(&self) -> String {
        let at_ms = self.now_ms();
        let mut state = self.state();
        if state.received.len() < state.length || state.pending > 0 {
            state.pending = state.pending.saturating_sub(1);
            return ok("202 Accepted", &json!({"state": "pending"}));
        }
        if state.quarantined {
            return ok("409 Conflict", &json!({"type": "urn:dashvault:problem:no-receipt"}));
        }
        let mut receipt = Receipt {
            clip: clip(state.beginnings),
            sha256: digest::sha256(&state.received),
            length: state.received.len() as u64,
            at_ms,
        };
        if let Some(twist) = state.twist {
            twist(&mut receipt);
        }
        ok("200 OK", &json!({"receipt": signer(state.forged).sign(&receipt)}))
    }
}

impl Request {
    fn read(reader: &mut BufReader<TcpStream>) -> Option<Self> {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let mut words = line.split(' ');
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(':') else {
                break;
            };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        Some(Self { method, path, headers })
    }

    fn header(&self, name: &str) -> Option<String> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone())
    }
}

fn answer(mut stream: &TcpStream, text: &str) -> Option<()> {
    let (line, rest) = text.split_once("\r\n").unwrap();
    write!(stream, "HTTP/1.1 {line}\r\nConnection: close\r\n{rest}").ok()
}

fn ok(line: &str, body: &Value) -> String {
    let body = body.to_string();
    format!(
        "{line}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn signer(forged: bool) -> ReceiptSigner {
    ReceiptSigner::new(&Secret32::from_bytes([if forged { 9 } else { 8 }; 32]))
}

fn clip(beginning: usize) -> [u8; 16] {
    [beginning as u8; 16]
}

fn base32(bytes: &[u8]) -> String {
    BASE32_NOPAD.encode(bytes).to_ascii_lowercase()
}
