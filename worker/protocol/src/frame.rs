//! The frames of the control socket: four bytes of length (little-endian), one byte of kind, and a body, small enough that a
//! peer gone wild costs nothing.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Failure, Made, Probe, Start};

/// Kind and body of a frame together are never longer.
pub const MAX_FRAME_BYTES: usize = 64 << 10;
/// Bytes of input in one frame.
pub const MAX_DATA_BYTES: usize = MAX_FRAME_BYTES - 1;
/// The input is answered in pieces of at most this: libav asks for gigabytes and then reads elsewhere.
pub const MAX_ANSWER_BYTES: usize = 1 << 20;

/// From the vault to the worker.
#[derive(Debug, PartialEq, Eq)]
pub enum ToWorker<'a> {
    /// Once, at first.
    Start(Box<Start>),
    /// This many bytes of input follow as [`Data`](Self::Data): at least one, and as many as asked for or fewer.
    Answer(u32),
    /// Bytes of an answer.
    Data(&'a [u8]),
    /// The input cannot be read; there is no other answer.
    NoInput,
}

/// From the worker to the vault.
#[derive(Debug, PartialEq, Eq)]
pub enum FromWorker {
    /// Asks for `len` bytes of the input from `offset`.
    Read {
        /// First byte.
        offset: u64,
        /// At most [`MAX_ANSWER_BYTES`].
        len: u32,
    },
    /// Thousandths of the work that are done.
    Progress(u16),
    /// Ends a self-test.
    Tested,
    /// Ends a probe.
    Probed(Box<Probe>),
    /// Ends a make.
    Made(Made),
    /// Ends any run.
    Failed(Failure),
}

/// Bytes that are no frame of this protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameError(pub &'static str);

impl std::fmt::Display for FrameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "not a frame of the control socket: {}", self.0)
    }
}

impl std::error::Error for FrameError {}

/// Bytes of kind and body that follow a header.
pub fn frame_length(header: [u8; 4]) -> Result<usize, FrameError> {
    match usize::try_from(u32::from_le_bytes(header)) {
        Ok(length @ 1..=MAX_FRAME_BYTES) => Ok(length),
        _ => Err(FrameError("an impossible length")),
    }
}

impl<'a> ToWorker<'a> {
    /// The whole frame, header included.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Start(start) => json(b'S', start),
            Self::Answer(length) => frame(b'A', &length.to_le_bytes()),
            Self::Data(bytes) => frame(b'D', bytes),
            Self::NoInput => frame(b'N', &[]),
        }
    }

    /// Reads kind and body.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, FrameError> {
        match split(bytes)? {
            (b'S', body) => Ok(Self::Start(parse(body)?)),
            (b'A', body) => Ok(Self::Answer(u32::from_le_bytes(exact(body)?))),
            (b'D', body) => Ok(Self::Data(body)),
            (b'N', []) => Ok(Self::NoInput),
            _ => Err(FrameError("an unknown kind")),
        }
    }
}

impl FromWorker {
    /// The whole frame, header included.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Read { offset, len } => {
                let mut body = [0; 12];
                body[..8].copy_from_slice(&offset.to_le_bytes());
                body[8..].copy_from_slice(&len.to_le_bytes());
                frame(b'R', &body)
            }
            Self::Progress(thousandths) => frame(b'P', &thousandths.to_le_bytes()),
            Self::Tested => frame(b'T', &[]),
            Self::Probed(probe) => json(b'I', probe),
            Self::Made(made) => json(b'M', made),
            Self::Failed(failure) => json(b'F', failure),
        }
    }

    /// Reads kind and body.
    pub fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        match split(bytes)? {
            (b'R', body) => {
                let body: [u8; 12] = exact(body)?;
                let (offset, len) = body.split_at(8);
                Ok(Self::Read {
                    offset: u64::from_le_bytes(exact(offset)?),
                    len: u32::from_le_bytes(exact(len)?),
                })
            }
            (b'P', body) => Ok(Self::Progress(u16::from_le_bytes(exact(body)?))),
            (b'T', []) => Ok(Self::Tested),
            (b'I', body) => Ok(Self::Probed(parse(body)?)),
            (b'M', body) => Ok(Self::Made(parse(body)?)),
            (b'F', body) => Ok(Self::Failed(parse(body)?)),
            _ => Err(FrameError("an unknown kind")),
        }
    }
}

fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    assert!(body.len() <= MAX_DATA_BYTES, "a frame of {} bytes", body.len());
    let mut frame = Vec::with_capacity(5 + body.len());
    frame.extend_from_slice(&(body.len() as u32 + 1).to_le_bytes());
    frame.push(kind);
    frame.extend_from_slice(body);
    frame
}

fn json<T: Serialize>(kind: u8, value: &T) -> Vec<u8> {
    frame(
        kind,
        &serde_json::to_vec(value).expect("plain structs with string keys"),
    )
}

fn split(bytes: &[u8]) -> Result<(u8, &[u8]), FrameError> {
    let (kind, body) = bytes.split_first().ok_or(FrameError("empty"))?;
    Ok((*kind, body))
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, FrameError> {
    serde_json::from_slice(body).map_err(|_| FrameError("a body that does not parse"))
}

fn exact<const N: usize>(body: &[u8]) -> Result<[u8; N], FrameError> {
    body.try_into().map_err(|_| FrameError("a body of the wrong length"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Job, Limits};

    fn body(frame: &[u8]) -> &[u8] {
        let header = frame[..4].try_into().expect("four bytes");
        assert_eq!(frame_length(header), Ok(frame.len() - 4));
        &frame[4..]
    }

    #[test]
    fn every_frame_is_read_as_it_was_written() {
        let start = Start {
            job: Job::Probe,
            input_bytes: 1 << 40,
            limits: Limits {
                cpu_secs: 20,
                memory_bytes: 2 << 30,
            },
            allow_unsandboxed: false,
        };
        let data = vec![7; MAX_DATA_BYTES];
        for frame in [
            ToWorker::Start(Box::new(start)),
            ToWorker::Answer(1 << 20),
            ToWorker::Data(&data),
            ToWorker::NoInput,
        ] {
            assert_eq!(ToWorker::decode(body(&frame.encode())), Ok(frame));
        }
        let made = Made {
            files: vec![None],
            has_audio: true,
        };
        for frame in [
            FromWorker::Read {
                offset: u64::MAX,
                len: 5,
            },
            FromWorker::Progress(1_000),
            FromWorker::Tested,
            FromWorker::Made(made),
            FromWorker::Failed(Failure::NoVideo),
        ] {
            assert_eq!(FromWorker::decode(body(&frame.encode())), Ok(frame));
        }
    }

    #[test]
    fn a_frame_that_is_empty_too_long_or_of_no_kind_is_refused() {
        assert!(frame_length([0; 4]).is_err());
        assert!(frame_length((MAX_FRAME_BYTES as u32 + 1).to_le_bytes()).is_err());
        for bytes in [&b""[..], b"Z", b"R123", b"Tx", b"M{}", b"F\"Nothing\""] {
            assert!(FromWorker::decode(bytes).is_err(), "{bytes:?}");
        }
    }
}
