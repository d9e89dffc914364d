//! The document about the protocol, held against what is served.

use std::{fs, path::Path};

use protocol::{METHODS, Revision};

fn document() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/mcp.md");
    fs::read_to_string(path).unwrap()
}

fn cells(row: &str) -> Vec<&str> {
    row.trim_matches('|').split('|').map(str::trim).collect()
}

#[test]
fn the_table_of_methods_is_the_one_that_is_served() {
    let document = document();
    let mut rows = document
        .lines()
        .skip_while(|line| !line.starts_with("| method |"));
    let head: Vec<_> = cells(rows.next().unwrap())
        .into_iter()
        .skip(1)
        .map(|name| Revision::find(name).unwrap())
        .collect();
    let mut all = Revision::ALL.to_vec();
    all.sort_unstable();
    assert_eq!(head, all);
    let table: Vec<_> = rows
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .map(cells)
        .collect();
    assert_eq!(table.len(), METHODS.len());
    for (row, method) in table.iter().zip(&METHODS) {
        assert_eq!(row[0].split('`').nth(1), Some(method.name));
        for (cell, revision) in row[1..].iter().zip(&head) {
            let expected = if method.is_in(*revision) { "yes" } else { "–" };
            assert_eq!(cell, &expected, "{} in {revision}", method.name);
        }
    }
}

#[test]
fn the_tools_of_the_server_itself_are_named() {
    let document = document();
    for tool in ["tasks__submit", "tasks__status", "tasks__wait", "tasks__cancel"] {
        assert!(document.contains(&format!("| `{tool}` |")), "{tool}");
    }
}
