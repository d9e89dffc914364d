//! `mcp-server migrate`: carries everything from one store to another.

use std::future::Future;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Arg, ArgMatches, Command};
use model::Entropy as _;
use uuid::Uuid;

use super::output;
use crate::config::Loaded;
use crate::system::SystemEntropy;
use crate::wire::transfer::{Digests, RecordKind, StorePlace, TransferProgress, TransferReport, transfer};

/// How often progress is told, at most.
const TELL_EVERY: Duration = Duration::from_secs(1);

const EXAMPLES: &str = "\
Examples:
  MONGODB_URI=mongodb://mcp:...@db1,db2,db3/tools?replicaSet=rs0 mcp-server migrate --from embedded --to mongodb
  mcp-server migrate --from mongodb --to embedded:/var/lib/mcp-server

A store is `embedded` (in DATA_DIR), `embedded:DIRECTORY`, `mongodb` (MONGODB_URI and DB_NAME), or an address. Other accounts \
of the machine can see flags: give an address with a password as MONGODB_URI.

Stop the servers on both first. An interrupted migration goes on where it was when it is started again; until it is \
complete, no server opens the target. The source stays as it is.

Secrets aren't carried. Servers on the target need the same JWT_SECRET and REFRESH_TOKEN_SECRET, or all sessions end; those \
that a server generated stand in secrets.json in its DATA_DIR, as `jwt` and `refreshToken`.";

/// Describes the command.
pub(super) fn command() -> Command {
    let end = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("STORE")
            .required(true)
            .help(help)
    };
    Command::new("migrate")
        .about("Carry everything from one store to another, and compare the two")
        .after_help(EXAMPLES)
        .args([
            end("from", "The store that everything comes from"),
            end(
                "to",
                "The store that it is carried to; empty, or an earlier run's",
            ),
        ])
        .args(super::flags(&super::STORE_SETTINGS))
}

/// Carries everything, and says what came of it.
pub(super) fn run(matches: &ArgMatches, loaded: &Loaded) -> ExitCode {
    let end = |name: &str| {
        let text = matches.get_one::<String>(name).cloned().unwrap_or_default();
        StorePlace::parse(&text, &loaded.config).map_err(|error| format!("--{name} {error}"))
    };
    let (from, to) = match (end("from"), end("to")) {
        (Ok(from), Ok(to)) => (from, to),
        (Err(line), _) | (_, Err(line)) => {
            output::complain(&line);
            return ExitCode::from(super::USAGE);
        }
    };
    match block_on(migrate(&from, &to)) {
        Ok(code) => code,
        Err(line) => {
            output::complain(&line);
            ExitCode::FAILURE
        }
    }
}

/// Runs something asynchronous to its end, on this thread.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("the runtime can't start: {error}"))?;
    runtime.block_on(work)
}

async fn migrate(from: &StorePlace, to: &StorePlace) -> Result<ExitCode, String> {
    if let Some(directory) = from.directory()
        && !directory.is_dir()
    {
        return Err(format!("--from {from}: there is no such directory"));
    }
    let source = from.open().await.map_err(|error| format!("--from {error}"))?;
    let target = match to.open().await {
        Ok(target) => target,
        Err(error) => {
            drop(source.close().await);
            return Err(format!("--to {error}"));
        }
    };
    output::note(&format!("carrying everything from {from} to {to}"));
    let begin = Instant::now();
    let mut teller = Teller::default();
    let mut random = [0; 16];
    SystemEntropy.fill(&mut random);
    let run = uuid::Builder::from_random_bytes(random).into_uuid();
    let carried = transfer(source.as_ref(), target.as_ref(), run, &mut |progress| {
        teller.tell(progress);
    })
    .await;
    let closed = [source.close().await, target.close().await];
    let report = carried.map_err(|error| {
        format!("{error}; nothing is lost: the same migration goes on from there when it is started again")
    })?;
    for end in closed {
        end.map_err(|error| error.to_string())?;
    }
    Ok(conclude(&report, begin.elapsed()))
}

fn conclude(report: &TransferReport, took: Duration) -> ExitCode {
    match report {
        TransferReport::Complete(digests) => {
            show(digests);
            output::say(&format!(
                "complete: both stores hold the same ({:.1} s). Start the servers on the target with the same JWT_SECRET and \
                 REFRESH_TOKEN_SECRET",
                took.as_secs_f64()
            ));
            ExitCode::SUCCESS
        }
        TransferReport::WasComplete(digests) => {
            show(digests);
            output::say(
                "this migration was complete before, and the source has not changed since; nothing was done",
            );
            ExitCode::SUCCESS
        }
        TransferReport::Differs { source, target } => {
            show_differences(("source", source), ("target", target));
            output::complain(
                "the stores differ: the source was changed while it was carried, or between two runs. Stop every server \
                 on it, empty the target and begin anew; until then no server opens the target",
            );
            ExitCode::FAILURE
        }
        TransferReport::SourceChanged { source, carried } => {
            show_differences(("source", source), ("carried", carried));
            output::complain(
                "this migration was complete before, and the source has changed since; what is new in it is not in the target",
            );
            ExitCode::FAILURE
        }
    }
}

/// Shows number and digest of each kind.
fn show(digests: &Digests) {
    for (kind, of) in digests.iter() {
        output::say(&format!("{:<18} {:>12}  {of}", kind.as_str(), of.count));
    }
}

fn show_differences((one, a): (&str, &Digests), (other, b): (&str, &Digests)) {
    for kind in RecordKind::ALL {
        let (in_one, in_other) = (a.of(kind), b.of(kind));
        if in_one != in_other {
            let line = |name: &str, count: u64| format!("{name} {count}");
            output::say(&format!(
                "{:<18} {}: {in_one}; {}: {in_other}",
                kind.as_str(),
                line(one, in_one.count),
                line(other, in_other.count)
            ));
        }
    }
}

/// Tells progress now and then.
#[derive(Default)]
struct Teller {
    last: Option<(Instant, &'static str)>,
}

impl Teller {
    fn tell(&mut self, progress: TransferProgress) {
        let (what, line) = match progress {
            TransferProgress::Resumed(part) => (
                "resumed",
                format!("an earlier run came as far as {}; going on there", part.as_str()),
            ),
            TransferProgress::Copied(part, count) => {
                (part.as_str(), format!("carried {count} {}", part.as_str()))
            }
            TransferProgress::Deriving => ("deriving", "all is there; putting it together".to_owned()),
            TransferProgress::Compared(count) => {
                ("compared", format!("compared {count} records of both stores"))
            }
        };
        let is_due = |(at, told): (Instant, &str)| told != what || at.elapsed() >= TELL_EVERY;
        if self.last.is_none_or(is_due) {
            self.last = Some((Instant::now(), what));
            output::note(&line);
        }
    }
}

/// Where a name for something new comes from.
pub(super) fn random_name() -> String {
    let mut random = [0; 16];
    SystemEntropy.fill(&mut random);
    Uuid::from_bytes(random).simple().to_string()
}
