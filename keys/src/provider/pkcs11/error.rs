//! What goes wrong with a token, and what it means to whoever wraps.

use std::path::PathBuf;

use cryptoki::error::{Error, RvError};

use crate::provider::{ProviderError, SecretError};

/// Why a token does not open. Every text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Pkcs11Error {
    /// The library cannot be loaded, or does not begin.
    #[error("the PKCS#11 library {module} does not load ({reason}): look at --pkcs11-module")]
    Module {
        /// The file.
        module: PathBuf,
        /// What the loader or the library says.
        reason: String,
    },
    /// No slot has a token of that label.
    #[error("no slot of the PKCS#11 library has a token labelled {0}: put it in, or look at --pkcs11-token")]
    NoToken(String),
    /// More than one token has that label.
    #[error("several tokens are labelled {0}: give each its own label")]
    SeveralTokens(String),
    /// The token has no key of this vault.
    #[error(
        "the token {token} has no root key labelled {prefix}/…: look at --pkcs11-prefix, or make one with `dashvault keys init` for a new vault"
    )]
    NoKey {
        /// The token's label.
        token: String,
        /// What its keys' labels would begin with.
        prefix: String,
    },
    /// The token has keys of this vault already.
    #[error("the token {token} has root keys labelled {prefix}/… already, and they stay")]
    Exists {
        /// The token's label.
        token: String,
        /// What their labels begin with.
        prefix: String,
    },
    /// The token refuses the PIN. It was tried once: tokens lock after a few tries.
    #[error(
        "the token {token} refuses the PIN ({reason}); it was tried once and is not tried again, since tokens lock: check it, and start again"
    )]
    WrongPin {
        /// The token's label.
        token: String,
        /// What the token says.
        reason: String,
    },
    /// The PIN is not to be had.
    #[error("the PIN of the token is not to be had")]
    Pin(#[from] SecretError),
    /// Any other answer of the token.
    #[error(transparent)]
    Provider(#[from] ProviderError),
}

/// What an answer of the library means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The session, the login or the object's handle is not good any more: with a new one it may work.
    Stale,
    /// The token or its device does not answer.
    Away,
    /// The ciphertext does not open.
    NotAuthentic,
    /// The key must not be used for that.
    Forbidden,
    /// The PIN is wrong or locked.
    Pin,
    /// A defect, or something of the vendor's.
    Other,
}

pub(super) fn meaning(error: &Error) -> Meaning {
    let Error::Pkcs11(value, _) = error else {
        return Meaning::Other;
    };
    match value {
        RvError::SessionHandleInvalid
        | RvError::SessionClosed
        | RvError::UserNotLoggedIn
        | RvError::KeyHandleInvalid
        | RvError::ObjectHandleInvalid
        | RvError::OperationActive
        | RvError::OperationNotInitialized
        | RvError::CryptokiNotInitialized => Meaning::Stale,
        RvError::DeviceError
        | RvError::DeviceMemory
        | RvError::DeviceRemoved
        | RvError::TokenNotPresent
        | RvError::TokenNotRecognized
        | RvError::SlotIdInvalid
        | RvError::HostMemory
        | RvError::SessionCount
        | RvError::FunctionFailed => Meaning::Away,
        RvError::EncryptedDataInvalid | RvError::EncryptedDataLenRange => Meaning::NotAuthentic,
        RvError::KeyFunctionNotPermitted | RvError::ActionProhibited => Meaning::Forbidden,
        RvError::PinIncorrect
        | RvError::PinInvalid
        | RvError::PinLenRange
        | RvError::PinExpired
        | RvError::PinLocked => Meaning::Pin,
        _ => Meaning::Other,
    }
}

/// SoftHSM answers so when the tag or the associated data is wrong; a token that is away or broken answers so too.
pub(super) fn is_general(error: &Error) -> bool {
    matches!(error, Error::Pkcs11(RvError::GeneralError, _))
}
