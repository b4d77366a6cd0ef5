//! Where the root keys are: in a file beside the data, unless something else is said.

use std::path::{Path, PathBuf};

use dashvault_keys::provider::ProviderConfig;

use super::{ConfigError, DataArgs, File};

pub(super) fn compose(args: &DataArgs, file: &File, data: &Path) -> ProviderConfig {
    let keyring = args.keyring.clone().or(file.keyring.clone());
    ProviderConfig::keyring(keyring.unwrap_or_else(|| data.join("keyring")))
}

/// One backup of the data would hold both locks and keys, if the keyring lay beneath them.
pub(super) fn require_elsewhere(root: &ProviderConfig, data: &Path) -> Result<(), ConfigError> {
    let Some(keyring) = root.keyring_path() else {
        return Ok(());
    };
    let whole = |path: &Path| {
        // The file may not be there yet; its folder, or the folder above, is.
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
    };
    if whole(keyring).starts_with(whole(data)) {
        return Err(ConfigError::KeyringBesideData {
            keyring: keyring.to_owned(),
            data: data.to_owned(),
        });
    }
    Ok(())
}
