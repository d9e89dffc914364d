//! The two servers that are compared, and the requests that each gets.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::bench::CONNECTIONS;
use crate::bench::load::Load;
use crate::process::Running;
use crate::request::Request;
use crate::subject::{Setup, Subject, random_secret};

/// The body of every measured call, sent to the bare server as well.
const CALL: &str = r#"{"plugin":"sample","action":"echo","payload":{"message":"hello"}}"#;

const PASSWORD: &str = "correct horse battery staple";

/// Settings that let the load through and keep the log quiet. Everything else is as shipped.
pub(super) const SETTINGS: [(&str, &str); 3] = [
    ("LOG_LEVEL", "warn"),
    ("RATE_LIMIT_MAX_REQUESTS", "1000000000"),
    ("RATE_LIMIT_USER_MAX_REQUESTS", "1000000000"),
];

/// Another server beside ours, which prints the address that it listens on.
pub(super) struct Other {
    running: Running,
    base: String,
}

impl Other {
    /// Starts it and reads its address from its first line.
    pub(super) fn start(binary: &Path) -> Result<Self> {
        let mut running = Running::start(Command::new(binary).stdout(Stdio::piped()))?;
        let mut line = String::new();
        BufReader::new(running.take_output().context("no output")?).read_line(&mut line)?;
        let address = line
            .trim()
            .rsplit(' ')
            .next()
            .with_context(|| format!("{} printed no address", binary.display()))?;
        Ok(Self {
            base: format!("http://{address}"),
            running,
        })
    }

    /// The process id.
    pub(super) fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// Where it is: `http://` and its address.
    pub(super) fn base(&self) -> &str {
        &self.base
    }
}

/// An axum server that does nothing but parse JSON and send it back.
pub(super) struct Bare(Other);

impl Bare {
    /// Starts it.
    pub(super) fn start(binary: &Path) -> Result<Self> {
        Other::start(binary).map(Self)
    }

    /// The process id.
    pub(super) fn pid(&self) -> u32 {
        self.0.pid()
    }

    /// Where it echoes.
    pub(super) fn echo_url(&self) -> String {
        format!("{}/echo", self.0.base())
    }

    /// A request without a body.
    pub(super) fn get(&self) -> Load {
        load("GET", self.0.base(), "/health")
    }

    /// The measured call's body, echoed.
    pub(super) fn post(&self) -> Load {
        calling(load("POST", self.0.base(), "/echo"), CALL)
    }
}

/// The release build of our server, with one account and one API key.
pub(super) struct Ours {
    server: Subject,
    base: String,
    token: String,
    key: String,
}

impl Ours {
    /// Starts it in a new data directory and makes the account and the key.
    pub(super) fn start(binary: &Path, folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let server = start(binary, folder)?;
        let account = json!({"email": "bench@bench.example", "username": "bench", "password": PASSWORD});
        let registered = Request::post("/api/v1/auth/register", &account).send(server.address())?;
        let token = registered.text("/data/token").context("can't register")?;
        let bearer = format!("Bearer {token}");
        let wish = json!({"name": "bench"});
        let made = Request::post("/api/v1/auth/api-key/generate", &wish)
            .header("Authorization", &bearer)
            .send(server.address())?;
        let key = made.text("/data/key").context("can't make a key")?;
        Ok(Self {
            base: format!("http://{}", server.address()),
            server,
            token,
            key,
        })
    }

    /// The process id.
    pub(super) fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// Where it is: `http://` and its address.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// The value of the header `Authorization` by which the account calls.
    pub(super) fn bearer(&self) -> String {
        format!("Bearer {}", self.token)
    }

    /// The state of the server.
    pub(super) fn health(&self) -> Load {
        load("GET", &self.base, "/health")
    }

    /// A call of `sample.echo`, recorded durably, by access token.
    pub(super) fn execute_by_token(&self) -> Load {
        calling(self.as_bearer(load("POST", &self.base, "/mcp/execute")), CALL)
    }

    /// The same by API key.
    pub(super) fn execute_by_key(&self) -> Load {
        let mut request = load("POST", &self.base, "/mcp/execute");
        request.headers.push(("X-API-Key", self.key.clone()));
        calling(request, CALL)
    }

    /// The newest twenty calls.
    pub(super) fn history(&self) -> Load {
        self.as_bearer(load("GET", &self.base, "/mcp/history?limit=20"))
    }

    /// Signing in, again and again.
    pub(super) fn login(&self, connections: u32) -> Result<Load> {
        let body = json!({"email": "bench@bench.example", "password": PASSWORD});
        let mut request = load("POST", &self.base, "/api/v1/auth/login");
        request.connections = connections;
        Ok(calling(request, &serde_json::to_string(&body)?))
    }

    /// Stops the server, which must end well.
    pub(super) fn stop(self) -> Result<()> {
        self.server.stop()
    }

    fn as_bearer(&self, mut request: Load) -> Load {
        request.headers.push(("Authorization", self.bearer()));
        request
    }
}

/// Starts the release build as the benchmark runs it.
pub(super) fn start(binary: &Path, folder: &Path) -> Result<Subject> {
    let admin_key = random_secret()?;
    let mut settings = SETTINGS.to_vec();
    settings.push(("ADMIN_API_KEY", &admin_key));
    Subject::start(&Setup {
        binary,
        folder,
        settings: &settings,
    })
}

fn load(method: &'static str, base: &str, path: &str) -> Load {
    Load {
        url: format!("{base}{path}"),
        method,
        headers: Vec::new(),
        body: None,
        connections: CONNECTIONS,
    }
}

fn calling(mut request: Load, body: &str) -> Load {
    request
        .headers
        .push(("Content-Type", "application/json".to_owned()));
    request.body = Some(body.to_owned());
    request
}
