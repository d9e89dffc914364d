//! Developer commands of the workspace: `cargo xtask <command>`.
//!
//! They run on the standard library alone, without an asynchronous runtime, so that they compile in seconds.

mod say;
mod clock;
mod dice;
mod tree;
mod process;
mod install;
mod wheel;
mod request;
mod subject;
mod services;
mod nginx;
mod cluster;
mod documents;
mod spoken;
mod fuzz_api;
mod conformance;
mod clients;
mod chaos;
mod deploy;
mod migrate;
mod suite;
mod bench;
mod licenses;
mod tidy;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "Developer commands of the MCP Server workspace"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Get whatever the tests need and run them all
    Test(suite::Test),
    /// Get and start a MongoDB and a Redis server on private ports, until Ctrl-C or beside a command
    Services(services::Settings),
    /// Fuzz the debug server from its OpenAPI document, as a stranger and as each role
    FuzzApi(fuzz_api::FuzzApi),
    /// Run the official conformance suite of the Model Context Protocol against the debug server
    Conformance(conformance::Conformance),
    /// Let the MCP clients that people use talk with the debug server
    Clients(clients::Clients),
    /// Kill a server that works on tasks again and again, and check that nothing was lost or done twice
    Chaos(chaos::Chaos),
    /// Check what deploy/ holds with the tools that it is meant for, and a real nginx in front of real servers
    Deploy(deploy::Deploy),
    /// Move a store to a MongoDB and back with the real program, killed on the way, and compare digests
    Migrate(migrate::Migrate),
    /// Measure the release build beside a bare axum server
    Bench(bench::Bench),
    /// Check the rules for sources and documents that the compiler can't see
    Tidy,
    /// Check the licence of every dependency
    Licenses,
}

fn main() -> ExitCode {
    match run(&Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            say::line(format!("error: {reason:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> Result<()> {
    match command {
        Command::Test(settings) => suite::run(settings),
        Command::Services(settings) => services::run(settings),
        Command::FuzzApi(settings) => fuzz_api::run(settings),
        Command::Conformance(settings) => conformance::run(settings),
        Command::Clients(settings) => clients::run(settings),
        Command::Chaos(settings) => chaos::run(settings),
        Command::Deploy(settings) => deploy::run(settings),
        Command::Migrate(settings) => migrate::run(settings),
        Command::Bench(settings) => bench::run(settings),
        Command::Tidy => tidy::run(),
        Command::Licenses => licenses::run(),
    }
}
