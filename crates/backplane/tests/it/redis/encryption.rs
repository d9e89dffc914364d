//! TLS: whom the server is believed to be.

use backplane::{RedisBackplane, RedisOptions, RedisStatus};
use model::{ErrorKind, RateLimiter as _};
use rcgen::generate_simple_self_signed;
use tempfile::TempDir;

use super::{open, options, server::Server, until, until_shared};
use crate::fixture::{address, quota, start};

/// A server that speaks TLS only, under a certificate of its own.
struct Encrypted {
    server: Server,
    certificate: String,
    _folder: TempDir,
}

impl Encrypted {
    fn started(name: &str) -> Option<Self> {
        let made = generate_simple_self_signed([name.to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = |file: &str| folder.path().join(file).display().to_string();
        let (certificate, key) = (path("certificate.pem"), path("key.pem"));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let more = ["--tls-cert-file", &certificate, "--tls-key-file", &key];
        let more = [
            &more[..],
            &["--tls-ca-cert-file", &certificate, "--tls-auth-clients", "no"],
        ]
        .concat();
        let mut server = Server::prepared(&more)?.with_tls();
        server.start();
        Some(Self {
            server,
            certificate: made.cert.pem(),
            _folder: folder,
        })
    }

    fn options(&self) -> RedisOptions {
        options(&self.server.url().replace("redis:", "rediss:"))
    }
}

/// Opens a backplane and waits for why it can't connect.
async fn refusal(options: &RedisOptions) -> (RedisBackplane, String) {
    let process = open(options);
    let tried = |status: &RedisStatus| matches!(status, RedisStatus::Away { reason, .. } if reason != "not connected yet");
    let status = until(&process, tried).await;
    (process, format!("{status:?}"))
}

#[tokio::test]
async fn a_server_whose_certificate_is_trusted_shares_limits_over_tls() {
    let Some(encrypted) = Encrypted::started("127.0.0.1") else {
        return;
    };
    let mut options = encrypted.options();
    options.authority = Some(encrypted.certificate.clone());
    let process = open(&options);
    until_shared(&process).await;
    let decision = process.check(address(1), quota(2, 1_000), start()).await;
    assert_eq!(decision.unwrap().remaining, 1);
    assert_eq!(process.local_decisions(), 0);
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_not_used() {
    let Some(encrypted) = Encrypted::started("127.0.0.1") else {
        return;
    };
    let (process, status) = refusal(&encrypted.options()).await;
    assert!(status.contains("I/O error"), "{status}");
    assert!(!process.status().borrow().is_shared());
}

#[tokio::test]
async fn a_certificate_for_another_name_is_not_accepted() {
    let Some(encrypted) = Encrypted::started("redis.example") else {
        return;
    };
    let mut options = encrypted.options();
    options.authority = Some(encrypted.certificate.clone());
    let (process, status) = refusal(&options).await;
    assert!(status.contains("I/O error"), "{status}");
    assert!(!process.status().borrow().is_shared());
}

#[tokio::test]
async fn an_authority_without_tls_is_refused() {
    let mut options = options("redis://127.0.0.1:1");
    options.authority = Some(String::new());
    let refused = RedisBackplane::open(&options, std::sync::Arc::new(super::Still)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
}
