//! `mcp-server admin`: what the operator does on the machine itself; on the embedded store, while no server runs.

use std::future::Future;
use std::io::{self, BufRead as _, IsTerminal as _, Read as _};
use std::process::ExitCode;
use std::sync::Arc;

use clap::ArgMatches;
use engine::{Engine, Registration};
use model::{Email, NoObserver, Principal, Role, Secret, Username};

use crate::config::Loaded;
use crate::wire;

use super::output;

/// Longest line that is read for a password, in bytes; the engine's own limit is below that.
const MAX_LINE_BYTES: u64 = 4096;

/// Makes an account with the role admin.
pub(super) fn create(matches: &ArgMatches, loaded: Loaded) -> ExitCode {
    let email = argument(matches, "email");
    let username = argument(matches, "username");
    concluded(|| {
        let email = Email::parse(&email).map_err(|error| format!("--email {error}"))?;
        let username = Username::parse(&username).map_err(|error| format!("--username {error}"))?;
        let registration = Registration {
            email,
            username,
            password: read_password()?,
            role: Some(Role::Admin),
        };
        with_engine(&loaded, async |engine| {
            let made = engine
                .create_account(&Principal::command_line(), registration)
                .await?;
            Ok(format!("made the admin {} ({})", made.username, made.email))
        })
    })
}

/// Sets an account's password, ends its sessions and revokes its keys.
pub(super) fn reset_password(matches: &ArgMatches, loaded: Loaded) -> ExitCode {
    let email = argument(matches, "email");
    concluded(|| {
        let email = Email::parse(&email).map_err(|error| format!("--email {error}"))?;
        let password = read_password()?;
        with_engine(&loaded, async |engine| {
            let user = engine
                .reset_password(&Principal::command_line(), &email, password)
                .await?;
            Ok(format!(
                "set the password of {}, ended all sessions of the account and revoked its keys",
                user.email
            ))
        })
    })
}

fn argument(matches: &ArgMatches, name: &str) -> String {
    matches.get_one::<String>(name).cloned().unwrap_or_default()
}

fn concluded(work: impl FnOnce() -> Result<String, String>) -> ExitCode {
    match work() {
        Ok(line) => {
            output::say(&line);
            ExitCode::SUCCESS
        }
        Err(line) => {
            output::complain(&line);
            ExitCode::FAILURE
        }
    }
}

/// Opens the store, does one thing, and closes the store whatever came of it.
fn with_engine<F>(loaded: &Loaded, work: impl FnOnce(Engine) -> F) -> Result<String, String>
where
    F: Future<Output = model::Result<String>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the runtime can't start: {error}"))?;
    runtime.block_on(async {
        let wired = wire::open_briefly(&loaded.config, Arc::new(NoObserver))
            .await
            .map_err(|error| error.to_string())?;
        for line in &wired.warnings {
            output::warn(line);
        }
        let done = work(wired.engine.clone()).await;
        let closed = wired.engine.close().await;
        wired.cache.close().await;
        let line = done.map_err(|error| error.to_string())?;
        closed.map_err(|error| error.to_string())?;
        Ok(line)
    })
}

fn read_password() -> Result<Secret, String> {
    let unreadable = |error: io::Error| format!("the password can't be read: {error}");
    let password = if io::stdin().is_terminal() {
        let once = rpassword::prompt_password("Password (at least 8 characters): ").map_err(unreadable)?;
        let again = rpassword::prompt_password("The same again: ").map_err(unreadable)?;
        if once != again {
            return Err("the two passwords differ; nothing was changed".to_owned());
        }
        once
    } else {
        read_line().map_err(unreadable)?
    };
    if password.is_empty() {
        return Err("no password was given; nothing was changed".to_owned());
    }
    Ok(Secret::new(password))
}

/// Reads the first line without its end.
fn read_line() -> io::Result<String> {
    let mut line = String::new();
    io::stdin().lock().take(MAX_LINE_BYTES).read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
