//! Where a notice goes, what went wrong on the way, and what is wrong with a setting.

use std::borrow::Cow;
use std::path::PathBuf;

use super::email::Email;
use super::webhook::Webhook;
use crate::catalog::NoticeRow;
use crate::model::{Severity, UnixMs};

/// One way to tell people.
#[derive(Clone)]
pub(super) enum Sink {
    Log,
    Webhook(Webhook),
    Email(Email),
}

/// Why a delivery was not made: a word, never an answer's text, which may hold anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure(Cow<'static, str>);

/// What is wrong with a setting, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum SettingError {
    /// A signature in the clear proves who sent it, and everybody on the way reads it.
    #[error(
        "{setting} is no address that begins with https://: give one that does; http:// is taken for 127.0.0.1, [::1] and localhost \
         alone"
    )]
    Address {
        /// The setting.
        setting: &'static str,
    },
    /// Not as the specification of Standard Webhooks says.
    #[error(
        "the webhook's secret is none: the first line of its file is expected to be whsec_ and the base64 of 24 to 64 bytes; \
         make one with `echo \"whsec_$(head -c 32 /dev/urandom | base64)\"` and give it to the receiver too"
    )]
    Secret,
    /// An address of a mail server that cannot be read.
    #[error(
        "--smtp is smtps://host for TLS, smtp+starttls://host for STARTTLS, or smtp+plain://127.0.0.1 for a relay on this \
         machine; a port may follow the host"
    )]
    Smtp,
    /// Passwords and notices would travel in the clear.
    #[error(
        "--smtp smtp+plain:// is for 127.0.0.1, [::1] and localhost alone: take smtps:// or smtp+starttls:// for {host}"
    )]
    PlainSmtp {
        /// The host.
        host: String,
    },
    /// No mailbox.
    #[error("{setting} {text} is no e-mail address: name@example.org is expected")]
    Mailbox {
        /// The setting.
        setting: &'static str,
        /// What was given.
        text: String,
    },
    /// Whom to trust cannot be read.
    #[error("--smtp-ca-file {} holds no certificate that can be used: PEM is expected", file.display())]
    Authority {
        /// The file.
        file: PathBuf,
    },
    /// This machine cannot make requests.
    #[error(
        "no requests can be made: look whether this machine has the certificates of authorities (package ca-certificates)"
    )]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Sink {
    /// The word in a delivery's row.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Webhook(_) => "webhook",
            Self::Email(_) => "email",
        }
    }

    pub async fn deliver(&self, notice: &NoticeRow, now: UnixMs) -> Result<(), Failure> {
        match self {
            Self::Log => {
                log(notice);
                Ok(())
            }
            Self::Webhook(webhook) => webhook.deliver(notice, now).await,
            Self::Email(email) => email.deliver(notice).await,
        }
    }
}

impl Failure {
    pub const TIMEOUT: Self = Self(Cow::Borrowed("no-answer-in-time"));

    pub fn new(word: impl Into<Cow<'static, str>>) -> Self {
        Self(word.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn log(notice: &NoticeRow) {
    let NoticeRow {
        id,
        kind,
        subject,
        facts,
        raised_at,
        ..
    } = notice;
    match notice.severity {
        Severity::Page | Severity::Warning => {
            tracing::error!(notice = %id, kind, severity = %notice.severity, facts, raised_at, "{subject}");
        }
        Severity::Info => tracing::info!(notice = %id, kind, facts, raised_at, "{subject}"),
    }
}
