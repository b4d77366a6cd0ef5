//! Both databases get the same tables and columns from their migrations.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use dashvault::catalog::{Catalog, Config};
use dashvault_test_support::{Postgres, Scratch};

/// `table.column`, and whether it may be null.
type Columns = BTreeSet<(String, bool)>;

fn columns(rows: &str) -> Columns {
    let rows = rows.lines().filter(|row| !row.starts_with("_sqlx_migrations"));
    rows.map(|row| {
        let (name, nullable) = row.split_once('\t').expect("two columns");
        (name.to_owned(), nullable == "1")
    })
    .collect()
}

fn sqlite_columns(file: &Path) -> Columns {
    // A primary key is never null with us; SQLite wants it said, PostgreSQL implies it.
    let sql = "SELECT t.name || '.' || c.name || char(9) || (c.\"notnull\" = 0 AND c.pk = 0) \
               FROM sqlite_master t JOIN pragma_table_info(t.name) c WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%'";
    let out = Command::new("sqlite3").arg(file).arg(sql).output().expect("sqlite3");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    columns(&String::from_utf8(out.stdout).expect("UTF-8"))
}

fn postgres_columns(postgres: &Postgres, database: &str) -> Columns {
    columns(&postgres.psql(
        database,
        "SELECT table_name || '.' || column_name, CASE is_nullable WHEN 'YES' THEN 1 ELSE 0 END \
         FROM information_schema.columns WHERE table_schema = 'public'",
    ))
}

#[tokio::test]
async fn sqlite_and_postgresql_have_the_same_columns() {
    let scratch = Scratch::new("schema");
    let sqlite = Config::Sqlite {
        dir: scratch.path().to_owned(),
    };
    Catalog::connect(&sqlite).await.unwrap().close().await;
    let postgres = Postgres::shared();
    let url = postgres.database();
    let catalog = Catalog::connect(&Config::Postgres { url: url.clone() }).await.unwrap();
    catalog.ping().await.unwrap();
    let on_sqlite = sqlite_columns(&scratch.path().join("vault.db"));
    assert!(on_sqlite.len() > 20, "{on_sqlite:?}");
    assert_eq!(on_sqlite, postgres_columns(postgres, &url));
    // The comparison sees a column that only one of them has.
    postgres.psql(&url, "ALTER TABLE owners ADD COLUMN planted bytea");
    assert_ne!(on_sqlite, postgres_columns(postgres, &url));
    catalog.close().await;
}
