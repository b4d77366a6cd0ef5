//! Decoys: credentials in our own forms that open nothing. Whoever uses one has read what was not theirs to read.
//!
//! Who shows one gets the answer of an unknown credential, as soon as for an unknown one: the look is taken for every unknown
//! credential, and what is written about a decoy is written beside the request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashvault_keys::token::{
    DeviceKey, LinkToken, UnverifiedDeviceToken, bearer_hash, make_bearer, make_pairing_code, pairing_code_spelling,
};
use tokio::sync::Semaphore;

use super::error::at_most;
use super::owners::prefix;
use super::{Access, AccessError, words};
use crate::catalog::{CatalogError, DecoyRow, NewDecoy, NewNotice};
use crate::model::{CredentialKind, DecoyId, DecoyKind, DeviceId, LinkId, Severity, UnixMs};

/// More places than an operator can remember having planted.
const MAX_DECOYS: u32 = 1_000;
/// A sentence that says where.
const MAX_PLACE_CHARS: usize = 200;
/// A link's decoy looks as one that was made with the longest life; it is a decoy for as long as its key is known.
const LINK_LIFE_MS: i64 = 30 * 24 * 3_600_000;
/// Uses that are being written at once. Whoever shows a decoy a thousand times a second must not fill the memory; the first
/// use raised the alarm.
const WRITERS: usize = 8;
/// Whoever tries a decoy again and again raises one notice in this time.
const TOLD_AGAIN_MS: i64 = 3_600_000;

/// How often decoys were used here since the process began, and the places of those that write it down.
pub(super) struct Uses {
    count: Arc<AtomicU64>,
    writers: Arc<Semaphore>,
}

impl Default for Uses {
    fn default() -> Self {
        Self {
            count: Arc::default(),
            writers: Arc::new(Semaphore::new(WRITERS)),
        }
    }
}

/// A new decoy; its secret is told once.
pub struct DecoyMade {
    /// By which it is removed.
    pub id: DecoyId,
    /// What to plant.
    pub secret: DecoySecret,
}

/// What a decoy consists of.
pub enum DecoySecret {
    /// A token, or a code, as it is typed.
    Text(String),
    /// What stands in a link's address.
    Link {
        /// The link's id.
        id: LinkId,
        /// Behind the `#`.
        token: String,
    },
    /// What stands in a device file.
    Vehicle {
        /// The vehicle's id.
        device: DeviceId,
        /// Its key.
        key: DeviceKey,
        /// The Ed25519 key that signs receipts.
        vault_public_key: [u8; 32],
    },
}

/// A decoy that was planted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoy {
    /// By which it is removed.
    pub id: DecoyId,
    /// What it looks like.
    pub kind: DecoyKind,
    /// Where it was planted, in the operator's words.
    pub place: String,
    /// When it was made.
    pub created_at: UnixMs,
    /// When it was used first, if ever.
    pub first_used_at: Option<UnixMs>,
    /// When it was used last.
    pub last_used_at: Option<UnixMs>,
    /// How often it was used.
    pub uses: u64,
}

impl Access {
    /// Makes a decoy, to be planted at `place`.
    pub async fn add_decoy(&self, kind: DecoyKind, place: &str) -> Result<DecoyMade, AccessError> {
        let place = words::line("where", place, MAX_PLACE_CHARS)?;
        let inner = &self.inner;
        let (id, now) = (DecoyId::random(), inner.clock.now_ms());
        let mut public_key = None;
        let (trap_hash, secret) = match kind {
            DecoyKind::OwnerToken | DecoyKind::File => bearer(CredentialKind::Api),
            DecoyKind::SignIn => bearer(CredentialKind::SignIn),
            DecoyKind::PairingCode => {
                let code = make_pairing_code();
                let hash = pairing_hash(&code).ok_or(AccessError::NotFound)?;
                (hash, DecoySecret::Text(code))
            }
            DecoyKind::Link => {
                let link = LinkId::random();
                let token = LinkToken::make(*link.as_bytes(), now + LINK_LIFE_MS);
                let text = inner.vault.link_signer()?.sign(&token);
                (token.secret_hash(), DecoySecret::Link { id: link, token: text })
            }
            DecoyKind::Device => {
                let (device, key) = (DeviceId::random(), DeviceKey::make());
                public_key = Some(key.public_key());
                let vault_public_key = inner.vault.receipt_public_key()?;
                let secret = DecoySecret::Vehicle {
                    device,
                    key,
                    vault_public_key,
                };
                (bearer_hash(&device.to_string()), secret)
            }
        };
        let mut tx = inner.catalog.begin().await?;
        at_most(MAX_DECOYS, "decoys", tx.count_decoys().await?)?;
        tx.insert_decoy(&NewDecoy {
            id,
            kind,
            trap_hash: &trap_hash,
            public_key: public_key.as_ref(),
            place: &place,
            created_at: now,
        })
        .await?;
        tx.commit().await?;
        Ok(DecoyMade { id, secret })
    }

    /// Every decoy, the oldest first.
    pub async fn decoys(&self) -> Result<Vec<Decoy>, AccessError> {
        let rows = self.inner.catalog.decoys(MAX_DECOYS).await?;
        Ok(rows.into_iter().map(Decoy::from).collect())
    }

    /// Removes a decoy: from then on it is an unknown credential. False when there is none.
    pub async fn remove_decoy(&self, id: DecoyId) -> Result<bool, AccessError> {
        let mut tx = self.inner.catalog.begin().await?;
        let removed = tx.remove_decoy(id).await?;
        tx.commit().await?;
        Ok(removed)
    }

    /// How often a decoy was used on this node since its start.
    pub fn decoy_uses(&self) -> u64 {
        self.inner.decoy_uses.count.load(Ordering::Relaxed)
    }

    /// Looks whether an unknown credential is a decoy.
    pub(super) async fn decoy_shown(&self, trap_hash: &[u8; 32]) {
        if let Some(decoy) = self.decoy(trap_hash).await {
            self.alarm(decoy);
        }
    }

    /// Looks whether an unknown code is a decoy.
    pub(super) async fn pairing_decoy_shown(&self, code: &str) {
        if let Some(hash) = pairing_hash(code) {
            self.decoy_shown(&hash).await;
        }
    }

    /// Looks whether an unknown vehicle is a decoy; its id is no secret, so that only its key raises the alarm.
    pub(super) async fn vehicle_decoy_shown(&self, device: DeviceId, token: UnverifiedDeviceToken) {
        let Some(decoy) = self.decoy(&bearer_hash(&device.to_string())).await else {
            return;
        };
        let public_key = decoy.public_key.as_deref().and_then(|key| key.try_into().ok());
        if public_key.is_some_and(|key| token.verify(key).is_some()) {
            self.alarm(decoy);
        }
    }

    /// A catalogue that does not answer makes no decoy of a credential, and no other answer either.
    async fn decoy(&self, trap_hash: &[u8; 32]) -> Option<DecoyRow> {
        self.inner
            .catalog
            .decoy_by_hash(trap_hash)
            .await
            .unwrap_or_else(|error| {
                tracing::warn!(%error, "whether an unknown credential is a decoy cannot be looked up now");
                None
            })
    }

    /// Tells of it in the log at once, and writes it down beside the request, whose answer must come as soon as any other.
    fn alarm(&self, decoy: DecoyRow) {
        let uses = &self.inner.decoy_uses;
        uses.count.fetch_add(1, Ordering::Relaxed);
        tracing::error!(
            decoy = %decoy.id,
            kind = %decoy.kind,
            place = decoy.place,
            "a decoy was used: somebody who should not has read the place where it was planted"
        );
        let Ok(writer) = uses.writers.clone().try_acquire_owned() else {
            return;
        };
        let access = self.clone();
        tokio::spawn(async move {
            if let Err(error) = access.record_use(&decoy).await {
                tracing::error!(%error, decoy = %decoy.id, "the use of a decoy could not be written down");
            }
            drop(writer);
        });
    }

    async fn record_use(&self, decoy: &DecoyRow) -> Result<(), CatalogError> {
        let now = self.inner.clock.now_ms();
        let mut tx = self.inner.catalog.begin().await?;
        tx.use_decoy(decoy.id, now).await?;
        tx.raise_notice(&decoy_used(decoy, now), now).await?;
        tx.commit().await
    }
}

impl From<DecoyRow> for Decoy {
    fn from(row: DecoyRow) -> Self {
        Self {
            id: row.id,
            kind: row.kind,
            place: row.place,
            created_at: row.created_at,
            first_used_at: row.first_used_at,
            last_used_at: row.last_used_at,
            uses: row.uses,
        }
    }
}

fn decoy_used(decoy: &DecoyRow, now: UnixMs) -> NewNotice {
    let DecoyRow { id, kind, place, .. } = decoy;
    NewNotice {
        kind: "decoy-used",
        severity: Severity::Page,
        subject: format!("A decoy was used: somebody has read {place}"),
        facts: format!(
            "Planted at: {place}\nDecoy: {id} ({kind})\nUses before this one: {}\n\nIt opens nothing. Somebody who \
             should not has read the place where it was planted: look at what else lay there, change it, and find out who \
             could read it. `dashvault decoy list` tells of every use.",
            decoy.uses
        ),
        once_for: Some(format!("decoy-used:{id}:{}", now / TOLD_AGAIN_MS)),
    }
}

fn bearer(kind: CredentialKind) -> ([u8; 32], DecoySecret) {
    let (text, hash) = make_bearer(prefix(kind));
    (hash, DecoySecret::Text(text))
}

/// A plain hash will do: nobody gains by finding out what opens nothing.
fn pairing_hash(code: &str) -> Option<[u8; 32]> {
    pairing_code_spelling(code).map(|code| bearer_hash(&code))
}
