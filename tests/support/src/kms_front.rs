//! AWS KMS as the tests have it: moto, and before it a front that does what moto does not.
//!
//! Moto encrypts and decrypts with keys that are switched off or wait for their deletion, looks at no signature, and gives every
//! alias in one page. The front asks for a key's state first and answers as AWS does, takes only requests that are signed by the
//! key that it expects, gives pages, and fails when it is told to.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::Setup;
use crate::http_server::{HttpServer, Reply, Request};
use crate::moto::Moto;

const ACCESS_KEY: &str = "front-access-key";
/// Only ever of a server on loopback that looks at no signature.
const SECRET_KEY: &str = "private-to-this-test";
const REGION: &str = "eu-central-1";
/// Aliases a page: few, so that there are several.
const PAGE: usize = 3;
/// Requests that are remembered; a test looks at its last ones.
const REMEMBERED: usize = 2000;
/// Calls for which a key has to be switched on.
const USES: [&str; 2] = ["Encrypt", "Decrypt"];

/// What the front does in the place of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KmsFault {
    /// ThrottlingException.
    Throttled,
    /// KMSInternalException, 500.
    Internal,
    /// A page of 503 by something that is no KMS.
    Gateway,
    /// The connection is closed.
    Away,
    /// It is done, and the connection is closed without an answer.
    AnswerLost,
    /// AccessDeniedException.
    Denied,
    /// ExpiredTokenException.
    Expired,
    /// The answer comes after so many milliseconds.
    Slow(u64),
}

#[derive(Default)]
struct Told {
    /// By operation, or "" for any: what to do, and how often still.
    faults: HashMap<String, (KmsFault, u32)>,
    requests: Vec<Request>,
    access_key: String,
}

/// The front, for as long as the value lives. What is in it is in the moto that the test program shares.
pub struct KmsFront {
    server: HttpServer,
    moto: &'static Moto,
    told: Arc<Mutex<Told>>,
}

impl KmsFront {
    /// Starts a front.
    pub fn start() -> Self {
        let moto = Moto::shared();
        let told = Arc::new(Mutex::new(Told {
            access_key: ACCESS_KEY.to_owned(),
            ..Told::default()
        }));
        let shared = told.clone();
        Self {
            server: HttpServer::start(move |request| answer(moto, &shared, request)),
            moto,
            told,
        }
    }

    /// The address, `http://127.0.0.1:port`.
    pub fn endpoint(&self) -> String {
        self.server.url()
    }

    /// The key id that is expected; see [`Self::expect_access_key`].
    pub fn access_key(&self) -> &'static str {
        ACCESS_KEY
    }

    /// Its secret.
    pub fn secret_key(&self) -> &'static str {
        SECRET_KEY
    }

    /// The region that requests are signed for.
    pub fn region(&self) -> &'static str {
        REGION
    }

    /// A prefix of aliases that no other test of this program has.
    pub fn prefix(&self) -> String {
        static MADE: AtomicU32 = AtomicU32::new(0);
        format!("vault-{}", MADE.fetch_add(1, Ordering::Relaxed))
    }

    /// A vault whose root keys are behind the front.
    pub fn keeps_root_keys_of(&self, setup: Setup) -> Setup {
        setup
            .env("DASHVAULT_ROOT_KEY", "aws-kms")
            .env("DASHVAULT_KMS_ENDPOINT", self.endpoint())
            .env("DASHVAULT_KMS_PREFIX", self.prefix())
            .env("AWS_REGION", REGION)
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    }

    /// From now on requests are signed by another key.
    pub fn expect_access_key(&self, id: &str) {
        id.clone_into(&mut self.told().access_key);
    }

    /// The next `times` calls of an operation, or of any for "", go wrong.
    pub fn fail(&self, operation: &str, fault: KmsFault, times: u32) {
        self.told().faults.insert(operation.to_owned(), (fault, times));
    }

    /// No call goes wrong any more.
    pub fn heal(&self) {
        self.told().faults.clear();
    }

    /// The calls so far, the oldest first; forgets them.
    pub fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.told().requests)
    }

    /// Switches a key off.
    pub fn disable(&self, key: &str) {
        self.ask("DisableKey", &json!({ "KeyId": key }));
    }

    /// Switches a key on.
    pub fn enable(&self, key: &str) {
        self.ask("EnableKey", &json!({ "KeyId": key }));
    }

    /// Asks moto itself, past the front; panics unless it does what it is asked.
    pub fn ask(&self, operation: &str, body: &Value) -> Value {
        let (status, answer) = ask(self.moto, operation, body);
        assert_eq!(status, 200, "{operation} {body}: {answer}");
        answer
    }

    /// The key that an alias stands for.
    pub fn key_of(&self, alias: &str) -> Option<String> {
        let (status, told) = ask(self.moto, "DescribeKey", &json!({ "KeyId": alias }));
        let id = told["KeyMetadata"]["KeyId"].as_str().map(str::to_owned);
        id.filter(|_| status == 200)
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        lock(&self.told)
    }
}

fn lock(told: &Mutex<Told>) -> MutexGuard<'_, Told> {
    told.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The operation that a request is for.
fn operation_of(request: &Request) -> &str {
    request.header("x-amz-target").rsplit('.').next().unwrap_or_default()
}

fn answer(moto: &'static Moto, told: &Mutex<Told>, request: &Request) -> Reply {
    let operation = operation_of(request).to_owned();
    let fault = {
        let mut told = lock(told);
        if told.requests.len() < REMEMBERED {
            told.requests.push(request.clone());
        }
        if let Some(refused) = unsigned(request, &told.access_key) {
            return error(400, "UnrecognizedClientException", refused);
        }
        due(&mut told, &operation)
    };
    match fault {
        None => forward(moto, &operation, request),
        Some(KmsFault::Slow(millis)) => {
            thread::sleep(Duration::from_millis(millis));
            forward(moto, &operation, request)
        }
        Some(KmsFault::AnswerLost) => {
            forward(moto, &operation, request);
            Reply::Close
        }
        Some(KmsFault::Away) => Reply::Close,
        Some(KmsFault::Gateway) => Reply::Answer(503, b"<html>try later</html>".to_vec()),
        Some(KmsFault::Internal) => error(500, "KMSInternalException", "something broke"),
        Some(KmsFault::Throttled) => error(400, "ThrottlingException", "Rate exceeded"),
        Some(KmsFault::Denied) => error(400, "AccessDeniedException", "not authorised to perform this"),
        Some(KmsFault::Expired) => error(400, "ExpiredTokenException", "the token is expired"),
    }
}

/// The fault that this call meets.
fn due(told: &mut Told, operation: &str) -> Option<KmsFault> {
    for name in [operation, ""] {
        if let Some((fault, times)) = told.faults.get_mut(name).filter(|(_, times)| *times > 0) {
            *times -= 1;
            return Some(*fault);
        }
    }
    None
}

/// What is wrong with a request's signature, as far as the front looks.
fn unsigned(request: &Request, access_key: &str) -> Option<&'static str> {
    let said = request.header("authorization");
    let day = request.header("x-amz-date").get(..8).unwrap_or_default();
    let begins = format!("AWS4-HMAC-SHA256 Credential={access_key}/{day}/{REGION}/kms/aws4_request, SignedHeaders=");
    let Some(rest) = said.strip_prefix(&begins) else {
        return Some("the request is signed by another key, or for another region");
    };
    let names = rest.split(", Signature=").next().unwrap_or_default();
    for name in ["content-type", "host", "x-amz-date", "x-amz-target"] {
        if !names.split(';').any(|signed| signed == name) {
            return Some("a header is not signed");
        }
    }
    let token = request.headers.iter().any(|(name, _)| name == "x-amz-security-token");
    (token && !names.contains("x-amz-security-token")).then_some("the token is not signed")
}

fn forward(moto: &'static Moto, operation: &str, request: &Request) -> Reply {
    let body: Value = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
    if USES.contains(&operation) {
        let Some(key) = body["KeyId"].as_str() else {
            return error(400, "ValidationException", "no key is named");
        };
        let (status, told) = ask(moto, "DescribeKey", &json!({ "KeyId": key }));
        let arn = told["KeyMetadata"]["Arn"].as_str().unwrap_or(key);
        match told["KeyMetadata"]["KeyState"].as_str() {
            _ if status != 200 => return error(400, "NotFoundException", "no such key"),
            Some("Enabled") => {}
            Some("Disabled") => return error(400, "DisabledException", &format!("{arn} is disabled.")),
            _ => return error(400, "KMSInvalidStateException", &format!("{arn} is pending deletion.")),
        }
    }
    let (status, told) = ask(moto, operation, &body);
    match (operation, told["__type"].as_str()) {
        // What AWS calls a ciphertext of another key than the named one.
        ("Decrypt", Some("AccessDeniedException")) => error(400, "IncorrectKeyException", "another key made it"),
        ("ListAliases", None) => Reply::ok(page(&body, told).to_string()),
        _ => Reply::Answer(status, told.to_string().into_bytes()),
    }
}

/// One page of moto's whole list; the marker is a number.
fn page(asked: &Value, mut told: Value) -> Value {
    let begin: usize = asked["Marker"]
        .as_str()
        .map_or(0, |marker| marker.parse().expect("the front's marker"));
    let all = told["Aliases"].as_array().cloned().unwrap_or_default();
    let end = (begin + PAGE).min(all.len());
    told["Aliases"] = all[begin..end].into();
    told["Truncated"] = (end < all.len()).into();
    if end < all.len() {
        told["NextMarker"] = end.to_string().into();
    }
    told
}

fn ask(moto: &Moto, operation: &str, body: &Value) -> (u16, Value) {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let request = Request {
        method: "POST".to_owned(),
        path: "/".to_owned(),
        headers: vec![
            header("host", &format!("kms.{REGION}.amazonaws.com")),
            header("content-type", "application/x-amz-json-1.1"),
            header("x-amz-target", &format!("TrentService.{operation}")),
            header(
                "authorization",
                &format!(
                    "AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/20260101/{REGION}/kms/aws4_request, SignedHeaders=host, Signature=0"
                ),
            ),
        ],
        body: body.to_string().into_bytes(),
    };
    let (status, answer) = moto
        .ask(&request)
        .unwrap_or_else(|| panic!("moto does not answer {operation}"));
    (status, serde_json::from_slice(&answer).unwrap_or(Value::Null))
}

fn error(status: u16, kind: &str, message: &str) -> Reply {
    Reply::Answer(
        status,
        json!({ "__type": kind, "message": message }).to_string().into_bytes(),
    )
}
