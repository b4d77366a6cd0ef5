//! `dashvault exposure attestations` gives the chain away; `dashvault exposure verify` checks one, without a vault.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use dashvault_keys::attestation::{Chain, Head, MAX_LINE_BYTES};
use data_encoding::HEXLOWER;
use serde_json::json;

use super::CommandError;
use super::cli::DataArgs;
use super::config::{DataConfig, environment};
use super::output::{Output, sentence};
use super::rooms::{self, NewVault};

/// Statements that are read from the database at once.
const PAGE: u32 = 500;

/// What `attestations` writes.
#[derive(Args)]
pub(super) struct AttestationsArgs {
    /// The new file that the lines are written to
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    data: DataArgs,
}

/// What `verify` checks.
#[derive(Args)]
pub(super) struct ChainArgs {
    /// The lines, from the first one on
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// A receipt key that is trusted, in hex: the one that a vehicle was paired with, or any since (default: the first line's)
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// The head that was told when the chain was last seen whole; without it a cut at the end does not show
    #[arg(long, value_name = "HEAD")]
    head: Option<String>,
}

/// Writes the whole chain; needs the database alone.
pub(super) async fn give(args: AttestationsArgs, output: Output) -> Result<(), CommandError> {
    let config = DataConfig::read(&args.data, &environment)?;
    let catalog = rooms::connect(&config, NewVault::Refuse).await?;
    let failed = |source| CommandError::File {
        what: format!("the lines cannot be written to {}: give a new file", args.out.display()),
        source,
    };
    let mut file = std::fs::File::create_new(&args.out).map_err(failed)?;
    let mut last = None;
    loop {
        let after = last.as_ref().map_or(0, |row: &crate::catalog::AttestationRow| row.seq);
        let rows = catalog.attestations_after(after, PAGE).await?;
        for row in &rows {
            writeln!(file, "{}", row.line).map_err(failed)?;
        }
        match rows.into_iter().next_back() {
            Some(row) => last = Some(row),
            None => break,
        }
    }
    file.sync_all().map_err(failed)?;
    catalog.close().await;
    let Some(last) = last else {
        return Err(CommandError::Refused(
            "there are no attestations yet: `dashvault serve` makes the first one when it has looked at the buckets"
                .to_owned(),
        ));
    };
    let head = HEXLOWER.encode(&last.sha256);
    output.tell(
        &json!({ "statements": last.seq, "head": head, "file": args.out }),
        &format!(
            "Wrote {} statements to {}. Keep the head elsewhere, it shows whether later lines were cut off:\n{head}",
            last.seq,
            args.out.display()
        ),
    );
    Ok(())
}

/// Checks a chain offline.
pub(super) fn verify(args: &ChainArgs, output: Output) -> Result<(), CommandError> {
    let key = args.key.as_deref().map(|text| bytes("--key", text)).transpose()?;
    let head = args.head.as_deref().map(|text| bytes("--head", text)).transpose()?;
    let seen = check(&args.file, key, head)?;
    let (head, key) = (HEXLOWER.encode(&seen.sha256), HEXLOWER.encode(&seen.key));
    let trusted = match args.key {
        Some(_) => "",
        None => "\nThe first line's own key was believed: compare it with one that you trust, or give --key.",
    };
    output.tell(
        &json!({ "statements": seen.seq, "head": head, "signed_by": key, "at_ms": seen.at_ms }),
        &format!(
            "{} statements follow each from the one before. The head is\n{head}\nand the last key\n{key}{trusted}",
            seen.seq
        ),
    );
    Ok(())
}

/// The chain's head, if every line follows and `known` is among them.
fn check(file: &Path, trusted: Option<[u8; 32]>, known: Option<[u8; 32]>) -> Result<Head, CommandError> {
    let failed = |source| CommandError::File {
        what: format!("{} cannot be read", file.display()),
        source,
    };
    let mut lines = BufReader::new(std::fs::File::open(file).map_err(failed)?);
    let mut chain = Chain::new(trusted);
    let mut is_known = known.is_none();
    for number in 1_u64.. {
        let mut line = Vec::new();
        // One more, so that a longer one shows.
        let most = MAX_LINE_BYTES as u64 + 2;
        if lines.by_ref().take(most).read_until(b'\n', &mut line).map_err(failed)? == 0 {
            break;
        }
        let breaks = |why: &str| CommandError::Refused(format!("the chain breaks at line {number}: {why}"));
        let Some(line) = line.strip_suffix(b"\n") else {
            return Err(breaks("it was cut off in its middle"));
        };
        let line = std::str::from_utf8(line).map_err(|_| breaks("it is no text: it was altered"))?;
        let (_, head) = chain.follow(line).map_err(|why| breaks(&sentence(&why)))?;
        is_known |= known == Some(head.sha256);
    }
    let Some(head) = chain.head() else {
        return Err(CommandError::Refused(format!(
            "there is no statement in {}: all of it was cut off",
            file.display()
        )));
    };
    if !is_known {
        return Err(CommandError::Refused(format!(
            "the chain breaks after its last line (statement {}): the head that you know does not follow, so lines were cut off \
             at the end, or it is another chain",
            head.seq
        )));
    }
    Ok(*head)
}

fn bytes(flag: &str, text: &str) -> Result<[u8; 32], CommandError> {
    let bytes = HEXLOWER.decode(text.trim().to_lowercase().as_bytes()).ok();
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| CommandError::Refused(format!("{flag} is 64 characters of hex")))
}
