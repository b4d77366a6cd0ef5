//! `dashvault keys`: the root key made, looked at, backed up and brought back, and the keyring's passphrase.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use dashvault_keys::provider::{Keyring, KeyringConfig, ProviderConfig, RootKey as _, RootState, SecretSource};
use serde_json::json;

use super::cli::{DataArgs, KeysCommand, PassphraseArgs, PassphraseCommand};
use super::config::root_key::lies_beneath;
use super::config::{DataConfig, environment};
use super::output::{Output, sentence};
use super::rooms::{self, NewVault};
use super::{CommandError, passphrase, rotate};
use crate::catalog::EpochWraps;

/// A backup of a few root keys has a few hundred bytes.
const MAX_BACKUP_BYTES: u64 = 1 << 20;

pub(super) async fn run(command: KeysCommand, output: Output) -> Result<(), CommandError> {
    match command {
        KeysCommand::Init { passphrase_file, data } => init(passphrase_file, &data, output).await,
        KeysCommand::Status { data } => status(&DataConfig::read(&data, &environment)?, output).await,
        KeysCommand::Backup { out, passphrase, data } => backup(&out, &passphrase, &data, output),
        KeysCommand::Restore { from, passphrase, data } => restore(&from, &passphrase, &data, output),
        KeysCommand::Passphrase(command) => change_passphrase(command, output),
        KeysCommand::Rotate(args) => rotate::rotate(args, output).await,
        KeysCommand::RollEpoch(args) => rotate::roll_epoch(args, output).await,
    }
}

async fn init(passphrase_file: Option<PathBuf>, data: &DataArgs, output: Output) -> Result<(), CommandError> {
    let mut root = DataConfig::read(data, &environment)?.vault.root;
    if let Some(file) = passphrase_file {
        let secret = passphrase::read(Some(&file), "--passphrase-file", true)?;
        keyring_of(&mut root)?.passphrase = Some(SecretSource::given(secret));
    }
    rooms::make_folder_of(&root)?;
    let made = rooms::create_root(&root).await?;
    output.tell(
        &json!({ "keyring": root.keyring_path(), "epoch": made.epoch()? }),
        &match root.keyring_path() {
            Some(_) => format!("Made {root}. Back it up with `dashvault keys backup`, apart from the data."),
            None => format!(
                "Made a root key: {root}. It stays there; what keeps it safe is a matter of that provider's own tools."
            ),
        },
    );
    Ok(())
}

async fn status(config: &DataConfig, output: Output) -> Result<(), CommandError> {
    let root = &config.vault.root;
    let state = rooms::open_root(root).await?.state()?;
    let has_passphrase = root.keyring_path().map(Keyring::has_passphrase).transpose()?;
    // The root key may be asked after while the database is away.
    let (wraps, why) = match wraps(config).await {
        Ok(wraps) => (wraps, None),
        Err(error) => (None, Some(sentence(&error))),
    };
    let keys = state.keys.iter().map(|key| {
        json!({ "reference": key.reference, "epoch": key.epoch, "version": key.version, "state": key.condition.word() })
    });
    let keys: Vec<_> = keys.collect();
    let counted = wraps.as_ref().map(|wraps| {
        let one = |epoch: &EpochWraps| {
            json!({ "epoch": epoch.epoch, "owner_keys": epoch.owner_keys, "system_records": epoch.system_records })
        };
        wraps.iter().map(one).collect::<Vec<_>>()
    });
    output.tell(
        &json!({
            "keyring": root.keyring_path(), "provider": state.provider, "reference": state.reference,
            "epoch": state.epoch, "version": state.version, "epochs": state.epochs, "keys": keys,
            "passphrase": has_passphrase, "wraps": counted, "not_counted": why,
        }),
        &told(root, &state, has_passphrase, wraps.as_deref(), why.as_deref()),
    );
    Ok(())
}

fn told(
    root: &ProviderConfig,
    state: &RootState,
    has_passphrase: Option<bool>,
    wraps: Option<&[EpochWraps]>,
    why: Option<&str>,
) -> String {
    let mut text = format!("Wraps with {root}, version {} of epoch {}.", state.version, state.epoch);
    text.push_str(match has_passphrase {
        Some(true) => " The file is sealed under a passphrase.",
        Some(false) => " The file has no passphrase.",
        None => "",
    });
    for key in &state.keys {
        text.push_str(&format!(
            "\n  epoch {}, version {}: {}, {}",
            key.epoch,
            key.version,
            key.reference,
            key.condition.word()
        ));
    }
    for epoch in wraps.unwrap_or_default() {
        let here = if state.epochs.contains(&epoch.epoch) {
            ""
        } else {
            ", whose root key is NOT here"
        };
        text.push_str(&format!(
            "\nEpoch {} wraps {} owners' keys and {} system records{here}.",
            epoch.epoch, epoch.owner_keys, epoch.system_records
        ));
    }
    match (wraps, why) {
        (None, Some(why)) => text.push_str(&format!("\nWhat they wrap cannot be counted: {why}")),
        (None, None) => text.push_str("\nThere is no vault here yet; nothing is wrapped."),
        _ => {}
    }
    text
}

/// What each epoch wraps; none where there is no vault yet.
async fn wraps(config: &DataConfig) -> Result<Option<Vec<EpochWraps>>, rooms::RoomsError> {
    if !config.catalog.may_be_there() {
        return Ok(None);
    }
    let catalog = rooms::connect(config, NewVault::Refuse).await?;
    let tenant = catalog.first_tenant().await?;
    let wraps = match tenant {
        Some(tenant) => Some(catalog.wraps_by_epoch(tenant).await?),
        None => None,
    };
    catalog.close().await;
    Ok(wraps)
}

fn backup(out: &Path, args: &PassphraseArgs, data: &DataArgs, output: Output) -> Result<(), CommandError> {
    let mut config = DataConfig::read(data, &environment)?;
    let keyring = Keyring::open_as(keyring_of(&mut config.vault.root)?)?;
    if lies_beneath(out, &config.data) {
        return Err(CommandError::Refused(format!(
            "{} lies beneath the data {}, and whoever copies that folder would have locks and keys: write the backup to \
             another disk",
            out.display(),
            config.data.display()
        )));
    }
    let secret = passphrase::read(args.passphrase_file.as_deref(), "--passphrase-file", true)?;
    let sealed = keyring.backup(&secret)?;
    write_new(out, &sealed)?;
    output.tell(
        &json!({ "backup": out, "bytes": sealed.len() }),
        &format!(
            "Wrote {}. Without it and its passphrase a lost keyring is lost for good; keep it apart from the data.",
            out.display()
        ),
    );
    Ok(())
}

fn restore(from: &Path, args: &PassphraseArgs, data: &DataArgs, output: Output) -> Result<(), CommandError> {
    let mut root = DataConfig::read(data, &environment)?.vault.root;
    let sealed = read_backup(from)?;
    let secret = passphrase::read(args.passphrase_file.as_deref(), "--passphrase-file", false)?;
    rooms::make_folder_of(&root)?;
    let keyring = Keyring::restore(&sealed, &secret, keyring_of(&mut root)?)?;
    output.tell(
        &json!({ "keyring": root.keyring_path(), "epoch": keyring.epoch()? }),
        &format!("Brought {root} back."),
    );
    Ok(())
}

fn change_passphrase(command: PassphraseCommand, output: Output) -> Result<(), CommandError> {
    let (file, data, set) = match command {
        PassphraseCommand::Set {
            new_passphrase_file,
            data,
        } => (new_passphrase_file, data, true),
        PassphraseCommand::Remove { data } => (None, data, false),
    };
    let mut root = DataConfig::read(&data, &environment)?.vault.root;
    let keyring = keyring_of(&mut root)?.clone();
    let had = Keyring::has_passphrase(&keyring.path)?;
    if !had && !set {
        return Err(CommandError::Refused(format!("{root} has no passphrase")));
    }
    let new = match set {
        true => Some(passphrase::read(file.as_deref(), "--new-passphrase-file", true)?),
        false => None,
    };
    Keyring::change_passphrase(&keyring, new.as_ref().map(|text| text.as_str()))?;
    let lines = match (set, had) {
        (true, false) => format!(
            "{root} is sealed under the passphrase. Services need it from now on (--keyring-passphrase-file). Copies of the file \
             from before lie open still, on this disk and in backups: `dashvault keys roll-epoch` makes them worthless."
        ),
        (true, true) => format!(
            "{root} is sealed under the new passphrase. Services read it from their passphrase file when that has it; others are \
             started again. Whoever has a copy from before and the old passphrase has the keys still: `dashvault keys \
             roll-epoch` makes it worthless."
        ),
        (false, _) => format!(
            "{root} lies open: whoever reads the file has the keys. Take the passphrase out of the configuration."
        ),
    };
    output.tell(&json!({ "keyring": root.keyring_path(), "passphrase": set }), &lines);
    Ok(())
}

/// The keyring file, of which alone there are backups and passphrases.
fn keyring_of(root: &mut ProviderConfig) -> Result<&mut KeyringConfig, CommandError> {
    match root {
        ProviderConfig::Keyring(keyring) => Ok(keyring),
        #[cfg(feature = "pkcs11")]
        ProviderConfig::Pkcs11(token) => Err(CommandError::Refused(format!(
            "the root keys are on the PKCS#11 token {} and never leave it: back the token up, and set its PIN, with its vendor's tools",
            token.token
        ))),
        #[cfg(feature = "aws-kms")]
        ProviderConfig::AwsKms(_) => Err(CommandError::Refused(format!(
            "the root keys are in {root} and never leave it: AWS keeps them, and who may use or delete them is a matter of its policies"
        ))),
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> Result<(), CommandError> {
    let failed = |source| {
        file(
            format!(
                "{} cannot be written (an existing file is never overwritten)",
                path.display()
            ),
            source,
        )
    };
    let mut out = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    out.write_all(bytes).and_then(|()| out.sync_all()).map_err(failed)
}

fn read_backup(path: &Path) -> Result<Vec<u8>, CommandError> {
    let failed = |source| file(format!("{} cannot be read", path.display()), source);
    if std::fs::metadata(path).map_err(failed)?.len() > MAX_BACKUP_BYTES {
        return Err(CommandError::Refused(format!(
            "{} is no keyring backup: it is too long",
            path.display()
        )));
    }
    std::fs::read(path).map_err(failed)
}

fn file(what: String, source: std::io::Error) -> CommandError {
    CommandError::File { what, source }
}
