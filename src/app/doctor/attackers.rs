//! What each attacker would get of this installation: the promise, and the facts here that weaken or bear it out.
//!
//! Nothing is looked up here: what was found out goes in, lines come out.

use crate::catalog::Standing;
use crate::store::Facts;

/// What was found out about an installation. What could not be is none.
#[derive(Default)]
pub(super) struct Installation {
    /// The store is a folder beside everything else; else an S3 service.
    pub(super) is_folder: bool,
    /// The store is reached without TLS, from beyond this machine.
    pub(super) store_in_clear: bool,
    /// The database is a file in the data folder.
    pub(super) database_beside_data: bool,
    /// Others on this machine can look into the data folder.
    pub(super) data_readable: bool,
    /// The root key is a file beneath the data.
    pub(super) keyring_beside_data: bool,
    /// The root key is a file, and a passphrase is needed to read it.
    pub(super) keyring_has_passphrase: Option<bool>,
    /// The root key never leaves a token or a service.
    pub(super) root_key_is_apart: bool,
    /// A secret of the configuration is one that everybody knows.
    pub(super) has_known_secret: bool,
    /// The media worker may run without its sandbox.
    pub(super) worker_may_be_open: bool,
    /// The media worker runs, locked in.
    pub(super) worker_is_locked_in: bool,
    /// What the store does.
    pub(super) store: Option<Facts>,
    /// What there is to misuse.
    pub(super) standing: Option<Standing>,
    /// Days until the last link ends.
    pub(super) last_link_days: Option<i64>,
}

/// One line of the table.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Attacker {
    pub(super) holds: &'static str,
    pub(super) gets: String,
    /// What here makes it worse than it need be; each says what helps.
    pub(super) weak: Vec<String>,
    /// What else is so here.
    pub(super) so: Vec<String>,
}

impl Attacker {
    fn new(holds: &'static str, gets: impl Into<String>) -> Self {
        Self {
            holds,
            gets: gets.into(),
            weak: Vec::new(),
            so: Vec::new(),
        }
    }

    fn weak(mut self, is_so: bool, text: impl Into<String>) -> Self {
        if is_so {
            self.weak.push(text.into());
        }
        self
    }

    fn so(mut self, is_so: bool, text: impl Into<String>) -> Self {
        if is_so {
            self.so.push(text.into());
        }
        self
    }
}

/// Every attacker that is reckoned with, and what would be theirs today.
pub(super) fn table(here: &Installation) -> Vec<Attacker> {
    let key_with_data = here.is_folder && here.keyring_beside_data;
    let opens_all = key_with_data && here.keyring_has_passphrase != Some(true);
    let beside = if here.keyring_has_passphrase == Some(true) {
        "the keyring lies beneath the data, under its passphrase alone: put it elsewhere with --keyring FILE"
    } else {
        "the keyring lies beneath the data: whoever copies that folder opens everything; put it elsewhere with --keyring FILE"
    };
    let creates_only = here.store.is_some_and(|store| store.creates_only);
    let standing = here.standing.unwrap_or_default();
    vec![
        Attacker::new("the data bucket, reading", "the number of objects, their size classes, when they were written")
            .weak(here.data_readable, "others on this machine can look into the data folder: chmod 700")
            .weak(here.store_in_clear, "the store is reached without TLS: what travels is ciphertext, but its access key's requests can be watched")
            .weak(key_with_data, beside)
            .so(here.is_folder, "data, staging and key plane are folders beside each other")
            .so(!here.is_folder, "data, staging and key plane are three buckets"),
        Attacker::new("the data bucket, writing", "may destroy; every change is found before a byte of it is released")
            .weak(here.has_known_secret, "a secret of the configuration is one that everybody knows: change it")
            .weak(
                here.store.is_some_and(|store| !store.creates_only),
                "this store overwrites where creating only is asked for; names are random, so nothing relies upon it",
            )
            .weak(
                here.store.is_some_and(|store| !store.honours_ranges),
                "this store does not honour ranges: no clip can be played from it",
            )
            .so(creates_only, "this store creates only, where it is asked to"),
        Attacker::new(
            "bucket and database",
            if opens_all && here.database_beside_data {
                "everything, because the root key lies beside them"
            } else {
                "also which random ids belong together, states, counts, and when the service handled them"
            },
        )
        .weak(key_with_data && here.database_beside_data, beside)
        .weak(
            here.standing.is_some() && standing.decoys == 0,
            "no decoy is planted that would tell of a thief: `dashvault decoy add`",
        )
        .so(standing.decoys > 0, format!("{} decoys are planted, {} of them were used", standing.decoys, standing.decoys_used))
        .so(here.root_key_is_apart, "the root key is in a token or service of its own, and is no file"),
        Attacker::new(
            "an old backup, after a roll",
            if here.standing.is_none() || standing.erased_since_roll > 0 {
                "with today's root key, what was erased since the last roll of the epoch"
            } else {
                "nothing of the erased, even with today's root key"
            },
        )
        .weak(
            standing.erased_since_roll > 0,
            format!(
                "{} clips or owners were erased {}: an older backup brings them back; `dashvault keys roll-epoch`",
                standing.erased_since_roll,
                if standing.rolled_at.is_some() { "since the last roll" } else { "and the epoch was never rolled" }
            ),
        ),
        Attacker::new("source code, container image", "nothing")
            .weak(here.has_known_secret, "a secret of the configuration stands in public instructions: change it"),
        Attacker::new(
            "a stolen vehicle key",
            "may add clips to that vehicle until it is revoked, and see its own uploads' offsets and receipts; reads no clip",
        )
        .so(here.standing.is_some(), format!("{} vehicles are paired", standing.vehicles)),
        Attacker::new(
            "a leaked link",
            "that clip, that span, those tracks, until it ends, is used up or revoked; each opening is recorded",
        )
        .so(here.standing.is_some(), links(standing.links, here.last_link_days)),
        Attacker::new(
            "an owner's API token",
            "every clip of that owner until the token is given up; it has no end of its own",
        )
        .so(here.standing.is_some(), format!("{} API tokens are good", standing.api_tokens)),
        Attacker::new(
            "the running service",
            "what it transcodes and streams, and what the root key's provider lets it unwrap, at a capped and recorded rate",
        )
        .weak(
            here.keyring_has_passphrase == Some(false),
            "the keyring has no passphrase: its file alone opens everything; `dashvault keys passphrase set`",
        ),
        Attacker::new(
            "a hostile clip",
            if here.worker_may_be_open && !here.worker_is_locked_in {
                "the rights of this service: the worker runs without its sandbox"
            } else {
                "may crash its own worker; no file, no network, no key, no other clip"
            },
        )
        .weak(here.worker_may_be_open, "the worker may run unsandboxed: leave --allow-unsandboxed-worker away")
        .weak(!here.worker_is_locked_in, "the worker was not seen to run locked in")
        .so(here.worker_is_locked_in, "the worker tried its sandbox and did not get out"),
    ]
}

fn links(count: u64, last_link_days: Option<i64>) -> String {
    match last_link_days {
        Some(days) if count > 0 => format!("{count} links can be opened, the last ends within {} days", days + 1),
        _ => "no link can be opened now".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A vault as it should be: buckets, a key elsewhere, a locked-in worker.
    fn sound() -> Installation {
        Installation {
            root_key_is_apart: true,
            worker_is_locked_in: true,
            store: Some(Facts {
                creates_only: true,
                honours_ranges: true,
            }),
            standing: Some(Standing {
                decoys: 1,
                ..Standing::default()
            }),
            ..Installation::default()
        }
    }

    fn of(here: &Installation, holds: &str) -> Attacker {
        let found = table(here).into_iter().find(|attacker| attacker.holds == holds);
        found.unwrap_or_else(|| panic!("{holds}"))
    }

    #[test]
    fn a_sound_vault_has_no_weakness_and_every_attacker_is_told_of() {
        let told = table(&sound());
        assert_eq!(told.len(), 10);
        assert!(told.iter().all(|attacker| attacker.weak.is_empty()), "{told:#?}");
    }

    #[test]
    fn a_keyring_beside_data_and_database_gives_everything_away() {
        let mut here = Installation {
            is_folder: true,
            database_beside_data: true,
            keyring_beside_data: true,
            root_key_is_apart: false,
            keyring_has_passphrase: Some(false),
            ..sound()
        };
        assert!(of(&here, "bucket and database").gets.starts_with("everything"));
        assert!(of(&here, "the data bucket, reading").weak[0].contains("--keyring"));
        assert!(of(&here, "the running service").weak[0].contains("passphrase set"));
        here.keyring_has_passphrase = Some(true);
        assert!(!of(&here, "bucket and database").gets.starts_with("everything"));
        assert!(!of(&here, "bucket and database").weak.is_empty());
    }

    #[test]
    fn erasures_without_a_roll_are_what_an_old_backup_brings_back() {
        let mut here = sound();
        here.standing = Some(Standing {
            erased_since_roll: 3,
            decoys: 1,
            ..Standing::default()
        });
        let old = of(&here, "an old backup, after a roll");
        assert!(
            old.weak[0].starts_with("3 clips or owners") && old.gets.contains("was erased"),
            "{old:?}"
        );
        here.standing = None;
        assert!(
            of(&here, "an old backup, after a roll").gets.contains("was erased"),
            "unknown is not well"
        );
    }

    #[test]
    fn each_other_weakness_is_told_to_whom_it_helps() {
        let weak = |change: fn(&mut Installation), holds| {
            let mut here = sound();
            change(&mut here);
            of(&here, holds).weak.len()
        };
        assert_eq!(weak(|here| here.data_readable = true, "the data bucket, reading"), 1);
        assert_eq!(weak(|here| here.store_in_clear = true, "the data bucket, reading"), 1);
        assert_eq!(
            weak(|here| here.has_known_secret = true, "source code, container image"),
            1
        );
        assert_eq!(weak(|here| here.worker_may_be_open = true, "a hostile clip"), 1);
        assert_eq!(weak(|here| here.worker_is_locked_in = false, "a hostile clip"), 1);
        assert_eq!(
            weak(|here| here.standing = Some(Standing::default()), "bucket and database"),
            1
        );
        let poor = |here: &mut Installation| {
            here.store = Some(Facts {
                creates_only: false,
                honours_ranges: false,
            });
        };
        assert_eq!(weak(poor, "the data bucket, writing"), 2);
    }
}
