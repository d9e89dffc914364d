//! Looks at a closed store: is every page, index and count as it must be?

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use rusqlite::{Connection, OpenFlags, Row};

/// What must hold, and a query that gives a line for each place where it doesn't.
const RULES: [(&str, &str); 5] = [
    (
        "tallies agree with the tasks",
        "WITH counted AS (
             SELECT coalesce(user_id, x'') AS owner, status, priority, coalesce(lane, 0) AS lane, count(*) AS number
             FROM task GROUP BY 1, 2, 3, 4),
         tallied AS (
             SELECT user_id AS owner, status, priority, lane, count AS number FROM task_count WHERE count <> 0)
         SELECT 'counted ' || hex(owner) || ' ' || status || ' ' || priority || ' ' || lane || ': ' || number
         FROM (SELECT * FROM counted EXCEPT SELECT * FROM tallied)
         UNION ALL
         SELECT 'tallied ' || hex(owner) || ' ' || status || ' ' || priority || ' ' || lane || ': ' || number
         FROM (SELECT * FROM tallied EXCEPT SELECT * FROM counted)",
    ),
    (
        "a job stands in the queue exactly while it hasn't ended",
        "SELECT hex(id) FROM task WHERE kind = 1 AND (queue IS NOT NULL) <> (status IN (0, 1))",
    ),
    (
        "a lease is there exactly while a worker holds the task",
        "SELECT hex(id) FROM task WHERE kind = 1 AND
            ((status = 1) <> (queue IS 0) OR (status = 1) <> (lease_until IS NOT NULL)
             OR (status = 1) <> (worker IS NOT NULL))",
    ),
    (
        "retries and stalls are within their limits",
        "SELECT hex(id) FROM task WHERE retry_count > max_retries OR stall_count > max_stalls + 1
            OR (stall_count > max_stalls AND status <> 3)",
    ),
    (
        "everyone was told what became of the tasks that they depend on",
        "SELECT hex(dependency.task_id) FROM task_dependency AS dependency
         JOIN task AS waiting ON waiting.id = dependency.task_id
         JOIN task AS other ON other.id = dependency.depends_on
         WHERE dependency.is_told = 0 AND waiting.status = 0 AND other.status IN (2, 3, 4)
            AND NOT EXISTS (SELECT 1 FROM task_settlement WHERE task_id = other.id)",
    ),
];

/// Checks the file and says what is wrong, or that nothing is.
pub(crate) fn run(file: &Path) -> ExitCode {
    let found = check(file).unwrap_or_else(|error| vec![error.to_string()]);
    for line in &found {
        writeln!(io::stdout(), "{line}").ok();
    }
    if found.is_empty() {
        writeln!(io::stdout(), "clean").ok();
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn check(file: &Path) -> rusqlite::Result<Vec<String>> {
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let mut found = lines(&connection, "PRAGMA integrity_check", |row| row.get(0))?;
    found.retain(|line| line != "ok");
    let text = |row: &Row<'_>| row.get::<_, String>(0);
    let foreign = lines(&connection, "PRAGMA foreign_key_check", text)?;
    found.extend(
        foreign
            .iter()
            .map(|table| format!("a foreign key of {table} leads nowhere")),
    );
    for (rule, query) in RULES {
        let broken = lines(&connection, query, text)?;
        found.extend(broken.iter().map(|place| format!("not so: {rule}: {place}")));
    }
    Ok(found)
}

/// The first thousand rows of a query.
fn lines(
    connection: &Connection,
    query: &str,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<String>,
) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(query)?;
    let rows = statement.query_map((), read)?;
    rows.take(1000).collect()
}
