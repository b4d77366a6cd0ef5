//! The keys of a token for one batch of uses: it is asked for them once.

use zeroize::Zeroizing;

use super::Pkcs11;
use super::token::Found;
use crate::provider::{ProviderError, RootKey, RootState, Wrap};

/// What is asked about the keys, or changes them, goes to the token as ever; a key that is switched off or destroyed
/// meanwhile the token itself refuses at the use.
pub(super) struct Batch<'p> {
    provider: &'p Pkcs11,
    /// Never empty, the newest last.
    keys: Vec<Found>,
}

impl<'p> Batch<'p> {
    pub fn of(provider: &'p Pkcs11) -> Result<Self, ProviderError> {
        // Anew: what was remembered of a key says nothing of its being switched off since.
        let keys = provider.never_none(provider.token.keys_anew()?)?;
        Ok(Self { provider, keys })
    }
}

impl RootKey for Batch<'_> {
    fn wrap(&self, plain: &[u8], aad: &[u8]) -> Result<Wrap, ProviderError> {
        let newest = self.keys.last().expect("there is one");
        self.provider.wrap_under(newest, plain, aad)
    }

    fn unwrap(&self, wrap: &Wrap, aad: &[u8]) -> Result<Zeroizing<Vec<u8>>, ProviderError> {
        self.provider.unwrap_with(&self.keys, wrap, aad)
    }

    fn state(&self) -> Result<RootState, ProviderError> {
        self.provider.state()
    }

    fn epoch(&self) -> Result<u32, ProviderError> {
        self.provider.epoch()
    }

    fn add_version(&self) -> Result<u32, ProviderError> {
        self.provider.add_version()
    }

    fn add_epoch(&self, after: u32) -> Result<u32, ProviderError> {
        self.provider.add_epoch(after)
    }

    fn destroy_epoch(&self, epoch: u32) -> Result<(), ProviderError> {
        self.provider.destroy_epoch(epoch)
    }
}
