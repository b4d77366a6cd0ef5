//! `dashvault device` and `dashvault upload`: the vehicle's side, over the network like any other.

use std::io::IsTerminal as _;
use std::path::Path;
use std::time::Duration;

use dashvault_client::{Client, ClientError, Device, Options, Progress, Stage};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::cli::{DeviceCommand, UploadArgs};
use super::output::{Output, line, sentence};
use super::{CommandError, courier};

pub(super) async fn device(command: DeviceCommand, output: Output) -> Result<(), CommandError> {
    begin();
    match command {
        DeviceCommand::Pair { server, code, out } => {
            let device = dashvault_client::pair(&server, &code, &out).await?;
            output.tell(
                &json!({ "device_id": device.id(), "file": out }),
                &format!("Paired as {}; the vehicle's key is in {}.", device.id(), out.display()),
            );
        }
        DeviceCommand::RotateKey { server, device } => {
            let loaded = Device::load(&device)?;
            if !dashvault_client::rotate_key(&loaded, server.as_deref()).await? {
                return Err(CommandError::Refused(
                    "another process gives this vehicle another key now; nothing has to be done".to_owned(),
                ));
            }
            output.tell(
                &json!({ "device_id": loaded.id(), "file": device }),
                &format!(
                    "{} has another key; {} was written anew.",
                    loaded.id(),
                    device.display()
                ),
            );
        }
        DeviceCommand::Token { device } => {
            let token = Device::load(&device)?.token();
            output.tell(&json!({ "token": token }), &token);
        }
    }
    Ok(())
}

pub(super) async fn upload(args: UploadArgs, output: Output) -> Result<(), CommandError> {
    begin();
    let client = Client::new(Device::load(&args.device)?, args.server.as_deref())?;
    if let Some(folder) = &args.watch.watch {
        return courier::watch(client, folder, &args, output).await;
    }
    let options = Options {
        wait: args.wait,
        recorded_at_from_mtime: args.recorded_at_from_mtime,
        camera: args.camera,
        kind: args.kind,
        give_up_after: args.give_up_after.map(Duration::from_secs),
    };
    let mut not_uploaded = 0;
    for file in &args.files {
        let bar = bar();
        let name = file
            .file_name()
            .unwrap_or(file.as_os_str())
            .to_string_lossy()
            .into_owned();
        let uploaded = client
            .upload(file, &options, |progress| show(&bar, &name, progress))
            .await;
        bar.finish_and_clear();
        let uploaded = match uploaded {
            Ok(uploaded) => uploaded,
            // The others are not to wait for a file that is bad whenever it is tried.
            Err(error) if error.is_of_one_file() && args.files.len() > 1 => {
                not_uploaded += 1;
                report(file, &error, output);
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let receipt = match (&uploaded.receipt, args.wait) {
            (Some(_), _) => "sealed, its receipt verified",
            (None, true) => "sealed",
            (None, false) => "arrived; keep the file until its receipt",
        };
        output.tell(
            &json!({
                "file": uploaded.file, "clip_id": uploaded.clip_id, "bytes": uploaded.bytes,
                "sha256": uploaded.sha256, "receipt": uploaded.receipt,
            }),
            &format!(
                "{}: {} ({} bytes, {receipt})",
                file.display(),
                uploaded.clip_id,
                uploaded.bytes
            ),
        );
    }
    match not_uploaded {
        0 => Ok(()),
        n => Err(CommandError::Refused(format!(
            "{n} of {} were not uploaded: keep them",
            args.files.len()
        ))),
    }
}

/// Says why a file was not uploaded, while others are.
fn report(file: &Path, error: &ClientError, output: Output) {
    let reason = sentence(error);
    if output.json {
        line(&json!({ "file": file, "error": reason }).to_string());
    } else {
        eprintln!("dashvault: {}: {reason}", file.display());
    }
}

/// TLS needs a provider of ciphers before the first connection.
fn begin() {
    // Another part of the process may have put it in already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A bar for people; programs and log files get none.
pub(super) fn bar() -> ProgressBar {
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(None, target);
    let template = "{prefix:.dim} {msg} [{wide_bar:.cyan/blue}] {bytes}/{total_bytes} {binary_bytes_per_sec} {eta}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}

pub(super) fn show(bar: &ProgressBar, name: &str, progress: Progress) {
    let word = match progress.stage {
        Stage::Hashing => "reading",
        Stage::Sending => "sending",
        Stage::Pausing => "waiting for the link",
        Stage::Sealing => "being sealed",
    };
    if bar.prefix() != word {
        bar.set_prefix(word);
        bar.set_message(name.to_owned());
    }
    bar.set_length(progress.total);
    bar.set_position(progress.bytes);
}
