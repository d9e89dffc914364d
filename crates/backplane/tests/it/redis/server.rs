//! A Redis server of a test's own, to be killed, stopped and started again.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

use super::{PATIENCE, setting};

/// A server on a private port, which keeps nothing on disk.
pub(crate) struct Server {
    program: String,
    address: SocketAddr,
    folder: TempDir,
    port_setting: &'static str,
    more: Vec<String>,
    running: Option<Child>,
}

impl Server {
    /// A server that doesn't run yet, or `None` where no program is named that could.
    pub(crate) fn prepared(more: &[&str]) -> Option<Self> {
        Self::with(&[&["--save", "", "--appendonly", "no"], more].concat())
    }

    /// A sentinel that doesn't run yet, and will watch over a primary with a password.
    pub(crate) fn sentinel_of(primary: &Self, name: &str, password: &str) -> Option<Self> {
        let mut sentinel = Self::with(&["--sentinel"])?;
        let (address, file) = (primary.address, sentinel.folder.path().join("sentinel.conf"));
        let lines = [
            format!("sentinel monitor {name} {} {} 1", address.ip(), address.port()),
            format!("sentinel down-after-milliseconds {name} 500"),
            format!("sentinel failover-timeout {name} 5000"),
            format!("sentinel auth-pass {name} \"{password}\"\n"),
        ];
        std::fs::write(&file, lines.join("\n")).unwrap();
        sentinel.more.insert(0, file.display().to_string());
        Some(sentinel)
    }

    fn with(more: &[&str]) -> Option<Self> {
        let program = setting("REDIS_SERVER")?;
        // Free at this moment; Redis ends when it is taken meanwhile, and the test fails.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        Some(Self {
            program,
            address: listener.local_addr().unwrap(),
            folder: tempfile::tempdir().unwrap(),
            port_setting: "--port",
            more: more.iter().map(ToString::to_string).collect(),
            running: None,
        })
    }

    /// Lets it listen for TLS only.
    pub(crate) fn with_tls(mut self) -> Self {
        self.port_setting = "--tls-port";
        self.more.extend(["--port".to_owned(), "0".to_owned()]);
        self
    }

    /// A server that takes requests.
    pub(crate) fn started(more: &[&str]) -> Option<Self> {
        let mut server = Self::prepared(more)?;
        server.start();
        Some(server)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts it, again or for the first time, always on the same port.
    pub(crate) fn start(&mut self) {
        let mut command = Command::new(&self.program);
        // A file of settings comes first.
        command.args(&self.more).args(["--bind", "127.0.0.1"]);
        command.args([self.port_setting, &self.address.port().to_string()]);
        command.current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        self.running = Some(command.spawn().unwrap());
        let begin = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            let ended = self.running.as_mut().and_then(|child| child.try_wait().unwrap());
            assert!(ended.is_none(), "redis-server ended at its start");
            assert!(begin.elapsed() < PATIENCE, "redis-server doesn't start");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Kills it; what it held is gone.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.running.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Lets it hang: its connections stay, and nothing answers.
    pub(crate) fn hang(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets it go on.
    pub(crate) fn go_on(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Sends one command and returns the first line of the answer.
    pub(crate) fn tell(&self, command: &str) -> String {
        self.tell_all(&[command]).pop().unwrap()
    }

    /// Sends commands on one connection and returns the first line of each answer.
    pub(crate) fn tell_all(&self, commands: &[&str]) -> Vec<String> {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let answers = commands.iter().map(|command| {
            stream.write_all(format!("{command}\r\n").as_bytes()).unwrap();
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            line.trim_end().to_owned()
        });
        answers.collect()
    }

    fn signal(&self, signal: Signal) {
        let pid = self.running.as_ref().unwrap().id();
        kill(Pid::from_raw(pid.try_into().unwrap()), signal).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
