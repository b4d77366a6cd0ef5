//! Who is told of what the vault finds: a webhook, mailboxes, and whoever waits for the watch's heartbeat.

use std::path::PathBuf;

use dashvault_keys::Zeroizing;
use dashvault_keys::provider::SecretSource;
use serde::Deserialize;

use super::super::cli::{DataArgs, PostArgs};
use super::secret_text::{HEARTBEAT_URL, WEBHOOK_URL};
use super::{ConfigError, File, Variables};
use crate::post::{self, Address, EmailConfig, Login, SettingError, SmtpServer, WebhookConfig, WebhookSecret};

/// Where the receiver is.
const WEBHOOK: &str = "DASHVAULT_WEBHOOK_URL";
const HEARTBEAT: &str = "DASHVAULT_HEARTBEAT_URL";

/// The file's table `[post]`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PostFile {
    webhook_url: Option<String>,
    webhook_secret_file: Option<PathBuf>,
    heartbeat_url: Option<String>,
    smtp: Option<String>,
    smtp_user: Option<String>,
    smtp_password_file: Option<PathBuf>,
    smtp_ca_file: Option<PathBuf>,
    mail_from: Option<String>,
    mail_to: Option<Vec<String>>,
}

pub(super) fn compose(
    data: &DataArgs,
    args: &PostArgs,
    file: &File,
    variables: Variables<'_>,
) -> Result<post::Config, ConfigError> {
    let none = PostFile::default();
    let in_file = file.post.as_ref().unwrap_or(&none);
    let heartbeat = HEARTBEAT_URL.find(in_file.heartbeat_url.as_ref(), variables)?;
    let heartbeat = heartbeat.map(|text| Address::parse(HEARTBEAT, &text)).transpose()?;
    Ok(post::Config {
        origin: data.public_url.clone().or(file.public_url.clone()).unwrap_or_default(),
        webhook: webhook(args, in_file, variables)?,
        email: email(args, in_file)?,
        heartbeat,
    })
}

fn webhook(args: &PostArgs, file: &PostFile, variables: Variables<'_>) -> Result<Option<WebhookConfig>, ConfigError> {
    let url = WEBHOOK_URL.find(file.webhook_url.as_ref(), variables)?;
    let secret = args.webhook_secret_file.clone().or(file.webhook_secret_file.clone());
    match (url, secret) {
        (None, None) => Ok(None),
        (Some(url), Some(secret)) => Ok(Some(WebhookConfig {
            url: Address::parse(WEBHOOK, &url)?,
            secret: WebhookSecret::parse(&read("the webhook's secret", secret)?)?,
        })),
        _ => Err(ConfigError::HalfWebhook),
    }
}

fn email(args: &PostArgs, file: &PostFile) -> Result<Option<EmailConfig>, ConfigError> {
    let server = args.smtp.clone().or(file.smtp.clone());
    let from = args.mail_from.clone().or(file.mail_from.clone());
    let to = match args.mail_to.is_empty() {
        true => file.mail_to.clone().unwrap_or_default(),
        false => args.mail_to.clone(),
    };
    let user = args.smtp_user.clone().or(file.smtp_user.clone());
    let password = args.smtp_password_file.clone().or(file.smtp_password_file.clone());
    let (server, from) = match (server, from, to.is_empty()) {
        (None, None, true) if user.is_none() && password.is_none() => return Ok(None),
        (Some(server), Some(from), false) => (server, from),
        _ => return Err(ConfigError::HalfMail),
    };
    let login = match (user, password) {
        (None, None) => None,
        (Some(user), Some(password)) => Some(Login {
            user,
            password: read("the mail server's password", password)?,
        }),
        _ => return Err(ConfigError::HalfLogin),
    };
    let mut from = EmailConfig::mailboxes("--mail-from", &[from])?;
    Ok(Some(EmailConfig {
        server: SmtpServer::parse(&server)?,
        from: from.remove(0),
        to: EmailConfig::mailboxes("--mail-to", &to)?,
        login,
        authority: args.smtp_ca_file.clone().or(file.smtp_ca_file.clone()),
    }))
}

fn read(what: &'static str, file: PathBuf) -> Result<Zeroizing<String>, ConfigError> {
    let secret = SecretSource::File(file).read();
    secret.map_err(|source| ConfigError::SecretFile { what, source })
}

impl From<SettingError> for ConfigError {
    fn from(error: SettingError) -> Self {
        Self::Post(error)
    }
}
