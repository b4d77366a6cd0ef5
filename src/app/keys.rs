//! `dashvault keys`: the keyring made, looked at, backed up and brought back.

use std::fs::OpenOptions;
use std::io::{IsTerminal as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use dashvault_keys::Zeroizing;
use dashvault_keys::provider::{Keyring, KeyringConfig, ProviderConfig, RootKey as _};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use serde_json::json;

use super::CommandError;
use super::cli::{KeysCommand, PassphraseArgs};
use super::config::{DataConfig, environment};
use super::output::Output;
use super::{rooms, rotate};

/// A backup of a few root keys has a few hundred bytes.
const MAX_BACKUP_BYTES: u64 = 1 << 20;

pub(super) async fn run(command: KeysCommand, output: Output) -> Result<(), CommandError> {
    match command {
        KeysCommand::Init { data } => {
            let root = DataConfig::read(&data, &environment)?.vault.root;
            rooms::make_folder_of(&root)?;
            let made = rooms::create_root(&root).await?;
            output.tell(
                &json!({ "keyring": root.keyring_path(), "epoch": made.epoch()? }),
                &format!("Made {root}. Back it up with `dashvault keys backup`, apart from the data."),
            );
        }
        KeysCommand::Status { data } => {
            let root = DataConfig::read(&data, &environment)?.vault.root;
            let state = rooms::open_root(&root).await?.state()?;
            output.tell(
                &json!({
                    "keyring": root.keyring_path(), "provider": state.provider, "reference": state.reference,
                    "epoch": state.epoch, "version": state.version, "epochs": state.epochs,
                }),
                &format!(
                    "Wraps with {root}, key {}, version {} of epoch {}; unwraps epochs {:?}.",
                    state.reference, state.version, state.epoch, state.epochs
                ),
            );
        }
        KeysCommand::Backup { out, passphrase, data } => {
            let ProviderConfig::Keyring(KeyringConfig { path }) = DataConfig::read(&data, &environment)?.vault.root;
            let keyring = Keyring::open(&path)?;
            let passphrase = read_passphrase(&passphrase, true)?;
            let sealed = keyring.backup(&passphrase)?;
            write_new(&out, &sealed)?;
            output.tell(
                &json!({ "backup": out, "bytes": sealed.len() }),
                &format!(
                    "Wrote {}. Without it and its passphrase a lost keyring is lost for good; keep it apart from the data.",
                    out.display()
                ),
            );
        }
        KeysCommand::Rotate(args) => rotate::rotate(args, output).await?,
        KeysCommand::RollEpoch(args) => rotate::roll_epoch(args, output).await?,
        KeysCommand::Restore { from, passphrase, data } => {
            let root = DataConfig::read(&data, &environment)?.vault.root;
            let sealed = read_backup(&from)?;
            let passphrase = read_passphrase(&passphrase, false)?;
            rooms::make_folder_of(&root)?;
            let ProviderConfig::Keyring(KeyringConfig { path }) = root;
            let keyring = Keyring::restore(&sealed, &passphrase, &path)?;
            output.tell(
                &json!({ "keyring": path, "epoch": keyring.epoch()? }),
                &format!("Brought the keyring back to {}.", path.display()),
            );
        }
    }
    Ok(())
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

/// From the file that was named, else from the person at the terminal, twice when it is new.
fn read_passphrase(args: &PassphraseArgs, new: bool) -> Result<Zeroizing<String>, CommandError> {
    match &args.passphrase_file {
        Some(path) if path.as_os_str() == "-" => first_line(std::io::stdin().lock()),
        Some(path) => {
            let opened = std::fs::File::open(path);
            let opened = opened.map_err(|source| file(format!("{} cannot be read", path.display()), source))?;
            first_line(std::io::BufReader::new(opened))
        }
        None if !std::io::stdin().is_terminal() => Err(CommandError::Refused(
            "no passphrase: name its file with --passphrase-file, `-` for standard input".to_owned(),
        )),
        None => {
            let first = ask("Passphrase: ")?;
            if new && *ask("The same again: ")? != *first {
                return Err(CommandError::Refused("the two passphrases differ".to_owned()));
            }
            Ok(first)
        }
    }
}

fn first_line(mut from: impl std::io::BufRead) -> Result<Zeroizing<String>, CommandError> {
    let mut line = Zeroizing::new(String::new());
    from.read_line(&mut line)
        .map_err(|source| file("the passphrase cannot be read".to_owned(), source))?;
    while line.ends_with(['\n', '\r']) {
        line.pop();
    }
    Ok(line)
}

/// Asks at the terminal, which shows nothing of what is typed.
fn ask(prompt: &str) -> Result<Zeroizing<String>, CommandError> {
    let failed = |source: std::io::Error| file("the terminal cannot be read".to_owned(), source);
    let stdin = std::io::stdin();
    let shown = tcgetattr(&stdin).map_err(|e| failed(e.into()))?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    eprint!("{prompt}");
    tcsetattr(&stdin, OptionalActions::Now, &hidden).map_err(|e| failed(e.into()))?;
    let line = first_line(stdin.lock());
    let back = tcsetattr(&stdin, OptionalActions::Now, &shown);
    eprintln!();
    back.map_err(|e| failed(e.into()))?;
    line
}

fn file(what: String, source: std::io::Error) -> CommandError {
    CommandError::File { what, source }
}
