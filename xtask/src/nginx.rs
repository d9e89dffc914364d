//! A real nginx with the configuration of `deploy/`, in front of servers on this machine.

use std::fs::{self, File};
use std::io::Read as _;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::process::Running;
use crate::{install, process, subject, tree};

/// How long nginx may take to check its configuration, to start, and to end.
const LIMIT: Duration = Duration::from_secs(30);

/// The lines that name the servers behind it.
const SERVERS: [&str; 2] = [
    "server api-1:3000 max_fails=1 fail_timeout=1s;",
    "server api-2:3000 max_fails=1 fail_timeout=1s;",
];

/// Lines that are no use beside other things on one machine: exchanged, or taken out.
const LISTEN_V6: [&str; 2] = [
    "listen [::]:80 default_server;",
    "listen [::]:443 ssl http2 default_server;",
];

/// Kinds of temporary files, for which nginx would use folders of the system.
const TEMPORARY: [&str; 5] = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];

/// An nginx that runs. It ends, with its workers, when this goes out of scope.
pub(crate) struct Nginx {
    running: Running,
    folder: PathBuf,
    address: SocketAddr,
    tls_address: SocketAddr,
    redirect_address: SocketAddr,
}

/// Where it listens.
struct Places {
    /// Without TLS, for clients that speak none: the same as with it.
    plain: SocketAddr,
    tls: SocketAddr,
    /// What sends everyone to TLS.
    redirect: SocketAddr,
}

impl Nginx {
    /// Starts nginx in an empty folder of its own, in front of at least one server, and waits until it listens.
    ///
    /// It runs the configuration of `deploy/`, with other addresses and paths, and a certificate for `localhost`
    /// that is made for it. The servers have to trust 127.0.0.1 as a proxy, and needn't run yet.
    ///
    /// # Errors
    /// Fails when nginx can't be had, or refuses the configuration.
    pub(crate) fn start(folder: &Path, servers: &[SocketAddr]) -> Result<Self> {
        let places = Places {
            plain: subject::free_address()?,
            tls: subject::free_address()?,
            redirect: subject::free_address()?,
        };
        prepare(folder, servers, &places)?;
        let output = File::create(folder.join("log"))?;
        let mut command = command(folder)?;
        command.args(["-g", "daemon off;"]);
        command.stdout(output.try_clone()?).stderr(output);
        let mut nginx = Self {
            running: Running::start(&mut command)?,
            folder: folder.to_path_buf(),
            address: places.plain,
            tls_address: places.tls,
            redirect_address: places.redirect,
        };
        nginx.await_connection()?;
        Ok(nginx)
    }

    /// Where it speaks HTTP without TLS, with all that it does with TLS.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it speaks TLS.
    pub(crate) fn tls_address(&self) -> SocketAddr {
        self.tls_address
    }

    /// Where it sends everyone to TLS.
    pub(crate) fn redirect_address(&self) -> SocketAddr {
        self.redirect_address
    }

    /// The certificate that it shows, which is its own authority.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.join("fullchain.pem")
    }

    /// Everything that it has logged so far.
    pub(crate) fn logged(&self) -> Result<String> {
        let mut text = Vec::new();
        File::open(self.folder.join("log"))?.read_to_end(&mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    fn await_connection(&mut self) -> Result<()> {
        let begin = Instant::now();
        while TcpStream::connect_timeout(&self.address, LIMIT).is_err() {
            if let Some(status) = self.running.ended()? {
                bail!("nginx ended at its start: {status}\n{}", self.logged()?);
            }
            if begin.elapsed() > LIMIT {
                bail!("nginx doesn't listen\n{}", self.logged()?);
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Nginx {
    /// Told to end, since its workers would outlive a process that is killed.
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.running.pid()) {
            kill(Pid::from_raw(pid), Signal::SIGTERM).ok();
            self.running.wait(LIMIT).ok();
        }
    }
}

/// Lets nginx check the configuration, in an empty folder, and returns what it said.
///
/// # Errors
/// Fails when nginx can't be had, refuses the configuration or warns of it.
pub(crate) fn check(folder: &Path) -> Result<String> {
    let address = subject::free_address()?;
    let places = Places {
        plain: address,
        tls: subject::free_address()?,
        redirect: subject::free_address()?,
    };
    prepare(folder, &[address], &places)?;
    let (status, said) = process::capture(command(folder)?.arg("-t"), LIMIT)?;
    if !status.success() || said.contains("[warn]") {
        bail!("nginx -t: {status}\n{said}");
    }
    Ok(said)
}

/// Starts with no log of the system, in `folder`.
fn command(folder: &Path) -> Result<Command> {
    let mut command = install::nginx()?;
    command
        .arg("-p")
        .arg(folder)
        .arg("-c")
        .arg(folder.join("nginx.conf"));
    command.args(["-e", "stderr"]);
    Ok(command)
}

fn prepare(folder: &Path, servers: &[SocketAddr], places: &Places) -> Result<()> {
    fs::create_dir_all(folder)?;
    make_certificate(folder)?;
    let text = fs::read_to_string(tree::root().join("deploy/nginx.conf"))?;
    fs::write(folder.join("nginx.conf"), adapt(&text, folder, servers, places)?)?;
    Ok(())
}

/// The configuration with the servers, addresses and paths of here. Each exchanged line must be there.
fn adapt(text: &str, folder: &Path, servers: &[SocketAddr], places: &Places) -> Result<String> {
    let here = folder.display();
    let behind: Vec<String> = servers
        .iter()
        .map(|server| format!("server {server} max_fails=1 fail_timeout=1s;"))
        .collect();
    let user = process::read(Command::new("id").arg("-un"), LIMIT)?;
    let temporary = TEMPORARY.map(|kind| format!("{kind}_temp_path {here}/{kind};"));
    let mut exchanges = vec![
        ("user nginx;", format!("user {};", user.trim())),
        ("pid /run/nginx.pid;", format!("pid {here}/pid;")),
        ("worker_processes auto;", "worker_processes 2;".to_owned()),
        ("worker_rlimit_nofile 65536;", String::new()),
        ("worker_connections 8192;", "worker_connections 512;".to_owned()),
        ("http {", format!("http {{ {}", temporary.join(" "))),
        (
            "listen 80 default_server;",
            format!("listen {};", places.redirect),
        ),
        (
            "listen 443 ssl http2 default_server;",
            format!("listen {} ssl http2; listen {};", places.tls, places.plain),
        ),
        (
            "ssl_certificate /etc/nginx/tls/fullchain.pem;",
            format!("ssl_certificate {here}/fullchain.pem;"),
        ),
        (
            "ssl_certificate_key /etc/nginx/tls/privkey.pem;",
            format!("ssl_certificate_key {here}/privkey.pem;"),
        ),
    ];
    exchanges.extend(LISTEN_V6.map(|line| (line, String::new())));
    exchanges.push((SERVERS[0], behind.join(" ")));
    exchanges.push((SERVERS[1], String::new()));
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (wanted, instead) in exchanges {
        let line = lines.iter_mut().find(|line| line.trim() == wanted);
        *line.with_context(|| format!("deploy/nginx.conf has no line `{wanted}`"))? = instead;
    }
    Ok(lines.join("\n") + "\n")
}

/// A certificate for `localhost` and 127.0.0.1, signed by itself, good for two days.
fn make_certificate(folder: &Path) -> Result<()> {
    let mut command = Command::new("openssl");
    command.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
    ]);
    command.args(["-noenc", "-days", "2", "-subj", "/CN=localhost"]);
    command.args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]);
    command.arg("-keyout").arg(folder.join("privkey.pem"));
    command.arg("-out").arg(folder.join("fullchain.pem"));
    command.stdout(Stdio::null()).stderr(Stdio::null());
    process::run(&mut command, LIMIT).context("openssl makes the certificate")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::{Places, adapt};
    use crate::tree;

    fn adapted(text: &str) -> anyhow::Result<String> {
        let place = |port| ([127, 0, 0, 1], port).into();
        let places = Places {
            plain: place(1),
            tls: place(2),
            redirect: place(3),
        };
        adapt(text, Path::new("/here"), &[place(4), place(5)], &places)
    }

    #[test]
    fn the_configuration_names_nothing_of_the_system_once_it_is_adapted() {
        let text = fs::read_to_string(tree::root().join("deploy/nginx.conf")).unwrap();
        let adapted = adapted(&text).unwrap();
        let statements = adapted.lines().filter(|line| !line.trim_start().starts_with('#'));
        let foreign: Vec<&str> = statements
            .filter(|line| {
                ["/etc/", "/run/", "/var/", "api-", "[::]"]
                    .iter()
                    .any(|part| line.contains(part))
            })
            .collect();
        assert_eq!(foreign, [""; 0]);
        assert!(adapted.contains("server 127.0.0.1:4 ") && adapted.contains("server 127.0.0.1:5 "));
    }

    #[test]
    fn a_line_that_is_to_be_exchanged_must_be_there() {
        let error = adapted("http {\n}\n").unwrap_err();
        assert!(
            error.to_string().contains("deploy/nginx.conf has no line"),
            "{error}"
        );
    }
}
