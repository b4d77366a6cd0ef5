//! Holds the source against the house's plan: who may import whom, which crate is named where, how files begin and end.
//!
//! The plan is read from the blocks of docs/architecture.md. Whoever changes an arrow changes it there, in a commit of its own
//! that says why.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Past this, look for the second thing in the file.
const MAX_LINES: usize = 600;

const PLAN: &str = include_str!("../docs/architecture.md");

/// The lines of a block of the plan, each a name and what stands after the sign.
fn block(name: &str, sign: &str) -> BTreeMap<&'static str, Vec<&'static str>> {
    let lines = PLAN
        .split(&format!("```{name}\n"))
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    let lines = lines.unwrap_or_else(|| panic!("docs/architecture.md has no block {name}"));
    let block: BTreeMap<_, _> = lines
        .lines()
        .map(|line| {
            line.split_once(sign)
                .unwrap_or_else(|| panic!("`{line}` has no `{sign}`"))
        })
        .map(|(left, right)| (left.trim(), right.split_whitespace().collect()))
        .collect();
    assert!(block.len() > 5, "the block {name} has lost its lines");
    block
}

/// Who may import whom. `model` is open to all, `app` wires all and is imported by none but `main.rs`.
fn allowed_arrows() -> BTreeMap<&'static str, Vec<&'static str>> {
    block("arrows", "->")
}

/// Which places alone may name a crate, or of a crate a module; a place is a room of src/, or `keys`, or `worker`.
fn allowed_crates() -> BTreeMap<&'static str, Vec<&'static str>> {
    block("crates", " : ")
}

/// One source file: its path from the top of the repository and its text.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// The room of src/, `main` and `lib` for the two files beside the rooms, else the crate's folder.
    fn place(&self) -> &str {
        match self.path.strip_prefix("src/") {
            Some(rest) => rest.split('/').next().unwrap_or(rest).trim_end_matches(".rs"),
            None => self.path.split('/').next().unwrap_or(&self.path),
        }
    }

    /// How many modules deep the file is: 1 for a room's mod.rs, 2 for a file in it.
    fn depth(&self) -> usize {
        let inside = self.path.strip_prefix("src/").unwrap_or(&self.path);
        inside.split('/').filter(|part| *part != "mod.rs").count()
    }

    /// The code without comments, strings, and what is compiled for tests only.
    fn code(&self) -> String {
        let code = without_comments_and_strings(&self.text);
        let tests = code.find("#[cfg(test)]\nmod ").filter(|at| {
            let line = code[*at..].lines().nth(1).unwrap_or_default();
            line.trim_end().ends_with('{')
        });
        code[..tests.unwrap_or(code.len())].to_owned()
    }
}

fn sources() -> Vec<Source> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in ["src", "client", "keys", "worker", "tests", "benches"] {
        collect(top, &top.join(folder), &mut found);
    }
    assert!(found.len() > 20, "only {} source files: the wrong folder?", found.len());
    found
}

fn collect(top: &Path, dir: &Path, found: &mut Vec<Source>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("node_modules") && !path.ends_with("target") {
            collect(top, &path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(Source {
                path: path.strip_prefix(top).expect("beneath the top").display().to_string(),
                text: std::fs::read_to_string(&path).expect("a source file"),
            });
        }
    }
}

/// The rooms that each room imports.
fn arrows(sources: &[Source]) -> BTreeMap<String, BTreeSet<String>> {
    let mut arrows = BTreeMap::<String, BTreeSet<String>>::new();
    for source in sources.iter().filter(|s| s.path.starts_with("src/")) {
        let code = source.code();
        let from = arrows.entry(source.place().to_owned()).or_default();
        for root in ["crate", "dashvault"] {
            from.extend(heads(&code, root).into_iter().filter(|to| to != source.place()));
        }
    }
    arrows
}

/// What is wrong with the arrows between rooms.
fn wrong_arrows(sources: &[Source]) -> Vec<String> {
    let allowed = allowed_arrows();
    let mut wrong = Vec::new();
    let arrows = arrows(sources);
    for (from, tos) in &arrows {
        for to in tos {
            let fine = match from.as_str() {
                "app" => allowed.contains_key(to.as_str()),
                "main" => to == "app",
                _ => {
                    to == "model"
                        || allowed
                            .get(from.as_str())
                            .is_some_and(|list| list.contains(&to.as_str()))
                }
            };
            if !fine {
                wrong.push(format!("{from} imports {to}"));
            }
        }
        if !["app", "main", "lib"].contains(&from.as_str()) && !allowed.contains_key(from.as_str()) {
            wrong.push(format!("{from} is not a room of the plan"));
        }
    }
    for source in sources.iter().filter(|s| s.path.starts_with("src/")) {
        let climb = "super::".repeat(source.depth());
        if source.code().contains(&climb) {
            wrong.push(format!("{} climbs out of its room with super::", source.path));
        }
    }
    wrong.extend(cycle(&arrows).map(|path| format!("a cycle: {}", path.join(" -> "))));
    wrong
}

/// A cycle among the arrows, if there is one.
fn cycle(arrows: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    fn walk(at: &str, path: &mut Vec<String>, arrows: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
        if let Some(start) = path.iter().position(|seen| seen == at) {
            let mut found = path[start..].to_vec();
            found.push(at.to_owned());
            return Some(found);
        }
        path.push(at.to_owned());
        let found = arrows
            .get(at)
            .into_iter()
            .flatten()
            .find_map(|to| walk(to, path, arrows));
        path.pop();
        found
    }
    arrows.keys().find_map(|from| walk(from, &mut Vec::new(), arrows))
}

/// Crates named where they may not be.
fn wrong_crates(sources: &[Source]) -> Vec<String> {
    let allowed = allowed_crates();
    let mut wrong = Vec::new();
    for source in sources {
        let place = source.place();
        // Tests, benches and what is run by hand stand outside; they may look into anything.
        if ["tests", "benches"].contains(&place)
            || source.path.contains("/tests/")
            || source.path.contains("/examples/")
        {
            continue;
        }
        let code = source.code();
        for (name, places) in allowed.iter().filter(|(name, _)| !name.contains("::")) {
            for head in heads(&code, name) {
                let module = format!("{name}::{head}");
                let fine =
                    places.contains(&place) || allowed.get(module.as_str()).is_some_and(|list| list.contains(&place));
                if !fine {
                    wrong.push(format!("{} names {module}", source.path));
                }
            }
        }
    }
    wrong
}

/// The names right after `root::`, groups in braces taken apart: `crate::{a::B, c}` has the heads a and c.
fn heads(code: &str, root: &str) -> BTreeSet<String> {
    let mut heads = BTreeSet::new();
    let needle = format!("{root}::");
    for (at, _) in code.match_indices(&needle) {
        // `rustls::crypto::ring::` and `my_ring::` are something else; `::ring::` is the crate.
        let before = code[..at].strip_suffix("::").unwrap_or(&code[..at]);
        if before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &code[at + needle.len()..];
        if let Some(group) = rest.strip_prefix('{') {
            heads.extend(group_heads(group));
        } else {
            heads.insert(first_name(rest));
        }
    }
    // `use sqlx;` and `use sqlx as db;` name the crate too.
    for form in [
        format!("use {root};"),
        format!("use {root} as "),
        format!("extern crate {root}"),
    ] {
        if code.contains(&form) {
            heads.insert("self".to_owned());
        }
    }
    heads
}

fn group_heads(group: &str) -> BTreeSet<String> {
    let (mut heads, mut depth, mut fresh) = (BTreeSet::new(), 0_usize, true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => fresh = true,
            c if fresh && !c.is_whitespace() => {
                heads.insert(first_name(&group[at..]));
                fresh = false;
            }
            _ => {}
        }
    }
    heads
}

fn first_name(text: &str) -> String {
    let name = text.trim_start_matches("r#").chars();
    name.take_while(|c| c.is_alphanumeric() || *c == '_' || *c == '*')
        .collect()
}

fn without_comments_and_strings(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(raw) = rest.strip_prefix("r#\"") {
            raw.find("\"#").map_or(rest.len(), |end| end + 5)
        } else if rest.starts_with("'\"'") || rest.starts_with("b'\"'") {
            rest[1..].find("\"'").map_or(rest.len(), |end| end + 3)
        } else if c == '"' {
            string_end(rest)
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        rest = &rest[skipped..];
    }
    out
}

/// Bytes up to and with the quote that closes the string that `text` begins with.
fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '\\' if !escaped => escaped = true,
            '"' if !escaped => return at + 1,
            _ => escaped = false,
        }
    }
    text.len()
}

fn planted(path: &str, text: &str) -> Vec<Source> {
    vec![Source {
        path: path.to_owned(),
        text: text.to_owned(),
    }]
}

#[test]
fn rooms_import_only_what_the_plan_allows() {
    assert_eq!(wrong_arrows(&sources()), Vec::<String>::new());
}

#[test]
fn crates_are_named_only_where_the_plan_says() {
    assert_eq!(wrong_crates(&sources()), Vec::<String>::new());
}

#[test]
fn every_file_says_its_job_first_and_none_is_too_long() {
    let mut wrong = Vec::new();
    for source in sources() {
        if !source.text.starts_with("//! ") {
            wrong.push(format!("{} does not begin with its job", source.path));
        }
        let lines = source.text.lines().count();
        if lines > MAX_LINES {
            wrong.push(format!("{} has {lines} lines", source.path));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn lints_are_expected_with_a_reason_and_never_allowed() {
    let allow = concat!("[", "allow(");
    let sources = sources();
    let wrong: Vec<_> = sources
        .iter()
        .filter(|s| s.text.contains(allow))
        .map(|s| &s.path)
        .collect();
    assert!(
        wrong.is_empty(),
        "{wrong:?} switch lints off: expect them, with a reason"
    );
}

#[test]
fn a_planted_arrow_is_found() {
    let found = |path, text| wrong_arrows(&planted(path, text));
    assert_eq!(
        found("src/store/mod.rs", "//! .\nuse crate::vault::Vault;\n"),
        ["store imports vault"]
    );
    assert_eq!(
        found("src/http/clips.rs", "//! .\nfn f() { crate::catalog::x() }\n"),
        ["http imports catalog"]
    );
    assert_eq!(
        found(
            "src/vault/a.rs",
            "//! .\nuse crate::{model::Id, catalog::{Tx, row}, audit};\n"
        ),
        ["vault imports audit"]
    );
    assert_eq!(found("src/media/a.rs", "//! .\nuse super::super::app::X;\n").len(), 1);
    assert_eq!(found("src/util/mod.rs", "//! .\n"), ["util is not a room of the plan"]);
    assert_eq!(
        found("src/access/mod.rs", "//! .\nuse crate::app::Config;\n"),
        ["access imports app"]
    );
    let fine = "//! use crate::app::X;\nuse crate::catalog::Tx;\nconst S: &str = \"crate::app::\";\n#[cfg(test)]\nmod tests {\n use crate::http::X;\n}\n";
    assert_eq!(found("src/vault/mod.rs", fine), Vec::<String>::new());
}

#[test]
fn a_planted_cycle_is_found() {
    let mut sources = planted("src/vault/mod.rs", "//! .\nuse crate::catalog::Tx;\n");
    sources.extend(planted("src/catalog/mod.rs", "//! .\nuse crate::vault::Vault;\n"));
    let found = wrong_arrows(&sources);
    assert!(
        found.iter().any(|f| f == "a cycle: catalog -> vault -> catalog"),
        "{found:?}"
    );
}

#[test]
fn a_planted_crate_is_found() {
    let found = |path, text| wrong_crates(&planted(path, text));
    assert_eq!(
        found("src/library/a.rs", "//! .\nuse sqlx::Row;\n"),
        ["src/library/a.rs names sqlx::Row"]
    );
    assert_eq!(
        found("src/vault/a.rs", "//! .\nfn f() { ::object_store::f() }\n"),
        ["src/vault/a.rs names object_store::f"]
    );
    assert_eq!(
        found("src/store/a.rs", "//! .\nuse ring;\n"),
        ["src/store/a.rs names ring::self"]
    );
    assert_eq!(
        found("keys/src/a.rs", "//! .\nuse ffmpeg_next as f;\n"),
        ["keys/src/a.rs names ffmpeg_next::self"]
    );
    assert_eq!(
        found(
            "src/ingest/a.rs",
            "//! .\nuse dashvault_keys::{token::Token, object::Sealer};\n"
        ),
        ["src/ingest/a.rs names dashvault_keys::object"]
    );
    assert_eq!(
        found("src/app/a.rs", "//! .\nuse rustls::crypto::ring::default_provider;\n"),
        Vec::<String>::new()
    );
}

/// The names of the crates that a package is built of.
fn crates_of(package: &str) -> BTreeSet<String> {
    let out = std::process::Command::new(env!("CARGO"))
        .args([
            "tree",
            "--locked",
            "--offline",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
            "-p",
            package,
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let names = String::from_utf8(out.stdout).expect("UTF-8");
    names
        .lines()
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_worker_links_no_keys_no_sql_and_no_http() {
    let crates = crates_of("dashvault-worker");
    assert!(crates.contains("ffmpeg-next"), "{crates:?}");
    for name in [
        "dashvault-keys",
        "dashvault",
        "ring",
        "aes-gcm",
        "sqlx",
        "object_store",
        "reqwest",
        "hyper",
        "actix-web",
        "rustls",
        "tokio",
    ] {
        assert!(!crates.contains(name), "the worker links {name}");
    }
}

#[test]
fn the_keys_link_no_sql_and_no_network() {
    let crates = crates_of("dashvault-keys");
    assert!(crates.contains("ring"), "{crates:?}");
    for name in [
        "sqlx",
        "object_store",
        "reqwest",
        "hyper",
        "actix-web",
        "ffmpeg-next",
        "tokio",
    ] {
        assert!(!crates.contains(name), "the keys link {name}");
    }
    // The same look at the service finds what the two above must not have.
    let service = crates_of("dashvault");
    assert!(service.contains("sqlx") && service.contains("reqwest") && service.contains("actix-web"));
}
