//! A Redis server of a test's own, which comes and goes at the same address.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{fixture::PATIENCE, home};

pub(super) struct Redis {
    program: String,
    address: SocketAddr,
    folder: TempDir,
    child: Option<Child>,
}

impl Redis {
    /// Starts one, which keeps nothing on disk; `None`, and a word about it, where no program is named.
    pub(super) fn start() -> Option<Self> {
        let program = home::program("REDIS_SERVER")?;
        // Free at this moment; Redis ends when it is taken meanwhile, and the test fails.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut redis = Self {
            program,
            address: listener.local_addr().unwrap(),
            folder: TempDir::new().unwrap(),
            child: None,
        };
        drop(listener);
        redis.restart();
        Some(redis)
    }

    pub(super) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Starts it where it was; what it held is gone.
    pub(super) fn restart(&mut self) {
        let mut command = Command::new(&self.program);
        command.args(["--bind", "127.0.0.1", "--port", &self.address.port().to_string()]);
        command.args(["--save", "", "--appendonly", "no"]);
        command.current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        self.child = Some(command.spawn().unwrap());
        let begin = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            assert!(begin.elapsed() < PATIENCE, "redis-server doesn't start");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Takes away all that it holds.
    pub(super) fn flush(&self) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(b"FLUSHALL\r\nQUIT\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("+OK"), "{answer}");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}
