//! Accounts.

use std::sync::Arc;

use model::{
    Account, CheckedPassword, Credential, Email, Error, ErrorCode, FoldedText, Observation, PasswordHash,
    PasswordReplacement, Permission, Principal, Result, Role, Secret, SecurityEventKind, User, UserChange,
    UserFilter, UserId, UserOverview, UserSort, Username,
};
use serde_json::{Map, Value};

use crate::{
    cursor::{ListScope, Listing, PageQuery},
    metadata::require_small,
    parts::{Client, Engine},
    password::require_acceptable,
    session::{SignedIn, session_of},
    throttle::wrong_password,
    token,
};

/// For how many days the overview counts, the present one included.
const OVERVIEW_DAYS: u16 = 30;

/// An account that someone wants to have.
#[derive(Clone, Debug)]
pub struct Registration {
    /// Its e-mail.
    pub email: Email,
    /// Its name.
    pub username: Username,
    /// Its password: 8 characters to 1,024 bytes.
    pub password: Secret,
    /// Its role; other than `user` only for an admin.
    pub role: Option<Role>,
}

/// What an account's owner changes of it; `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
pub struct ProfileChange {
    /// A new address.
    pub email: Option<Email>,
    /// A new name.
    pub username: Option<Username>,
    /// New metadata in place of the old; `Some(None)` removes it. At most 16 KiB as JSON, 8 levels deep.
    pub metadata: Option<Option<Map<String, Value>>>,
}

impl Engine {
    /// Makes an account and signs it in.
    ///
    /// # Errors
    /// `AlreadyExists` for a taken address or name; `Forbidden` for a role that the caller can't give;
    /// `Invalid` for a password outside the limits; `Overloaded` when too many wait.
    pub async fn register(
        &self,
        principal: Option<&Principal>,
        registration: Registration,
        _client: &Client,
    ) -> Result<SignedIn> {
        let role = registration.role.unwrap_or_default();
        if role != Role::User {
            let anyone = || {
                Error::new(
                    ErrorCode::Forbidden,
                    "only an admin can make an account with this role",
                )
            };
            principal
                .ok_or_else(anyone)?
                .require(&Permission::CreatePrivilegedAccount)?;
        }
        let account = self.make_account(registration, role).await?;
        self.welcome(account).await
    }

    /// Makes an account with any role, without signing it in.
    ///
    /// # Errors
    /// As [`Self::register`]; `Forbidden` for all but admins.
    pub async fn create_account(&self, principal: &Principal, registration: Registration) -> Result<User> {
        principal.require(&Permission::CreatePrivilegedAccount)?;
        let role = registration.role.unwrap_or_default();
        let account = self.make_account(registration, role).await?;
        Ok(account.user)
    }

    /// Reads the caller's account.
    ///
    /// # Errors
    /// `Forbidden` without an account or scope; `InvalidToken` when the account was deleted just now.
    pub async fn profile(&self, principal: &Principal) -> Result<User> {
        let id = principal.require_account(&Permission::ReadOwnAccount)?;
        self.parts.store.find_user(id).await?.ok_or_else(token::refused)
    }

    /// Changes the caller's account.
    ///
    /// # Errors
    /// `AlreadyExists`, `Invalid`, `Forbidden`; `InvalidToken` when the account was deleted just now.
    pub async fn update_profile(&self, principal: &Principal, change: ProfileChange) -> Result<User> {
        let id = principal.require_account(&Permission::ChangeOwnAccount)?;
        let change = UserChange {
            email: change.email,
            username: change.username,
            metadata: change.metadata,
            ..UserChange::default()
        };
        match self.apply_change(id, change).await {
            Err(error) if error.code() == ErrorCode::NotFound => Err(token::refused()),
            changed => changed,
        }
    }

    /// Changes the caller's password, ends the caller's other sessions, and revokes the caller's keys: whoever
    /// knew the old password may have made some.
    ///
    /// Wrong `current` passwords are counted apart from failed sign-ins, and slow down further attempts alike.
    ///
    /// # Errors
    /// `InvalidCredentials` when `current` is wrong, or the caller's session ends meanwhile; `InvalidToken` when the
    /// account was deleted just now; `Invalid` when `new` is outside the limits.
    pub async fn change_password(
        &self,
        principal: &Principal,
        current: Secret,
        new: Secret,
        client: &Client,
    ) -> Result<()> {
        let id = principal.require_account(&Permission::ChangeOwnPassword)?;
        require_acceptable(&new).map_err(|error| error.under("newPassword"))?;
        let account = self
            .parts
            .store
            .find_account(id)
            .await?
            .ok_or_else(token::refused)?;
        // Not an address, so no sign-in counts here: whoever is locked out can't lock out a session, nor the reverse.
        let counted_as = FoldedText::of(&format!("password change of {id}"));
        let checked = self
            .check_password(Some(&counted_as), Some(&account), &current, client)
            .await?;
        let password = PasswordReplacement {
            hash: self.hash_password(&new).await?,
            replaced: Some(checked.hash),
            kept: Some(session_of(principal)?),
            counted_as,
        };
        // Another new password, or the end of this session, came first.
        let is_set = self.set_password(id, password, client).await?;
        if is_set { Ok(()) } else { Err(wrong_password()) }
    }

    /// Lists all accounts.
    ///
    /// # Errors
    /// `Forbidden` for all but admins; `Invalid` for a foreign cursor.
    pub async fn list_users(
        &self,
        principal: &Principal,
        filter: UserFilter,
        page: PageQuery<UserSort>,
    ) -> Result<Listing<User>> {
        principal.require(&Permission::ReadAllAccounts)?;
        let list = ListScope {
            name: "users",
            subject: principal.subject,
            filter: &filter,
        };
        let request = self.parts.cursors.request(&list, &page)?;
        let found = self.parts.store.list_users(&filter, &request).await?;
        self.parts.cursors.listing(&list, &page, found)
    }

    /// Reads an account: one's own, or any for an admin.
    ///
    /// # Errors
    /// `NotFound` when there is none, or it is another's.
    pub async fn user(&self, principal: &Principal, id: UserId) -> Result<User> {
        principal.require(&Permission::ReadAccount)?;
        require_own_or_admin(principal, id)?;
        self.parts.store.find_user(id).await?.ok_or_else(no_such_user)
    }

    /// Changes an account: one's own, or any for an admin; role and activity for an admin only.
    ///
    /// An account that is made inactive loses its sessions too.
    ///
    /// # Errors
    /// `NotFound` as for [`Self::user`]; `Forbidden`, `LastAdmin`, `AlreadyExists`, `Invalid`.
    pub async fn update_user(&self, principal: &Principal, id: UserId, change: UserChange) -> Result<User> {
        principal.require(&Permission::ChangeAccount)?;
        require_own_or_admin(principal, id)?;
        if change.role.is_some() || change.is_active.is_some() {
            principal.require(&Permission::ChangeAccountStanding)?;
        }
        self.apply_change(id, change).await
    }

    /// Deletes an account with its sessions, keys and security events; gives what was deleted. Its history stays.
    /// Answers kept for its repeated requests go when they expire: nobody else is ever given them.
    ///
    /// # Errors
    /// `NotFound`, `LastAdmin`, `Forbidden` for all but admins.
    pub async fn delete_user(&self, principal: &Principal, id: UserId) -> Result<User> {
        principal.require(&Permission::DeleteAccount)?;
        let store = Arc::clone(&self.parts.store);
        let deleted = self.change_standing(id, async move { store.delete_user(id).await });
        deleted.await?.ok_or_else(no_such_user)
    }

    /// Counts accounts by role and activity, and new and active ones for each of the last 30 days.
    ///
    /// # Errors
    /// `Forbidden` for all but admins.
    pub async fn user_overview(&self, principal: &Principal) -> Result<UserOverview> {
        principal.require(&Permission::ReadAllAccounts)?;
        let now = self.parts.clock.now();
        self.parts.store.user_overview(now, OVERVIEW_DAYS).await
    }

    /// Sets an account's password from the command line, ends all its sessions, revokes its keys, and lets it
    /// sign in at once however many sign-ins failed.
    ///
    /// # Errors
    /// `NotFound`, `Invalid`; `Forbidden` for all but the command line.
    pub async fn reset_password(&self, principal: &Principal, email: &Email, new: Secret) -> Result<User> {
        if principal.credential != Credential::CommandLine {
            let message = "passwords of others are set at the command line only";
            return Err(Error::new(ErrorCode::WrongCredential, message));
        }
        require_acceptable(&new).map_err(|error| error.under("password"))?;
        let found = self.parts.store.find_account_by_email(&email.folded()).await?;
        let user = found.ok_or_else(no_such_user)?.user;
        let password = PasswordReplacement {
            hash: self.hash_password(&new).await?,
            replaced: None,
            kept: None,
            counted_as: email.folded(),
        };
        let is_set = self.set_password(user.id, password, &Client::default()).await?;
        if is_set { Ok(user) } else { Err(no_such_user()) }
    }

    /// Hashes the password of an account that is about to be made.
    ///
    /// # Errors
    /// `Invalid` for a password outside the limits; `Overloaded` when too many wait.
    pub(crate) async fn prepare_account(&self, registration: Registration, role: Role) -> Result<Account> {
        require_acceptable(&registration.password).map_err(|error| error.under("password"))?;
        let password_hash = self.hash_password(&registration.password).await?;
        let now = self.parts.clock.now();
        Ok(Account {
            user: User {
                id: UserId::generate(self.parts.ids.as_ref()),
                email: registration.email,
                username: registration.username,
                role,
                is_active: true,
                is_email_verified: false,
                last_login: None,
                metadata: None,
                created_at: now,
                updated_at: now,
            },
            password_hash,
        })
    }

    /// Signs an account in that has just been made.
    ///
    /// # Errors
    /// `NotFound` when it was deleted or made inactive again before that.
    pub(crate) async fn welcome(&self, account: Account) -> Result<SignedIn> {
        let checked = CheckedPassword {
            hash: account.password_hash,
            renewed: None,
        };
        let signed_in = self.open_session(account.user, &checked).await?;
        signed_in.ok_or_else(no_such_user)
    }

    async fn make_account(&self, registration: Registration, role: Role) -> Result<Account> {
        let account = self.prepare_account(registration, role).await?;
        self.parts.store.create_user(&account).await?;
        self.parts.observer.observe(Observation::Registered);
        Ok(account)
    }

    async fn hash_password(&self, password: &Secret) -> Result<PasswordHash> {
        let turn = self.parts.passwords.await_turn().await?;
        self.parts.passwords.hash(turn, password).await
    }

    async fn set_password(&self, id: UserId, password: PasswordReplacement, client: &Client) -> Result<bool> {
        let now = self.parts.clock.now();
        let event = self.security_event(id, SecurityEventKind::PasswordChanged, client, now);
        let store = Arc::clone(&self.parts.store);
        self.change_standing(id, async move { store.set_password(id, &password, &event).await })
            .await
    }

    async fn apply_change(&self, id: UserId, change: UserChange) -> Result<User> {
        if let Some(Some(metadata)) = &change.metadata {
            require_small(metadata).map_err(|error| error.under("metadata"))?;
        }
        let (store, now) = (Arc::clone(&self.parts.store), self.parts.clock.now());
        let changed = self.change_standing(id, async move { store.update_user(id, &change, now).await });
        changed.await?.ok_or_else(no_such_user)
    }
}

/// Passes for one's own account, and for an admin. To all others it is as if the account weren't there.
fn require_own_or_admin(principal: &Principal, id: UserId) -> Result<()> {
    if principal.is_admin() || principal.user_id() == Some(id) {
        Ok(())
    } else {
        Err(no_such_user())
    }
}

fn no_such_user() -> Error {
    Error::not_found("user")
}
