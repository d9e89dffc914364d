//! Who makes a request, and what it would have needed.

use std::sync::Arc;

use engine::Client;
use model::{Error, ErrorCode, Permission, Principal, Subject};
use parking_lot::Mutex;
use protocol::RpcError;

/// Who makes a request. Cheap to clone; the clones of one request share what is noted.
#[derive(Clone, Debug)]
pub struct Caller(Arc<Request>);

#[derive(Debug)]
struct Request {
    principal: Arc<Principal>,
    client: Client,
    lack: Mutex<Option<Lack>>,
}

/// Scopes that a request would have needed.
#[derive(Clone, Debug)]
pub(super) struct Lack {
    /// All that it needs, separated by spaces.
    pub(super) scopes: String,
    /// Which one is missing.
    pub(super) message: String,
}

impl Caller {
    /// A caller whose credential was accepted, and from where its request came.
    #[must_use]
    pub fn new(principal: Arc<Principal>, client: Client) -> Self {
        Self(Arc::new(Request {
            principal,
            client,
            lack: Mutex::default(),
        }))
    }

    pub(super) fn principal(&self) -> &Principal {
        &self.0.principal
    }

    pub(super) fn shared_principal(&self) -> Arc<Principal> {
        Arc::clone(&self.0.principal)
    }

    /// A text that is the same for all credentials of one account, and of nobody else: what each credential may is
    /// asked anew with every request.
    pub(super) fn name(&self) -> String {
        match self.0.principal.subject {
            Subject::User(id) => format!("user:{id}"),
            Subject::BuiltinAdmin => "operator".to_owned(),
        }
    }

    pub(super) fn client(&self) -> &Client {
        &self.0.client
    }

    /// Passes when the caller holds everything that an operation needs. What it lacks is noted for the answer.
    pub(super) fn require(&self, permissions: &[Permission]) -> Result<(), RpcError> {
        let refused = permissions
            .iter()
            .find_map(|permission| self.principal().require(permission).err());
        let Some(error) = refused else {
            return Ok(());
        };
        if error.code() == ErrorCode::InsufficientScope {
            let scopes = permissions
                .iter()
                .map(|permission| permission.rule().scope.to_string());
            *self.0.lack.lock() = Some(Lack {
                scopes: scopes.collect::<Vec<_>>().join(" "),
                message: error.message().to_owned(),
            });
        }
        Err(forbidden(&error))
    }

    /// What the request lacked.
    pub(super) fn lack(&self) -> Option<Lack> {
        self.0.lack.lock().clone()
    }

    /// Tells whether the caller holds everything that an operation needs.
    pub(super) fn may(&self, permissions: &[Permission]) -> bool {
        permissions
            .iter()
            .all(|permission| self.principal().require(permission).is_ok())
    }
}

/// What a caller is told that may not do something, where no status can say it.
fn forbidden(error: &Error) -> RpcError {
    RpcError::invalid_params(error.message()).with_data(serde_json::json!({ "code": error.code() }))
}
