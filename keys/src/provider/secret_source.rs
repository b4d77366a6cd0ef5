//! Where a passphrase or a PIN comes from: a file of its owner's alone, a credential of the service's supervisor, or whoever
//! started the program.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use zeroize::Zeroizing;

use super::file::{self, FileError};

/// Bytes of a file whose first line is a secret.
const MAX_FILE_BYTES: usize = 4096;

/// Where a secret text comes from. It is read when it is needed.
#[derive(Clone)]
pub enum SecretSource {
    /// The first line of a file that only its owner may read (mode 600 or 400).
    File(PathBuf),
    /// The first line of a file that systemd made for this service alone (`LoadCredential=`). It may belong to root and be
    /// readable to the service by an access list, which shows as the group's right.
    Credential(PathBuf),
    /// What was given at the start, until it is forgotten; see [`SecretSource::given`]. Clones forget together.
    Given(Arc<Mutex<Option<Zeroizing<String>>>>),
}

/// Why a secret is not to be had. No text holds any of it.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// There is no file.
    #[error("there is no file {0}: name the file whose first line is the secret")]
    Missing(PathBuf),
    /// Others may read it, or it is no plain file.
    #[error("{path} has mode {mode:o}: whoever reads it has the secret; run chmod 600 on it")]
    Permissions {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Its first line is empty, or no text, or the file is too long for a secret.
    #[error("the first line of {0} is no secret: one line of UTF-8 text is expected, in a file of at most 4096 bytes")]
    NoText(PathBuf),
    /// It was given at the start, used and forgotten.
    #[error("the secret that the program was started with is forgotten: start it again, or keep the secret in a file")]
    Forgotten,
    /// The file system fails.
    #[error("{path} cannot be read")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl SecretSource {
    /// A secret that the caller has.
    pub fn given(secret: Zeroizing<String>) -> Self {
        Self::Given(Arc::new(Mutex::new(Some(secret))))
    }

    /// Erases what was given at the start; a file can be read again.
    pub fn forget(&self) {
        if let Self::Given(held) = self {
            *held.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    /// The secret.
    ///
    /// # Errors
    /// See [`SecretError`].
    pub fn read(&self) -> Result<Zeroizing<String>, SecretError> {
        match self {
            Self::File(path) => first_line(path, file::is_private),
            Self::Credential(path) => first_line(path, |mode| mode & 0o037 == 0),
            Self::Given(held) => {
                let held = held.lock().unwrap_or_else(PoisonError::into_inner);
                held.clone().ok_or(SecretError::Forgotten)
            }
        }
    }
}

/// Says where, never what.
impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Credential(path) => f.debug_tuple("Credential").field(path).finish(),
            Self::Given(_) => f.write_str("Given"),
        }
    }
}

fn first_line(path: &Path, fit: fn(u32) -> bool) -> Result<Zeroizing<String>, SecretError> {
    let owned = || path.to_owned();
    let (bytes, _) = file::read(path, MAX_FILE_BYTES, fit).map_err(|error| match error {
        FileError::Missing => SecretError::Missing(owned()),
        FileError::Mode(mode) => SecretError::Permissions { path: owned(), mode },
        FileError::Length => SecretError::NoText(owned()),
        FileError::Io(source) => SecretError::Io { path: owned(), source },
    })?;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match std::str::from_utf8(line) {
        Ok(text) if !text.is_empty() => Ok(Zeroizing::new(text.to_owned())),
        _ => Err(SecretError::NoText(owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn file(bytes: &[u8], mode: u32) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("secret");
        std::fs::write(&path, bytes).expect("a file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("its owner may");
        (dir, path)
    }

    #[test]
    fn a_secret_is_the_first_line_without_its_end() {
        for (bytes, secret) in [
            (b"a b".as_slice(), "a b"),
            (b"a b\n", "a b"),
            (b"a b\r\nnote", "a b"),
            (" ä \n".as_bytes(), " ä "),
        ] {
            let (_dir, path) = file(bytes, 0o600);
            assert_eq!(*SecretSource::File(path).read().expect("a secret"), secret);
        }
    }

    #[test]
    fn what_is_no_secret_is_refused_by_its_place() {
        for bytes in [b"".as_slice(), b"\nsecond", b"\xff\xfe", &[b'x'; MAX_FILE_BYTES + 1]] {
            let (_dir, path) = file(bytes, 0o600);
            let told = SecretSource::File(path.clone()).read().err();
            assert!(matches!(told, Some(SecretError::NoText(at)) if at == path));
        }
        let nowhere = SecretSource::File("/nowhere/secret".into());
        assert!(matches!(nowhere.read().err(), Some(SecretError::Missing(_))));
    }

    #[test]
    fn a_secret_that_others_may_read_is_refused() {
        for (mode, as_file, as_credential) in [
            (0o600, true, true),
            (0o400, true, true),
            (0o440, false, true),
            (0o640, false, true),
            (0o644, false, false),
            (0o660, false, false),
            (0o604, false, false),
        ] {
            let (_dir, path) = file(b"secret", mode);
            let refused = |source: SecretSource| matches!(source.read(), Err(SecretError::Permissions { .. }));
            assert_eq!(!refused(SecretSource::File(path.clone())), as_file, "{mode:o}");
            assert_eq!(!refused(SecretSource::Credential(path)), as_credential, "{mode:o}");
        }
    }

    #[test]
    fn what_was_given_is_forgotten_by_every_clone_and_never_printed() {
        let source = SecretSource::given(Zeroizing::new("sesame".to_owned()));
        let other = source.clone();
        assert!(!format!("{source:?}").contains("sesame"));
        assert_eq!(*source.read().expect("it is there"), "sesame");
        other.forget();
        assert!(matches!(source.read().err(), Some(SecretError::Forgotten)));
    }
}
