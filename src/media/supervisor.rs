//! Runs workers: feeds them, drains them, and believes nothing they say that was not counted here.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use dashvault_worker_protocol::{
    Failure, FromWorker, Job, Limits, MAX_ANSWER_BYTES, MAX_DURATION_MS, MAX_OUTPUTS, Start, ToWorker,
};

use super::outputs::Outputs;
use super::process::{Worker, readable};
use super::watch::Pulse;
use super::{MadeOutput, MakeReport, MediaError, OutputSink, Plan, Probe, Source, Transcoder};

/// Where the worker is and what it may do.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// The program; `None` is `dashvault-worker` beside the running program.
    pub worker: Option<PathBuf>,
    /// Run it where the kernel gives no sandbox. Every clip is then a stranger's program in the service's own rights.
    pub allow_unsandboxed: bool,
}

const WORKER: &str = "dashvault-worker";
/// A probe reads tables and decodes a few pictures.
const PROBE_LIMITS: Limits = Limits {
    cpu_secs: 20,
    memory_bytes: 2 << 30,
};
/// 4K HEVC with all its threads takes half of it.
const MAKE_MEMORY_BYTES: u64 = 4 << 30;
/// To start, and for clips of no duration.
const BASE_SECS: u64 = 60;
/// Of CPU for each second of the clip: 4K HEVC to 720p takes 1.8 on a new core.
const CPU_SECS_A_SECOND: u64 = 12;
/// Of wall-clock time for each second of the clip.
const WALL_SECS_A_SECOND: u64 = 20;
/// A duration is the sender's claim; a file that claims less than it would last at this rate (2 Mbit/s) is given the time of that.
const BYTES_A_SECOND: u64 = 250_000;
/// Less of the claimed duration than this, in percent, is an incomplete clip.
const COMPLETE_PERCENT: u64 = 80;
/// Pictures beyond it are refused by the worker; what it says is checked again.
const MAX_SIDE: u32 = 16_384;

/// Makes probes and renditions, each in a worker of its own.
#[derive(Debug, Clone)]
pub struct Media {
    program: PathBuf,
    allow_unsandboxed: bool,
}

impl Media {
    /// Looks for the worker; nothing is started.
    pub fn new(config: Config) -> Self {
        let beside = || std::env::current_exe().ok().map(|own| own.with_file_name(WORKER));
        Self {
            program: config.worker.or_else(beside).unwrap_or_else(|| PathBuf::from(WORKER)),
            allow_unsandboxed: config.allow_unsandboxed,
        }
    }

    /// The program that is started for every clip.
    pub fn worker(&self) -> &Path {
        &self.program
    }

    /// Starts a worker that tries its own sandbox, and another that must not survive trying. `Unavailable` says what is missing.
    pub async fn self_test(&self) -> Result<(), MediaError> {
        let nothing = Nothing;
        let run = self.run(Job::SelfTest, PROBE_LIMITS, &nothing, None, &|_| {});
        match run.await? {
            FromWorker::Tested => {}
            other => return Err(unexpected(&other)),
        }
        if self.allow_unsandboxed {
            return Ok(());
        }
        let start = self.start(Job::SelfTestFatal, PROBE_LIMITS, 0);
        let mut worker = Worker::spawn(&self.program, 0)?;
        worker.control.send(&ToWorker::Start(Box::new(start))).await;
        let said = tokio::time::timeout(Duration::from_secs(BASE_SECS), worker.control.receive()).await;
        match said {
            Ok(Ok(None)) if worker.was_killed_by_its_sandbox().await => Ok(()),
            _ => Err(MediaError::Unavailable("its sandbox lets it open a socket".to_owned())),
        }
    }

    fn start(&self, job: Job, limits: Limits, input_bytes: u64) -> Start {
        Start {
            job,
            input_bytes,
            limits,
            allow_unsandboxed: self.allow_unsandboxed,
        }
    }

    /// One worker from its start to its end; gives its final frame, which is never a failure.
    async fn run(
        &self,
        job: Job,
        limits: Limits,
        source: &dyn Source,
        outputs: Option<(&mut Outputs, &mut dyn OutputSink)>,
        progress: &(dyn Fn(f32) + Send + Sync),
    ) -> Result<FromWorker, MediaError> {
        let (pipes, wall_secs) = match &job {
            Job::Make(plan) => (plan.outputs.len(), granted_secs(plan.duration_ms, source.len())),
            // Tables at the end, and every packet where there is no table: time to read it all at 5 MB/s.
            _ => (0, source.len() / BYTES_A_SECOND / WALL_SECS_A_SECOND),
        };
        let wall = Duration::from_secs(BASE_SECS + WALL_SECS_A_SECOND * wall_secs);
        let start = self.start(job, limits, source.len());
        let mut worker = Worker::spawn(&self.program, pipes)?;
        let pipes = std::mem::take(&mut worker.pipes);
        let pulse = Pulse::default();
        let talk = async {
            worker.control.send(&ToWorker::Start(Box::new(start))).await;
            talk(&mut worker, source, &pulse, progress).await
        };
        let pass = async {
            match outputs {
                Some((outputs, sink)) => outputs.pass(pipes, sink, &pulse).await,
                None => Ok(()),
            }
        };
        let both = async { tokio::try_join!(talk, pass) };
        let (last, ()) = tokio::select! {
            both = both => both?,
            late = pulse.watch(wall) => return Err(late),
        };
        match last {
            None => Err(worker.cause_of_death().await),
            Some(FromWorker::Failed(failure)) => Err(failed(failure)),
            Some(last) => worker.end().await.map(|()| last),
        }
    }
}

#[async_trait]
impl Transcoder for Media {
    async fn probe(&self, source: &dyn Source) -> Result<Probe, MediaError> {
        if source.is_empty() {
            return Err(MediaError::Invalid("the file is empty".to_owned()));
        }
        match self.run(Job::Probe, PROBE_LIMITS, source, None, &|_| {}).await? {
            FromWorker::Probed(probe) => checked(*probe, source.len()),
            other => Err(unexpected(&other)),
        }
    }

    async fn make(
        &self,
        source: &dyn Source,
        plan: &Plan,
        sink: &mut dyn OutputSink,
        progress: &(dyn Fn(f32) + Send + Sync),
    ) -> Result<MakeReport, MediaError> {
        if plan.outputs.is_empty() || plan.outputs.len() > MAX_OUTPUTS {
            return Err(MediaError::OverLimits(format!(
                "{} outputs in one plan",
                plan.outputs.len()
            )));
        }
        let mut outputs = Outputs::new(plan);
        let limits = Limits {
            cpu_secs: BASE_SECS + CPU_SECS_A_SECOND * granted_secs(plan.duration_ms, source.len()),
            memory_bytes: MAKE_MEMORY_BYTES,
        };
        let job = Job::Make(plan.clone());
        let run = self.run(job, limits, source, Some((&mut outputs, sink)), progress);
        let made = match run.await? {
            FromWorker::Made(made) => made,
            other => return Err(unexpected(&other)),
        };
        report(plan, outputs.finish(&made.files)?)
    }
}

/// Answers the worker until its final frame; `None` if it went without one.
async fn talk(
    worker: &mut Worker,
    source: &dyn Source,
    pulse: &Pulse,
    progress: &(dyn Fn(f32) + Send + Sync),
) -> Result<Option<FromWorker>, MediaError> {
    loop {
        let frame = worker.control.receive().await?;
        pulse.beat();
        match frame {
            Some(FromWorker::Read { offset, len }) => answer(worker, source, pulse, offset, len).await?,
            Some(FromWorker::Progress(thousandths)) => progress(f32::from(thousandths.min(1_000)) / 1_000.0),
            last => return Ok(last),
        }
    }
}

async fn answer(
    worker: &mut Worker,
    source: &dyn Source,
    pulse: &Pulse,
    offset: u64,
    len: u32,
) -> Result<(), MediaError> {
    let len = len as usize;
    let end = offset.checked_add(len as u64);
    if len == 0 || len > MAX_ANSWER_BYTES || end.is_none_or(|end| end > source.len()) {
        return Err(MediaError::Crashed("it asked for bytes that are not there".to_owned()));
    }
    let bytes = match pulse.paused(source.read(offset, len)).await {
        Ok(bytes) if (1..=len).contains(&bytes.len()) => bytes,
        Ok(_) => {
            return Err(MediaError::Source(std::io::Error::other(
                "an answer of the wrong length",
            )));
        }
        Err(error) => return Err(MediaError::Source(error)),
    };
    worker.control.send(&ToWorker::Answer(bytes.len() as u32)).await;
    for data in bytes.chunks(dashvault_worker_protocol::MAX_DATA_BYTES) {
        worker.control.send(&ToWorker::Data(data)).await;
    }
    Ok(())
}

/// Seconds of clip for which time is given.
fn granted_secs(claimed_ms: u64, bytes: u64) -> u64 {
    let claimed = claimed_ms.min(MAX_DURATION_MS) / 1_000;
    claimed.max((bytes / BYTES_A_SECOND).min(MAX_DURATION_MS / 1_000)) + 1
}

/// A probe within the bounds that a plan may rely on.
fn checked(mut probe: Probe, size_bytes: u64) -> Result<Probe, MediaError> {
    let video = &mut probe.video;
    let sides = 1..=MAX_SIDE;
    if !sides.contains(&video.width) || !sides.contains(&video.height) {
        return Err(MediaError::Crashed(
            "it found a picture of an impossible size".to_owned(),
        ));
    }
    video.rotation = video.rotation % 360 / 90 * 90;
    for name in [&mut probe.format, &mut video.codec, &mut video.pixel_format] {
        *name = readable(name);
    }
    if let Some(audio) = &mut probe.audio {
        audio.codec = readable(&audio.codec);
    }
    probe.duration_ms = probe.duration_ms.min(MAX_DURATION_MS);
    probe.size_bytes = size_bytes;
    Ok(probe)
}

fn report(plan: &Plan, outputs: Vec<MadeOutput>) -> Result<MakeReport, MediaError> {
    let indexes = || outputs.iter().filter_map(|output| output.index.as_ref());
    let Some(reached_ms) = indexes().map(|index| index.duration_ms).max() else {
        return Err(MediaError::Invalid(
            "no rendition came out smaller than the source".to_owned(),
        ));
    };
    Ok(MakeReport {
        incomplete: reached_ms * 100 < plan.duration_ms * COMPLETE_PERCENT,
        has_audio: indexes().any(|index| index.has_sound()),
        outputs,
    })
}

fn unexpected(frame: &FromWorker) -> MediaError {
    match frame {
        FromWorker::Failed(failure) => failed(failure.clone()),
        _ => MediaError::Crashed("it answered another question".to_owned()),
    }
}

fn failed(failure: Failure) -> MediaError {
    match failure {
        Failure::OutOfMemory => MediaError::OutOfMemory,
        Failure::Unsupported(what) => MediaError::Unsupported(readable(&what)),
        Failure::NoVideo => MediaError::NoVideo,
        Failure::OverLimits(what) => MediaError::OverLimits(readable(&what)),
        Failure::Invalid(what) => MediaError::Invalid(readable(&what)),
        Failure::Sandbox(what) => MediaError::Unavailable(format!("no sandbox: {}", readable(&what))),
        Failure::Internal(what) => MediaError::Crashed(readable(&what)),
    }
}

/// The input of a run that reads none.
struct Nothing;

#[async_trait]
impl Source for Nothing {
    fn len(&self) -> u64 {
        0
    }

    async fn read(&self, _: u64, _: usize) -> std::io::Result<bytes::Bytes> {
        Err(std::io::ErrorKind::UnexpectedEof.into())
    }
}
