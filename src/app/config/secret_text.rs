//! Settings that are secrets, or addresses that hold one: each comes from a variable, from a file that a variable names, or from
//! a credential of systemd's. A process's variables can be read in `/proc` by whoever runs as the same user.

use std::path::PathBuf;

use super::root_key::Places;
use super::{ConfigError, Variables};

/// Such a setting.
pub(in crate::app) struct SecretText(Places);

macro_rules! secret_text {
    ($what:literal, $name:literal, $credential:literal) => {
        SecretText(Places {
            what: $what,
            flag: concat!($name, "_FILE"),
            credential: $credential,
            variable: $name,
        })
    };
}

pub(super) const DATABASE_URL: SecretText = secret_text!(
    "the database's address",
    "DASHVAULT_DATABASE_URL",
    "dashvault.database-url"
);
pub(super) const S3_SECRET: SecretText = secret_text!(
    "the object store's secret access key",
    "DASHVAULT_S3_SECRET_ACCESS_KEY",
    "dashvault.s3-secret-access-key"
);
pub(super) const WEBHOOK_URL: SecretText = secret_text!(
    "the webhook's address",
    "DASHVAULT_WEBHOOK_URL",
    "dashvault.webhook-url"
);
pub(super) const HEARTBEAT_URL: SecretText = secret_text!(
    "the heartbeat's address",
    "DASHVAULT_HEARTBEAT_URL",
    "dashvault.heartbeat-url"
);
const ALL: [&SecretText; 4] = [&DATABASE_URL, &S3_SECRET, &WEBHOOK_URL, &HEARTBEAT_URL];

impl SecretText {
    /// Its text, or what the configuration file has when nothing else does.
    pub(super) fn find(
        &self,
        in_file: Option<&String>,
        variables: Variables<'_>,
    ) -> Result<Option<String>, ConfigError> {
        let named = variables(self.0.flag).map(PathBuf::from);
        let Some(source) = self.0.find(named, variables)? else {
            return Ok(in_file.cloned());
        };
        let what = self.0.what;
        let text = source
            .read()
            .map_err(|source| ConfigError::SecretFile { what, source })?;
        Ok(Some(text.to_string()))
    }
}

/// The variables among `variables` whose value is such a secret.
pub(in crate::app) fn in_the_open(variables: Variables<'_>) -> Vec<&'static str> {
    let names = ALL.iter().map(|setting| setting.0.variable);
    names.filter(|name| variables(name).is_some()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    const TEXT: &str = "postgres://vault:private-to-this-test@database/vault";

    fn found(variables: &[(&str, &str)]) -> Result<Option<String>, ConfigError> {
        let known = |name: &str| {
            let one = variables.iter().find(|(known, _)| *known == name);
            one.map(|(_, value)| (*value).to_owned())
        };
        DATABASE_URL.find(Some(&"in the file".to_owned()), &known)
    }

    #[test]
    fn a_secret_comes_from_a_variable_a_file_or_a_credential_and_never_from_two() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("dashvault.database-url");
        std::fs::write(&path, format!("{TEXT}\n")).expect("a file");
        let allow = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("ours");
        allow(0o600);
        let variable = ("DASHVAULT_DATABASE_URL", TEXT);
        let file = ("DASHVAULT_DATABASE_URL_FILE", path.to_str().expect("UTF-8"));
        let credential = ("CREDENTIALS_DIRECTORY", dir.path().to_str().expect("UTF-8"));
        for one in [variable, file, credential] {
            assert_eq!(found(&[one]).expect("it is read").as_deref(), Some(TEXT), "{one:?}");
        }
        for two in [[variable, file], [variable, credential], [file, credential]] {
            assert!(matches!(found(&two), Err(ConfigError::TwoSecrets { .. })), "{two:?}");
        }
        assert_eq!(found(&[]).expect("nothing is said").as_deref(), Some("in the file"));
        allow(0o644);
        let refused = found(&[file]).expect_err("everybody reads it");
        assert!(matches!(refused, ConfigError::SecretFile { .. }));
        assert!(!format!("{refused:?}").contains("private-to-this-test"));
    }

    #[test]
    fn a_secret_among_the_variables_is_told_by_its_name_and_a_file_is_not() {
        let names = [
            "DASHVAULT_S3_SECRET_ACCESS_KEY",
            "DASHVAULT_DATABASE_URL_FILE",
            "DASHVAULT_LISTEN",
        ];
        let known = |name: &str| names.contains(&name).then(|| "x".to_owned());
        assert_eq!(in_the_open(&known), ["DASHVAULT_S3_SECRET_ACCESS_KEY"]);
    }
}
