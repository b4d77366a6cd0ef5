//! Another key for this vehicle: made, written down, announced with proof of both, and only then signed with.
//!
//! Whatever is lost in between, the vehicle has a key that the vault takes: until the device file has the new one in its
//! place the old one is used, and what is announced again with a key that is written down is the same announcement.

use std::fs::{File, TryLockError};
use std::path::Path;

use dashvault_keys::token::{DeviceKey, sign_next_key};
use data_encoding::BASE64URL_NOPAD;
use reqwest::Method;
use serde::Serialize;

use crate::answer::Answer;
use crate::connection::{Connection, now_ms};
use crate::device::{self, DeviceFile, sign_token};
use crate::{ClientError, Device, Doing, file};

#[derive(Serialize)]
struct Announcement {
    public_key: String,
    proof_by_current: String,
    proof_by_next: String,
}

/// Gives the vehicle of a device file another key. Begun before and broken off, it goes on with the key that was made then.
/// False when another process is at it.
///
/// # Errors
/// [`ClientError::Unwelcome`] when the vehicle was revoked or its clock is off; whatever the error, the vehicle's key works
/// as before.
pub async fn rotate_key(device: &Device, server: Option<&str>) -> Result<bool, ClientError> {
    let connection = Connection::to(server.unwrap_or(device.server()))?;
    rotate(device, &connection).await
}

/// The same over a connection that is there.
pub(crate) async fn rotate(device: &Device, connection: &Connection) -> Result<bool, ClientError> {
    let Some(_lock) = lock(device.path())? else {
        return Ok(false);
    };
    // As it is now: another process may have been at it before.
    let mut written = device::read(device.path())?;
    let current = written.key(device.path())?;
    let next = match written.next_key(device.path())? {
        Some(next) => next,
        None => {
            let next = DeviceKey::make();
            written.announce(&next);
            written.keep(device.path())?;
            next
        }
    };
    announce(&written, device.path(), connection, &current, &next).await?;
    written.change_to(&next, now_ms());
    written.keep(device.path())?;
    Ok(true)
}

async fn announce(
    file: &DeviceFile,
    path: &Path,
    connection: &Connection,
    current: &DeviceKey,
    next: &DeviceKey,
) -> Result<(), ClientError> {
    let id = file.id_bytes(path)?;
    let proof = sign_next_key(&id, current, next);
    let announcement = Announcement {
        public_key: BASE64URL_NOPAD.encode(&next.public_key()),
        proof_by_current: proof.by_current,
        proof_by_next: proof.by_next,
    };
    let tell = async |key: &DeviceKey, at_ms: i64| {
        let request = connection.request(Method::POST, "/v1/vehicle/key");
        let request = request.bearer_auth(sign_token(key, id, at_ms)).json(&announcement);
        let sent = request.send().await;
        sent.map(Answer::of)
            .map_err(|error| ClientError::Unreachable(error.into()))
    };
    let mut answer = tell(current, now_ms()).await?;
    if answer.status() == 401 {
        // By the vault's clock; then with the next key, for a device file that was put back from a copy may be behind it.
        let at_ms = answer.date_ms().unwrap_or_else(now_ms);
        answer = tell(current, at_ms).await?;
        if answer.status() == 401 {
            answer = tell(next, at_ms).await?;
        }
    }
    match answer.status() {
        200..=299 => Ok(()),
        401 | 403 => Err(answer.unwelcome().await),
        _ => Err(answer.refused().await),
    }
}

/// One process at a time; the lock goes with the process.
fn lock(path: &Path) -> Result<Option<File>, ClientError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let failed = |source| ClientError::File {
        path: path.to_owned(),
        doing: Doing::Write,
        source,
    };
    let lock = file::open_private(Path::new(&name)).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}
