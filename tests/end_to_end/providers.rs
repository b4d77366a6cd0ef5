//! Every provider of root keys goes the whole way: serve, upload, rotate, roll, recover. And a passphrase that is wrong,
//! missing or superfluous changes nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use dashvault_test_support::{KmsFront, SoftHsm, Vault, client};
use serde_json::Value;

use crate::road_clip;

const PASSPHRASE: &str = "correct horse battery";

fn data(vault: &Vault) -> &str {
    vault.data().to_str().expect("UTF-8")
}

/// Runs a command that may fail.
fn attempt(vault: &Vault, arguments: &[&str]) -> Output {
    let mut command = vault.command(arguments.iter().copied());
    command.args(["--data", data(vault), "--json"]);
    command.output().expect("the program")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

/// Runs a command that must succeed; the last line it printed.
fn last(vault: &Vault, arguments: &[&str]) -> Value {
    let output = attempt(vault, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    serde_json::from_str(text.lines().last().expect("a line")).expect("JSON")
}

/// A file of the owner's alone.
fn secret_file(folder: &Path, name: &str, text: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let path = folder.join(name);
    std::fs::write(&path, text).expect("a file");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("its owner may");
    path
}

/// Every file of the vault, its database as the rows that are in it: the pages move when it is opened.
fn everything(vault: &Vault) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = files(vault.data());
    // The lock names the process that had it last.
    let (pages, lock) = (vault.data().join("catalogue"), vault.data().join("lock"));
    found.retain(|path, _| path.parent() != Some(&pages) && *path != lock);
    let database = vault.data().join("catalogue/vault.db");
    let dump = Command::new("sqlite3")
        .arg(&database)
        .arg(".dump")
        .output()
        .expect("sqlite3");
    assert!(dump.status.success() && dump.stdout.len() > 1000, "{}", said(&dump));
    found.insert(database, dump.stdout);
    found
}

fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), std::fs::read(&path).expect("a file"));
        }
    }
    found
}

fn assert_unchanged(vault: &Vault, before: &BTreeMap<PathBuf, Vec<u8>>) {
    let now = everything(vault);
    let names = now.keys().chain(before.keys());
    let changed: Vec<_> = names.filter(|name| now.get(*name) != before.get(*name)).collect();
    assert!(changed.is_empty(), "changed: {changed:?}");
}

/// Serve, upload, rotate, roll, burn the database, recover.
async fn goes_the_whole_way(mut vault: Vault) {
    let plain = std::fs::read(road_clip()).expect("the clip");
    let owner = vault.owner("anna@example.org");
    let device = vault.pair(&owner, "car").await;
    let told = vault.upload(&device, &road_clip());
    let clip = told["clip_id"].as_str().expect("a clip").to_owned();
    assert_eq!(vault.settled(&owner, &clip).await["state"], "ready");
    let original = async |vault: &Vault, token: &str| {
        let asked = client().get(vault.url(&format!("/v1/clips/{clip}/original")));
        let answer = asked.bearer_auth(token).send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        answer.bytes().await.expect("a body")
    };
    let before = last(&vault, &["keys", "status"]);
    assert_eq!((&before["epoch"], &before["version"]), (&1.into(), &1.into()));
    assert_eq!(before["keys"][0]["state"], "enabled", "{before}");
    assert_eq!(before["wraps"][0]["owner_keys"], 1, "{before}");

    assert_eq!(last(&vault, &["keys", "rotate", "--root"])["rewrapped"], 1);
    assert_eq!(original(&vault, &owner.token).await, plain);
    let rolled = last(&vault, &["keys", "roll-epoch"]);
    assert_eq!(rolled["destroyed"], Value::from(vec![1]), "{rolled}");
    assert_eq!(original(&vault, &owner.token).await, plain);
    let after = last(&vault, &["keys", "status"]);
    assert_eq!(after["epoch"], 2, "{after}");
    assert_eq!(after["epochs"], Value::from(vec![2]), "{after}");
    let wraps = after["wraps"].as_array().expect("wraps");
    assert_eq!(
        wraps.len(),
        1,
        "nothing is wrapped under the epoch that is gone: {after}"
    );
    assert_eq!(wraps[0]["owner_keys"], 1, "{after}");

    vault.stop();
    std::fs::remove_dir_all(vault.data().join("catalogue")).expect("the catalogue burns");
    let recovered = last(&vault, &["recover"]);
    assert_eq!(
        (&recovered["owners"], &recovered["clips"]),
        (&1.into(), &1.into()),
        "{recovered}"
    );
    vault.start();
    let verified = last(&vault, &["verify", "--all"]);
    assert_eq!(
        (&verified["clips"], &verified["findings"]),
        (&1.into(), &0.into()),
        "{verified}"
    );
    let told = last(&vault, &["owner", "sign-in", "--email", "anna@example.org"]);
    let token = told["sign_in_url"].as_str().and_then(|url| url.split('#').nth(1));
    let body = serde_json::json!({ "token": token.expect("a token") });
    let (_, session) = vault
        .json(reqwest::Method::POST, "/v1/session", None, Some(&body))
        .await;
    assert_eq!(
        original(&vault, session["session"].as_str().expect("a session")).await,
        plain
    );
    let more = vault.upload(&device, &road_clip());
    assert!(more["receipt"].as_str().is_some(), "{more}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keyring_under_a_passphrase_goes_the_whole_way() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = secret_file(folder.path(), "passphrase", PASSPHRASE);
    let setup = Vault::setup().env("DASHVAULT_KEYRING_PASSPHRASE_FILE", file.to_str().expect("UTF-8"));
    let vault = setup.start();
    assert_eq!(last(&vault, &["keys", "status"])["passphrase"], true);
    goes_the_whole_way(vault).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pkcs11_token_goes_the_whole_way() {
    let token = SoftHsm::new();
    let vault = token.keeps_root_keys_of(Vault::setup()).start();
    let status = last(&vault, &["keys", "status"]);
    assert!(
        status["provider"].as_str().is_some_and(|name| name.contains("PKCS#11")),
        "{status}"
    );
    assert!(
        status["keyring"].is_null() && !vault.data().join("keyring").exists(),
        "{status}"
    );
    let out = vault.scratch().join("backup");
    let out = out.to_str().expect("UTF-8");
    let refused = attempt(
        &vault,
        &["keys", "backup", "--out", out, "--passphrase-file", "/dev/null"],
    );
    assert!(
        !refused.status.success() && said(&refused).contains("vendor"),
        "{}",
        said(&refused)
    );
    goes_the_whole_way(vault).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aws_kms_goes_the_whole_way() {
    let front = KmsFront::start();
    let vault = front.keeps_root_keys_of(Vault::setup()).start();
    let status = last(&vault, &["keys", "status"]);
    assert_eq!(status["provider"], "AWS KMS", "{status}");
    assert!(!vault.data().join("keyring").exists());
    goes_the_whole_way(vault).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_passphrase_from_the_environment_is_taken_out_of_it_and_one_of_the_supervisor_is_found() {
    let mut vault = Vault::setup().env("DASHVAULT_KEYRING_PASSPHRASE", PASSPHRASE).start();
    let id = vault.process().id();
    match std::fs::read(format!("/proc/{id}/environ")) {
        Ok(environment) => {
            let has = |word: &str| environment.windows(word.len()).any(|at| at == word.as_bytes());
            assert!(has("DASHVAULT_KEYRING_PASSPHRASE="), "it is the service's environment");
            assert!(!has(PASSPHRASE), "the environment still has the passphrase");
        }
        // Not even another process of this user may look, as the service is no longer dumpable.
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied),
    }
    vault.owner("anna@example.org");
    vault.stop();
    // systemd's LoadCredential=.
    let folder = vault.scratch().join("credentials");
    std::fs::create_dir(&folder).expect("a folder");
    secret_file(&folder, "dashvault.keyring-passphrase", &format!("{PASSPHRASE}\n"));
    let with = |first: Option<&str>| {
        let mut command = vault.command(["owner", "list", "--data", data(&vault), "--json"]);
        command.env("CREDENTIALS_DIRECTORY", &folder);
        match first {
            Some(passphrase) => command.env("DASHVAULT_KEYRING_PASSPHRASE", passphrase),
            None => command.env_remove("DASHVAULT_KEYRING_PASSPHRASE"),
        };
        command.output().expect("the program")
    };
    let listed = with(None);
    assert!(said(&listed).contains("anna@example.org"), "{}", said(&listed));
    let twice = with(Some(PASSPHRASE));
    assert!(
        !twice.status.success() && said(&twice).contains("twice"),
        "{}",
        said(&twice)
    );
}

#[tokio::test]
async fn a_passphrase_that_is_wrong_missing_readable_or_superfluous_has_its_own_words_and_changes_nothing() {
    let mut vault = Vault::setup().start();
    vault.owner("anna@example.org");
    vault.stop();
    let right = secret_file(vault.scratch(), "right", PASSPHRASE);
    let wrong = secret_file(vault.scratch(), "wrong", "staple battery horse");
    let open = secret_file(vault.scratch(), "open", PASSPHRASE);
    std::fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o644)).expect("its owner may");
    let with = |file: &Path, arguments: &[&str]| {
        let file = file.to_str().expect("UTF-8");
        attempt(&vault, &[arguments, &["--keyring-passphrase-file", file]].concat())
    };
    let commands: [&[&str]; 5] = [
        &["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"],
        &["owner", "list"],
        &["keys", "rotate", "--root"],
        &["keys", "roll-epoch"],
        &["keys", "passphrase", "remove"],
    ];
    let refuses = |refused: &Output, word: &str| {
        let text = said(refused);
        assert!(
            !refused.status.success() && text.contains(word),
            "{word} expected: {text}"
        );
        assert!(!text.contains(PASSPHRASE) && !text.contains("staple"), "{text}");
    };
    let before = everything(&vault);
    for command in commands {
        refuses(&with(&right, command), "has no passphrase");
    }
    assert_unchanged(&vault, &before);

    last(
        &vault,
        &[
            "keys",
            "passphrase",
            "set",
            "--new-passphrase-file",
            right.to_str().expect("UTF-8"),
        ],
    );
    let before = everything(&vault);
    for command in commands {
        refuses(&with(&wrong, command), "passphrase does not open");
        refuses(&attempt(&vault, command), "has a passphrase");
        refuses(&with(&open, command), "mode 644");
        refuses(&with(&vault.scratch().join("nowhere"), command), "there is no file");
    }
    assert_unchanged(&vault, &before);
    let listed = with(&right, &["owner", "list"]);
    assert!(said(&listed).contains("anna@example.org"), "{}", said(&listed));

    // Another passphrase, and none any more.
    let new = wrong.to_str().expect("UTF-8");
    let changed = with(&right, &["keys", "passphrase", "set", "--new-passphrase-file", new]);
    assert!(changed.status.success(), "{}", said(&changed));
    refuses(&with(&right, &["owner", "list"]), "passphrase does not open");
    assert!(with(&wrong, &["owner", "list"]).status.success());
    assert!(with(&wrong, &["keys", "passphrase", "remove"]).status.success());
    assert!(attempt(&vault, &["owner", "list"]).status.success());
    refuses(&attempt(&vault, &["keys", "passphrase", "remove"]), "has no passphrase");
}

#[tokio::test]
async fn a_keyring_that_lacks_the_version_in_use_is_named_and_changes_nothing() {
    let mut vault = Vault::setup().start();
    vault.owner("anna@example.org");
    vault.stop();
    let keyring = vault.data().join("keyring");
    let older = std::fs::read(&keyring).expect("the keyring");
    last(&vault, &["keys", "rotate", "--root"]);
    let newest = std::fs::read(&keyring).expect("the keyring");
    std::fs::write(&keyring, &older).expect("an older backup is put back");
    let before = everything(&vault);
    for command in [
        &["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"][..],
        &["owner", "list"],
        &["keys", "rotate", "--root"],
        &["keys", "roll-epoch"],
    ] {
        let refused = attempt(&vault, command);
        let text = said(&refused);
        assert!(
            !refused.status.success() && text.contains("does not hold the root key") && text.contains("epoch 1"),
            "{text}"
        );
    }
    assert_unchanged(&vault, &before);
    std::fs::write(&keyring, newest).expect("the newest is put back");
    assert!(attempt(&vault, &["owner", "list"]).status.success());
}

#[tokio::test]
async fn backups_stay_out_of_the_data_and_come_back_to_where_the_keyring_was() {
    let mut vault = Vault::setup().start();
    vault.owner("anna@example.org");
    vault.stop();
    let word = secret_file(vault.scratch(), "word", "a long enough passphrase\n");
    let word = word.to_str().expect("UTF-8");
    for beneath in ["keyring.backup", "objects/keyring.backup", "../data/keyplane/b"] {
        let out = vault.data().join(beneath);
        let out = out.to_str().expect("UTF-8");
        let refused = attempt(&vault, &["keys", "backup", "--out", out, "--passphrase-file", word]);
        assert!(
            !refused.status.success() && said(&refused).contains("beneath the data"),
            "{}",
            said(&refused)
        );
        assert!(!Path::new(out).exists());
    }
    let out = vault.scratch().join("keyring.backup");
    let out = out.to_str().expect("UTF-8");
    last(&vault, &["keys", "backup", "--out", out, "--passphrase-file", word]);
    let keyring = vault.data().join("keyring");
    let whole = std::fs::read(&keyring).expect("the keyring");
    let refused = attempt(&vault, &["keys", "restore", "--in", out, "--passphrase-file", word]);
    assert!(
        !refused.status.success() && said(&refused).contains("already"),
        "{}",
        said(&refused)
    );
    assert_eq!(std::fs::read(&keyring).expect("the keyring"), whole);
    std::fs::remove_file(&keyring).expect("it is lost");
    last(&vault, &["keys", "restore", "--in", out, "--passphrase-file", word]);
    assert_eq!(std::fs::read(&keyring).expect("the keyring"), whole);
}
