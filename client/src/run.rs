//! One file on its way: begin, ask, send, wait, over and over until the vault has it.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, Method};
use tokio::time::sleep;

use crate::answer::Answer;
use crate::ask::{Setback, setback, unreachable};
use crate::budget::Allowance;
use crate::memory::Memory;
use crate::pause::Pauses;
use crate::pipe::Pipe;
use crate::receipt::Delivered;
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
    /// What the link lets through; none where bytes cost nothing.
    allowance: Option<Allowance<'a>>,
    /// What the request under way has handed over.
    pipe: Pipe,
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
            allowance: None,
            pipe: Pipe::new(Instant::now()),
        }
    }

    /// Sends no more than this lets through.
    #[must_use]
    pub fn within(mut self, allowance: Option<Allowance<'a>>) -> Self {
        self.allowance = allowance;
        self
    }

    /// One try without a pause, from wherever the vault stands; the upload's URL when every byte is durable. An upload that
    /// the vault does not have any more is begun anew.
    pub async fn attempt(&mut self) -> Result<String, Setback> {
        loop {
            let recalled = self.memory.recall();
            let mut url = recalled.and_then(|url| self.client.connection().resolve(&url));
            match self.try_to_send(&mut url).await {
                Err(Setback::Lost(error)) => {
                    self.memory.forget();
                    self.held = 0;
                    if self.beginnings > 0 {
                        return Err(Setback::Later(Duration::ZERO, error));
                    }
                }
                other => return other,
            }
        }
    }

    /// Bytes that the vault told it has.
    pub fn held(&self) -> u64 {
        self.held
    }

    /// How long it takes until the bytes of a request that was dropped midway have arrived.
    pub fn drains_within(&self) -> Duration {
        self.pipe.drains_within(Instant::now())
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
                Err(Setback::Unaffordable) => self.pause(Duration::ZERO, unaffordable()).await?,
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
        let answer = self.client.ask(Method::POST, "/v1/uploads", &headers).await?;
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
        let answer = self.client.ask(Method::HEAD, url, &[]).await?;
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
        let from = self.held;
        let sent = Arc::new(AtomicU64::new(0));
        let mut length = self.source.bytes() - from;
        // However this ends, also when it is dropped midway, what was not sent is given back.
        let mut _grant = None;
        if let Some(allowance) = &self.allowance {
            let grant = allowance
                .take(length, Arc::clone(&sent))?
                .ok_or(Setback::Unaffordable)?;
            length = grant.bytes();
            _grant = Some(grant);
        }
        let body = Body::wrap_stream(self.source.from(from, length, Arc::clone(&sent)).await?);
        let request = self.client.connection().open_ended(Method::PATCH, url);
        let request = request
            .bearer_auth(self.client.token())
            .header("Tus-Resumable", "1.0.0")
            .header("Upload-Offset", from)
            .header(CONTENT_TYPE, "application/offset+octet-stream")
            .header(CONTENT_LENGTH, length)
            .body(body);
        let mut sending = pin!(request.send());
        let (mut moved_at, mut last) = (Instant::now(), 0);
        self.pipe = Pipe::new(moved_at);
        loop {
            tokio::select! {
                answer = &mut sending => {
                    self.pipe = Pipe::new(Instant::now());
                    return answer.map(Answer::of).map_err(unreachable);
                }
                () = sleep(TICK) => {}
            }
            let now = sent.load(Ordering::Relaxed);
            self.pipe.note(now, Instant::now());
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
    pub async fn wait_for_receipt(&mut self, url: &str) -> Result<String, ClientError> {
        let delivered = Delivered {
            url,
            bytes: self.source.bytes(),
            digest: self.source.digest(),
        };
        let mut poll = RECEIPT_POLL;
        self.gained_at = Instant::now();
        self.pauses.reset();
        loop {
            self.tell(Stage::Sealing, self.source.bytes());
            match delivered.receipt(self.client).await {
                Ok(Some(receipt)) => return Ok(receipt),
                Ok(None) => {
                    // The vault is there and at it: only silence counts towards giving up.
                    self.gained_at = Instant::now();
                    self.pauses.reset();
                    sleep(poll).await;
                    poll = (poll * 5 / 4).min(RECEIPT_POLL_LONGEST);
                }
                Err(Setback::Later(after, error)) => self.pause(after, error).await?,
                Err(Setback::Unaffordable) => self.pause(Duration::ZERO, unaffordable()).await?,
                // The upload is what it was; the word about it is wrong.
                Err(Setback::Final(error @ (ClientError::Receipt { .. } | ClientError::Protocol { .. }))) => {
                    return Err(error);
                }
                Err(Setback::Lost(error) | Setback::Final(error)) => {
                    // The next call begins anew.
                    self.memory.forget();
                    return Err(error);
                }
            }
        }
    }

    /// Nothing has to be known of this upload any more.
    pub fn forget(&self) {
        self.memory.forget();
    }
}

fn unaffordable() -> ClientError {
    ClientError::Unreachable("the budget of this link is used up".into())
}
