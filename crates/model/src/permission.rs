//! The access matrix: which role, scope and kind of credential each permission takes.

use crate::{
    error::{Error, ErrorCode, Result},
    id::UserId,
    name::PluginName,
    principal::{Credential, Principal},
    role::Role,
    scope::Scope,
};

/// Something that a caller may or may not do. Every verb asks for one in its first statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Read one's own account.
    ReadOwnAccount,
    /// Change one's own account.
    ChangeOwnAccount,
    /// Change one's own password.
    ChangeOwnPassword,
    /// End one's own sessions.
    EndOwnSessions,
    /// See what happened to one's own account.
    ReadOwnSecurityEvents,
    /// Make, list, narrow and revoke one's own keys.
    ManageOwnKeys,
    /// See what the presented key is.
    ReadPresentedKey,
    /// Make an account with a role other than `user`.
    CreatePrivilegedAccount,
    /// List all accounts, and their statistics.
    ReadAllAccounts,
    /// Read an account that may be another's.
    ReadAccount,
    /// Change an account that may be another's.
    ChangeAccount,
    /// Change an account's role or activity.
    ChangeAccountStanding,
    /// Delete an account.
    DeleteAccount,
    /// See plugins and their actions.
    ReadPlugins,
    /// Call a plugin.
    ExecutePlugin(PluginName),
    /// Read the history of calls: one's own, or everyone's for an admin.
    ReadHistory,
    /// See tasks: one's own; an admin all.
    ReadTasks,
    /// Make, change, run and remove tasks: one's own; an admin all. What a task calls needs its own permission.
    WriteTasks,
}

/// Which kinds of credential a permission takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialRule {
    /// An access token or a key.
    TokenOrKey,
    /// An access token: a person who signed in.
    TokenOnly,
    /// An API key.
    KeyOnly,
}

/// One row of the access matrix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The least role.
    pub role: Role,
    /// The scope that a narrowed key must hold.
    pub scope: Scope,
    /// The kinds of credential.
    pub credential: CredentialRule,
    /// Whether the caller must have an account of its own.
    pub needs_account: bool,
}

impl Permission {
    /// The row of the access matrix for this permission.
    #[must_use]
    pub fn rule(&self) -> Rule {
        use CredentialRule::{KeyOnly, TokenOnly, TokenOrKey};
        let row = |role, scope, credential, needs_account| Rule {
            role,
            scope,
            credential,
            needs_account,
        };
        match self {
            Self::ReadOwnAccount => row(Role::User, Scope::UsersRead, TokenOrKey, true),
            Self::ChangeOwnAccount => row(Role::User, Scope::UsersWrite, TokenOrKey, true),
            Self::ChangeOwnPassword
            | Self::EndOwnSessions
            | Self::ReadOwnSecurityEvents
            | Self::ManageOwnKeys => row(Role::User, Scope::Admin, TokenOnly, true),
            Self::ReadPresentedKey => row(Role::User, Scope::Admin, KeyOnly, true),
            // Whoever can give roles can give itself every scope, so nothing less than all of them will do.
            Self::CreatePrivilegedAccount | Self::ChangeAccountStanding => {
                row(Role::Admin, Scope::Admin, TokenOrKey, false)
            }
            Self::ReadAllAccounts => row(Role::Admin, Scope::UsersRead, TokenOrKey, false),
            Self::ReadAccount => row(Role::User, Scope::UsersRead, TokenOrKey, false),
            Self::ChangeAccount => row(Role::User, Scope::UsersWrite, TokenOrKey, false),
            Self::DeleteAccount => row(Role::Admin, Scope::UsersWrite, TokenOrKey, false),
            Self::ReadPlugins => row(Role::User, Scope::PluginsRead, TokenOrKey, false),
            Self::ExecutePlugin(plugin) => row(
                Role::User,
                Scope::PluginsExecuteOne(plugin.to_string()),
                TokenOrKey,
                false,
            ),
            Self::ReadHistory => row(Role::User, Scope::HistoryRead, TokenOrKey, false),
            Self::ReadTasks => row(Role::User, Scope::TasksRead, TokenOrKey, false),
            Self::WriteTasks => row(Role::User, Scope::TasksWrite, TokenOrKey, false),
        }
    }
}

impl Principal {
    /// Passes when the caller holds `permission`.
    ///
    /// # Errors
    /// `Forbidden`, with the kind of credential, the scope or the role that is missing.
    pub fn require(&self, permission: &Permission) -> Result<()> {
        let rule = permission.rule();
        self.require_credential(rule.credential)?;
        if rule.needs_account && self.user_id().is_none() {
            let message = "this needs an account; the operator's admin key has none";
            return Err(Error::new(ErrorCode::WrongCredential, message));
        }
        // A key can always ask what it is itself, however narrow it is.
        if *permission != Permission::ReadPresentedKey && !self.scopes.allow(&rule.scope) {
            let message = format!("this key lacks the scope {}", rule.scope);
            return Err(Error::new(ErrorCode::InsufficientScope, message));
        }
        if self.role < rule.role {
            let message = format!("this needs the role {}", rule.role);
            return Err(Error::new(ErrorCode::Forbidden, message));
        }
        Ok(())
    }

    /// Passes when the caller holds `permission`, and gives the caller's account.
    ///
    /// # Errors
    /// As [`Self::require`].
    pub fn require_account(&self, permission: &Permission) -> Result<UserId> {
        self.require(permission)?;
        self.user_id()
            .ok_or_else(|| Error::bug("a permission without an account was asked for one"))
    }

    /// Passes when the caller showed the kind of credential that `rule` takes.
    ///
    /// # Errors
    /// `Forbidden`, naming the kind that is taken.
    pub fn require_credential(&self, rule: CredentialRule) -> Result<()> {
        let is_fitting = match rule {
            CredentialRule::TokenOrKey => true,
            CredentialRule::TokenOnly => !matches!(self.credential, Credential::Key(_)),
            CredentialRule::KeyOnly => matches!(self.credential, Credential::Key(_)),
        };
        if is_fitting {
            return Ok(());
        }
        let message = match rule {
            CredentialRule::KeyOnly => "this needs an API key, sent as X-API-Key",
            CredentialRule::TokenOnly | CredentialRule::TokenOrKey => {
                "this needs an access token from signing in; an API key is not accepted"
            }
        };
        Err(Error::new(ErrorCode::WrongCredential, message))
    }
}
