//! What a service that asks a token or AWS KMS for its root keys let go of is not in its memory.

use std::sync::Arc;
use std::time::Duration;

use dashvault_keys::Zeroizing;
use dashvault_keys::provider::{CredentialSource, Credentials, Kms, KmsConfig, Pkcs11, Pkcs11Config, SecretSource};
use dashvault_test_support::memory::Needle;
use dashvault_test_support::softhsm::{self, LABEL, PIN, module, root_keys_on_a_token};
use dashvault_test_support::{KmsFront, SoftHsm};
use data_encoding::BASE64;

use crate::memory::{
    keys_are_there_while_somebody_watches_and_not_after, known, long_clip, look, original, setup, uploaded,
};

/// As `dashvault` has it when nobody says otherwise.
const PREFIX: &str = "dashvault";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_a_token_unwrapped_and_the_service_let_go_of_are_not_in_its_memory() {
    if !softhsm::is_of_this_process() {
        let token = SoftHsm::new();
        let test = "memory_of_providers::keys_that_a_token_unwrapped_and_the_service_let_go_of_are_not_in_its_memory";
        return tokio::task::block_in_place(|| token.in_its_process(test));
    }
    let mut vault = root_keys_on_a_token(setup()).start();
    let owner = vault.owner("anna@example.org");
    let clip = uploaded(&vault, &owner, long_clip()).await;
    let root = Pkcs11::open(&Pkcs11Config {
        module: module(),
        token: LABEL.to_owned(),
        pin: SecretSource::given(Zeroizing::new(PIN.to_owned())),
        prefix: PREFIX.to_owned(),
    });
    let known = known(&vault, &root.expect("the token"), &owner, &clip).await;
    keys_are_there_while_somebody_watches_and_not_after(&mut vault, &owner, &clip, known).await;
    // The service logs in with it again when the token was away, and holds it for that: once, and nobody else does.
    let found = look(&mut vault, &[Needle::text("PIN", PIN)]);
    assert_eq!(found.len(), 1, "{found:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_kms_unwrapped_and_the_service_let_go_of_are_not_in_its_memory() {
    let front = KmsFront::start();
    let prefix = front.prefix();
    let mut vault = front
        .keeps_root_keys_of(setup())
        .env("DASHVAULT_KMS_PREFIX", &prefix)
        .start();
    let owner = vault.owner("anna@example.org");
    let clip = uploaded(&vault, &owner, long_clip()).await;
    let given = Credentials::new(front.access_key().to_owned(), front.secret_key().to_owned(), None);
    let config = KmsConfig {
        region: front.region().to_owned(),
        endpoint: Some(front.endpoint()),
        prefix,
        pending_days: 7,
        credentials: CredentialSource::Given(Arc::new(given)),
    };
    let root = tokio::task::block_in_place(|| Kms::open(&config)).expect("the keys");
    let mut known =
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(known(&vault, &root, &owner, &clip)));
    // As it comes over the wire.
    let wire = || Needle::text("wire form", &BASE64.encode(&known.kek));
    let watched = original(&vault, &owner, &clip).await;
    // That is erased once it was read, long before the key is let go of; only a call that is under way has it.
    if !look(&mut vault, &[wire()]).is_empty() {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let found = look(&mut vault, &[wire()]);
        assert!(found.is_empty(), "{found:#?}");
    }
    drop(watched);
    known.owners.push(wire());
    keys_are_there_while_somebody_watches_and_not_after(&mut vault, &owner, &clip, known).await;
}
