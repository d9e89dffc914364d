//! The command line of `mcp-server`.

mod output;
mod admin;
mod config;
mod healthcheck;
mod migrate;
mod backup;
mod restore;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use clap_complete::Shell;

use crate::config::setting::{SETTINGS, Setting};
use crate::config::source::Sources;
use crate::config::{Config, Loaded};
use crate::lifecycle::{self, LifecycleError};
use crate::rest;
use crate::wire::Extras;

/// Exit code of a wrong command line or configuration.
const USAGE: u8 = 2;

/// Flags of the commands that open the store.
const STORE_SETTINGS: [&str; 4] = ["DATA_DIR", "MONGODB_URI", "DB_NAME", "BCRYPT_COST"];

/// Flags of the commands that look at the data directory alone.
const DIRECTORY_SETTINGS: [&str; 1] = ["DATA_DIR"];

/// Flags of the command that asks a running server.
const ADDRESS_SETTINGS: [&str; 2] = ["HOST", "PORT"];

const EXAMPLES: &str = "\
Examples:
  mcp-server                            start on http://127.0.0.1:3000 with the store in ./data
  mcp-server serve --port 8080          the same on another port
  mcp-server stdio                      the Model Context Protocol over standard input and output
  mcp-server config                     show every setting and where it comes from
  mcp-server admin create --email ada@example.com --username ada
  mcp-server healthcheck                ask the running server whether it is ready

Every setting is a variable of the environment (PORT), a line of .env, or a flag (--port).
See: mcp-server serve --help

Exit codes: 0 done, 1 failed, 2 wrong command line or configuration.";

const SERVE_EXAMPLES: &str = "\
Examples:
  mcp-server serve
  mcp-server serve --host 0.0.0.0 --port 8080 --log-format json
  LOG_LEVEL=info,engine=debug mcp-server serve
  MONGODB_URI=mongodb://db1,db2,db3/?replicaSet=rs0 REDIS_URL=redis://cache mcp-server serve

A flag wins over a variable of the environment, that over .env, that over the default. Other accounts of the machine can \
see flags: give secrets as variables or in .env.";

const STDIO_EXAMPLES: &str = "\
Example, as an entry of a desktop client's configuration:
  {\"command\": \"mcp-server\", \"args\": [\"stdio\"],
   \"env\": {\"MCP_SERVER_API_KEY\": \"mcp_...\", \"DATA_DIR\": \"/var/lib/mcp-server\"}}

The caller's key is MCP_SERVER_API_KEY: an API key, made while `mcp-server serve` ran on the same store. Nothing but the \
protocol is written to standard output; the log goes to standard error. The embedded store belongs to one process: while a \
server runs on it, connect to its /mcp instead. On MongoDB it runs beside the servers, with their JWT_SECRET and \
REFRESH_TOKEN_SECRET.";

const CREATE_EXAMPLES: &str = "\
Examples:
  mcp-server admin create --email ada@example.com --username ada
  printf '%s' \"$PASSWORD\" | mcp-server admin create --email ada@example.com --username ada

The password is asked for without showing it, or read from standard input when that is no terminal. The embedded store \
belongs to one process: stop the server first. On MongoDB the servers go on.";

/// Runs one command: the first argument is the program's name.
#[must_use]
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match command().try_get_matches_from(arguments) {
        Ok(matches) => dispatch(&matches),
        Err(error) => {
            // Help and version come this way too, with exit code 0; a closed pipe is no error.
            drop(error.print());
            u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
        }
    }
}

/// Describes the whole command line.
#[must_use]
pub fn command() -> Command {
    Command::new("mcp-server")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Holds a team's tools and lets people, programs and AI agents use them safely.")
        .after_help(EXAMPLES)
        .args_conflicts_with_subcommands(true)
        .args(SETTINGS.iter().map(|setting| flag(setting).hide(true)))
        .subcommand(
            Command::new("serve")
                .about("Start the server; also what happens without a command")
                .after_help(SERVE_EXAMPLES)
                .args(SETTINGS.iter().map(flag)),
        )
        .subcommand(
            Command::new("stdio")
                .about("Speak the Model Context Protocol over standard input and output, for desktop clients")
                .after_help(STDIO_EXAMPLES)
                .args(SETTINGS.iter().map(flag)),
        )
        .subcommand(admin_command())
        .subcommand(migrate::command())
        .subcommand(backup::command())
        .subcommand(restore::command())
        .subcommand(
            Command::new("config")
                .about("Show every setting and where it comes from, secrets masked")
                .arg(
                    Arg::new("example")
                        .long("example")
                        .help("Print the text of .env.example instead")
                        .action(ArgAction::SetTrue),
                )
                .args(SETTINGS.iter().map(flag)),
        )
        .subcommand(
            Command::new("healthcheck")
                .about("Ask the server on HOST and PORT whether it is ready, for at most 3 seconds")
                .args(flags(&ADDRESS_SETTINGS)),
        )
        .subcommand(Command::new("openapi").about("Print the OpenAPI document of the REST API"))
        .subcommand(
            Command::new("completions")
                .about("Print the completions for a shell")
                .after_help("Example:\n  mcp-server completions bash > ~/.local/share/bash-completion/completions/mcp-server")
                .arg(Arg::new("shell").required(true).value_parser(value_parser!(Shell))),
        )
}

fn admin_command() -> Command {
    let email = Arg::new("email")
        .long("email")
        .required(true)
        .help("The account's e-mail address");
    let username = Arg::new("username")
        .long("username")
        .required(true)
        .help("The account's name");
    Command::new("admin")
        .about("Make an admin or reset a password; on the embedded store, while the server is stopped")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("create")
                .about("Make an account with the role admin")
                .after_help(CREATE_EXAMPLES)
                .args([email.clone(), username])
                .args(flags(&STORE_SETTINGS)),
        )
        .subcommand(
            Command::new("reset-password")
                .about("Set the password of an account and end all its sessions")
                .after_help("The password is asked for without showing it, or read from standard input when that is no terminal.")
                .arg(email)
                .args(flags(&STORE_SETTINGS)),
        )
}

fn dispatch(matches: &ArgMatches) -> ExitCode {
    match matches.subcommand() {
        None => configured(matches, serve),
        Some(("serve", matches)) => configured(matches, serve),
        Some(("stdio", matches)) => configured(matches, serve_stdio),
        Some(("admin", matches)) => match matches.subcommand() {
            Some(("create", matches)) => configured(matches, |loaded| admin::create(matches, loaded)),
            Some((_, matches)) => configured(matches, |loaded| admin::reset_password(matches, loaded)),
            None => ExitCode::from(USAGE),
        },
        Some(("migrate", matches)) => configured(matches, |loaded| migrate::run(matches, &loaded)),
        Some(("backup", matches)) => configured(matches, |loaded| backup::run(matches, &loaded)),
        Some(("restore", matches)) => configured(matches, |loaded| restore::run(matches, &loaded)),
        Some(("config", matches)) if matches.get_flag("example") => config::show_example(),
        Some(("config", matches)) => configured(matches, |loaded| config::show(&loaded)),
        Some(("healthcheck", matches)) => configured(matches, |loaded| healthcheck::ask(&loaded.config)),
        Some(("openapi", _)) => print_document(),
        Some((_, matches)) => print_completions(matches),
    }
}

fn serve(loaded: Loaded) -> ExitCode {
    concluded(lifecycle::run(loaded, Extras::default()))
}

fn serve_stdio(loaded: Loaded) -> ExitCode {
    concluded(lifecycle::run_stdio(loaded, Extras::default()))
}

fn concluded(run: Result<ExitCode, LifecycleError>) -> ExitCode {
    run.unwrap_or_else(|error| {
        output::complain(&error.to_string());
        ExitCode::FAILURE
    })
}

/// Loads the configuration with the flags of a command, or says all that is wrong with it.
fn configured(matches: &ArgMatches, command: impl FnOnce(Loaded) -> ExitCode) -> ExitCode {
    let given = SETTINGS.iter().filter_map(|setting| {
        let value = matches.try_get_one::<String>(setting.name).ok().flatten()?;
        Some((setting.name.to_owned(), value.clone()))
    });
    match Config::load(&Sources::of_process().with_flags(given)) {
        Ok(loaded) => command(loaded),
        Err(mistakes) => {
            output::complain(&mistakes.to_string());
            ExitCode::from(USAGE)
        }
    }
}

fn print_document() -> ExitCode {
    match serde_json::to_string_pretty(&rest::openapi()) {
        Ok(text) => {
            output::say(&text);
            ExitCode::SUCCESS
        }
        Err(error) => {
            output::complain(&format!("the document can't be written: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn print_completions(matches: &ArgMatches) -> ExitCode {
    let Some(shell) = matches.get_one::<Shell>("shell") else {
        return ExitCode::from(USAGE);
    };
    let mut text = Vec::new();
    clap_complete::generate(*shell, &mut command(), "mcp-server", &mut text);
    drop(io::stdout().lock().write_all(&text));
    ExitCode::SUCCESS
}

fn flags(names: &'static [&'static str]) -> impl Iterator<Item = Arg> {
    SETTINGS
        .iter()
        .filter(|setting| names.contains(&setting.name))
        .map(flag)
}

fn flag(setting: &Setting) -> Arg {
    let default = setting.default.unwrap_or(setting.otherwise);
    let flag = Arg::new(setting.name)
        .long(setting.flag())
        .help(format!(
            "{} [default: {default}]",
            setting.meaning.trim_end_matches('.')
        ))
        .allow_hyphen_values(setting.is_secret)
        .allow_negative_numbers(true);
    match setting.flag_alias() {
        Some(alias) => flag.visible_alias(alias),
        None => flag,
    }
}
