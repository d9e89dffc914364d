//! `cargo xtask deploy`: checks what `deploy/` holds with the tools that it is meant for.

use anyhow::Result;

use crate::{nginx, say, tree};

/// What the deploy command is told.
#[derive(clap::Args, Debug, Default)]
pub(crate) struct Deploy {}

/// Checks everything in `deploy/`.
///
/// # Errors
/// Fails at the first check that fails.
pub(crate) fn run(_settings: &Deploy) -> Result<()> {
    let folder = tree::scratch("deploy")?;
    say::line(nginx::check(&folder.join("check"))?.trim());
    let front = nginx::Nginx::start(&folder.join("front"), &[crate::subject::free_address()?])?;
    say::line(format!("{} {} {:?}", front.address(), front.tls_address(), front.certificate()));
    let reply = crate::request::Request::get("/health").send(front.address())?;
    say::line(format!("{reply:?}"));
    say::line(front.logged()?);
    Ok(())
}
