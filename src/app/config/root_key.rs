//! Where the root keys are: in a file beside the data, unless something else is said.

use std::path::{Path, PathBuf};

use dashvault_keys::Zeroizing;
use dashvault_keys::provider::{KeyringConfig, ProviderConfig, SecretSource};

use super::{ConfigError, DataArgs, File, Variables};

/// What systemd's `LoadCredential=` calls the passphrase.
const CREDENTIAL: &str = "dashvault.keyring-passphrase";

pub(super) fn compose(
    args: &DataArgs,
    file: &File,
    data: &Path,
    variables: Variables<'_>,
) -> Result<ProviderConfig, ConfigError> {
    let keyring = args.keyring.clone().or(file.keyring.clone());
    Ok(ProviderConfig::Keyring(KeyringConfig {
        path: keyring.unwrap_or_else(|| data.join("keyring")),
        passphrase: passphrase(args, file, variables)?,
    }))
}

/// A file that was named, a credential, or a variable; never two of them.
fn passphrase(args: &DataArgs, file: &File, variables: Variables<'_>) -> Result<Option<SecretSource>, ConfigError> {
    let named = args
        .keyring_passphrase_file
        .clone()
        .or(file.keyring_passphrase_file.clone());
    let credential = variables("CREDENTIALS_DIRECTORY").map(|folder| Path::new(&folder).join(CREDENTIAL));
    let credential = credential.filter(|path| path.exists());
    let variable = variables("DASHVAULT_KEYRING_PASSPHRASE").map(Zeroizing::new);
    let given = [
        named.map(|path| ("--keyring-passphrase-file", SecretSource::File(path))),
        credential.map(|path| {
            (
                "the credential dashvault.keyring-passphrase",
                SecretSource::Credential(path),
            )
        }),
        variable.map(|secret| ("DASHVAULT_KEYRING_PASSPHRASE", SecretSource::given(secret))),
    ];
    let mut given = given.into_iter().flatten();
    match (given.next(), given.next()) {
        (Some((first, _)), Some((second, _))) => Err(ConfigError::TwoPassphrases { first, second }),
        (one, _) => Ok(one.map(|(_, source)| source)),
    }
}

/// One backup of the data would hold both locks and keys, if the keyring lay beneath them.
pub(super) fn require_elsewhere(root: &ProviderConfig, data: &Path) -> Result<(), ConfigError> {
    match root.keyring_path() {
        Some(keyring) if lies_beneath(keyring, data) => Err(ConfigError::KeyringBesideData {
            keyring: keyring.to_owned(),
            data: data.to_owned(),
        }),
        _ => Ok(()),
    }
}

/// Whether a file, which need not be there yet, lies somewhere in a folder.
pub(in crate::app) fn lies_beneath(file: &Path, folder: &Path) -> bool {
    whole(file).starts_with(whole(folder))
}

/// Without links and dots. The file may not be there yet; its folder, or the folder above, is.
fn whole(path: &Path) -> PathBuf {
    let mut known = path.to_owned();
    let mut rest = PathBuf::new();
    loop {
        if let Ok(found) = known.canonicalize() {
            return found.join(rest);
        }
        let Some(name) = known.file_name() else {
            return std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        };
        rest = if rest.as_os_str().is_empty() {
            name.into()
        } else {
            Path::new(name).join(rest)
        };
        known = match known.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
    }
}
