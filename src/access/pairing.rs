//! Pairing: a code that the owner reads out to the vehicle, and the vehicle's proof that it holds its key.
//!
//! A code is `FFFF-SSSS-SSSS`: the first four characters only find its row, so that a wrong guess counts against the code it
//! meant; the other eight are 40 random bits, and five guesses at them are all there are.

use dashvault_keys::token::{make_pairing_code, pairing_code_finder, verify_pairing_proof};

use super::device_keys::KEY_USED;
use super::devices::MAX_LABEL_CHARS;
use super::error::at_most;
use super::{Access, AccessError, OwnerSession, VehicleName, words};
use crate::audit::{EventKind, NewEvent};
use crate::catalog::{NewDevice, NewPairingCode, PairingCodeRow};
use crate::model::{DeviceId, PairingId, UnixMs};
use crate::vault::{DeviceAbout, PairingAbout, Vehicle};

/// Long enough to walk to the vehicle, short enough that a code on a screenshot is worth nothing.
const CODE_LIFE_MS: i64 = 15 * 60_000;
/// One is a slip, five is guessing: with 40 bits, five tries find a code once in 200 thousand million.
const TRIES: u32 = 5;
/// Codes of one owner that can be used at the same time.
const MAX_LIVE_CODES: u32 = 10;
/// Vehicles of one owner that may speak at the same time; a fleet's own account has fewer than this.
const MAX_DEVICES: u32 = 500;
/// An ended code still answers that it has ended for this long; then its finder is free again.
const KEEP_ENDED_MS: i64 = 3_600_000;
/// With a thousand live codes, a finder of 20 bits is taken once in a thousand.
const FINDER_DRAWS: usize = 5;
/// Number plates are shorter all over the world.
const MAX_PLATE_CHARS: usize = 20;
/// What a person types is 12 characters and some dashes; nothing longer is looked at.
const MAX_CODE_CHARS: usize = 64;
/// A proof is 86 characters of base64url.
const MAX_PROOF_CHARS: usize = 256;

/// A new pairing code.
pub struct PairingCode {
    /// To be typed into the vehicle, for example `7KQ4-M2XA-9TBE`.
    pub code: String,
    /// It is of no use after that.
    pub expires_at: UnixMs,
}

/// What pairing brings the vehicle.
pub struct Paired {
    /// The id for its tokens.
    pub device: DeviceId,
    /// The Ed25519 key that signs receipts.
    pub vault_public_key: [u8; 32],
}

impl Access {
    /// Makes a pairing code.
    pub async fn make_pairing_code(
        &self,
        session: &OwnerSession,
        name: VehicleName,
    ) -> Result<PairingCode, AccessError> {
        let about = PairingAbout {
            label: words::line("label", &name.label, MAX_LABEL_CHARS)?,
            vin: words::vin("vin", name.vin.as_deref())?,
            plate: words::maybe_line("plate", name.plate.as_deref(), MAX_PLATE_CHARS)?,
        };
        let inner = &self.inner;
        let owner = session.owner();
        let keys = inner.vault.owner_keys(owner).await?;
        let now = inner.clock.now_ms();
        let expires_at = now + CODE_LIFE_MS;
        let id = PairingId::random();
        let sealed_about = keys.seal(id.as_bytes(), &about);
        let mut tx = inner.catalog.begin().await?;
        if !tx.hold_owner(owner).await? {
            return Err(AccessError::Unauthenticated);
        }
        tx.remove_ended_pairing_codes(now - KEEP_ENDED_MS).await?;
        at_most(
            MAX_LIVE_CODES,
            "pairing codes at a time",
            tx.count_live_pairing_codes(owner, now).await?,
        )?;
        at_most(MAX_DEVICES, "paired vehicles", tx.count_active_devices(owner).await?)?;
        for _ in 0..FINDER_DRAWS {
            let code = make_pairing_code();
            let Some(finder) = pairing_code_finder(&code) else {
                continue;
            };
            let row = NewPairingCode {
                id,
                tenant: inner.vault.tenant(),
                owner,
                finder: &finder,
                code_hash: &inner.vault.pairing_code_hash(&code)?,
                sealed_about: &sealed_about,
                tries: TRIES,
                created_at: now,
                expires_at,
            };
            if !tx.insert_pairing_code(&row).await? {
                continue;
            }
            let event = NewEvent {
                text: Some((&keys, about.label)),
                ..NewEvent::of(owner, EventKind::PairingCodeMade)
            };
            inner.audit.record(&mut tx, event).await?;
            tx.commit().await?;
            return Ok(PairingCode { code, expires_at });
        }
        Err(AccessError::LimitReached {
            what: "pairing codes at a time",
            limit: MAX_LIVE_CODES,
        })
    }

    /// Pairs a vehicle: the code, the vehicle's Ed25519 public key, and the proof that it has the private one (a signature
    /// over the code). A code that is unknown, wrong, used or ended is [`AccessError::NotFound`]; one that has died of wrong
    /// tries is [`AccessError::TooManyTries`].
    pub async fn pair(&self, code: &str, public_key: &[u8], proof: &str) -> Result<Paired, AccessError> {
        let public_key = <&[u8; 32]>::try_from(public_key).map_err(|_| AccessError::Invalid {
            field: "public_key",
            reason: "must be an Ed25519 public key of 32 bytes",
        })?;
        if code.len() > MAX_CODE_CHARS || proof.len() > MAX_PROOF_CHARS {
            return Err(AccessError::NotFound);
        }
        let finder = pairing_code_finder(code).ok_or(AccessError::NotFound)?;
        let row = self.try_code(&finder, code, public_key, proof).await?;
        self.in_line(row.owner, || self.pair_by(&row, public_key)).await
    }

    /// Takes one of the code's tries and compares. The try is gone before the answer is known, whoever asks how often at
    /// once.
    async fn try_code(
        &self,
        finder: &str,
        code: &str,
        public_key: &[u8; 32],
        proof: &str,
    ) -> Result<PairingCodeRow, AccessError> {
        let inner = &self.inner;
        let mut tx = inner.catalog.begin().await?;
        let row = tx.try_pairing_code(inner.vault.tenant(), finder).await?;
        let Some(row) = row else {
            drop(tx);
            self.pairing_decoy_shown(code).await;
            return Err(AccessError::NotFound);
        };
        if row.tries_left == 0 {
            return Err(AccessError::TooManyTries);
        }
        let code_fits = inner.vault.is_pairing_code(code, &row.code_hash)?;
        let proof_fits = verify_pairing_proof(public_key, code, proof);
        if !(code_fits && proof_fits) && row.tries_left == 1 && row.used_at.is_none() {
            let event = NewEvent::of(row.owner, EventKind::PairingRefused);
            inner.audit.record(&mut tx, event).await?;
        }
        tx.commit().await?;
        if !code_fits {
            self.pairing_decoy_shown(code).await;
            return Err(AccessError::NotFound);
        }
        if !proof_fits {
            return Err(AccessError::Invalid {
                field: "proof",
                reason: "is not a signature of the code by this key",
            });
        }
        if row.used_at.is_some() || row.expires_at <= inner.clock.now_ms() {
            return Err(AccessError::NotFound);
        }
        Ok(row)
    }

    /// Uses a code up and adds the vehicle, in one transaction: of two at once one gets it.
    async fn pair_by(&self, code: &PairingCodeRow, public_key: &[u8; 32]) -> Result<Paired, AccessError> {
        let inner = &self.inner;
        let keys = inner.vault.owner_keys(code.owner).await?;
        let about: PairingAbout = keys.open(code.id.as_bytes(), &code.sealed_about)?;
        let about = DeviceAbout {
            label: about.label,
            vin: about.vin,
            plate: about.plate,
        };
        let vin_index = about.vin.as_ref().map(|vin| keys.index("vin", vin.as_bytes()));
        let device = DeviceId::random();
        let now = inner.clock.now_ms();
        let vehicle = Vehicle {
            device: *device.as_bytes(),
            public_key: *public_key,
            label: about.label.clone(),
            vin: about.vin.clone(),
            plate: about.plate.clone(),
            paired_at: Some(now),
            ..Vehicle::default()
        };
        let change = inner.vault.change_vehicles(&keys, |vehicles| vehicles.push(vehicle));
        let change = change.await?;
        let vault_public_key = inner.vault.receipt_public_key()?;
        let mut tx = inner.catalog.begin().await?;
        if !tx.hold_owner(code.owner).await? || !tx.use_pairing_code(code.id, now).await? {
            return Err(AccessError::NotFound);
        }
        at_most(
            MAX_DEVICES,
            "paired vehicles",
            tx.count_active_devices(code.owner).await?,
        )?;
        if tx.is_device_key(public_key).await? {
            return Err(KEY_USED);
        }
        tx.insert_device(&NewDevice {
            id: device,
            tenant: inner.vault.tenant(),
            owner: code.owner,
            public_key,
            next_key: None,
            sealed_about: &keys.seal(device.as_bytes(), &about),
            vin_index: vin_index.as_ref(),
            paired_at: now,
        })
        .await?;
        inner.vault.record_kek(&mut tx, &change).await?;
        let event = NewEvent {
            text: Some((&keys, about.label)),
            ..NewEvent::of(code.owner, EventKind::DevicePaired)
        };
        inner.audit.record(&mut tx, event).await?;
        tx.commit().await?;
        Ok(Paired {
            device,
            vault_public_key,
        })
    }
}
