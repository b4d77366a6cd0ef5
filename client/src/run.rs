//! One try to bring a file: begin, or ask where it stands, and send. What a try that failed is followed by is the courier's to say.

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
use crate::pipe::Pipe;
use crate::source::Source;
use crate::{Client, ClientError, Progress, Stage};

/// How often progress is told while bytes go out.
const TICK: Duration = Duration::from_millis(200);
/// A socket that took no byte for so long, or gave no answer to a whole body, hangs half-open.
const STALL: Duration = Duration::from_secs(45);

/// What the vault is told of a file, besides its bytes and its name.
pub(crate) struct Told {
    /// Its modification time as the recording time.
    pub recorded_at_from_mtime: bool,
    /// The camera's name, such as `front`.
    pub camera: Option<String>,
    /// The kind of clip, such as `event` or `routine`.
    pub kind: Option<String>,
}

/// One file on its way.
pub(crate) struct Run<'a, P> {
    client: &'a Client,
    memory: Memory,
    source: &'a Source,
    about: &'a Told,
    progress: &'a mut P,
    /// Bytes that the vault told it has.
    held: u64,
    /// What the link lets through; none where bytes cost nothing.
    allowance: Option<Allowance<'a>>,
    /// What the request under way has handed over.
    pipe: Pipe,
}

impl<'a, P: FnMut(Progress) + Send> Run<'a, P> {
    pub fn new(client: &'a Client, source: &'a Source, about: &'a Told, progress: &'a mut P) -> Self {
        Self {
            memory: Memory::of(client.device(), source.sha256(), source.bytes()),
            client,
            source,
            about,
            progress,
            held: 0,
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

    /// One try without a pause, from wherever the vault stands; the upload's URL when every byte is durable. An upload from an
    /// earlier try that the vault does not have any more is begun anew; one that it loses within this try is lost.
    pub async fn attempt(&mut self) -> Result<String, Setback> {
        let recalled = self.memory.recall();
        let url = recalled.and_then(|url| self.client.connection().resolve(&url));
        let is_recalled = url.is_some();
        match self.try_to_send(url).await {
            Err(Setback::Lost(_)) if is_recalled => {
                self.forget();
                self.try_to_send(None).await
            }
            other => other,
        }
        .inspect_err(|setback| {
            if let Setback::Lost(_) = setback {
                self.memory.forget();
            }
        })
    }

    fn forget(&mut self) {
        self.memory.forget();
        self.held = 0;
    }

    /// Bytes that the vault told it has.
    pub fn held(&self) -> u64 {
        self.held
    }

    /// How long it takes until the bytes of a request that was dropped midway have arrived.
    pub fn drains_within(&self) -> Duration {
        self.pipe.drains_within(Instant::now())
    }

    async fn try_to_send(&mut self, url: Option<String>) -> Result<String, Setback> {
        let at = match url {
            Some(url) => {
                let offset = self.offset(&url).await?;
                self.gain(offset);
                url
            }
            None => {
                let (begun, held) = self.begin().await?;
                self.memory.keep(&begun)?;
                self.gain(held);
                begun
            }
        };
        while self.held < self.source.bytes() {
            let offset = self.send(&at).await?;
            self.gain(offset);
        }
        Ok(at)
    }

    fn gain(&mut self, offset: u64) {
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
        let recorded_at = self.source.modified_ms().filter(|_| self.about.recorded_at_from_mtime);
        let pairs = [
            ("sha256", Some(self.source.sha256().to_owned())),
            ("filename", self.source.name()),
            ("filetype", Some(self.source.media_type().to_owned())),
            ("recorded_at", recorded_at.map(|at| at.to_string())),
            ("camera", self.about.camera.clone()),
            ("kind", self.about.kind.clone()),
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
}
