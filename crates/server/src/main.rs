//! The binary `mcp-server`.

use std::process::ExitCode;

use mimalloc::MiMalloc;
#[cfg(target_os = "linux")]
use nix::sys::prctl::set_thp_disable;
use nix::sys::stat::{Mode, umask};

/// Returns memory to the system sooner, and shares less between threads, than the allocator of the C library.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    // The store, the log files and the secrets are nobody else's to read.
    umask(Mode::from_bits_truncate(0o077));
    // Huge pages would make an idle server hold 20 MB that it never wrote to. Where the system can't be told,
    // that is all that is lost.
    #[cfg(target_os = "linux")]
    let _ = set_thp_disable(true);
    server::cli::run(std::env::args_os())
}
