//! What a configuration composes to, and what is refused by its own words.

use super::*;
use dashvault_keys::provider::SecretSource;
use std::collections::HashMap;

fn with(variables: &[(&str, &str)], args: &ServeArgs) -> Result<ServeConfig, ConfigError> {
    let map: HashMap<String, String> = variables
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect();
    ServeConfig::read(args, &|name| map.get(name).cloned())
}

fn from_file(text: &str) -> Result<ServeConfig, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("vault.toml");
    std::fs::write(&file, text).unwrap();
    let mut args = ServeArgs::default();
    args.work.data.config = Some(file);
    with(&[], &args)
}

#[test]
fn nothing_said_is_a_vault_on_loopback_in_a_folder() {
    let config = with(&[], &ServeArgs::default()).unwrap();
    assert_eq!(config.http.listen, LISTEN);
    assert_eq!(
        config.work.data.vault.root.keyring_path(),
        Some(Path::new("data/keyring"))
    );
    assert!(matches!(config.work.data.store, store::Config::Folder { .. }));
    assert!(matches!(config.work.data.catalog, catalog::Config::Sqlite { .. }));
}

#[test]
fn a_mistyped_variable_is_told_and_a_known_one_is_not() {
    let names = [
        "DASHVAULT_DATABASE_ULR",
        "DASHVAULT_DATABASE_URL",
        "DASHVAULT_LISTEN",
        "DASHVAULT_PASSPHRASE_FILE",
        "DASHVAULT_BIN",
        "HOME",
    ];
    let unknown = unknown_among(names.into_iter().map(str::to_owned));
    assert_eq!(unknown, ["DASHVAULT_DATABASE_ULR"]);
}

#[test]
fn a_flag_counts_for_more_than_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("vault.toml");
    std::fs::write(&file, "data = \"/in/file\"\nlisten = \"127.0.0.1:1\"\n").unwrap();
    let mut args = ServeArgs::default();
    args.work.data.config = Some(file);
    args.listen = Some("127.0.0.1:2".parse().unwrap());
    let config = with(&[], &args).unwrap();
    assert_eq!(config.http.listen.port(), 2);
    assert_eq!(config.work.data.data, Path::new("/in/file"));
}

#[test]
fn the_variables_of_the_compose_file_make_an_s3_vault() {
    let variables = [
        ("DASHVAULT_DATABASE_URL", "postgres://vault:p@database/vault"),
        ("DASHVAULT_S3_ENDPOINT", "http://objects:8333"),
        ("DASHVAULT_S3_BUCKET", "data"),
        ("DASHVAULT_S3_STAGING_BUCKET", "staging"),
        ("DASHVAULT_S3_KEYPLANE_BUCKET", "keyplane"),
        ("DASHVAULT_S3_ACCESS_KEY_ID", "id"),
        ("DASHVAULT_S3_SECRET_ACCESS_KEY", "private-to-this-test"),
    ];
    let config = with(&variables, &ServeArgs::default()).unwrap();
    assert!(matches!(config.work.data.store, store::Config::S3(s3) if s3.staging_bucket == "staging"));
    assert!(matches!(config.work.data.catalog, catalog::Config::Postgres { .. }));
    assert_eq!(config.ingest.piece_time, PIECE_TIME_S3);
    for left_out in 2..variables.len() {
        let mut some = variables.to_vec();
        let (name, _) = some.remove(left_out);
        let error = with(&some, &ServeArgs::default()).err().unwrap().to_string();
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn a_wrong_file_is_refused_by_its_line_and_never_by_its_words() {
    let error = from_file("listen = \"127.0.0.1:1\"\ndatabase_ulr = \"postgres://u:secret@h/d\"\n")
        .err()
        .unwrap();
    let text = error.to_string();
    assert!(text.contains("line 2") && !text.contains("secret"), "{text}");
    let error = from_file("database_url = \"mysql://u:secret@h/d\"\n")
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("PostgreSQL") && !error.contains("secret"), "{error}");
}

#[test]
fn beyond_loopback_the_keyring_lies_elsewhere_or_somebody_said_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut args = ServeArgs {
        listen: Some("0.0.0.0:8080".parse().unwrap()),
        ..ServeArgs::default()
    };
    args.work.data.data = Some(dir.path().join("data"));
    assert!(matches!(with(&[], &args), Err(ConfigError::KeyringBesideData { .. })));
    args.work.data.keyring = Some(dir.path().join("data/../data/deep/keyring"));
    assert!(matches!(with(&[], &args), Err(ConfigError::KeyringBesideData { .. })));
    args.work.data.keyring = Some(dir.path().join("keys/keyring"));
    assert!(with(&[], &args).is_ok());
    args.work.data.keyring = None;
    args.keyring_beside_data = Some(true);
    assert!(with(&[], &args).is_ok());
}

#[test]
fn what_a_proxy_makes_public_wants_its_keyring_elsewhere_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut behind = ServeArgs {
        behind_proxy: vec!["127.0.0.1".parse().unwrap()],
        ..ServeArgs::default()
    };
    behind.work.data.data = Some(dir.path().join("data"));
    assert!(matches!(with(&[], &behind), Err(ConfigError::KeyringBesideData { .. })));
    behind.work.data.keyring = Some(dir.path().join("keys/keyring"));
    assert!(with(&[], &behind).is_ok());
    let mut named = ServeArgs::default();
    named.work.data.data = Some(dir.path().join("data"));
    for (url, fits) in [
        ("https://vault.example.org", false),
        ("http://127.0.0.1:8080", true),
        ("http://localhost:8080", true),
    ] {
        named.work.data.public_url = Some(url.parse().unwrap());
        assert_eq!(with(&[], &named).is_ok(), fits, "{url}");
    }
}

#[test]
fn a_proxy_is_no_continent() {
    for (network, fits) in [
        ("0.0.0.0/0", false),
        ("128.0.0.0/1", false),
        ("::/0", false),
        ("2000::/3", false),
        ("10.0.0.0/8", true),
        ("fd00::/16", true),
    ] {
        let args = ServeArgs {
            behind_proxy: vec![network.parse().unwrap()],
            keyring_beside_data: Some(true),
            ..ServeArgs::default()
        };
        let read = with(&[], &args);
        assert_eq!(!matches!(read, Err(ConfigError::WideProxy { .. })), fits, "{network}");
    }
}

#[test]
fn half_a_tls_and_two_ends_of_tls_are_refused() {
    let mut args = ServeArgs {
        tls_cert: Some("c".into()),
        ..ServeArgs::default()
    };
    assert!(matches!(with(&[], &args), Err(ConfigError::HalfTls)));
    args.tls_key = Some("k".into());
    args.behind_proxy = vec!["10.0.0.0/8".parse().unwrap()];
    assert!(matches!(with(&[], &args), Err(ConfigError::TlsAndProxy)));
}

#[test]
fn a_passphrase_comes_from_one_place_and_is_refused_from_two() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("dashvault.keyring-passphrase"), "a long passphrase").unwrap();
    let folder = dir.path().to_str().unwrap();
    let credential = ("CREDENTIALS_DIRECTORY", folder);
    let variable = ("DASHVAULT_KEYRING_PASSPHRASE", "a long passphrase");
    let file = ServeArgs {
        work: WorkArgs {
            data: DataArgs {
                keyring_passphrase_file: Some("f".into()),
                ..DataArgs::default()
            },
            ..WorkArgs::default()
        },
        ..ServeArgs::default()
    };
    let source = |variables: &[(&str, &str)], args: &ServeArgs| {
        let config = with(variables, args)?;
        let root = config.work.data.vault.root;
        Ok(root.as_keyring().expect("a keyring").passphrase.clone())
    };
    let none = ServeArgs::default();
    assert!(matches!(source(&[], &none), Ok(None)));
    assert!(matches!(
        source(&[("CREDENTIALS_DIRECTORY", "/nowhere")], &none),
        Ok(None)
    ));
    assert!(matches!(
        source(&[credential], &none),
        Ok(Some(SecretSource::Credential(_)))
    ));
    assert!(matches!(source(&[variable], &none), Ok(Some(SecretSource::Given(_)))));
    assert!(matches!(source(&[], &file), Ok(Some(SecretSource::File(_)))));
    for (variables, args) in [
        (&[credential, variable][..], &none),
        (&[credential], &file),
        (&[variable], &file),
    ] {
        let error = source(variables, args).err().unwrap();
        assert!(matches!(error, ConfigError::TwoSecrets { .. }), "{error}");
    }
}

#[cfg(not(feature = "pkcs11"))]
#[test]
fn a_program_without_pkcs11_refuses_a_token_and_takes_no_keyring_for_it() {
    let mut args = ServeArgs::default();
    args.work.data.root_key = Some(RootKeyProvider::Pkcs11);
    assert!(matches!(with(&[], &args), Err(ConfigError::WithoutPkcs11)));
}

#[cfg(feature = "pkcs11")]
#[test]
fn a_token_is_named_whole_or_refused_with_what_is_missing() {
    let args = |module: Option<&str>, token: Option<&str>, pin: Option<&str>, prefix: Option<&str>| {
        let mut args = ServeArgs::default();
        args.work.data = DataArgs {
            root_key: Some(RootKeyProvider::Pkcs11),
            pkcs11_module: module.map(Into::into),
            pkcs11_token: token.map(Into::into),
            pkcs11_pin_file: pin.map(Into::into),
            pkcs11_prefix: prefix.map(Into::into),
            ..DataArgs::default()
        };
        args
    };
    let whole = args(Some("lib.so"), Some("t"), Some("pin"), None);
    let read = with(&[], &whole).expect("whole");
    let dashvault_keys::provider::ProviderConfig::Pkcs11(token) = read.work.data.vault.root else {
        panic!("a token")
    };
    assert_eq!((token.token.as_str(), token.prefix.as_str()), ("t", "dashvault"));
    for (args, expected) in [
        (args(None, Some("t"), Some("pin"), None), "--pkcs11-module"),
        (args(Some("lib.so"), None, Some("pin"), None), "--pkcs11-token"),
        (args(Some("lib.so"), Some("t"), None, None), "PIN is missing"),
        (
            args(Some("lib.so"), Some("t"), Some("pin"), Some("a/b")),
            "--pkcs11-prefix",
        ),
    ] {
        let said = with(&[], &args).err().expect("a refusal").to_string();
        assert!(said.contains(expected), "{said}");
    }
    let two = with(&[("DASHVAULT_PKCS11_PIN", "1234")], &whole).err();
    assert!(matches!(two, Some(ConfigError::TwoSecrets { .. })), "{two:?}");
}

#[test]
fn what_is_left_of_the_disk_is_for_routine_first_and_for_events_last() {
    let marks = |text: &str| from_file(text).map(|c| (c.ingest.routine_below_percent, c.ingest.events_only_percent));
    assert_eq!(marks("").unwrap(), (85, 95));
    assert_eq!(
        marks("disk_routine_percent = 50\ndisk_events_percent = 60\n").unwrap(),
        (50, 60)
    );
    for wrong in ["disk_routine_percent = 96\n", "disk_events_percent = 101\n"] {
        assert!(matches!(marks(wrong), Err(ConfigError::DiskMarks)), "{wrong}");
    }
}

#[test]
fn how_much_may_be_kept_and_be_open_is_the_operators_word() {
    let told = from_file("").unwrap().ingest;
    assert_eq!(told.quotas, ingest::Quotas::default());
    assert_eq!((told.max_open_of_owner, told.max_open_each), (4096, 256));
    let told = "[quotas]\nbytes = 7\nvehicle_clips = 8\nopen_uploads = 9\nvehicle_open_uploads = 3\n";
    let told = from_file(told).unwrap().ingest;
    assert_eq!((told.quotas.bytes, told.quotas.clips_each), (Some(7), Some(8)));
    assert_eq!((told.quotas.clips, told.quotas.bytes_each), (None, None));
    assert_eq!((told.max_open_of_owner, told.max_open_each), (9, 3));
    for wrong in ["open_uploads = 0\n", "vehicle_open_uploads = 0\n"] {
        let refused = from_file(&format!("[quotas]\n{wrong}"));
        assert!(matches!(refused, Err(ConfigError::NoOpenUploads)), "{wrong}");
    }
}

#[test]
fn what_vehicles_may_send_over_cellular_is_the_operators_word() {
    let config = from_file("[cellular]\nroutine = \"none\"\nday_bytes = 7\nreserve_percent = 20\n").unwrap();
    let policy = config.vehicle_policy;
    assert_eq!(policy.routine, http::Share::None);
    assert_eq!((policy.day_bytes, policy.event_reserve_percent), (7, 20));
    assert_eq!(policy.event, http::VehiclePolicy::default().event, "what is not said");
    let refused = from_file("[cellular]\nreserve_percent = 101\n").err().unwrap();
    assert!(matches!(refused, ConfigError::CellularReserve), "{refused}");
}
