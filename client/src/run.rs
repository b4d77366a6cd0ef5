//! One file on its way: begin, ask, send, wait, over and over until the vault has it.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dashvault_keys::receipt;
use dashvault_keys::system::{ReceiptKey, trusted_from};
use data_encoding::BASE64;
use data_encoding::BASE64URL_NOPAD;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, Method};
use serde::Deserialize;
use tokio::time::sleep;

use crate::answer::Answer;
use crate::device::id_bytes;
use crate::memory::Memory;
use crate::pause::Pauses;
use crate::source::Source;
use crate::{Client, ClientError, Options, Progress, Stage};

/// A vault that loses an upload as often as this without a byte gained in between will not keep it.
const MAX_BEGINNINGS: u32 = 5;
/// Between two looks for the receipt: sealing takes a moment, so the pause grows.
const RECEIPT_POLL: Duration = Duration::from_millis(250);
const RECEIPT_POLL_LONGEST: Duration = Duration::from_secs(5);
/// How often progress is told while bytes go out.
const TICK: Duration = Duration::from_millis(200);
/// A socket that took no byte for so long, or gave no answer to a whole body, hangs half-open.
const STALL: Duration = Duration::from_secs(45);

/// One file on its way.
pub(crate) struct Run<'a, P> {
    client: &'a Client,
    memory: Memory,
    source: &'a Source,
    options: &'a Options,
    progress: &'a mut P,
    pauses: Pauses,
    /// When something was last gained.
    gained_at: Instant,
    /// Bytes that the vault told it has.
    held: u64,
    /// Uploads begun since a byte was last gained.
    beginnings: u32,
}

/// Why a try did not bring it to the end.
enum Setback {
    /// Try again, no sooner than this.
    Later(Duration, ClientError),
    /// The vault does not have this upload any more.
    Lost(ClientError),
    /// Trying again would not help.
    Final(ClientError),
}

#[derive(Deserialize)]
struct KeysAnswer {
    keys: Vec<KeyAnswer>,
}

#[derive(Deserialize)]
struct KeyAnswer {
    version: u32,
    since_ms: i64,
    public_key: String,
    endorsement: String,
}

#[derive(Deserialize)]
struct ReceiptAnswer {
    receipt: String,
}

impl<'a, P: FnMut(Progress) + Send> Run<'a, P> {
    pub fn new(client: &'a Client, source: &'a Source, options: &'a Options, progress: &'a mut P) -> Self {
        Self {
            memory: Memory::of(client.device(), source.sha256(), source.bytes()),
            client,
            source,
            options,
            progress,
            pauses: Pauses::default(),
            gained_at: Instant::now(),
            held: 0,
            beginnings: 0,
        }
    }

    /// Until every byte is durable in the vault; the upload's URL.
    pub async fn send_all(&mut self) -> Result<String, ClientError> {
        let recalled = self.memory.recall();
        let mut url = recalled.and_then(|url| self.client.connection().resolve(&url));
        loop {
            match self.try_to_send(&mut url).await {
                Ok(url) => return Ok(url),
                Err(Setback::Final(error)) => return Err(error),
                Err(Setback::Later(after, error)) => self.pause(after, error).await?,
                Err(Setback::Lost(error)) => {
                    self.memory.forget();
                    url = None;
                    self.held = 0;
                    if self.beginnings >= MAX_BEGINNINGS {
                        return Err(error);
                    }
                    if self.beginnings > 0 {
                        self.pause(Duration::ZERO, error).await?;
                    }
                }
            }
        }
    }

    async fn try_to_send(&mut self, url: &mut Option<String>) -> Result<String, Setback> {
        let at = match url {
            Some(url) => {
                let offset = self.offset(url).await?;
                self.gain(offset);
                url.clone()
            }
            None => {
                let (begun, held) = self.begin().await?;
                self.beginnings += 1;
                self.memory.keep(&begun)?;
                self.gain(held);
                url.insert(begun).clone()
            }
        };
        while self.held < self.source.bytes() {
            let offset = self.send(&at).await?;
            self.gain(offset);
        }
        Ok(at)
    }

    fn gain(&mut self, offset: u64) {
        if offset > self.held {
            self.gained_at = Instant::now();
            self.pauses.reset();
            self.beginnings = 0;
        }
        self.held = offset;
        self.tell(Stage::Sending, offset);
    }

    fn tell(&mut self, stage: Stage, bytes: u64) {
        (self.progress)(Progress {
            stage,
            bytes,
            total: self.source.bytes(),
        });
    }

    async fn pause(&mut self, after: Duration, error: ClientError) -> Result<(), ClientError> {
        let pause = self.pauses.next(after);
        if let Some(most) = self.options.give_up_after
            && self.gained_at.elapsed() + pause > most
        {
            return Err(error);
        }
        self.tell(Stage::Pausing, self.held);
        sleep(pause).await;
        Ok(())
    }

    /// Begins an upload; its URL, and what the vault has of it: it may know the clip from a beginning whose answer was lost.
    async fn begin(&self) -> Result<(String, u64), Setback> {
        let length = self.source.bytes().to_string();
        let metadata = self.metadata();
        let headers = [("Upload-Length", &*length), ("Upload-Metadata", &*metadata)];
        let answer = self.ask(Method::POST, "/v1/uploads", &headers).await?;
        if answer.status() != 201 {
            return Err(setback(answer).await.of_beginning());
        }
        let url = answer
            .location()
            .and_then(|location| self.client.connection().resolve(location));
        let held = answer.offset().filter(|offset| *offset <= self.source.bytes());
        url.map(|url| (url, held.unwrap_or(0))).ok_or_else(|| {
            Setback::Final(ClientError::Protocol {
                reason: "no location of the upload".to_owned(),
            })
        })
    }

    fn metadata(&self) -> String {
        let recorded_at = self
            .source
            .modified_ms()
            .filter(|_| self.options.recorded_at_from_mtime);
        let pairs = [
            ("sha256", Some(self.source.sha256().to_owned())),
            ("filename", self.source.name()),
            ("filetype", Some(self.source.media_type().to_owned())),
            ("recorded_at", recorded_at.map(|at| at.to_string())),
            ("camera", self.options.camera.clone()),
            ("kind", self.options.kind.clone()),
        ];
        let told = pairs.into_iter().filter_map(|(key, value)| Some((key, value?)));
        let told: Vec<_> = told
            .map(|(key, value)| format!("{key} {}", BASE64.encode(value.as_bytes())))
            .collect();
        told.join(",")
    }

    /// Where the upload stands.
    async fn offset(&self, url: &str) -> Result<u64, Setback> {
        let answer = self.ask(Method::HEAD, url, &[]).await?;
        if !answer.is_success() {
            return Err(setback(answer).await);
        }
        self.offset_of(&answer)
    }

    fn offset_of(&self, answer: &Answer) -> Result<u64, Setback> {
        let offset = answer.offset().filter(|offset| *offset <= self.source.bytes());
        offset.ok_or_else(|| {
            Setback::Final(ClientError::Protocol {
                reason: "no offset within the file".to_owned(),
            })
        })
    }

    /// Sends everything from where the vault stands; the offset it tells then.
    async fn send(&mut self, url: &str) -> Result<u64, Setback> {
        let mut answer = self.patch(url).await?;
        if self.client.learn_skew(&answer) {
            answer = self.patch(url).await?;
        }
        if answer.status() != 204 {
            return Err(setback(answer).await);
        }
        self.offset_of(&answer)
    }

    async fn patch(&mut self, url: &str) -> Result<Answer, Setback> {
        let (from, total) = (self.held, self.source.bytes());
        let sent = Arc::new(AtomicU64::new(0));
        let body = Body::wrap_stream(self.source.from(from, Arc::clone(&sent)).await?);
        let request = self.client.connection().open_ended(Method::PATCH, url);
        let request = request
            .bearer_auth(self.client.token())
            .header("Tus-Resumable", "1.0.0")
            .header("Upload-Offset", from)
            .header(CONTENT_TYPE, "application/offset+octet-stream")
            .header(CONTENT_LENGTH, total - from)
            .body(body);
        let mut sending = pin!(request.send());
        let (mut moved_at, mut last) = (Instant::now(), 0);
        loop {
            tokio::select! {
                answer = &mut sending => return answer.map(Answer::of).map_err(unreachable),
                () = sleep(TICK) => {}
            }
            let now = sent.load(Ordering::Relaxed);
            if now != last {
                (moved_at, last) = (Instant::now(), now);
                self.tell(Stage::Sending, from + now);
            } else if moved_at.elapsed() > STALL {
                return Err(Setback::Later(
                    Duration::ZERO,
                    ClientError::Unreachable("the connection took no more bytes".into()),
                ));
            }
        }
    }

    /// Until the vault signs that it holds exactly this file; the receipt, verified.
    pub async fn wait_for_receipt(&mut self, url: &str, clip_id: &str) -> Result<String, ClientError> {
        let target = format!("{url}/receipt");
        let mut poll = RECEIPT_POLL;
        self.gained_at = Instant::now();
        self.pauses.reset();
        loop {
            self.tell(Stage::Sealing, self.source.bytes());
            match self.ask(Method::GET, &target, &[]).await {
                Ok(answer) if answer.status() == 200 => {
                    let answer: ReceiptAnswer = answer.json().await?;
                    self.check(&answer.receipt, clip_id).await?;
                    self.memory.forget();
                    return Ok(answer.receipt);
                }
                Ok(answer) if answer.status() == 202 => {
                    // The vault is there and at it: only silence counts towards giving up.
                    self.gained_at = Instant::now();
                    self.pauses.reset();
                    sleep(poll).await;
                    poll = (poll * 5 / 4).min(RECEIPT_POLL_LONGEST);
                }
                // The bytes that arrived are not those that were announced: no waiting brings a receipt for them.
                Ok(answer) if answer.status() == 409 => {
                    self.memory.forget();
                    return Err(answer.refused().await);
                }
                Ok(answer) => match setback(answer).await {
                    Setback::Later(after, error) => self.pause(after, error).await?,
                    Setback::Lost(error) | Setback::Final(error) => {
                        // The next call begins anew.
                        self.memory.forget();
                        return Err(error);
                    }
                },
                Err(Setback::Later(after, error)) => self.pause(after, error).await?,
                Err(Setback::Lost(error) | Setback::Final(error)) => return Err(error),
            }
        }
    }

    /// Checks that a receipt is the vault's word for exactly this file.
    async fn check(&self, text: &str, clip_id: &str) -> Result<(), ClientError> {
        let wrong = |reason| Err(ClientError::Receipt { reason });
        let paired = self.client.device().vault_public_key();
        let mut receipt = receipt::verify(text, paired);
        if receipt.is_none() {
            // The vault may have rotated its key since the pairing: what the old one vouches for is believed, nothing else.
            let keys = self.receipt_keys().await?;
            let trusted = trusted_from(paired, &keys);
            receipt = trusted.iter().find_map(|key| receipt::verify(text, key));
        }
        let Some(receipt) = receipt else {
            return wrong("it is not signed by the vault that this vehicle was paired with");
        };
        if Some(receipt.clip) != id_bytes(clip_id) {
            return wrong("it is for another clip");
        }
        if receipt.length != self.source.bytes() || receipt.sha256 != *self.source.digest() {
            return wrong("it is for other bytes");
        }
        Ok(())
    }

    async fn receipt_keys(&self) -> Result<Vec<ReceiptKey>, ClientError> {
        let answer = match self.ask(Method::GET, "/v1/receipt-keys", &[]).await {
            Ok(answer) if answer.status() == 200 => answer.json::<KeysAnswer>().await?,
            // A vault that knows no such list has rotated nothing.
            Ok(_) => return Ok(Vec::new()),
            Err(Setback::Later(_, error) | Setback::Lost(error) | Setback::Final(error)) => return Err(error),
        };
        let keys = answer.keys.iter().map(|key| {
            Some(ReceiptKey {
                version: key.version,
                since_ms: key.since_ms,
                public_key: bytes(&key.public_key)?,
                endorsement: bytes(&key.endorsement)?,
            })
        });
        Ok(keys.collect::<Option<_>>().unwrap_or_default())
    }

    /// A request without a body of bytes; signed once more by the vault's clock when the token is refused.
    async fn ask(&self, method: Method, target: &str, headers: &[(&str, &str)]) -> Result<Answer, Setback> {
        let ask = async || {
            let request = self.client.connection().request(method.clone(), target);
            let mut request = request
                .bearer_auth(self.client.token())
                .header("Tus-Resumable", "1.0.0");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            request.send().await.map(Answer::of).map_err(unreachable)
        };
        let answer = ask().await?;
        if self.client.learn_skew(&answer) {
            return ask().await;
        }
        Ok(answer)
    }
}

fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    BASE64URL_NOPAD.decode(text.as_bytes()).ok()?.try_into().ok()
}

fn unreachable(error: reqwest::Error) -> Setback {
    Setback::Later(Duration::ZERO, ClientError::Unreachable(error.into()))
}

/// What an answer that is no success means. 401 and 403 are no success: no file is ever counted as uploaded by them.
async fn setback(answer: Answer) -> Setback {
    let (status, after) = (answer.status(), answer.retry_after());
    let refused = answer.refused().await;
    match status {
        401 | 403 => Setback::Final(match refused {
            ClientError::Refused { status, reason } => ClientError::Unwelcome { status, reason },
            other => other,
        }),
        404 | 410 => Setback::Lost(refused),
        // The offset is asked for again; the vault is busy, away or full; the connection was slow.
        408 | 409 | 423 | 425 | 429 | 460 | 500.. => Setback::Later(after, refused),
        _ => Setback::Final(refused),
    }
}

impl Setback {
    /// There is nothing that a vault could have lost before an upload began.
    fn of_beginning(self) -> Self {
        match self {
            Self::Lost(error) => Self::Final(error),
            other => other,
        }
    }
}

impl From<ClientError> for Setback {
    fn from(error: ClientError) -> Self {
        Self::Final(error)
    }
}
