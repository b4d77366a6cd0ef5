//! One vault as one vehicle speaks to it: its address, the vehicle's key, and the vault's clock.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::answer::Answer;
use crate::connection::{Connection, now_ms};
use crate::{ClientError, Device, rekey};

/// Between two tries to give the vehicle another key: neither hurries.
const ANOTHER_KEY_PAUSE: Duration = Duration::from_secs(6 * 3600);

/// What an upload is busy with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Reading the file once for its SHA-256.
    Hashing,
    /// Sending.
    Sending,
}

/// How far an upload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What it is busy with.
    pub stage: Stage,
    /// Bytes hashed or sent so far; those sent may still be on their way.
    pub bytes: u64,
    /// Bytes of the file.
    pub total: u64,
}

/// A file that the vault holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uploaded {
    /// The file.
    pub file: PathBuf,
    /// The clip's id, also the upload's.
    pub clip_id: String,
    /// Bytes of the file.
    pub bytes: u64,
    /// Lower-case hexadecimal SHA-256 of the file.
    pub sha256: String,
    /// The signed receipt, verified; only once it is delivered. Without it the file must be kept.
    pub receipt: Option<String>,
}

/// Speaks to one vault as one vehicle.
pub struct Client {
    device: Device,
    connection: Connection,
    /// The vault's clock less this machine's, learnt from a refused token.
    skew_ms: AtomicI64,
    /// What the vault's clock showed last, and when that was.
    told_time: Mutex<Option<(i64, Instant)>>,
    /// When this process last tried to give the vehicle another key, by this machine's clock.
    tried_another_key: Mutex<Option<Instant>>,
}

impl Client {
    /// A client of the vault that the device was paired with, or of `server` when the same vault has another address.
    ///
    /// # Errors
    /// [`ClientError::Address`], [`ClientError::Insecure`].
    pub fn new(device: Device, server: Option<&str>) -> Result<Self, ClientError> {
        let connection = Connection::to(server.unwrap_or(device.server()))?;
        Ok(Self {
            device,
            connection,
            skew_ms: AtomicI64::new(0),
            told_time: Mutex::new(None),
            tried_another_key: Mutex::new(None),
        })
    }

    /// Gives the vehicle another key when the one that it has is old. What hinders it is tried again hours later: the key that
    /// it has goes on working.
    pub(crate) async fn give_another_key_when_due(&self) {
        if !self.device.wants_another_key(now_ms()) {
            return;
        }
        {
            let mut tried = self.tried_another_key.lock().unwrap_or_else(PoisonError::into_inner);
            if tried.is_some_and(|at| at.elapsed() < ANOTHER_KEY_PAUSE) {
                return;
            }
            *tried = Some(Instant::now());
        }
        let _ = rekey::rotate(&self.device, &self.connection).await;
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    pub(crate) fn token(&self) -> String {
        self.device.token_at(now_ms() + self.skew_ms.load(Ordering::Relaxed))
    }

    /// The time by the vault's clock, milliseconds since 1970; none before it has told it. The vehicle's own clock may stand,
    /// jump, or begin in 1970.
    pub(crate) fn vault_ms(&self) -> Option<i64> {
        let (told_ms, at) = (*self.told_time.lock().unwrap_or_else(PoisonError::into_inner))?;
        Some(told_ms + i64::try_from(at.elapsed().as_millis()).unwrap_or(i64::MAX / 2))
    }

    /// Keeps the time that an answer tells.
    pub(crate) fn note_time(&self, answer: &Answer) {
        if let Some(date_ms) = answer.date_ms() {
            *self.told_time.lock().unwrap_or_else(PoisonError::into_inner) = Some((date_ms, Instant::now()));
        }
    }

    /// Takes the vault's clock from an answer that refused the token; whether a token signed by it is worth a try.
    pub(crate) fn learn_skew(&self, answer: &Answer) -> bool {
        match answer.date_ms() {
            Some(date_ms) if answer.status() == 401 => {
                self.skew_ms.store(date_ms - now_ms(), Ordering::Relaxed);
                true
            }
            _ => false,
        }
    }
}
