//! Where the root keys are: in a file beside the data, unless something else is said.

use std::path::{Path, PathBuf};

use dashvault_keys::Zeroizing;
#[cfg(feature = "pkcs11")]
use dashvault_keys::provider::Pkcs11Config;
#[cfg(feature = "aws-kms")]
use dashvault_keys::provider::{CredentialSource, KmsConfig, PENDING_DAYS};
use dashvault_keys::provider::{KeyringConfig, ProviderConfig, SecretSource};

#[cfg(feature = "aws-kms")]
use super::AwsKmsFile;
#[cfg(feature = "pkcs11")]
use super::Pkcs11File;
use super::{ConfigError, DataArgs, File, RootKeyProvider, Variables};

/// A secret and the three places it may come from; never two of them.
pub(super) struct Places {
    pub(super) what: &'static str,
    /// The flag, or the variable, that names its file.
    pub(super) flag: &'static str,
    /// What systemd's `LoadCredential=` calls it.
    pub(super) credential: &'static str,
    pub(super) variable: &'static str,
}

const PASSPHRASE: Places = Places {
    what: "the keyring's passphrase",
    flag: "--keyring-passphrase-file",
    credential: "dashvault.keyring-passphrase",
    variable: "DASHVAULT_KEYRING_PASSPHRASE",
};
#[cfg(feature = "pkcs11")]
const PIN: Places = Places {
    what: "the token's PIN",
    flag: "--pkcs11-pin-file",
    credential: "dashvault.pkcs11-pin",
    variable: "DASHVAULT_PKCS11_PIN",
};

pub(super) fn compose(
    args: &DataArgs,
    file: &File,
    data: &Path,
    variables: Variables<'_>,
) -> Result<ProviderConfig, ConfigError> {
    match args.root_key.or(file.root_key).unwrap_or(RootKeyProvider::Keyring) {
        RootKeyProvider::Keyring => {
            let keyring = args.keyring.clone().or(file.keyring.clone());
            let named = args.keyring_passphrase_file.clone();
            Ok(ProviderConfig::Keyring(KeyringConfig {
                path: keyring.unwrap_or_else(|| data.join("keyring")),
                passphrase: PASSPHRASE.find(named.or(file.keyring_passphrase_file.clone()), variables)?,
            }))
        }
        RootKeyProvider::Pkcs11 => token(args, file, variables),
        RootKeyProvider::AwsKms => kms(args, file, variables),
    }
}

#[cfg(feature = "pkcs11")]
fn token(args: &DataArgs, file: &File, variables: Variables<'_>) -> Result<ProviderConfig, ConfigError> {
    let none = Pkcs11File::default();
    let file = file.pkcs11.as_ref().unwrap_or(&none);
    let missing = |missing, key| ConfigError::Pkcs11 { missing, key };
    let module = args.pkcs11_module.clone().or(file.module.clone());
    let token = args.pkcs11_token.clone().or(file.token.clone());
    let pin = PIN.find(args.pkcs11_pin_file.clone().or(file.pin_file.clone()), variables)?;
    let prefix = args.pkcs11_prefix.clone().or(file.prefix.clone());
    let prefix = prefix.unwrap_or_else(|| "dashvault".to_owned());
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if prefix.is_empty() || prefix.len() > 64 || !prefix.bytes().all(is_plain) {
        return Err(ConfigError::Pkcs11Prefix);
    }
    Ok(ProviderConfig::Pkcs11(Pkcs11Config {
        module: module.ok_or_else(|| missing("--pkcs11-module", "module"))?,
        token: token.ok_or_else(|| missing("--pkcs11-token", "token"))?,
        pin: pin.ok_or(ConfigError::NoPin)?,
        prefix,
    }))
}

#[cfg(not(feature = "pkcs11"))]
fn token(_: &DataArgs, _: &File, _: Variables<'_>) -> Result<ProviderConfig, ConfigError> {
    Err(ConfigError::WithoutPkcs11)
}

#[cfg(feature = "aws-kms")]
fn kms(args: &DataArgs, file: &File, variables: Variables<'_>) -> Result<ProviderConfig, ConfigError> {
    let none = AwsKmsFile::default();
    let file = file.aws_kms.as_ref().unwrap_or(&none);
    let region = args.kms_region.clone().or(file.region.clone());
    let region = region.or_else(|| variables("AWS_REGION"));
    let region = region.ok_or(ConfigError::NoRegion)?;
    let prefix = args.kms_prefix.clone().or(file.prefix.clone());
    let config = KmsConfig {
        credentials: CredentialSource::find(&region, variables)?,
        region,
        prefix: prefix.unwrap_or_else(|| "dashvault".to_owned()),
        endpoint: args.kms_endpoint.clone().or(file.endpoint.clone()),
        pending_days: args
            .kms_pending_days
            .or(file.pending_days)
            .unwrap_or(*PENDING_DAYS.start()),
    };
    config.check()?;
    Ok(ProviderConfig::AwsKms(config))
}

#[cfg(not(feature = "aws-kms"))]
fn kms(_: &DataArgs, _: &File, _: Variables<'_>) -> Result<ProviderConfig, ConfigError> {
    Err(ConfigError::WithoutAwsKms)
}

impl Places {
    pub(super) fn find(
        &self,
        named: Option<PathBuf>,
        variables: Variables<'_>,
    ) -> Result<Option<SecretSource>, ConfigError> {
        let credential = variables("CREDENTIALS_DIRECTORY").map(|folder| Path::new(&folder).join(self.credential));
        let credential = credential.filter(|path| path.exists());
        let variable = variables(self.variable).map(Zeroizing::new);
        let given = [
            named.map(|path| (self.flag, SecretSource::File(path))),
            credential.map(|path| (self.credential, SecretSource::Credential(path))),
            variable.map(|secret| (self.variable, SecretSource::given(secret))),
        ];
        let mut given = given.into_iter().flatten();
        match (given.next(), given.next()) {
            (Some((first, _)), Some((second, _))) => Err(ConfigError::TwoSecrets {
                what: self.what,
                first,
                second,
            }),
            (one, _) => Ok(one.map(|(_, source)| source)),
        }
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
