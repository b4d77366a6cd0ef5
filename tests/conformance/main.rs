//! Every sentence of the upload protocols that binds a server, as rows of tables: the sentence in our words, its section, the
//! requests and what each answer has to be. One real server answers them all.

mod draft;
mod draft_versions;
mod exchange;
mod row;
mod tus;
mod tus_concat;
mod tus_extensions;
mod wire;
mod world;

use row::{Row, Speaks};
use world::World;

/// Holds the rows against the server; every one that does not hold is told with its sentence.
fn hold(speaks: Speaks, tables: &[&[Row]]) {
    let world = World::shared();
    let broken: Vec<String> = tables
        .iter()
        .flat_map(|table| table.iter())
        .filter_map(|row| {
            let failed = exchange::held(world, speaks, row).err()?;
            Some(format!("{} · {}\n    {failed}", row.section, row.says))
        })
        .collect();
    assert!(
        broken.is_empty(),
        "{} sentences do not hold:\n{}",
        broken.len(),
        broken.join("\n")
    );
}

#[test]
fn every_sentence_of_tus_holds() {
    hold(Speaks::Tus, &[tus::CORE]);
}

#[test]
fn every_sentence_of_the_extensions_that_options_names_holds() {
    hold(Speaks::Tus, &[tus_extensions::TABLE, tus_concat::TABLE]);
}

#[test]
fn every_sentence_of_the_draft_holds_in_version_6() {
    hold(Speaks::Draft("6"), &[draft::BOTH, draft_versions::SIX]);
}

#[test]
fn every_sentence_of_the_draft_holds_in_version_8() {
    hold(Speaks::Draft("8"), &[draft::BOTH, draft_versions::EIGHT]);
}

#[test]
fn other_versions_of_the_draft_are_plain_uploads() {
    for version in ["5", "7", "9", "six", "6.0", "6, 8"] {
        hold(Speaks::Draft(version), &[draft_versions::OTHER]);
    }
}

#[test]
fn what_options_names_has_rows_and_nothing_else_is_named() {
    let world = World::shared();
    let told = exchange::options(world);
    let mut named: Vec<_> = told.split(',').map(str::trim).collect();
    named.sort_unstable();
    let mut with_rows: Vec<_> = [tus_extensions::TABLE, tus_concat::TABLE]
        .iter()
        .flat_map(|table| table.iter())
        .filter_map(|row| row.section.split(" · ").next())
        .collect();
    with_rows.sort_unstable();
    with_rows.dedup();
    assert_eq!(named, with_rows);
}

/// A row that any answer satisfies would show nothing.
#[test]
fn every_row_can_fail() {
    let tables = [
        tus::CORE,
        tus_extensions::TABLE,
        tus_concat::TABLE,
        draft::BOTH,
        draft_versions::SIX,
        draft_versions::EIGHT,
        draft_versions::OTHER,
    ];
    for row in tables.iter().flat_map(|table| table.iter()) {
        assert!(!row.says.is_empty() && !row.section.is_empty() && !row.exchange.is_empty());
        let told = row.exchange.iter().filter(|step| !step.expect.is_empty());
        assert!(told.clone().count() > 0, "{} · {}", row.section, row.says);
        for step in told {
            let nothing = wire::Answer::default();
            let told = exchange::compare(step.expect, &nothing);
            assert!(told.is_err(), "{} · {}: {:?}", row.section, row.says, step.expect);
        }
    }
}
