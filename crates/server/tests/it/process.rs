//! The real binary as a child process, in a directory of its own and without the environment of the tests.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::home::Home;

/// How long a child may take for anything before the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A directory to run commands in.
pub(crate) struct Place {
    home: Home,
}

/// Commands that use a store.
const ON_A_STORE: [&str; 3] = ["serve", "stdio", "admin"];

/// A server that was started and said where it listens.
pub(crate) struct Running {
    pub(crate) url: String,
    pub(crate) lines: Vec<String>,
    child: Child,
    stdout: Option<BufReader<ChildStdout>>,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { home: Home::new() }
    }

    /// A directory for the embedded store, whatever is chosen: for tests of its files and of their lock.
    pub(crate) fn embedded() -> Self {
        Self {
            home: Home::embedded(),
        }
    }

    /// A directory beside a database and a Redis that several processes share; `None`, and a word about it, where these
    /// aren't there.
    pub(crate) fn shared() -> Option<Self> {
        Home::shared().map(|home| Self { home })
    }

    pub(crate) fn path(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-server"));
        command
            .args(arguments)
            .env_clear()
            .env("BCRYPT_COST", "4")
            .current_dir(self.home.path());
        if arguments.first().is_some_and(|first| ON_A_STORE.contains(first)) {
            command.envs(self.home.variables());
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Finished {
        Finished::of(self.command(arguments).output().unwrap())
    }

    /// Runs a command that reads `input`.
    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &str) -> Finished {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        Finished::of(child.wait_with_output().unwrap())
    }

    /// Starts a server on a free port and waits until it says where it listens.
    pub(crate) fn start(&self, variables: &[(&str, &str)]) -> Running {
        let mut command = self.command(&["serve", "--port", "0"]);
        command
            .env("LOG_FORMAT", "json")
            .envs(variables.iter().copied())
            .stderr(Stdio::inherit());
        Running::of(command.spawn().unwrap())
    }
}

impl Running {
    fn of(mut child: Child) -> Self {
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            let count = stdout.read_line(&mut line).unwrap();
            assert_ne!(count, 0, "the server ended before it listened: {lines:#?}");
            let event: Value = serde_json::from_str(&line).unwrap();
            lines.push(line);
            if event["message"] == "listening" {
                let url = event["url"].as_str().unwrap().to_owned();
                return Self {
                    url,
                    lines,
                    child,
                    stdout: Some(stdout),
                };
            }
        }
    }

    pub(crate) fn port(&self) -> &str {
        self.url.rsplit(':').next().unwrap()
    }

    /// Sends one request on a connection of its own; answers the status and the body.
    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (u16, String) {
        let authority = self.url.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(authority).unwrap();
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .unwrap_or_else(|| panic!("no whole answer: {answer:?}"));
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// Sends JSON; answers the status and the JSON that came back.
    pub(crate) fn post(&self, path: &str, token: Option<&str>, body: &Value) -> (u16, Value) {
        let authorization = token.map(|token| format!("Bearer {token}"));
        let mut headers = vec![("Content-Type", "application/json")];
        headers.extend(authorization.as_deref().map(|value| ("Authorization", value)));
        let (status, answer) = self.request("POST", path, &headers, &body.to_string());
        (status, serde_json::from_str(&answer).unwrap_or_default())
    }

    /// Makes an account and answers its access token.
    pub(crate) fn register(&self, name: &str) -> String {
        let body = json!({"email": format!("{name}@example.com"), "username": name, "password": "correct horse battery"});
        let (status, answer) = self.post("/api/v1/auth/register", None, &body);
        assert_eq!(status, 201, "{answer}");
        answer["data"]["token"].as_str().unwrap().to_owned()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Closes the pipe that the server logs into.
    pub(crate) fn stop_reading(&mut self) {
        drop(self.stdout.take());
    }

    /// Waits for the end; answers the exit status and the lines that were logged since the start.
    pub(crate) fn wait(mut self) -> (ExitStatus, Vec<String>) {
        let rest = self
            .stdout
            .take()
            .map_or_else(Vec::new, |stdout| stdout.lines().map_while(Result::ok).collect());
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, rest);
            }
            assert!(started.elapsed() < PATIENCE, "the server does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A command that ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}
