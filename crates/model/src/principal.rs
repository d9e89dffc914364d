//! Who asks.

use crate::{
    id::{KeyId, SessionId, UserId},
    role::Role,
    scope::Scopes,
};

/// On whose behalf something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A person's or program's account.
    User(UserId),
    /// The admin without an account: the operator's key, or the command line.
    BuiltinAdmin,
}

/// What the caller showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Credential {
    /// An access token of this session.
    Session(SessionId),
    /// An API key.
    Key(KeyId),
    /// The operator's key from the configuration.
    AdminKey,
    /// None: the operator at the command line of the machine.
    CommandLine,
    /// None: a worker of this server, which does a task of the subject.
    Worker,
}

/// A caller whose credential was accepted. Every verb takes it first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// On whose behalf.
    pub subject: Subject,
    /// What the subject may do.
    pub role: Role,
    /// What the credential is narrowed to.
    pub scopes: Scopes,
    /// What was shown.
    pub credential: Credential,
    /// Requests per window when the credential brings its own limit.
    pub rate_limit: Option<u32>,
}

impl Principal {
    /// The operator at the command line.
    #[must_use]
    pub fn command_line() -> Self {
        Self {
            subject: Subject::BuiltinAdmin,
            role: Role::Admin,
            scopes: Scopes::default(),
            credential: Credential::CommandLine,
            rate_limit: None,
        }
    }

    /// The bearer of the operator's key.
    #[must_use]
    pub fn admin_key() -> Self {
        Self {
            credential: Credential::AdminKey,
            ..Self::command_line()
        }
    }

    /// The caller's account, if it has one.
    #[must_use]
    pub fn user_id(&self) -> Option<UserId> {
        match self.subject {
            Subject::User(id) => Some(id),
            Subject::BuiltinAdmin => None,
        }
    }

    /// Tells whether the caller sees and changes what belongs to others.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.role == Role::Admin
    }
}
