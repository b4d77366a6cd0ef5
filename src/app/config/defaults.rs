//! Secrets that everybody knows: those that servers come with and that instructions show. Nothing is started on one.

use super::ConfigError;
use crate::{catalog, store};

/// What object stores, their emulators and their quick-start pages use, and what people type until they have time. In lower
/// case.
const KNOWN: [&str; 40] = [
    "minioadmin",
    "minio",
    "minio123",
    "minio-secret",
    "minio_secret_key",
    "rustfsadmin",
    "some_secret_key1",
    "some_access_key1",
    "accesskey1",
    "verysecretkey1",
    "s3rver",
    "localstack",
    "testing",
    "test",
    "tests",
    "mock_secret",
    "foobar",
    "secret",
    "secretkey",
    "secret_key",
    "secret_access_key",
    "your-secret-key",
    "your-password",
    "password",
    "password1",
    "passw0rd",
    "pass",
    "changeme",
    "change-me",
    "change_me",
    "letmein",
    "admin",
    "admin123",
    "root",
    "postgres",
    "mysecretpassword",
    "dashvault",
    "vault",
    "12345678",
    "123456",
];
/// In every example key of a well-known vendor's documents.
const IN_EXAMPLES: &str = "EXAMPLE";

/// Whether everybody knows this secret.
fn is_known(secret: &str) -> bool {
    KNOWN.contains(&secret.to_ascii_lowercase().as_str()) || secret.contains(IN_EXAMPLES)
}

/// Refuses a store or a database whose secret is no secret.
pub(super) fn refuse(store: &store::Config, catalog: &catalog::Config) -> Result<(), ConfigError> {
    if let store::Config::S3(s3) = store
        && (is_known(&s3.secret_access_key) || s3.secret_access_key == s3.access_key_id)
    {
        return Err(ConfigError::KnownSecret {
            what: "the object store's secret access key",
            setting: "DASHVAULT_S3_SECRET_ACCESS_KEY",
        });
    }
    if let catalog::Config::Postgres { url } = catalog
        && let Some((user, password)) = user_and_password(url)
        && (is_known(&password) || password == user)
    {
        return Err(ConfigError::KnownSecret {
            what: "the database's password",
            setting: "DASHVAULT_DATABASE_URL",
        });
    }
    Ok(())
}

/// What stands before the host of an address; none when it has no password.
fn user_and_password(url: &str) -> Option<(String, String)> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (user_info, _) = authority.rsplit_once('@')?;
    let (user, password) = user_info.split_once(':')?;
    Some((decoded(user), decoded(password)))
}

/// Without percent signs (RFC 3986, 2.1).
fn decoded(text: &str) -> String {
    let mut rest = text.as_bytes();
    let mut out = Vec::with_capacity(rest.len());
    while let [first, behind @ ..] = rest {
        let digits = behind.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let value = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        (rest, _) = match value.filter(|_| *first == b'%') {
            Some(value) => (&behind[2..], out.push(value)),
            None => (behind, out.push(*first)),
        };
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s3(access_key_id: &str, secret_access_key: &str) -> store::Config {
        store::Config::S3(store::S3 {
            endpoint: None,
            region: "us-east-1".to_owned(),
            data_bucket: "data".to_owned(),
            staging_bucket: "staging".to_owned(),
            keyplane_bucket: "keyplane".to_owned(),
            access_key_id: access_key_id.to_owned(),
            secret_access_key: secret_access_key.to_owned(),
        })
    }

    fn refused(store: &store::Config, url: &str) -> Option<String> {
        let database = catalog::Config::Postgres { url: url.to_owned() };
        refuse(store, &database).err().map(|error| error.to_string())
    }

    const GOOD_URL: &str = "postgres://vault:private-to-this-test@database/vault";

    #[test]
    fn a_store_on_a_secret_that_servers_come_with_is_refused_by_the_settings_name() {
        for (id, secret) in [
            ("minioadmin", "minioadmin"),
            ("vault", "MinioAdmin"),
            ("vault", "testing"),
            ("some_access_key1", "some_secret_key1"),
            ("same-on-both-sides", "same-on-both-sides"),
            ("vault", "any/of/theirsEXAMPLEKEY"),
        ] {
            let told = refused(&s3(id, secret), GOOD_URL).unwrap_or_else(|| panic!("{id} {secret}"));
            assert!(told.contains("DASHVAULT_S3_SECRET_ACCESS_KEY"), "{told}");
            assert!(!told.contains(secret), "the secret is told: {told}");
        }
    }

    #[test]
    fn a_database_on_a_password_that_everybody_knows_is_refused() {
        for (user, password) in [
            ("postgres", "postgres"),
            ("vault", "changeme"),
            ("dv", "dv"),
            ("dv", "p%61ssword"),
            ("dv", "PASSWORD"),
        ] {
            let url = [
                "postgres",
                "://",
                user,
                ":",
                password,
                "@database/vault?sslmode=disable",
            ]
            .concat();
            let told = refused(&s3("vault", "private-to-this-test"), &url).unwrap_or_else(|| panic!("{url}"));
            assert!(told.contains("DASHVAULT_DATABASE_URL"), "{told}");
        }
    }

    #[test]
    fn secrets_of_ones_own_and_no_password_at_all_are_taken() {
        let own = s3("vault", "private-to-this-test");
        for url in [
            GOOD_URL,
            "postgres://database/vault",
            "postgres://vault@database/vault",
            "postgres://vault:100%25-private@database/vault",
            "postgres://vault:%zz@database/vault",
        ] {
            assert_eq!(refused(&own, url), None, "{url}");
        }
        let dir = std::path::PathBuf::from("data");
        let folder = store::Config::Folder { dir: dir.clone() };
        assert!(refuse(&folder, &catalog::Config::Sqlite { dir }).is_ok());
    }
}
