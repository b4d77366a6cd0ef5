//! Drains the worker's pipes, counts and checks what comes, and hands it on.

use bytes::{Bytes, BytesMut};
use dashvault_worker_protocol::{MadeFile, Output, OutputKind, Plan};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::boxes::BadRendition;
use super::indexer::Indexer;
use super::watch::Pulse;
use super::{MadeOutput, MediaError, OutputSink};

/// Bytes of one read from a pipe.
const READ_BYTES: usize = 64 << 10;
/// Reads that wait for the sink, of all pipes together: 2 MiB a worker.
const QUEUE: usize = 32;
/// A poster of 1280×720 is a tenth of it.
const MAX_POSTER_BYTES: u64 = 4 << 20;

/// What is known of each output while its bytes pass.
pub(super) struct Outputs {
    checks: Vec<Check>,
}

struct Check {
    output: Output,
    bytes: u64,
    max_bytes: u64,
    kind: Kind,
}

enum Kind {
    Movie(Box<Indexer>),
    /// The first two bytes and the last two.
    Still([u8; 2], [u8; 2]),
}

impl Outputs {
    pub(super) fn new(plan: &Plan) -> Self {
        let check = |output: &Output| Check {
            output: output.clone(),
            bytes: 0,
            max_bytes: match output.kind {
                OutputKind::Poster { .. } => plan.max_output_bytes.min(MAX_POSTER_BYTES),
                _ => plan.max_output_bytes,
            },
            kind: match output.kind {
                OutputKind::Poster { .. } => Kind::Still([0; 2], [0; 2]),
                _ => Kind::Movie(Box::new(Indexer::new())),
            },
        };
        Self {
            checks: plan.outputs.iter().map(check).collect(),
        }
    }

    /// Passes everything from the pipes to the sink, until every pipe has ended.
    pub(super) async fn pass(
        &mut self,
        pipes: Vec<pipe::Receiver>,
        sink: &mut dyn OutputSink,
        pulse: &Pulse,
    ) -> Result<(), MediaError> {
        let (sender, mut receiver) = mpsc::channel(QUEUE);
        // The tasks end with this function, whatever way it ends.
        let mut drains = JoinSet::new();
        for (index, pipe) in pipes.into_iter().enumerate() {
            drains.spawn(drain(index, pipe, sender.clone()));
        }
        drop(sender);
        while let Some((index, bytes)) = receiver.recv().await {
            pulse.beat();
            self.checks[index].push(&bytes)?;
            pulse.paused(sink.write(index, bytes)).await.map_err(MediaError::Sink)?;
        }
        Ok(())
    }

    /// Compares what passed with what the worker says it made; `None` of it was dropped.
    pub(super) fn finish(self, files: &[Option<MadeFile>]) -> Result<Vec<MadeOutput>, MediaError> {
        if files.len() != self.checks.len() {
            return Err(MediaError::Crashed("its report is of another plan".to_owned()));
        }
        let pairs = self.checks.into_iter().zip(files).enumerate();
        pairs
            .filter_map(|(index, (check, file))| file.map(|file| check.finish(index, file)))
            .collect()
    }
}

impl Check {
    fn push(&mut self, bytes: &[u8]) -> Result<(), MediaError> {
        self.bytes += bytes.len() as u64;
        if self.bytes > self.max_bytes {
            return Err(MediaError::Crashed("an output is larger than it may be".to_owned()));
        }
        match &mut self.kind {
            Kind::Movie(indexer) => indexer.push(bytes)?,
            Kind::Still(first, last) => {
                for byte in bytes
                    .iter()
                    .take(2_usize.saturating_sub((self.bytes as usize) - bytes.len()))
                {
                    *first = [first[1], *byte];
                }
                for byte in &bytes[bytes.len().saturating_sub(2)..] {
                    *last = [last[1], *byte];
                }
            }
        }
        Ok(())
    }

    fn finish(self, index: usize, file: MadeFile) -> Result<MadeOutput, MediaError> {
        let (width, height, codec, duration_ms, frames, movie) = match self.kind {
            Kind::Movie(indexer) => {
                let index = indexer.finish()?;
                let (width, height, codecs) = (index.width, index.height, index.codecs.clone());
                (width, height, codecs, index.duration_ms, index.pictures(), Some(index))
            }
            Kind::Still([0xff, 0xd8], [0xff, 0xd9]) => {
                let OutputKind::Poster { width, height } = self.output.kind else {
                    return Err(MediaError::Crashed("a still that was not asked for".to_owned()));
                };
                (width, height, "jpeg".to_owned(), 0, 1, None)
            }
            Kind::Still(..) => return Err(MediaError::Crashed("the poster is no JPEG".to_owned())),
        };
        if (file.bytes, file.frames) != (self.bytes, frames) {
            return Err(MediaError::Crashed(format!(
                "it says {} bytes and {} pictures of {}, and {} and {frames} came",
                file.bytes, file.frames, self.output.name, self.bytes
            )));
        }
        if let OutputKind::Encode(encode) = self.output.kind
            && (encode.width, encode.height) != (width, height)
        {
            return Err(MediaError::Crashed(
                "a rendition has another size than was asked for".to_owned(),
            ));
        }
        Ok(MadeOutput {
            output: index,
            name: self.output.name,
            bytes: self.bytes,
            frames,
            width,
            height,
            codec,
            duration_ms,
            index: movie,
        })
    }
}

impl From<BadRendition> for MediaError {
    fn from(bad: BadRendition) -> Self {
        Self::Crashed(bad.to_string())
    }
}

async fn drain(index: usize, mut pipe: pipe::Receiver, sender: mpsc::Sender<(usize, Bytes)>) {
    loop {
        let mut buffer = BytesMut::with_capacity(READ_BYTES);
        match pipe.read_buf(&mut buffer).await {
            Ok(1..) if sender.send((index, buffer.freeze())).await.is_ok() => {}
            // The end, or nobody who listens.
            _ => return,
        }
    }
}
