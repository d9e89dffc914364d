//! The command line as it is typed.

use std::io::Read as _;
use std::net::TcpListener;

use serde_json::{Value, json};

use crate::process::{Finished, Place};

const EMAIL: &str = "ada@example.com";

#[test]
fn help_names_every_command_with_examples() {
    let help = Place::new().run(&["--help"]);
    assert_eq!(help.code, 0);
    insta::assert_snapshot!(help.stdout);
}

#[test]
fn every_setting_is_a_flag_of_serve() {
    let help = Place::new().run(&["serve", "--help"]);
    for setting in server::config::setting::SETTINGS {
        assert!(
            help.stdout.contains(&format!("--{} ", setting.flag())),
            "{}",
            setting.name
        );
    }
    assert!(help.stdout.contains("--app-env"));
}

#[test]
fn a_misspelt_flag_or_command_is_answered_with_the_right_one() {
    let place = Place::new();
    let flag = place.run(&["serve", "--prot", "80"]);
    assert_eq!((flag.code, flag.stdout.as_str()), (2, ""));
    assert!(flag.stderr.contains("'--port'"), "{}", flag.stderr);
    let command = place.run(&["confg"]);
    assert_eq!(command.code, 2);
    assert!(command.stderr.contains("'config'"), "{}", command.stderr);
}

#[test]
fn mistakes_in_the_configuration_end_every_command_with_code_2() {
    let place = Place::new();
    std::fs::write(place.path().join(".env"), "LOG_FORMAT=xml\n").unwrap();
    for arguments in [
        &["--port", "eighty"][..],
        &["serve", "--port=eighty"],
        &["config", "--port", "eighty"],
    ] {
        let ended = place.run(arguments);
        assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{arguments:?}");
        assert_eq!(
            ended.stderr,
            "error: PORT: read \"eighty\" from the command line; accepted: a whole number from 0 to 65535\n\
             error: LOG_FORMAT: read \"xml\" from .env line 1; accepted: pretty or json\n"
        );
    }
}

#[test]
fn config_shows_values_and_their_origins_and_masks_secrets() {
    let place = Place::new();
    std::fs::write(
        place.path().join(".env"),
        "HOST=0.0.0.0\nJWT_SECRET=fed3c9d1e0f14bb9a1d2f0b5c6e7a8b9\nPROT=1\n",
    )
    .unwrap();
    let shown = place.run(&["config", "--port", "8080"]);
    assert_eq!(shown.code, 0);
    assert_eq!(
        shown.stderr,
        "warning: PROT in .env line 3 is not a setting: did you mean PORT?\n"
    );
    insta::assert_snapshot!(shown.stdout);
}

#[test]
fn config_prints_the_example_file() {
    let shown = Place::new().run(&["config", "--example"]);
    assert_eq!(
        (shown.code, shown.stdout),
        (0, server::config::example::env_example())
    );
}

#[test]
fn completions_are_printed_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let printed = Place::new().run(&["completions", shell]);
        assert_eq!(printed.code, 0);
        assert!(
            printed.stdout.contains("mcp-server") && printed.stdout.contains("rate-limit-window-ms"),
            "{shell}"
        );
    }
}

#[test]
fn openapi_prints_the_document() {
    let printed = Place::new().run(&["openapi"]);
    let document: Value = serde_json::from_str(&printed.stdout).unwrap();
    assert_eq!(printed.code, 0);
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let mut child = Place::new().command(&["config", "--example"]).spawn().unwrap();
    drop(child.stdout.take());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(0), ""));
}

#[test]
fn healthcheck_says_in_one_line_that_nobody_listens() {
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
        .to_string();
    let ended = Place::new().run(&["healthcheck", "--port", &free]);
    assert_eq!((ended.code, ended.stdout.as_str()), (1, ""));
    assert_eq!(ended.stderr.lines().count(), 1);
    assert!(
        ended
            .stderr
            .contains(&format!("not ready: http://127.0.0.1:{free}/health/ready")),
        "{}",
        ended.stderr
    );
}

#[test]
fn healthcheck_gives_up_on_a_server_that_does_not_answer() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port().to_string();
    let ended = Place::new().run(&["healthcheck", "--port", &port]);
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("timed out"), "{}", ended.stderr);
}

#[test]
fn an_admin_made_at_the_command_line_can_sign_in() {
    let place = Place::new();
    let made = create_admin(&place, "correct horse battery\n");
    assert_eq!((made.code, made.stderr.as_str()), (0, ""));
    assert_eq!(made.stdout, "made the admin ada (ada@example.com)\n");
    assert_eq!(sign_in(&place, "correct horse battery"), 200);
}

#[test]
fn an_admin_that_is_there_already_is_not_made_again() {
    let place = Place::new();
    create_admin(&place, "correct horse battery");
    let again = create_admin(&place, "another password");
    assert_eq!((again.code, again.stdout.as_str()), (1, ""));
    assert_eq!(again.stderr.lines().count(), 1, "{}", again.stderr);
}

#[test]
fn a05_a_password_outside_the_limits_is_refused_at_the_command_line_too() {
    let place = Place::new();
    for input in ["", "\n", "1234567\n"] {
        let ended = create_admin(&place, input);
        assert_eq!((ended.code, ended.stdout.as_str()), (1, ""), "{input:?}");
        assert!(ended.stderr.contains("password"), "{}", ended.stderr);
    }
}

#[test]
fn a_password_set_at_the_command_line_replaces_the_old_one() {
    let place = Place::new();
    create_admin(&place, "correct horse battery");
    let reset = place.run_with_input(
        &["admin", "reset-password", "--email", "ADA@example.com"],
        "a new and better one",
    );
    assert_eq!((reset.code, reset.stderr.as_str()), (0, ""));
    assert_eq!(sign_in(&place, "correct horse battery"), 401);
    assert_eq!(sign_in(&place, "a new and better one"), 200);
    let unknown = place.run_with_input(
        &["admin", "reset-password", "--email", "eve@example.com"],
        "a new and better one",
    );
    assert_eq!(unknown.code, 1);
}

#[test]
fn g08_admin_commands_say_that_a_server_runs() {
    let place = Place::embedded();
    let _server = place.start(&[]);
    let ended = create_admin(&place, "correct horse battery");
    assert_eq!((ended.code, ended.stdout.as_str()), (1, ""));
    assert!(ended.stderr.contains("another process"), "{}", ended.stderr);
}

#[test]
fn healthcheck_says_that_the_server_is_ready() {
    let place = Place::new();
    for (variables, host) in [
        (vec![], "127.0.0.1"),
        (
            vec![("HOST", "0.0.0.0"), ("ALLOWED_HOSTS", "api.example.com")],
            "0.0.0.0",
        ),
    ] {
        let server = place.start(&variables);
        let mut command = place.command(&["healthcheck", "--port", server.port(), "--host", host]);
        let output = command.envs(variables).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(String::from_utf8(output.stdout).unwrap().starts_with("ready: "));
    }
}

fn create_admin(place: &Place, password: &str) -> Finished {
    place.run_with_input(
        &["admin", "create", "--email", EMAIL, "--username", "ada"],
        password,
    )
}

/// Starts a server, tries to sign in, and answers the status.
fn sign_in(place: &Place, password: &str) -> u16 {
    let server = place.start(&[]);
    server
        .post(
            "/api/v1/auth/login",
            None,
            &json!({"email": EMAIL, "password": password}),
        )
        .0
}
