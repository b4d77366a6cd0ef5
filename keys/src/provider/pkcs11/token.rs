//! A token: its library, its sessions, its keys.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use cryptoki::context::Pkcs11;
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use zeroize::Zeroizing;

use super::canary::Canaries;
use super::error::{Meaning, Pkcs11Error, is_general, meaning};
use super::library::Library;
use super::{NONCE_BYTES, Pkcs11Config, TAG_BYTES};
use crate::provider::ProviderError;

/// Sessions open at once: as many as threads that wrap, on most machines, and tokens have few.
const MAX_SESSIONS: usize = 8;
/// Tries of one call, with fresh sessions; a token that is pulled and put in again is back within them.
const TRIES: u32 = 3;
/// Before the second try; doubled for the third.
const PAUSE: Duration = Duration::from_millis(100);
/// Keys of one vault on a token: as many as a keyring file holds.
const MAX_KEYS: usize = 1024;
const AES_256_BYTES: u64 = 32;

/// A key on the token.
#[derive(Clone, Copy)]
pub(super) struct Found {
    pub epoch: u32,
    pub version: u32,
    pub id: [u8; 16],
    /// The token lets it encrypt and decrypt.
    pub usable: bool,
    object: ObjectHandle,
    /// The [`Pool::generation`] in which it has that handle: in a later one the handle may be another key's.
    generation: u64,
}

pub(super) struct Token {
    library: Arc<Library>,
    label: String,
    prefix: String,
    pin: Zeroizing<String>,
    pool: Mutex<Pool>,
    freed: Condvar,
    had_keys: AtomicBool,
    /// What was read of a key, by the token's handle for it. A handle stands for the same key as long as the login lasts; what
    /// a key may be used for can change, so one that is switched off is read at each look.
    known: Mutex<HashMap<u64, Known>>,
    canaries: Canaries,
}

/// What a handle stands for in one generation: none for what is no key of this vault.
#[derive(Clone, Copy)]
struct Known {
    key: Option<Found>,
    generation: u64,
}

impl Known {
    /// One that was switched off may be on again.
    fn counts_in(&self, generation: u64) -> bool {
        self.generation == generation && self.key.is_none_or(|key| key.usable)
    }
}

#[derive(Default)]
struct Pool {
    idle: Vec<Session>,
    /// Sessions out or idle.
    open: usize,
    /// Raised when the sessions were thrown away: those that come back from before are closed.
    generation: u64,
    /// How often the library had been begun when these sessions were.
    times_begun: u64,
}

/// A session on loan; it goes back when it was not thrown away.
struct Loan<'t> {
    token: &'t Token,
    session: Option<Session>,
    generation: u64,
}

impl Deref for Loan<'_> {
    type Target = Session;

    fn deref(&self) -> &Session {
        self.session.as_ref().expect("it is on loan")
    }
}

impl Token {
    pub fn open(config: &Pkcs11Config) -> Result<Self, Pkcs11Error> {
        let token = Self {
            library: Library::of(&config.module)?,
            label: config.token.clone(),
            prefix: config.prefix.clone(),
            pin: config.pin.read()?,
            pool: Mutex::default(),
            freed: Condvar::new(),
            had_keys: AtomicBool::new(false),
            known: Mutex::default(),
            canaries: Canaries::default(),
        };
        if token.has_slot().is_err() {
            // Some libraries look for tokens only when they begin.
            token.library.begin_again(|| {});
            token.has_slot()?;
        }
        let begun = {
            let (context, _calls) = token.library.calls();
            // Once, here: a wrong PIN is told as such.
            token.session(context).map(drop)
        };
        match begun {
            Ok(()) => Ok(token),
            Err(Failed::Pin(reason)) => Err(Pkcs11Error::WrongPin {
                token: token.label.clone(),
                reason,
            }),
            Err(failed) => Err(token.provider_error(failed).into()),
        }
    }

    /// The token and the keys meant, for people.
    pub fn place(&self) -> String {
        format!("{} on token {}", self.prefix, self.label)
    }

    fn has_slot(&self) -> Result<(), Pkcs11Error> {
        let (context, _calls) = self.library.calls();
        self.slot(context).map(drop)
    }

    /// As [`Self::keys`], with nothing that was remembered.
    pub fn keys_anew(&self) -> Result<Vec<Found>, ProviderError> {
        self.forget();
        self.keys()
    }

    /// Every key of this vault, by epoch and version.
    pub fn keys(&self) -> Result<Vec<Found>, ProviderError> {
        self.call(|session| self.seek(session))
    }

    fn seek(&self, session: &Loan<'_>) -> Result<Vec<Found>, Failed> {
        let keys = self.find(session)?;
        // The newest is never destroyed: a token that shows none of them has been pulled.
        match keys.is_empty() && self.had_keys.load(Ordering::Relaxed) {
            true => Err(Failed::Away("the token shows none of its keys".to_owned())),
            false => Ok(keys),
        }
    }

    pub fn encrypt(
        &self,
        key: &Found,
        nonce: [u8; NONCE_BYTES],
        aad: &[u8],
        plain: &[u8],
    ) -> Result<Vec<u8>, ProviderError> {
        self.require_usable(key)?;
        self.call(|session| {
            let mut nonce = nonce;
            let object = self.handle(session, key)?;
            let params = GcmParams::new(&mut nonce, aad, tag_bits().into()).map_err(Failed::Token)?;
            let sealed = session
                .encrypt(&Mechanism::AesGcm(params), object, plain)
                .map_err(Failed::Token)?;
            match sealed.len() == plain.len() + TAG_BYTES {
                true => Ok(sealed),
                false => Err(Failed::Odd("a ciphertext has another length than AES-GCM gives it")),
            }
        })
    }

    pub fn decrypt(
        &self,
        key: &Found,
        nonce: [u8; NONCE_BYTES],
        aad: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, ProviderError> {
        self.require_usable(key)?;
        self.call(|session| {
            let object = self.handle(session, key)?;
            let open = || {
                let mut nonce = nonce;
                let params = GcmParams::new(&mut nonce, aad, tag_bits().into())?;
                session.decrypt(&Mechanism::AesGcm(params), object, sealed)
            };
            let opened = match open() {
                // A token that was away for just this call is back when it is asked again.
                Err(error) if is_general(&error) && self.works(session, key, object)? => match open() {
                    Err(error) if is_general(&error) && self.works(session, key, object)? => {
                        return Err(Failed::NotAuthentic);
                    }
                    again => again,
                },
                first => first,
            };
            opened.map(Zeroizing::new).map_err(Failed::Token)
        })
    }

    /// The key's handle in this session: the one it was found by, or a new one when the sessions were thrown away since.
    fn handle(&self, session: &Loan<'_>, key: &Found) -> Result<ObjectHandle, Failed> {
        if key.generation == session.generation {
            return Ok(key.object);
        }
        let found = self.seek(session)?;
        let same = found.iter().find(|found| found.id == key.id);
        same.map(|found| found.object).ok_or(Failed::Gone(*key))
    }

    /// Whether the token still knows the session's login and the key, and opens with it what was surely sealed under it: then
    /// a ciphertext that does not open is wrong.
    fn works(&self, session: &Loan<'_>, key: &Found, object: ObjectHandle) -> Result<bool, Failed> {
        if !self.find(session)?.iter().any(|found| found.id == key.id) {
            return Ok(false);
        }
        match self.canaries.opens(session, key.id, object) {
            Ok(true) => Ok(true),
            Ok(false) => Err(Failed::Broken),
            Err(error) if is_general(&error) => Err(Failed::Broken),
            Err(error) => Err(Failed::Token(error)),
        }
    }

    /// Makes a key that never leaves the token.
    pub fn make(&self, epoch: u32, version: u32, id: [u8; 16]) -> Result<(), ProviderError> {
        if self.keys()?.len() >= MAX_KEYS {
            return Err(ProviderError::NotChanged(format!(
                "the token holds {MAX_KEYS} keys of this vault"
            )));
        }
        self.call(|session| {
            // Another try after one whose answer was lost makes no second key.
            if self.find(session)?.iter().any(|key| key.id == id) {
                return Ok(());
            }
            let template = [
                Attribute::Class(ObjectClass::SECRET_KEY),
                Attribute::KeyType(KeyType::AES),
                Attribute::ValueLen(AES_256_BYTES.into()),
                Attribute::Label(format!("{}/e{epoch}/v{version}", self.prefix).into_bytes()),
                Attribute::Id(id.to_vec()),
                Attribute::Token(true),
                Attribute::Private(true),
                Attribute::Sensitive(true),
                Attribute::Extractable(false),
                Attribute::Encrypt(true),
                Attribute::Decrypt(true),
                Attribute::Wrap(false),
                Attribute::Unwrap(false),
                Attribute::Sign(false),
                Attribute::Verify(false),
                Attribute::Derive(false),
            ];
            session
                .generate_key(&Mechanism::AesKeyGen, &template)
                .map_err(Failed::Token)?;
            Ok(())
        })
    }

    /// Destroys a key; one that is not there any more is destroyed.
    pub fn destroy(&self, key: &Found) -> Result<(), ProviderError> {
        self.call(|session| {
            // By its id: a handle may have become another key's while the token was away.
            let found = self.find(session)?.into_iter().filter(|found| found.id == key.id);
            for found in found {
                session.destroy_object(found.object).map_err(Failed::Token)?;
            }
            Ok(())
        })
    }

    fn require_usable(&self, key: &Found) -> Result<(), ProviderError> {
        if key.usable {
            return Ok(());
        }
        Err(ProviderError::Disabled {
            reference: data_encoding::HEXLOWER.encode(&key.id),
            reason: "the token does not let it encrypt and decrypt".to_owned(),
        })
    }

    /// Reads what is not known yet of the keys there are.
    fn find(&self, session: &Loan<'_>) -> Result<Vec<Found>, Failed> {
        let template = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
        ];
        let handles = session.find_objects(&template).map_err(Failed::Token)?;
        let mut known = lock(&self.known);
        let mut keys = Vec::with_capacity(handles.len());
        for object in &handles {
            let found = match known.get(&object.handle()) {
                Some(found) if found.counts_in(session.generation) => *found,
                _ => {
                    let found = Known {
                        key: self.read(session, *object)?,
                        generation: session.generation,
                    };
                    known.insert(object.handle(), found);
                    found
                }
            };
            keys.extend(found.key);
        }
        if known.len() > handles.len() {
            known.retain(|handle, _| handles.iter().any(|object| object.handle() == *handle));
        }
        if !keys.is_empty() {
            self.had_keys.store(true, Ordering::Relaxed);
        }
        keys.sort_by_key(|key: &Found| (key.epoch, key.version, key.id));
        Ok(keys)
    }

    /// A key of this vault; none for whatever else lies on the token.
    fn read(&self, session: &Loan<'_>, object: ObjectHandle) -> Result<Option<Found>, Failed> {
        let wanted = [
            AttributeType::Label,
            AttributeType::Id,
            AttributeType::Encrypt,
            AttributeType::Decrypt,
        ];
        let attributes = session.get_attributes(object, &wanted).map_err(Failed::Token)?;
        let (mut place, mut id, mut usable) = (None, None, true);
        for attribute in attributes {
            match attribute {
                Attribute::Label(label) => place = self.place_of(&label),
                Attribute::Id(bytes) => id = <[u8; 16]>::try_from(bytes).ok(),
                Attribute::Encrypt(allowed) | Attribute::Decrypt(allowed) => usable &= allowed,
                _ => {}
            }
        }
        Ok(place.zip(id).map(|((epoch, version), id)| Found {
            epoch,
            version,
            id,
            usable,
            object,
            generation: session.generation,
        }))
    }

    /// Epoch and version, of a label of this vault's.
    fn place_of(&self, label: &[u8]) -> Option<(u32, u32)> {
        let label = std::str::from_utf8(label).ok()?;
        let (epoch, version) = label.strip_prefix(&self.prefix)?.strip_prefix("/e")?.split_once("/v")?;
        Some((epoch.parse().ok()?, version.parse().ok()?))
    }

    /// Does something with a session; with fresh ones again, where the token may have been away for a moment, and at last
    /// with the library begun anew.
    fn call<T>(&self, work: impl Fn(&Loan<'_>) -> Result<T, Failed>) -> Result<T, ProviderError> {
        let mut tries = 1;
        loop {
            let failed = match self.try_once(&work) {
                Ok(done) => return Ok(done),
                Err(failed) => failed,
            };
            if failed.is_forbidden() {
                // It was switched off since it was read.
                self.forget();
            }
            if tries == TRIES || !failed.may_pass() {
                return Err(self.provider_error(failed));
            }
            thread::sleep(PAUSE * tries);
            match tries {
                1 => self.throw_away(),
                _ => self.library.begin_again(|| self.throw_away()),
            }
            tries += 1;
        }
    }

    fn try_once<T>(&self, work: impl Fn(&Loan<'_>) -> Result<T, Failed>) -> Result<T, Failed> {
        let (context, _calls) = self.library.calls();
        self.keep_up();
        let mut loan = self.session(context)?;
        let done = work(&loan);
        if done.as_ref().is_err_and(Failed::may_pass) {
            loan.session = None;
        }
        done
    }

    fn session(&self, context: &Pkcs11) -> Result<Loan<'_>, Failed> {
        let mut pool = lock(&self.pool);
        loop {
            if let Some(session) = pool.idle.pop() {
                return Ok(self.loan(session, pool.generation));
            }
            if pool.open < MAX_SESSIONS {
                break;
            }
            pool = self.freed.wait(pool).unwrap_or_else(PoisonError::into_inner);
        }
        let session = self.begin(context)?;
        pool.open += 1;
        Ok(self.loan(session, pool.generation))
    }

    fn loan(&self, session: Session, generation: u64) -> Loan<'_> {
        Loan {
            token: self,
            session: Some(session),
            generation,
        }
    }

    fn begin(&self, context: &Pkcs11) -> Result<Session, Failed> {
        let slot = self.slot(context).map_err(|error| Failed::Away(error.to_string()))?;
        let mut refusals = self.library.refusals();
        if let Some(reason) = refusals.get(&self.label) {
            return Err(Failed::Pin(reason.clone()));
        }
        let session = context.open_rw_session(slot).map_err(Failed::Token)?;
        let pin = AuthPin::new(self.pin.as_str().into());
        match session.login(UserType::User, Some(&pin)) {
            // The login is the whole program's: other sessions share it.
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
            Err(error) if meaning(&error) == Meaning::Pin => {
                let reason = error.to_string();
                refusals.insert(self.label.clone(), reason.clone());
                Err(Failed::Pin(reason))
            }
            Err(error) => Err(Failed::Token(error)),
        }
    }

    fn slot(&self, context: &Pkcs11) -> Result<Slot, Pkcs11Error> {
        let slots = context.get_slots_with_initialized_token();
        let slots = slots.map_err(|error| ProviderError::Unavailable(error.to_string()))?;
        if slots.is_empty() {
            // No wrong label: the token, or the device, is not there at all.
            let away = format!("no slot of the PKCS#11 library has any token: put {} in", self.label);
            return Err(ProviderError::Unavailable(away).into());
        }
        let labelled = |slot: &Slot| {
            let info = context.get_token_info(*slot);
            info.is_ok_and(|info| info.label().trim_end() == self.label)
        };
        let mut fitting = slots.into_iter().filter(labelled);
        match (fitting.next(), fitting.next()) {
            (Some(slot), None) => Ok(slot),
            (None, _) => Err(Pkcs11Error::NoToken(self.label.clone())),
            (Some(_), Some(_)) => Err(Pkcs11Error::SeveralTokens(self.label.clone())),
        }
    }

    /// When another opening in this process has begun the library anew, nothing from before counts. Called while the library's
    /// calls are held, so that none of these sessions is out.
    fn keep_up(&self) {
        let now = self.library.times_begun();
        let mut pool = lock(&self.pool);
        if pool.times_begun == now {
            return;
        }
        pool.times_begun = now;
        pool.generation += 1;
        pool.open -= pool.idle.len();
        // To close one would close whichever session has its number now.
        pool.idle.drain(..).for_each(std::mem::forget);
        self.forget();
    }

    /// After a failure that another session may not have: what is open and what is known is of no use.
    fn throw_away(&self) {
        let mut pool = lock(&self.pool);
        pool.generation += 1;
        pool.open -= pool.idle.len();
        pool.idle.clear();
        self.forget();
    }

    /// What was read of the keys is read anew.
    fn forget(&self) {
        lock(&self.known).clear();
    }

    fn provider_error(&self, failed: Failed) -> ProviderError {
        match failed {
            Failed::NotAuthentic => ProviderError::Refused,
            Failed::Pin(reason) => ProviderError::Disabled {
                reference: self.place(),
                reason: format!(
                    "the token refuses the PIN ({reason}), and it is not tried again: check it, and start again"
                ),
            },
            Failed::Away(reason) => ProviderError::Unavailable(reason),
            Failed::Broken => ProviderError::Unavailable(format!(
                "{} does not open what was sealed under it a moment ago: look at the token",
                self.place()
            )),
            Failed::Gone(key) => ProviderError::NoSuchKey {
                reference: data_encoding::HEXLOWER.encode(&key.id),
                epoch: key.epoch,
            },
            Failed::Odd(what) => ProviderError::Unavailable(what.to_owned()),
            Failed::Token(error) => match meaning(&error) {
                Meaning::NotAuthentic => ProviderError::Refused,
                Meaning::Forbidden => ProviderError::Disabled {
                    reference: self.place(),
                    reason: error.to_string(),
                },
                Meaning::Stale | Meaning::Away | Meaning::Pin | Meaning::Other => {
                    ProviderError::Unavailable(error.to_string())
                }
            },
        }
    }
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        let mut pool = lock(&self.token.pool);
        match self.session.take() {
            Some(session) if self.generation == pool.generation => pool.idle.push(session),
            _ => pool.open -= 1,
        }
        self.token.freed.notify_one();
    }
}

/// Why one try failed.
enum Failed {
    Token(Error),
    /// The token is not in its slot.
    Away(String),
    /// It shows the key, and does not open what was surely sealed under it.
    Broken,
    /// The token shows others of its keys, and not this one.
    Gone(Found),
    NotAuthentic,
    Pin(String),
    Odd(&'static str),
}

impl Failed {
    fn may_pass(&self) -> bool {
        match self {
            Self::Token(error) => matches!(meaning(error), Meaning::Stale | Meaning::Away) || is_general(error),
            Self::Away(_) | Self::Broken => true,
            Self::Gone(_) | Self::NotAuthentic | Self::Pin(_) | Self::Odd(_) => false,
        }
    }

    fn is_forbidden(&self) -> bool {
        matches!(self, Self::Token(error) if meaning(error) == Meaning::Forbidden)
    }
}

pub(super) fn tag_bits() -> u64 {
    8 * TAG_BYTES as u64
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
