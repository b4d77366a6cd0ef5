//! A vendor's library: begun once a process, for whoever uses it, and begun anew when a token went and came back.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};

use super::error::{Meaning, Pkcs11Error, meaning};
use super::token::lock;
use crate::provider::ProviderError;

/// A library that is begun. It stays so to the process's end: its ending would end the sessions of others.
pub(super) struct Library {
    context: Pkcs11,
    /// Read by every call, so that nothing runs while it is begun anew.
    calls: RwLock<()>,
    /// How often it was begun: what a token gave out before, a session or a handle, may stand for another one's now.
    times_begun: AtomicU64,
    /// Why tokens refused the PIN, by their labels, as long as the process lives.
    refusals: Mutex<HashMap<String, String>>,
}

impl Library {
    pub fn of(module: &Path) -> Result<Arc<Self>, Pkcs11Error> {
        static BEGUN: Mutex<Option<HashMap<PathBuf, Arc<Library>>>> = Mutex::new(None);
        let failed = |error: Error| Pkcs11Error::Module {
            module: module.to_owned(),
            reason: error.to_string(),
        };
        let mut begun = lock(&BEGUN);
        let begun = begun.get_or_insert_default();
        if let Some(library) = begun.get(module) {
            return Ok(library.clone());
        }
        let context = Pkcs11::new(module).map_err(failed)?;
        begin(&context).map_err(|error| match meaning(&error) {
            Meaning::Away => ProviderError::Unavailable(error.to_string()).into(),
            _ => failed(error),
        })?;
        let library = Arc::new(Self {
            context,
            calls: RwLock::default(),
            times_begun: AtomicU64::new(1),
            refusals: Mutex::default(),
        });
        begun.insert(module.to_owned(), library.clone());
        Ok(library)
    }

    /// The library's functions, for as long as one call takes.
    pub fn calls(&self) -> (&Pkcs11, RwLockReadGuard<'_, ()>) {
        let calls = self.calls.read().unwrap_or_else(PoisonError::into_inner);
        (&self.context, calls)
    }

    /// How often it was begun; it stays so for as long as [`Self::calls`] is held.
    pub fn times_begun(&self) -> u64 {
        self.times_begun.load(Ordering::Acquire)
    }

    /// The tokens that refused the PIN. Held while one is tried, and a token that is in here is not tried again by anybody in
    /// this process: tokens lock after a few wrong PINs.
    pub fn refusals(&self) -> MutexGuard<'_, HashMap<String, String>> {
        lock(&self.refusals)
    }

    /// Ends it and begins it anew, once no call runs: some libraries look for tokens only then. Every session of this process
    /// is over, and whoever has one finds out at the next call.
    pub fn begin_again(&self, before: impl FnOnce()) {
        let _alone = self.calls.write().unwrap_or_else(PoisonError::into_inner);
        before();
        let _ = self.context.clone().finalize();
        self.times_begun.fetch_add(1, Ordering::Release);
        // What is wrong with it, the next call tells.
        let _ = begin(&self.context);
    }
}

fn begin(context: &Pkcs11) -> Result<(), Error> {
    match context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(()),
        begun => begun,
    }
}
