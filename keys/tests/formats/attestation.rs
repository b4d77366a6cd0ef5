//! Attestations: the frozen chain is believed and made again, and every way to break a chain is told by its name.

use dashvault_keys::Secret32;
use dashvault_keys::attestation::{self, Broken, Chain, Statement};
use dashvault_keys::receipt::ReceiptSigner;
use dashvault_keys::system::SystemRecord;
use data_encoding::HEXLOWER;
use serde_json::Value;

struct Frozen {
    trusted: [u8; 32],
    lines: Vec<String>,
    heads: Vec<String>,
    signers: Vec<ReceiptSigner>,
}

fn frozen() -> Frozen {
    let set: Value = serde_json::from_str(include_str!("../vectors/attestation-v1.json")).expect("JSON");
    let texts = |name: &str| -> Vec<String> {
        let list = set[name].as_array().expect("a list");
        list.iter()
            .map(|one| one.as_str().expect("a text").to_owned())
            .collect()
    };
    let hex = |text: &str| -> [u8; 32] {
        let bytes = HEXLOWER.decode(text.as_bytes()).expect("hex");
        bytes.try_into().expect("32 bytes")
    };
    let seeds = texts("seeds").into_iter();
    Frozen {
        trusted: hex(set["trusted_key"].as_str().expect("a text")),
        lines: texts("lines"),
        heads: texts("heads"),
        signers: seeds
            .map(|seed| ReceiptSigner::new(&Secret32::from_slice(&hex(&seed)).expect("32 bytes")))
            .collect(),
    }
}

/// The first line that breaks, counted from 1, and why.
fn broken(trusted: Option<[u8; 32]>, lines: &[String]) -> Option<(usize, Broken)> {
    let mut chain = Chain::new(trusted);
    let mut lines = (1..).zip(lines);
    lines.find_map(|(number, line)| chain.follow(line).err().map(|why| (number, why)))
}

/// The line with another statement in it, signed as the signer of line `at` would.
fn signed_again(frozen: &Frozen, at: usize, change: impl FnOnce(&mut Statement)) -> String {
    let (mut statement, _) = attestation::parse(&frozen.lines[at]).expect("a line");
    change(&mut statement);
    frozen.signers[at].attest(statement).0
}

#[test]
fn the_frozen_chain_is_believed_from_its_first_key_and_made_again() {
    let frozen = frozen();
    let mut chain = Chain::new(Some(frozen.trusted));
    for (at, line) in frozen.lines.iter().enumerate() {
        let (statement, head) = chain.follow(line).expect("it follows");
        assert_eq!(HEXLOWER.encode(&head.sha256), frozen.heads[at]);
        assert_eq!(frozen.signers[at].attest(statement).0, *line);
    }
    let keys: Vec<_> = frozen.signers.iter().map(ReceiptSigner::public_key).collect();
    assert!(keys[0] == keys[1] && keys[1] != keys[2], "the key changes on the way");
    assert_eq!(
        broken(None, &frozen.lines),
        None,
        "without a key the first line's own is believed"
    );
}

#[test]
fn every_way_to_break_a_chain_is_told_by_line_and_name() {
    let frozen = frozen();
    let with = |change: &dyn Fn(&mut Vec<String>)| {
        let mut lines = frozen.lines.clone();
        change(&mut lines);
        broken(Some(frozen.trusted), &lines)
    };
    assert_eq!(with(&|_| {}), None);
    let gap = Broken::Gap { expected: 2, found: 3 };
    assert_eq!(with(&|lines| drop(lines.remove(1))), Some((2, gap)), "taken out");
    let gap = Broken::Gap { expected: 1, found: 2 };
    assert_eq!(with(&|lines| drop(lines.remove(0))), Some((1, gap)), "the first one");
    assert_eq!(with(&|lines| lines.swap(1, 2)).map(|(at, _)| at), Some(2), "moved");
    let twice = Broken::Order { expected: 3, found: 2 };
    assert_eq!(
        with(&|lines| lines.insert(2, lines[1].clone())),
        Some((3, twice)),
        "twice"
    );
    let cut = |lines: &mut Vec<String>| {
        let half = lines[3].len() / 2;
        lines[3].truncate(half);
    };
    assert_eq!(with(&cut), Some((4, Broken::Unreadable)), "cut in its middle");
    let spaced = |lines: &mut Vec<String>| lines[1] = lines[1].replace(":1,", ": 1,");
    assert_eq!(with(&spaced), Some((2, Broken::Unreadable)), "written otherwise");
    let altered = |lines: &mut Vec<String>| lines[1] = lines[1].replace("\"exposed\"", "\"private\"");
    assert_eq!(with(&altered), Some((2, Broken::Signature)), "altered");
    // Whoever has the key writes one statement anew: those behind it do not follow.
    let rewritten = |lines: &mut Vec<String>| {
        lines[1] = signed_again(&frozen, 1, |statement| statement.buckets.clear());
    };
    assert_eq!(with(&rewritten), Some((3, Broken::OtherBefore)), "exchanged");
    let vault = |lines: &mut Vec<String>| {
        lines[1] = signed_again(&frozen, 1, |statement| statement.system.0 = [8; 16]);
    };
    assert_eq!(with(&vault), Some((2, Broken::OtherVault)));
    let early = |lines: &mut Vec<String>| lines[1] = signed_again(&frozen, 1, |statement| statement.at_ms = 0);
    assert_eq!(with(&early), Some((2, Broken::Time)));
    assert_eq!(broken(Some([9; 32]), &frozen.lines), Some((1, Broken::OtherKey)));
}

#[test]
fn a_line_of_another_key_is_refused_whether_it_names_its_own_or_the_right_one() {
    let frozen = frozen();
    let stranger = SystemRecord::make();
    let stranger = ReceiptSigner::new(&stranger.receipt.newest().key);
    let replace = |at: usize, line: String| {
        let mut lines = frozen.lines.clone();
        lines[at] = line;
        broken(Some(frozen.trusted), &lines)
    };
    let (right, _) = attestation::parse(&frozen.lines[3]).expect("a line");
    let mut own = right.clone();
    own.key.0 = stranger.public_key();
    assert_eq!(replace(3, stranger.attest(own).0), Some((4, Broken::OtherKey)));
    assert_eq!(replace(3, stranger.attest(right).0), Some((4, Broken::Signature)));
    // A key that was replaced signs no more: nobody vouches for the way back.
    let mut back = attestation::parse(&frozen.lines[3]).expect("a line").0;
    back.key.0 = frozen.signers[0].public_key();
    assert_eq!(
        replace(3, frozen.signers[0].attest(back).0),
        Some((4, Broken::OtherKey))
    );
    // The change of keys without its vouching.
    let unvouched = signed_again(&frozen, 2, |statement| statement.vouched.clear());
    assert_eq!(replace(2, unvouched), Some((3, Broken::OtherKey)));
}

#[test]
fn no_byte_of_a_line_can_be_another() {
    let line = frozen().lines[0].clone();
    for at in 0..line.len() {
        let mut changed = line.clone().into_bytes();
        changed[at] ^= 1;
        let Ok(changed) = String::from_utf8(changed) else {
            continue;
        };
        assert!(attestation::parse(&changed).is_err(), "byte {at}: {changed}");
    }
}
