//! Root keys in AWS KMS: a KMS key for each version of each epoch, that never leaves it.
//!
//! A key's alias says its epoch and version (`alias/PREFIX/e1/v1`), and `alias/PREFIX/newest` stands for the one that wraps. Wraps
//! name the key itself. What another service adds counts from the next call on, as far as KMS itself is of one mind.

mod calls;
mod client;
mod credentials;
mod error;
mod http;
mod sigv4;
mod sources;
mod wiped;

use std::sync::{Mutex, MutexGuard, PoisonError};

use data_encoding::HEXLOWER;
use zeroize::Zeroizing;

use calls::Calls;
pub use credentials::{Authorization, CredentialSource, Credentials};
pub use error::KmsError;
use error::Meaning;

use super::{KeyCondition, MAX_WRAPPED_BYTES, ProviderError, RootKey, RootKeyState, RootState, Wrap};
use client::Failed;

/// [`Wrap::provider`] of AWS KMS.
pub const PROVIDER_AWS_KMS: u8 = 3;
/// The shortest and the longest time that KMS keeps a key whose deletion is scheduled.
pub const PENDING_DAYS: std::ops::RangeInclusive<u8> = 7..=30;
const BLOB_VERSION: u8 = 1;
/// What KMS takes for a decryption.
const MAX_CIPHERTEXT_BYTES: usize = 6144;
/// Keys of one vault: as many as a keyring file holds.
const MAX_KEYS: usize = 1024;
const MAX_PREFIX_BYTES: usize = 64;

/// Where in KMS the root keys are.
#[derive(Debug, Clone)]
pub struct KmsConfig {
    /// The region, `eu-central-1`.
    pub region: String,
    /// Another address than the region's own: a VPC endpoint's. Plain HTTP only on this machine.
    pub endpoint: Option<String>,
    /// What the aliases of this vault's keys begin with: vaults that share an account and region have different ones.
    pub prefix: String,
    /// How many days KMS keeps a key of an epoch that was destroyed, and could bring it back.
    pub pending_days: u8,
    /// Who asks.
    pub credentials: CredentialSource,
}

impl KmsConfig {
    fn url(&self) -> String {
        match &self.endpoint {
            Some(endpoint) => format!("{}/", endpoint.trim_end_matches('/')),
            None => format!("https://kms.{}.{}/", self.region, domain(&self.region)),
        }
    }

    /// Whether the settings can be right; nobody is asked.
    ///
    /// # Errors
    /// [`KmsError::Setting`], with what to set.
    pub fn check(&self) -> Result<(), KmsError> {
        let is_region = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if self.region.is_empty() || !self.region.bytes().all(is_region) {
            return Err(KmsError::Setting("--kms-region is a region of AWS, as eu-central-1"));
        }
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"_-".contains(&b);
        let fits = (1..=MAX_PREFIX_BYTES).contains(&self.prefix.len()) && self.prefix.bytes().all(is_plain);
        if !fits || self.prefix == "aws" {
            return Err(KmsError::Setting(
                "--kms-prefix is 1 to 64 letters, digits, dashes and underscores, and not aws",
            ));
        }
        if !PENDING_DAYS.contains(&self.pending_days) {
            return Err(KmsError::Setting("--kms-pending-days is 7 to 30"));
        }
        require_private(&self.url())
    }
}

/// Plaintexts and signatures go over TLS, or stay on this machine.
fn require_private(url: &str) -> Result<(), KmsError> {
    let here = ["127.0.0.1", "localhost", "[::1]"].contains(&sources::host_of(url));
    match url.starts_with("https://") || (url.starts_with("http://") && here) {
        true => Ok(()),
        false => Err(KmsError::Setting(
            "an endpoint of AWS is https://…; plain http only to this machine",
        )),
    }
}

/// China's regions have a domain of their own.
fn domain(region: &str) -> &'static str {
    match region.starts_with("cn-") {
        true => "amazonaws.com.cn",
        false => "amazonaws.com",
    }
}

/// A key of this vault.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    epoch: u32,
    version: u32,
    /// As wraps name it.
    id: String,
}

/// Root keys in KMS.
pub struct Kms {
    calls: Calls,
    region: String,
    prefix: String,
    pending_days: u8,
    /// Every key of this vault that was ever seen here, the oldest first. What a key's epoch and version are never changes.
    known: Mutex<Vec<Key>>,
}

impl Kms {
    /// Looks for this vault's keys.
    ///
    /// # Errors
    /// [`KmsError::NoKey`] where there is none, [`KmsError::Setting`], and what KMS says.
    pub fn open(config: &KmsConfig) -> Result<Self, KmsError> {
        let opened = Self::new(config)?;
        if opened.look()?.is_empty() {
            return Err(KmsError::NoKey {
                region: config.region.clone(),
                prefix: config.prefix.clone(),
            });
        }
        // Who ended between making a key and pointing to it left that to do. Whoever only wraps may not be allowed to, and
        // need not: this process knows the newest key.
        let _ = opened.point_to_newest();
        Ok(opened)
    }

    /// Makes the first key, of epoch 1, where there is none of this vault.
    ///
    /// # Errors
    /// [`KmsError::Exists`], and as [`Self::open`].
    pub fn create(config: &KmsConfig) -> Result<Self, KmsError> {
        let made = Self::new(config)?;
        if !made.look()?.is_empty() || !made.add(1, 1)? {
            return Err(KmsError::Exists {
                region: config.region.clone(),
                prefix: config.prefix.clone(),
            });
        }
        Ok(made)
    }

    fn new(config: &KmsConfig) -> Result<Self, KmsError> {
        config.check()?;
        Ok(Self {
            calls: Calls::new(config),
            region: config.region.clone(),
            prefix: config.prefix.clone(),
            pending_days: config.pending_days,
            known: Mutex::default(),
        })
    }

    fn known(&self) -> MutexGuard<'_, Vec<Key>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every key, as the aliases have it now and as it was seen before: KMS's list may lag behind.
    fn look(&self) -> Result<Vec<Key>, ProviderError> {
        let aliases = self.calls.aliases();
        let aliases = aliases.map_err(|failed| self.means(failed, &self.place(), 0))?;
        let listed = aliases.into_iter().filter_map(|alias| {
            let (epoch, version) = self.place_of(&alias.name)?;
            Some(Key {
                epoch,
                version,
                id: alias.key?,
            })
        });
        let mut known = self.known();
        known.extend(listed);
        known.sort();
        known.dedup();
        match known.len() > MAX_KEYS {
            true => Err(ProviderError::NotChanged(format!(
                "{} has more than {MAX_KEYS} keys",
                self.place()
            ))),
            false => Ok(known.clone()),
        }
    }

    /// Epoch and version, of an alias of this vault's.
    fn place_of(&self, alias: &str) -> Option<(u32, u32)> {
        let place = alias.strip_prefix("alias/")?.strip_prefix(&self.prefix)?;
        let (epoch, version) = place.strip_prefix("/e")?.split_once("/v")?;
        let (epoch, version) = (epoch.parse().ok()?, version.parse().ok()?);
        // `e01` and `e+1` are somebody else's.
        (self.alias(epoch, version) == alias).then_some((epoch, version))
    }

    fn alias(&self, epoch: u32, version: u32) -> String {
        format!("alias/{}/e{epoch}/v{version}", self.prefix)
    }

    fn newest_alias(&self) -> String {
        format!("alias/{}/newest", self.prefix)
    }

    /// The keys meant, for people.
    fn place(&self) -> String {
        format!("alias/{}/… in {}", self.prefix, self.region)
    }

    /// The key that a wrap names; asks KMS for keys that others added. Nothing is sent to a key that is not this vault's.
    fn find(&self, id: &str) -> Result<Option<Key>, ProviderError> {
        let of = |keys: &[Key]| keys.iter().find(|key| key.id == id).cloned();
        if let Some(key) = of(&self.known()) {
            return Ok(Some(key));
        }
        Ok(of(&self.look()?))
    }

    fn newest(&self) -> Result<Key, ProviderError> {
        self.look()?.pop().ok_or_else(|| ProviderError::NoSuchKey {
            reference: self.place(),
            epoch: 0,
        })
    }

    /// Makes a key and names it; says no when somebody else has just made one of that epoch and version.
    fn add(&self, epoch: u32, version: u32) -> Result<bool, ProviderError> {
        if self.known().len() >= MAX_KEYS {
            return Err(ProviderError::NotChanged(format!(
                "{} has {MAX_KEYS} keys",
                self.place()
            )));
        }
        let means = |failed| self.means(failed, &self.place(), epoch);
        let id = self.calls.create_key(&self.prefix, epoch, version).map_err(means)?;
        let alias = self.alias(epoch, version);
        if let Err(failed) = self.calls.create_alias(&alias, &id) {
            // An answer may have been lost, and the alias be there.
            let target = self.calls.describe(&alias).ok().flatten();
            if target.as_ref().is_none_or(|target| target.id != id) {
                // Nothing is wrapped under it. If this fails too, a key without an alias is left, and whom it belongs to
                // stands in its tags.
                let _ = self.calls.schedule_deletion(&id, *PENDING_DAYS.start());
                return match failed.is(Meaning::Exists) {
                    true => Ok(false),
                    false => Err(means(failed)),
                };
            }
        }
        {
            let mut known = self.known();
            known.push(Key { epoch, version, id });
            known.sort();
        }
        self.point_to_newest().map_err(means)?;
        Ok(true)
    }

    fn add_next(&self, epoch: u32, version: u32) -> Result<(), ProviderError> {
        match self.add(epoch, version)? {
            true => Ok(()),
            false => Err(ProviderError::NotChanged(
                "another process added a key at the same time: look at `dashvault keys status`, and run this again if need be"
                    .to_owned(),
            )),
        }
    }

    /// Lets `alias/PREFIX/newest` stand for the newest key that is known.
    fn point_to_newest(&self) -> Result<(), Failed> {
        let alias = self.newest_alias();
        let Some(newest) = self.known().last().cloned() else {
            return Ok(());
        };
        match self.calls.describe(&alias)? {
            Some(target) if target.id == newest.id => Ok(()),
            Some(_) => self.calls.update_alias(&alias, &newest.id),
            None => match self.calls.create_alias(&alias, &newest.id) {
                Err(failed) if failed.is(Meaning::Exists) => self.calls.update_alias(&alias, &newest.id),
                done => done,
            },
        }
    }

    /// Encrypts under the newest key: under the one that the alias stands for, and under the one known to be newer.
    fn encrypt(&self, plain: &[u8], context: &str) -> Result<(Key, Vec<u8>), ProviderError> {
        let alias = self.newest_alias();
        match self.calls.encrypt(&alias, plain, context) {
            Ok((id, sealed)) => {
                let key = self.find(&id)?.ok_or_else(|| {
                    ProviderError::Denied(format!(
                        "{alias} stands for key {id}, which is none of this vault's: somebody changed it"
                    ))
                })?;
                if self.known().last() == Some(&key) {
                    return Ok((key, sealed));
                }
            }
            // Whoever destroyed the epoch that it stood for, or the alias, was not this vault; or KMS is behind.
            Err(failed) if failed.is(Meaning::Missing) || failed.is(Meaning::SwitchedOff) => {}
            Err(failed) => return Err(self.means(failed, &alias, 0)),
        }
        let newest = self.newest()?;
        match self.calls.encrypt(&newest.id, plain, context) {
            Ok((id, sealed)) if id == newest.id => Ok((newest, sealed)),
            Ok(_) => Err(ProviderError::Refused),
            Err(failed) => Err(self.means(failed, &newest.id, newest.epoch)),
        }
    }

    /// What a failure means for whoever asked for a key.
    fn means(&self, failed: Failed, reference: &str, epoch: u32) -> ProviderError {
        let said = match failed {
            Failed::Lost(reason) => return ProviderError::Unavailable(format!("AWS KMS in {}: {reason}", self.region)),
            Failed::NoCredentials(reason) => {
                return ProviderError::Denied(format!("there are no credentials of AWS: {reason}"));
            }
            Failed::Said(said) => said,
        };
        match said.meaning {
            Meaning::NotAuthentic => ProviderError::Refused,
            Meaning::Missing => ProviderError::NoSuchKey {
                reference: reference.to_owned(),
                epoch,
            },
            Meaning::SwitchedOff => ProviderError::Disabled {
                reference: reference.to_owned(),
                reason: said.text,
            },
            Meaning::Exists => ProviderError::NotChanged(said.text),
            Meaning::Throttled => ProviderError::Throttled(said.text),
            Meaning::Away => ProviderError::Unavailable(said.text),
            Meaning::Stale | Meaning::Denied => ProviderError::Denied(said.text),
        }
    }
}

impl RootKey for Kms {
    fn wrap(&self, plain: &[u8], aad: &[u8]) -> Result<Wrap, ProviderError> {
        if plain.is_empty() || plain.len() > MAX_WRAPPED_BYTES {
            return Err(ProviderError::Refused);
        }
        let (key, sealed) = self.encrypt(plain, &HEXLOWER.encode(aad))?;
        if sealed.is_empty() || sealed.len() > MAX_CIPHERTEXT_BYTES {
            return Err(ProviderError::Refused);
        }
        let mut blob = vec![BLOB_VERSION];
        blob.extend_from_slice(&sealed);
        Ok(Wrap {
            provider: PROVIDER_AWS_KMS,
            reference: key.id,
            epoch: key.epoch,
            blob,
        })
    }

    fn unwrap(&self, wrap: &Wrap, aad: &[u8]) -> Result<Zeroizing<Vec<u8>>, ProviderError> {
        let missing = || ProviderError::NoSuchKey {
            reference: wrap.reference.clone(),
            epoch: wrap.epoch,
        };
        if wrap.provider != PROVIDER_AWS_KMS {
            return Err(missing());
        }
        let key = self.find(&wrap.reference)?;
        let key = key.filter(|key| key.epoch == wrap.epoch).ok_or_else(missing)?;
        let sealed = match wrap.blob.split_first() {
            Some((&BLOB_VERSION, sealed)) if (1..=MAX_CIPHERTEXT_BYTES).contains(&sealed.len()) => sealed,
            _ => return Err(ProviderError::Refused),
        };
        match self.calls.decrypt(&key.id, sealed, &HEXLOWER.encode(aad)) {
            Ok((id, plain)) if id == key.id => Ok(plain),
            Ok(_) => Err(ProviderError::Refused),
            Err(failed) => Err(self.means(failed, &key.id, key.epoch)),
        }
    }

    fn state(&self) -> Result<RootState, ProviderError> {
        let newest = self.newest()?;
        let known = self.known().clone();
        let mut keys = Vec::with_capacity(known.len());
        for key in known {
            let told = self.calls.describe(&key.id);
            match told.map_err(|failed| self.means(failed, &key.id, key.epoch))? {
                Some(told) => keys.push(RootKeyState {
                    reference: key.id,
                    epoch: key.epoch,
                    version: key.version,
                    condition: told.condition,
                }),
                // Its days are over.
                None => self.known().retain(|known| *known != key),
            }
        }
        let can_be_unwrapped =
            |key: &&RootKeyState| key.condition != KeyCondition::PendingDeletion || key.epoch == newest.epoch;
        let mut epochs: Vec<u32> = keys.iter().filter(can_be_unwrapped).map(|key| key.epoch).collect();
        epochs.dedup();
        Ok(RootState {
            provider: "AWS KMS",
            reference: newest.id,
            epoch: newest.epoch,
            version: newest.version,
            epochs,
            keys,
        })
    }

    fn epoch(&self) -> Result<u32, ProviderError> {
        Ok(self.newest()?.epoch)
    }

    fn add_version(&self) -> Result<u32, ProviderError> {
        let newest = self.newest()?;
        let version = next(newest.version)?;
        self.add_next(newest.epoch, version)?;
        Ok(version)
    }

    fn add_epoch(&self, after: u32) -> Result<u32, ProviderError> {
        let newest = self.newest()?.epoch;
        if newest > after {
            return Ok(newest);
        }
        let epoch = next(newest)?;
        self.add_next(epoch, 1)?;
        Ok(epoch)
    }

    fn destroy_epoch(&self, epoch: u32) -> Result<(), ProviderError> {
        let keys = self.look()?;
        if keys.last().is_none_or(|newest| epoch >= newest.epoch) {
            return Err(ProviderError::NotChanged(format!(
                "epoch {epoch} wraps now: add an epoch first"
            )));
        }
        for key in keys.iter().filter(|key| key.epoch == epoch) {
            let means = |failed| self.means(failed, &key.id, key.epoch);
            match self.calls.describe(&key.id).map_err(means)? {
                None => {}
                Some(told) if told.condition == KeyCondition::PendingDeletion => {}
                Some(_) => self
                    .calls
                    .schedule_deletion(&key.id, self.pending_days)
                    .map_err(means)?,
            }
        }
        Ok(())
    }
}

fn next(number: u32) -> Result<u32, ProviderError> {
    number
        .checked_add(1)
        .ok_or_else(|| ProviderError::NotChanged("the numbers of keys are used up".to_owned()))
}
