//! What the operator does with whole stores: backup, restore, migration.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::process::{Place, Running};

/// Asks who the caller is; answers the status.
fn status_of_own_account(server: &Running, token: &str) -> u16 {
    let authorization = format!("Bearer {token}");
    let headers = [("Authorization", authorization.as_str())];
    server.request("GET", "/api/v1/auth/profile", &headers, "").0
}

#[test]
fn g08_a_backup_made_while_the_server_runs_is_restored_with_all_that_was_acknowledged() {
    let (place, other) = (Place::embedded(), Place::embedded());
    let server = place.start(&[]);
    let token = server.register("ada");
    let copy = other.path().join("copy");
    let to = copy.to_str().unwrap();
    let made = place.run(&["backup", "--to", to]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    for name in ["store.sqlite3", "secrets.json", "manifest.json"] {
        let mode = fs::metadata(copy.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o700);
    let again = place.run(&["backup", "--to", to]);
    assert_eq!(again.code, 1);
    assert!(again.stderr.contains("isn't empty"), "{}", again.stderr);
    let restored = other.run(&["restore", "--from", to]);
    assert_eq!(restored.code, 0, "{}", restored.stderr);
    let second = other.start(&[]);
    assert_eq!(
        status_of_own_account(&second, &token),
        200,
        "account and secrets are there"
    );
}

#[test]
fn a_restoration_spares_a_directory_that_is_in_use_or_holds_something() {
    let (place, other) = (Place::embedded(), Place::embedded());
    let server = place.start(&[]);
    let token = server.register("ada");
    let copy = other.path().join("copy");
    let to = copy.to_str().unwrap();
    assert_eq!(place.run(&["backup", "--to", to]).code, 0);
    let in_use = place.run(&["restore", "--from", to, "--replace"]);
    assert_eq!(in_use.code, 1);
    assert!(
        in_use.stderr.contains("uses the data directory"),
        "{}",
        in_use.stderr
    );
    assert_eq!(status_of_own_account(&server, &token), 200);
    let first = other.start(&[]);
    let gone = first.register("bob");
    drop(first);
    let refused = other.run(&["restore", "--from", to]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("--replace"), "{}", refused.stderr);
    let replaced = other.run(&["restore", "--from", to, "--replace"]);
    assert_eq!(replaced.code, 0, "{}", replaced.stderr);
    let kept = replaced.stdout.trim().rsplit(' ').next().unwrap().to_owned();
    assert!(
        other.path().join("data").join(&kept).is_file(),
        "{}",
        replaced.stdout
    );
    let server = other.start(&[]);
    assert_eq!(status_of_own_account(&server, &token), 200);
    assert_eq!(status_of_own_account(&server, &gone), 401);
}

#[test]
fn a_backup_that_was_changed_is_told_and_not_restored() {
    let place = Place::embedded();
    drop(place.start(&[]));
    let copy = place.path().join("copy");
    let to = copy.to_str().unwrap();
    assert_eq!(place.run(&["backup", "--to", to]).code, 0);
    let check = ["restore", "--check", "--from", to];
    let whole = place.run(&check);
    assert_eq!(whole.code, 0, "{}", whole.stderr);
    let manifest = copy.join("manifest.json");
    let written = fs::read_to_string(&manifest).unwrap();
    let mut changed: Value = serde_json::from_str(&written).unwrap();
    changed["records"][0]["count"] = json!(7);
    fs::write(&manifest, changed.to_string()).unwrap();
    let other_records = place.run(&check);
    assert_eq!(other_records.code, 1);
    assert!(
        other_records.stderr.contains("records"),
        "{}",
        other_records.stderr
    );
    fs::write(&manifest, written).unwrap();
    let store = copy.join("store.sqlite3");
    let mut bytes = fs::read(&store).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&store, bytes).unwrap();
    let damaged = place.run(&["restore", "--from", to, "--data-dir", "elsewhere"]);
    assert_eq!(damaged.code, 1);
    assert!(damaged.stderr.contains("is damaged"), "{}", damaged.stderr);
    assert!(!place.path().join("elsewhere").exists());
}

#[test]
fn a_store_is_moved_to_another_directory_and_the_old_one_stays() {
    let place = Place::embedded();
    let server = place.start(&[]);
    server.register("ada");
    let move_it = ["migrate", "--from", "embedded", "--to", "embedded:moved"];
    let busy = place.run(&move_it);
    assert_eq!(busy.code, 1);
    assert!(busy.stderr.contains("uses the data directory"), "{}", busy.stderr);
    drop(server);
    let moved = place.run(&move_it);
    assert_eq!(moved.code, 0, "{}", moved.stderr);
    assert!(
        moved.stdout.contains("accounts                      1  "),
        "{}",
        moved.stdout
    );
    let again = place.run(&move_it);
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert!(again.stdout.contains("was complete before"), "{}", again.stdout);
    let body = json!({"email": "ada@example.com", "password": "correct horse battery"});
    for variables in [&[("DATA_DIR", "moved")][..], &[]] {
        let server = place.start(variables);
        assert_eq!(server.post("/api/v1/auth/login", None, &body).0, 200);
    }
}

#[test]
fn a_password_in_an_address_is_never_shown() {
    let place = Place::embedded();
    for (address, code) in [
        ("mongodb://mcp:hunter2@@@/x?y", 1),
        ("redis://mcp:hunter2@host/", 2),
        ("mongo://mcp:hunter2@host/", 2),
    ] {
        for ends in [
            ["--from", address, "--to", "embedded"],
            ["--from", "embedded", "--to", address],
        ] {
            fs::create_dir_all(place.path().join("data")).unwrap();
            let refused = place.run(&[&["migrate"][..], &ends].concat());
            assert_eq!(refused.code, code, "{}", refused.stderr);
            let text = refused.stdout + &refused.stderr;
            assert!(text.contains("error: --") && !text.contains("hunter2"), "{text}");
        }
    }
}
