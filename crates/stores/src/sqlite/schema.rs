//! The tables, and how a store of an older version is brought up to date.

use std::path::Path;

use model::{Error, Result};
use rusqlite::Connection;

use super::failure::to_error;

/// One step from a version of the schema to the next.
pub(super) struct Migration {
    /// What it does, for the log.
    title: &'static str,
    sql: &'static str,
}

/// All steps; the version of a store is how many of them it has seen.
pub(super) const MIGRATIONS: &[Migration] = &[
    Migration {
        title: "accounts, sessions, keys, history and idempotency keys",
        sql: include_str!("schema/0001_foundation.sql"),
    },
    Migration {
        title: "tasks, their queue and their schedules",
        sql: include_str!("schema/0002_tasks.sql"),
    },
    Migration {
        title: "questions that tasks ask",
        sql: include_str!("schema/0003_questions.sql"),
    },
    Migration {
        title: "transfers from other stores",
        sql: include_str!("schema/0004_transfer.sql"),
    },
];

/// Marks the file as a store of this server (the ASCII codes of `mcps`).
const APPLICATION_ID: i64 = 0x6d63_7073;

/// Refuses a file that isn't a store of this server, or one that a newer version wrote.
///
/// # Errors
/// `Unavailable`, with what to do.
pub(super) fn check(connection: &Connection, path: &Path, migrations: &[Migration]) -> Result<()> {
    let version = read_pragma(connection, path, "user_version")?;
    let application = read_pragma(connection, path, "application_id")?;
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))
        .map_err(|error| unreadable(path, error))?;
    let is_new = version == 0 && application == 0 && tables == 0;
    if !is_new && application != APPLICATION_ID {
        return Err(Error::unavailable(format!(
            "{} is a database of another program; choose another DATA_DIR",
            path.display()
        )));
    }
    let known = known_version(migrations);
    if version > known {
        return Err(Error::unavailable(format!(
            "{} was written by a newer version of this server (schema {version}; this version knows up to {known}); \
             start that version, or restore a backup made before the upgrade",
            path.display()
        )));
    }
    Ok(())
}

/// Brings a store up to date, one transaction for each step, and logs each.
///
/// # Errors
/// `Unavailable` when the database fails; the store then stands at the last whole step.
pub(super) fn migrate(connection: &Connection, path: &Path, migrations: &[Migration]) -> Result<()> {
    let version = read_pragma(connection, path, "user_version")?;
    let first = usize::try_from(version).unwrap_or(0);
    for (index, migration) in migrations.iter().enumerate().skip(first) {
        let number = index.saturating_add(1);
        let sql = format!(
            "BEGIN IMMEDIATE; {} PRAGMA user_version = {number}; PRAGMA application_id = {APPLICATION_ID}; COMMIT;",
            migration.sql
        );
        if let Err(error) = connection.execute_batch(&sql) {
            // What failed is what is told; an undone transaction is undone twice at worst.
            drop(connection.execute_batch("ROLLBACK"));
            return Err(to_error(error));
        }
        tracing::info!(
            schema = number,
            title = migration.title,
            "brought the store up to date"
        );
    }
    Ok(())
}

/// The version of a store that has seen all steps.
pub(super) fn known_version(migrations: &[Migration]) -> i64 {
    i64::try_from(migrations.len()).unwrap_or(i64::MAX)
}

/// Reads a number that stands in the file itself.
pub(super) fn read_pragma(connection: &Connection, path: &Path, name: &str) -> Result<i64> {
    connection
        .pragma_query_value(None, name, |row| row.get(0))
        .map_err(|error| unreadable(path, error))
}

/// Says that the file is damaged or can't be read.
pub(super) fn unreadable(path: &Path, error: rusqlite::Error) -> Error {
    let message = format!(
        "the store {} can't be read ({error}); restore a backup, or move the file away to begin with an empty store",
        path.display()
    );
    Error::unavailable(message).source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Migration = Migration {
        title: "a table",
        sql: "CREATE TABLE thing (name TEXT NOT NULL) STRICT; INSERT INTO thing VALUES ('old');",
    };
    const SECOND: Migration = Migration {
        title: "a column",
        sql: "ALTER TABLE thing ADD COLUMN size INTEGER NOT NULL DEFAULT 7;",
    };
    const BROKEN: Migration = Migration {
        title: "half of it works",
        sql: "CREATE TABLE other (name TEXT) STRICT; INSERT INTO nowhere VALUES (1);",
    };

    fn size_of_the_old_thing(connection: &Connection) -> i64 {
        connection
            .query_row("SELECT size FROM thing WHERE name = 'old'", (), |row| row.get(0))
            .unwrap()
    }

    #[test]
    fn g09_an_older_store_is_brought_up_to_date_with_what_it_holds() {
        let connection = Connection::open_in_memory().unwrap();
        let path = Path::new("store");
        migrate(&connection, path, &[FIRST]).unwrap();
        check(&connection, path, &[FIRST, SECOND]).unwrap();
        migrate(&connection, path, &[FIRST, SECOND]).unwrap();
        assert_eq!(size_of_the_old_thing(&connection), 7);
        assert!(
            check(&connection, path, &[FIRST]).is_err(),
            "it is too new for the older version now"
        );
    }

    #[test]
    fn g09_a_task_of_an_older_store_has_asked_nothing() {
        let connection = Connection::open_in_memory().unwrap();
        let path = Path::new("store");
        migrate(&connection, path, &MIGRATIONS[..2]).unwrap();
        connection
            .execute(
                "INSERT INTO task (id, kind, status, stage, priority, queue, due_at, attempt, retry_count, max_retries, \
                 stall_count, max_stalls, unmet, created_at, updated_at, title) \
                 VALUES (x'00', 1, 0, 1, 1, 1, 0, 0, 0, 3, 0, 3, 0, 0, 0, 'old')",
                (),
            )
            .unwrap();
        migrate(&connection, path, MIGRATIONS).unwrap();
        let asked: Option<String> = connection
            .query_row("SELECT inquiry FROM task WHERE title = 'old'", (), |row| {
                row.get(0)
            })
            .unwrap();
        assert_eq!(asked, None);
    }

    #[test]
    fn migrations_done_already_are_not_done_again() {
        let connection = Connection::open_in_memory().unwrap();
        let path = Path::new("store");
        migrate(&connection, path, &[FIRST, SECOND]).unwrap();
        migrate(&connection, path, &[FIRST, SECOND]).unwrap();
        assert_eq!(size_of_the_old_thing(&connection), 7);
    }

    #[test]
    fn a_migration_that_fails_leaves_the_store_as_it_was() {
        let connection = Connection::open_in_memory().unwrap();
        let path = Path::new("store");
        migrate(&connection, path, &[FIRST]).unwrap();
        assert!(migrate(&connection, path, &[FIRST, BROKEN]).is_err());
        assert_eq!(read_pragma(&connection, path, "user_version").unwrap(), 1);
        assert!(connection.prepare("SELECT * FROM other").is_err());
        migrate(&connection, path, &[FIRST, SECOND]).unwrap();
        assert_eq!(size_of_the_old_thing(&connection), 7);
    }
}
