//! Project Wycheproof's vectors on the primitives that the crate stands on.

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf;
use wycheproof::TestResult;

/// Calls `check` with every test of AES-256-GCM with nonces of 96 and tags of 128 bits; returns how many there were.
fn each_aes_256_gcm(check: impl Fn(&wycheproof::aead::Test, bool)) -> usize {
    let set = wycheproof::aead::TestSet::load(wycheproof::aead::TestName::AesGcm).expect("the crate's own data");
    let mut tests = 0;
    for group in &set.test_groups {
        if (group.key_size, group.nonce_size, group.tag_size) != (256, 96, 128) {
            continue;
        }
        for test in &group.tests {
            check(test, test.result != TestResult::Invalid);
            tests += 1;
        }
    }
    tests
}

#[test]
fn aes_gcm_keeps_to_wycheproof() {
    let tests = each_aes_256_gcm(|test, valid| {
        let cipher = Aes256Gcm::new_from_slice(&test.key).expect("32 bytes");
        let nonce: [u8; 12] = test.nonce.as_slice().try_into().expect("12 bytes");
        let sealed = [test.ct.as_slice(), &test.tag].concat();
        let opened = cipher.decrypt(
            &nonce.into(),
            Payload {
                msg: &sealed,
                aad: &test.aad,
            },
        );
        assert_eq!(opened.ok(), valid.then(|| test.pt.to_vec()), "{}", test.tc_id);
        let made = cipher.encrypt(
            &nonce.into(),
            Payload {
                msg: &test.pt,
                aad: &test.aad,
            },
        );
        assert_eq!(made.expect("short") == sealed, valid, "{}", test.tc_id);
    });
    assert!(tests > 60, "only {tests} tests");
}

#[test]
fn ring_keeps_to_wycheproof() {
    let tests = each_aes_256_gcm(|test, valid| {
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &test.key).expect("32 bytes"));
        let nonce = || Nonce::try_assume_unique_for_key(&test.nonce).expect("12 bytes");
        let sealed = [test.ct.as_slice(), &test.tag].concat();
        let mut buffer = sealed.clone();
        let opened = key.open_in_place(nonce(), Aad::from(test.aad.as_slice()), &mut buffer);
        assert_eq!(
            opened.ok().map(|plain| plain.to_vec()),
            valid.then(|| test.pt.to_vec()),
            "{}",
            test.tc_id
        );
        let mut made = test.pt.to_vec();
        key.seal_in_place_append_tag(nonce(), Aad::from(test.aad.as_slice()), &mut made)
            .expect("short");
        assert_eq!(made == sealed, valid, "{}", test.tc_id);
    });
    assert!(tests > 60, "only {tests} tests");
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

#[test]
fn hkdf_keeps_to_wycheproof() {
    let set = wycheproof::hkdf::TestSet::load(wycheproof::hkdf::TestName::HkdfSha256).expect("the crate's own data");
    let mut tests = 0;
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, &test.salt).extract(&test.ikm);
        let made = prk.expand(&[&test.info], Length(test.size)).and_then(|okm| {
            let mut out = vec![0; test.size];
            okm.fill(&mut out).map(|()| out)
        });
        let wanted = (test.result != TestResult::Invalid).then(|| test.okm.to_vec());
        assert_eq!(made.ok(), wanted, "{}", test.tc_id);
        tests += 1;
    }
    assert!(tests > 60, "only {tests} tests");
}
