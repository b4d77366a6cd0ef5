//! Root keys on a PKCS#11 token: AES-256 keys that never leave it, one a version, versions within epochs.
//!
//! A key's label says its epoch and version (`PREFIX/e1/v1`), its `CKA_ID` is the random reference that wraps name. The token is
//! asked for its keys at each use, so that what another service added or destroyed counts from the next call on; a rotation asks
//! once a batch.

mod batch;
mod bound;
mod canary;
mod error;
mod library;
mod token;

use std::path::PathBuf;

use data_encoding::HEXLOWER;
use zeroize::Zeroizing;

use batch::Batch;
pub use bound::MAX_WRAPS_A_KEY;
use bound::Wraps;
pub use error::Pkcs11Error;
use token::{Found, Token};

use super::{KeyCondition, MAX_WRAPPED_BYTES, ProviderError, RootKey, RootKeyState, RootState, SecretSource, Wrap};
use crate::digest::{lp, random};

/// [`Wrap::provider`] of a PKCS#11 token.
pub const PROVIDER_PKCS11: u8 = 2;
const BLOB_VERSION: u8 = 1;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
const HEAD_BYTES: usize = 1 + NONCE_BYTES;

/// Which token has the root keys.
#[derive(Debug, Clone)]
pub struct Pkcs11Config {
    /// The vendor's library.
    pub module: PathBuf,
    /// The token's label.
    pub token: String,
    /// The user's PIN.
    pub pin: SecretSource,
    /// What the labels of this vault's keys begin with: vaults that share a token have different ones.
    pub prefix: String,
}

/// Root keys on a token.
pub struct Pkcs11 {
    token: Token,
    wraps: Wraps,
}

impl From<Token> for Pkcs11 {
    fn from(token: Token) -> Self {
        Self {
            token,
            wraps: Wraps::default(),
        }
    }
}

impl Pkcs11 {
    /// Logs in and looks for this vault's keys.
    ///
    /// # Errors
    /// [`Pkcs11Error::NoKey`] on a token without keys of this vault, and one of its own for a library, token or PIN that is
    /// wrong.
    pub fn open(config: &Pkcs11Config) -> Result<Self, Pkcs11Error> {
        let opened = Self::from(Token::open(config)?);
        if opened.token.keys()?.is_empty() {
            return Err(Pkcs11Error::NoKey {
                token: config.token.clone(),
                prefix: config.prefix.clone(),
            });
        }
        Ok(opened)
    }

    /// Makes the first key, of epoch 1, on a token that has none of this vault.
    ///
    /// # Errors
    /// [`Pkcs11Error::Exists`], and as [`Self::open`].
    pub fn create(config: &Pkcs11Config) -> Result<Self, Pkcs11Error> {
        let token = Token::open(config)?;
        if !token.keys()?.is_empty() {
            return Err(Pkcs11Error::Exists {
                token: config.token.clone(),
                prefix: config.prefix.clone(),
            });
        }
        token.make(1, 1, random())?;
        Ok(token.into())
    }

    /// Every key of this vault, the oldest first; never empty.
    fn keys(&self) -> Result<Vec<Found>, ProviderError> {
        self.never_none(self.token.keys()?)
    }

    fn never_none(&self, keys: Vec<Found>) -> Result<Vec<Found>, ProviderError> {
        if keys.is_empty() {
            return Err(ProviderError::NoSuchKey {
                reference: self.token.place(),
                epoch: 0,
            });
        }
        Ok(keys)
    }

    fn newest(&self) -> Result<Found, ProviderError> {
        Ok(self.keys()?.pop().expect("there is one"))
    }

    fn wrap_under(&self, key: &Found, plain: &[u8], aad: &[u8]) -> Result<Wrap, ProviderError> {
        if plain.len() > MAX_WRAPPED_BYTES {
            return Err(ProviderError::Refused);
        }
        self.wraps.one_more(&key.id)?;
        let nonce: [u8; NONCE_BYTES] = random();
        let mut blob = vec![BLOB_VERSION];
        blob.extend_from_slice(&nonce);
        let aad = bound(&blob, key, aad);
        blob.extend_from_slice(&self.token.encrypt(key, nonce, &aad, plain)?);
        Ok(Wrap {
            provider: PROVIDER_PKCS11,
            reference: HEXLOWER.encode(&key.id),
            epoch: key.epoch,
            blob,
        })
    }

    fn unwrap_with(&self, keys: &[Found], wrap: &Wrap, aad: &[u8]) -> Result<Zeroizing<Vec<u8>>, ProviderError> {
        let fits = |key: &&Found| key.epoch == wrap.epoch && HEXLOWER.encode(&key.id) == wrap.reference;
        let key = keys.iter().find(fits).filter(|_| wrap.provider == PROVIDER_PKCS11);
        let key = key.ok_or_else(|| ProviderError::NoSuchKey {
            reference: wrap.reference.clone(),
            epoch: wrap.epoch,
        })?;
        let (head, sealed) = wrap
            .blob
            .split_at_checked(HEAD_BYTES)
            .filter(|(head, sealed)| head[0] == BLOB_VERSION && sealed.len() >= TAG_BYTES)
            .ok_or(ProviderError::Refused)?;
        let nonce = head[1..].try_into().map_err(|_| ProviderError::Refused)?;
        self.token.decrypt(key, nonce, &bound(head, key, aad), sealed)
    }
}

impl RootKey for Pkcs11 {
    fn wrap(&self, plain: &[u8], aad: &[u8]) -> Result<Wrap, ProviderError> {
        self.wrap_under(&self.newest()?, plain, aad)
    }

    fn unwrap(&self, wrap: &Wrap, aad: &[u8]) -> Result<Zeroizing<Vec<u8>>, ProviderError> {
        self.unwrap_with(&self.token.keys()?, wrap, aad)
    }

    fn batch(&self) -> Result<Option<Box<dyn RootKey + '_>>, ProviderError> {
        Ok(Some(Box::new(Batch::of(self)?)))
    }

    fn state(&self) -> Result<RootState, ProviderError> {
        let keys = self.never_none(self.token.keys_anew()?)?;
        let newest = keys.last().expect("there is one");
        let mut epochs: Vec<u32> = keys.iter().map(|key| key.epoch).collect();
        epochs.dedup();
        let state_of = |key: &Found| RootKeyState {
            reference: HEXLOWER.encode(&key.id),
            epoch: key.epoch,
            version: key.version,
            condition: if key.usable {
                KeyCondition::Enabled
            } else {
                KeyCondition::Disabled
            },
        };
        Ok(RootState {
            provider: "PKCS#11 token",
            reference: HEXLOWER.encode(&newest.id),
            epoch: newest.epoch,
            version: newest.version,
            epochs,
            keys: keys.iter().map(state_of).collect(),
        })
    }

    fn epoch(&self) -> Result<u32, ProviderError> {
        Ok(self.newest()?.epoch)
    }

    fn add_version(&self) -> Result<u32, ProviderError> {
        let newest = self.newest()?;
        let version = next(newest.version)?;
        self.token.make(newest.epoch, version, random())?;
        Ok(version)
    }

    fn add_epoch(&self, after: u32) -> Result<u32, ProviderError> {
        let newest = self.newest()?.epoch;
        if newest > after {
            return Ok(newest);
        }
        let epoch = next(newest)?;
        self.token.make(epoch, 1, random())?;
        Ok(epoch)
    }

    fn destroy_epoch(&self, epoch: u32) -> Result<(), ProviderError> {
        let keys = self.keys()?;
        if epoch >= keys.last().expect("there is one").epoch {
            return Err(ProviderError::NotChanged(format!(
                "epoch {epoch} wraps now: add an epoch first"
            )));
        }
        for key in keys.iter().filter(|key| key.epoch == epoch) {
            self.token.destroy(key)?;
        }
        Ok(())
    }
}

/// What a wrap is bound to: its head, its key, its epoch and its place.
fn bound(head: &[u8], key: &Found, aad: &[u8]) -> Vec<u8> {
    lp(&[b"dcv1/pkcs11/wrap", head, &key.id, &key.epoch.to_be_bytes(), aad])
}

fn next(number: u32) -> Result<u32, ProviderError> {
    number
        .checked_add(1)
        .ok_or_else(|| ProviderError::NotChanged("the numbers of keys are used up".to_owned()))
}
