//! Flags for who is told of what the vault finds.

use std::path::PathBuf;

use clap::Args;

/// Who is told of what the vault finds.
#[derive(Args, Clone, Default)]
pub(in crate::app) struct PostArgs {
    /// File whose first line is the webhook's secret (whsec_…), readable by this user alone
    #[arg(long, env = "DASHVAULT_WEBHOOK_SECRET_FILE", value_name = "FILE")]
    pub(in crate::app) webhook_secret_file: Option<PathBuf>,
    /// Mail server: smtps://host, smtp+starttls://host, or smtp+plain://127.0.0.1
    #[arg(long, env = "DASHVAULT_SMTP", value_name = "URL")]
    pub(in crate::app) smtp: Option<String>,
    /// Name to sign in with at the mail server
    #[arg(long, env = "DASHVAULT_SMTP_USER", value_name = "NAME")]
    pub(in crate::app) smtp_user: Option<String>,
    /// File whose first line is its password, readable by this user alone
    #[arg(long, env = "DASHVAULT_SMTP_PASSWORD_FILE", value_name = "FILE")]
    pub(in crate::app) smtp_password_file: Option<PathBuf>,
    /// Certificate (PEM) to trust besides the machine's authorities, of the mail server or who vouches for it
    #[arg(long, env = "DASHVAULT_SMTP_CA_FILE", value_name = "FILE")]
    pub(in crate::app) smtp_ca_file: Option<PathBuf>,
    /// Whom mail comes from
    #[arg(long, env = "DASHVAULT_MAIL_FROM", value_name = "ADDRESS")]
    pub(in crate::app) mail_from: Option<String>,
    /// Who gets mail. May be given again
    #[arg(long, env = "DASHVAULT_MAIL_TO", value_name = "ADDRESS", value_delimiter = ',')]
    pub(in crate::app) mail_to: Vec<String>,
}
