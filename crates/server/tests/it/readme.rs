//! README's walk-through, executed as it is printed.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::process::Place;

/// What the walk-through says at its beginning and end.
const BEGIN: &str = "<!-- walk-through -->";
const END: &str = "<!-- /walk-through -->";

/// The shell commands between the marks, block after block.
fn walk_through() -> String {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let text = fs::read_to_string(readme).unwrap();
    let (_, rest) = text.split_once(BEGIN).expect("README has a walk-through");
    let (walk, _) = rest.split_once(END).expect("README's walk-through ends");
    walk.split("```")
        .skip(1)
        .step_by(2)
        .map(|block| block.strip_prefix("sh\n").expect("every block is of sh"))
        .collect()
}

#[test]
fn the_walk_through_works_as_it_is_printed() {
    let place = Place::new();
    let server = place.start(&[]);
    let commands = walk_through();
    assert!(
        commands.starts_with("BASE=${BASE:-http://127.0.0.1:3000}\n"),
        "{commands}"
    );
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &commands])
        .env("BASE", &server.url)
        .current_dir(place.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (said, complained) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{said}\n{complained}");
    let answers: Vec<Value> = serde_json::Deserializer::from_str(&said)
        .into_iter()
        .map(Result::unwrap)
        .collect();
    for answer in &answers {
        assert_eq!(answer["ok"], true, "{answer}");
    }
    let (lists, things): (Vec<_>, Vec<_>) = answers
        .iter()
        .map(|answer| &answer["data"])
        .partition(|data| data.is_array());
    let calls = lists.last().unwrap().as_array().unwrap();
    let called: Vec<_> = calls
        .iter()
        .map(|call| call["plugin"].as_str().unwrap())
        .collect();
    assert_eq!(called, ["dataProcessor", "sample"]);
    assert!(calls.iter().all(|call| call["status"] == "success"), "{said}");
    let [.., run, recurring, stats] = things.as_slice() else {
        panic!("{said}")
    };
    assert_eq!(
        (&run["status"], &run["result"]["message"]),
        (&json!("completed"), &json!("hello"))
    );
    assert_eq!(recurring["schedule"]["nextRuns"].as_array().unwrap().len(), 5);
    assert_eq!(
        (&stats["total"], &stats["byStatus"]["completed"]),
        (&json!(2), &json!(1))
    );
}
