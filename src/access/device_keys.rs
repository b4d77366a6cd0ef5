//! A vehicle gets another key: announced with proof of both, and in force from its first use.
//!
//! Nothing is lost with an answer. A key that is announced again is the same announcement; the old key works until the new
//! one has been used, and from then on it opens nothing and its use is an alarm.

use std::time::Duration;

use dashvault_keys::token::verify_next_key;
use tokio::time::timeout;

use super::devices::found;
use super::error::at_most;
use super::{Access, AccessError, DeviceSession, NextKeyProof};
use crate::audit::{EventKind, NewEvent};
use crate::catalog::DeviceRow;
use crate::model::{OwnerId, UnixMs};
use crate::vault::{DeviceAbout, OldKey, OwnerKeys, PublicKey};

/// Each announcement is a new revision of the owner's key record, and a vehicle that announces the same key again needs none.
const ANNOUNCE_STEP_MS: i64 = 10 * 60_000;
/// Keys that a vehicle had, all of which are kept: 15 years of four a year. A token that no key of its vehicle's signed is
/// tried with each of them.
const MAX_OLD_KEYS: u32 = 64;
/// How long what happened waits for the owner's key, to say which vehicle it was; a vehicle's request does not wait longer.
const KEY_WAIT: Duration = Duration::from_millis(500);

impl Access {
    /// Announces the key that a vehicle will sign with next. The one that it has works until the next one is used. A second
    /// time, with the answer to the first one lost, changes nothing.
    pub async fn announce_device_key(
        &self,
        session: &DeviceSession,
        public_key: &[u8],
        proof: &NextKeyProof,
    ) -> Result<(), AccessError> {
        let next = <&[u8; 32]>::try_from(public_key).map_err(|_| AccessError::Invalid {
            field: "public_key",
            reason: "must be an Ed25519 public key of 32 bytes",
        })?;
        self.in_line(session.owner(), || self.try_announce(session, next, proof))
            .await
    }

    async fn try_announce(
        &self,
        session: &DeviceSession,
        next: &[u8; 32],
        proof: &NextKeyProof,
    ) -> Result<(), AccessError> {
        let inner = &self.inner;
        let row = inner.catalog.active_device(session.device()).await?;
        let row = row.ok_or(AccessError::Unauthenticated)?;
        if row.public_key == next {
            return Ok(());
        }
        let current = row.public_key.as_slice().try_into();
        let current: &[u8; 32] = current.map_err(|_| AccessError::Unauthenticated)?;
        if !verify_next_key(row.id.as_bytes(), current, next, proof) {
            return Err(AccessError::Invalid {
                field: "proof",
                reason: "is not a signature of this change by both keys",
            });
        }
        if row.next_key.as_deref() == Some(next) {
            return Ok(());
        }
        let had = inner.catalog.old_device_keys(row.id).await?.len();
        at_most(
            MAX_OLD_KEYS,
            "keys of one vehicle, which has to be paired anew then",
            u32::try_from(had).unwrap_or(u32::MAX),
        )?;
        let now = inner.clock.now_ms();
        let since = now - ANNOUNCE_STEP_MS;
        // Before anything is opened or written; the transaction looks again, for two at once.
        if row.key_announced_at.is_some_and(|announced| announced > since) {
            return Err(TOO_SOON);
        }
        if inner.catalog.is_device_key(next).await? {
            return Err(KEY_USED);
        }
        let keys = inner.vault.owner_keys(row.owner).await?;
        let change = inner.vault.change_vehicles(&keys, |vehicles| {
            if let Some(vehicle) = found(vehicles, row.id) {
                let unused = vehicle.next_public_key.replace(PublicKey(*next));
                vehicle.old_keys.extend(unused.map(|key| OldKey { key, since: now }));
            }
        });
        let change = change.await?;
        let mut tx = inner.catalog.begin().await?;
        if tx.is_device_key(next).await? {
            return Err(KEY_USED);
        }
        if !tx.announce_device_key(row.id, current, next, now, since).await? {
            return Err(TOO_SOON);
        }
        inner.vault.record_kek(&mut tx, &change).await?;
        Ok(tx.commit().await?)
    }

    /// The first use of an announced key puts it in force. Only the catalogue is needed: the key plane's record names both
    /// keys, and which of them was used last is found out by the vehicle's next request.
    pub(super) async fn use_next_key(&self, row: &DeviceRow, since: UnixMs) -> Result<(), AccessError> {
        let inner = &self.inner;
        let named = self.named(row).await;
        let next = row.next_key.as_deref().unwrap_or_default();
        let mut tx = inner.catalog.begin().await?;
        if tx.use_next_device_key(row.id, next, since).await? {
            let event = event(row.owner, EventKind::DeviceKeyChanged, named.as_ref());
            inner.audit.record(&mut tx, event).await?;
        }
        Ok(tx.commit().await?)
    }

    /// What its owner calls a vehicle, if the owner's key is to be had at once.
    pub(super) async fn named(&self, row: &DeviceRow) -> Option<(OwnerKeys, String)> {
        let keys = timeout(KEY_WAIT, self.inner.vault.owner_keys(row.owner))
            .await
            .ok()?
            .ok()?;
        let about: DeviceAbout = keys.open(row.id.as_bytes(), &row.sealed_about).ok()?;
        Some((keys, about.label))
    }
}

const TOO_SOON: AccessError = AccessError::LimitReached {
    what: "announced keys in ten minutes",
    limit: 1,
};

/// A key is one vehicle's and one owner's: else two owners' rows would name the same one.
pub(super) const KEY_USED: AccessError = AccessError::Invalid {
    field: "public_key",
    reason: "was a vehicle's before: make a new key",
};

/// What happened to a vehicle, with its name if that is known.
pub(super) fn event(owner: OwnerId, kind: EventKind, named: Option<&(OwnerKeys, String)>) -> NewEvent<'_> {
    NewEvent {
        text: named.map(|(keys, label)| (keys, label.clone())),
        ..NewEvent::of(owner, kind)
    }
}
