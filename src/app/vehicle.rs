//! `dashvault device` and `dashvault upload`: the vehicle's side, over the network like any other.

use std::io::IsTerminal as _;

use dashvault_client::{Client, Device, Progress, Stage};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::cli::{DeviceCommand, UploadArgs};
use super::output::Output;
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
    courier::upload(client, &args, output).await
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
    };
    if bar.prefix() != word {
        bar.set_prefix(word);
        bar.set_message(name.to_owned());
    }
    bar.set_length(progress.total);
    bar.set_position(progress.bytes);
}
