//! Accounts. One document holds an account with its sessions, keys, security events and days of activity.

mod key_row;
mod admin;
mod listing;
mod overview;
mod record;

use ::mongodb::{
    bson::{Bson, DateTime, Document, Uuid, doc},
    options::ReturnDocument,
};
use async_trait::async_trait;
use model::{
    Account, Error, ErrorCode, FoldedText, NewAccount, Page, PageRequest, PasswordHash, PasswordReplacement,
    Result, SecurityEvent, Timestamp, User, UserChange, UserFilter, UserId, UserOverview, UserSort,
    UserStore,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::admin::Step;
use super::{
    MongoStore,
    collection::ACCOUNTS as COLLECTION,
    column::{from_json_text, id, moment, parsed, timestamp, uuid},
    contention::Contention,
    failure::Fault,
    index::{Indexes, index, partial_index, unique_index},
    security::EventRow,
};
use crate::{
    account::{changed, is_active_admin},
    json::to_json_text,
};

pub(super) use self::{
    key_row::{KeyRow, scope_texts},
    record::{BelongingsRow, whole_row},
};

/// An account as it stands in its document, without what other files keep there.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct AccountRow {
    #[serde(rename = "_id")]
    id: Uuid,
    /// Grows with each change of what is read before it is written.
    pub(super) version: i64,
    email: String,
    email_folded: String,
    username: String,
    username_folded: String,
    role: String,
    active: bool,
    verified: bool,
    last_login: Option<DateTime>,
    /// As text: what users keep is nothing that the database should read.
    metadata: Option<String>,
    created_at: DateTime,
    updated_at: DateTime,
    password_hash: String,
    /// There, and true, in at most one account: the one that was made as the first admin.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    first: Option<bool>,
    /// Its keys, as far as they were asked for.
    #[serde(default)]
    pub(super) keys: Vec<KeyRow>,
}

/// What is read of an account's document.
pub(super) fn fields() -> Document {
    let names = [
        "version",
        "email",
        "email_folded",
        "username",
        "username_folded",
        "role",
        "active",
        "verified",
        "last_login",
        "metadata",
        "created_at",
        "updated_at",
        "password_hash",
        "first",
    ];
    names
        .into_iter()
        .map(|name| (name.to_owned(), Bson::Int32(1)))
        .collect()
}

impl AccountRow {
    fn of(account: &Account) -> Result<Self> {
        let user = &account.user;
        Ok(Self {
            id: id(user.id.as_uuid()),
            version: 0,
            email: user.email.as_str().to_owned(),
            email_folded: user.email.folded().as_str().to_owned(),
            username: user.username.as_str().to_owned(),
            username_folded: user.username.folded().as_str().to_owned(),
            role: user.role.as_str().to_owned(),
            active: user.is_active,
            verified: user.is_email_verified,
            last_login: user.last_login.map(moment),
            metadata: metadata_text(user)?,
            created_at: moment(user.created_at),
            updated_at: moment(user.updated_at),
            password_hash: account.password_hash.as_str().to_owned(),
            first: None,
            keys: Vec::new(),
        })
    }

    /// Reads the account.
    ///
    /// # Errors
    /// `Bug` when what is stored can't be one.
    pub(super) fn user(&self) -> Result<User> {
        Ok(User {
            id: UserId::from_uuid(uuid(self.id)),
            email: parsed(&self.email)?,
            username: parsed(&self.username)?,
            role: parsed(&self.role)?,
            is_active: self.active,
            is_email_verified: self.verified,
            last_login: self.last_login.map(timestamp),
            metadata: self.metadata.as_deref().map(from_json_text).transpose()?,
            created_at: timestamp(self.created_at),
            updated_at: timestamp(self.updated_at),
        })
    }

    fn account(&self) -> Result<Account> {
        Ok(Account {
            user: self.user()?,
            password_hash: PasswordHash::new(&self.password_hash),
        })
    }
}

/// The indexes of accounts, and of what stands in their documents.
pub(super) fn indexes() -> Vec<Indexes> {
    let exists = |field: &str| doc! { field: { "$exists": true } };
    let indexes = vec![
        unique_index(doc! { "email_folded": 1 }, None),
        unique_index(doc! { "username_folded": 1 }, None),
        unique_index(doc! { "first": 1 }, Some(doc! { "first": true })),
        unique_index(doc! { "keys.p": 1 }, Some(exists("keys.p"))),
        partial_index(doc! { "sessions.i": 1 }, exists("sessions.i")),
        partial_index(doc! { "sessions.x": 1 }, exists("sessions.x")),
        partial_index(doc! { "forget": 1 }, doc! { "forget": { "$gt": "" } }),
        index(doc! { "role": 1, "active": 1 }),
        index(doc! { "created_at": 1 }),
        index(doc! { "days": 1 }),
    ];
    vec![(COLLECTION, indexes)]
}

#[async_trait]
impl UserStore for MongoStore {
    async fn create_user(&self, account: &NewAccount) -> Result<()> {
        self.insert_account(&AccountRow::of(account)?).await
    }

    async fn create_first_admin(&self, account: &NewAccount) -> Result<()> {
        if self.has_admin().await? {
            return Err(first_admin_exists());
        }
        let row = AccountRow {
            first: Some(true),
            ..AccountRow::of(account)?
        };
        self.insert_account(&row).await
    }

    async fn has_admin(&self) -> Result<bool> {
        let collection = self.connection.collection::<Document>(COLLECTION);
        let reading = collection
            .find_one(doc! { "role": "admin" })
            .projection(doc! { "_id": 1 });
        Ok(self.connection.run(reading).await?.is_some())
    }

    async fn find_user(&self, user: UserId) -> Result<Option<User>> {
        let row = self.find_row(id(user.as_uuid())).await?;
        row.map(|row| row.user()).transpose()
    }

    async fn find_account(&self, user: UserId) -> Result<Option<Account>> {
        let row = self.find_row(id(user.as_uuid())).await?;
        row.map(|row| row.account()).transpose()
    }

    async fn find_account_by_email(&self, email: &FoldedText) -> Result<Option<Account>> {
        let collection = self.connection.collection::<AccountRow>(COLLECTION);
        let reading = collection
            .find_one(doc! { "email_folded": { "$eq": email.as_str() } })
            .projection(fields());
        let row = self.connection.run(reading).await?;
        row.map(|row| row.account()).transpose()
    }

    async fn list_users(&self, filter: &UserFilter, page: &PageRequest<UserSort>) -> Result<Page<User>> {
        self.list_accounts(filter, page).await
    }

    async fn update_user(&self, user: UserId, change: &UserChange, now: Timestamp) -> Result<Option<User>> {
        let user = id(user.as_uuid());
        let mut contention = Contention::default();
        loop {
            let Some(row) = self.find_row(user).await? else {
                return Ok(None);
            };
            let before = row.user()?;
            let mut after = changed(before.clone(), change.clone());
            if after == before {
                return Ok(Some(after));
            }
            after.updated_at = now;
            let step = Step::Change(update_of(&after)?);
            let is_last_perhaps = is_active_admin(&before) && !is_active_admin(&after);
            let done = if is_last_perhaps {
                self.step_down((user, row.version), &step, &contention).await
            } else {
                self.take_step((user, row.version), &step).await
            };
            match done {
                Ok(true) => return Ok(Some(after)),
                Ok(false) => {}
                Err(fault) if fault.is_duplicate() => self.require_free_names(&after).await?,
                Err(fault) => return Err(fault.into()),
            }
            contention.again().await?;
        }
    }

    async fn delete_user(&self, user: UserId) -> Result<Option<User>> {
        let user = id(user.as_uuid());
        let mut contention = Contention::default();
        loop {
            let Some(row) = self.find_row(user).await? else {
                return Ok(None);
            };
            let before = row.user()?;
            let done = if is_active_admin(&before) {
                self.step_down((user, row.version), &Step::Delete, &contention)
                    .await?
            } else {
                self.take_step((user, row.version), &Step::Delete).await?
            };
            if done {
                if let Err(fault) = self.forget_failures(&row.email_folded).await {
                    // What stays is one number under an address, for as long as failures count.
                    tracing::warn!(?fault, "failed sign-ins of a deleted account are still counted");
                }
                return Ok(Some(before));
            }
            contention.again().await?;
        }
    }

    async fn set_password(
        &self,
        user: UserId,
        password: &PasswordReplacement,
        event: &SecurityEvent,
    ) -> Result<bool> {
        let user = id(user.as_uuid());
        let mut filter = doc! { "_id": user };
        if let Some(replaced) = &password.replaced {
            filter.insert("password_hash", doc! { "$eq": replaced.as_str() });
        }
        if let Some(kept) = password.kept {
            filter.insert("sessions.i", id(kept.as_uuid()));
        }
        // No session has no id, so without a kept one all go.
        let kept = password.kept.map_or(Bson::Null, |kept| id(kept.as_uuid()).into());
        let counted_as = password.counted_as.as_str();
        let collection = self.connection.collection::<Document>(COLLECTION);
        let setting = collection.update_one(
            filter,
            doc! {
                "$set": {
                    "password_hash": password.hash.as_str(),
                    "updated_at": moment(event.created_at),
                    "keys.$[].on": false,
                },
                "$pull": { "sessions": { "i": { "$ne": kept } } },
                "$push": EventRow::of(event).push()?,
                "$addToSet": { "forget": counted_as },
                "$inc": { "version": 1_i64 },
            },
        );
        if self.connection.run(setting).await?.matched_count == 0 {
            return Ok(false);
        }
        self.settle_forgotten_soon(user, counted_as).await;
        Ok(true)
    }

    async fn user_overview(&self, now: Timestamp, days: u16) -> Result<UserOverview> {
        self.count_accounts(now, days).await
    }
}

impl MongoStore {
    async fn find_row(&self, user: Uuid) -> Result<Option<AccountRow>, Fault> {
        let collection = self.connection.collection::<AccountRow>(COLLECTION);
        let reading = collection.find_one(doc! { "_id": user }).projection(fields());
        self.connection.run(reading).await
    }

    async fn insert_account(&self, row: &AccountRow) -> Result<()> {
        let mut contention = Contention::default();
        loop {
            let mut document = ::mongodb::bson::serialize_to_document(row).map_err(Error::bug)?;
            for list in ["sessions", "keys", "events", "days", "forget", "guards"] {
                document.insert(list, Bson::Array(Vec::new()));
            }
            let collection = self.connection.collection::<Document>(COLLECTION);
            let inserting = collection.insert_one(document);
            match self.connection.run(inserting).await {
                Ok(_) => return Ok(()),
                Err(fault) if fault.is_duplicate() => {}
                Err(fault) => return Err(fault.into()),
            }
            self.require_free_names(&row.user()?).await?;
            if row.first.is_some() && self.has_admin().await? {
                return Err(first_admin_exists());
            }
            if self.find_row(row.id).await?.is_some() {
                return Err(Error::new(
                    ErrorCode::Conflict,
                    "an account with this id exists already",
                ));
            }
            // What was in the way is gone again.
            contention.again().await?;
        }
    }

    /// Refuses an address or name that another account has.
    async fn require_free_names(&self, user: &User) -> Result<()> {
        let mut error = Error::new(
            ErrorCode::AlreadyExists,
            "an account with these names exists already",
        );
        let names = [
            ("email", "email_folded", user.email.folded()),
            ("username", "username_folded", user.username.folded()),
        ];
        for (path, field, name) in names {
            let others = doc! { field: { "$eq": name.as_str() }, "_id": { "$ne": id(user.id.as_uuid()) } };
            let collection = self.connection.collection::<Document>(COLLECTION);
            let reading = collection.find_one(others).projection(doc! { "_id": 1 });
            if self.connection.run(reading).await?.is_some() {
                error = error.detail(path, "belongs to another account");
            }
        }
        if error.details().is_empty() {
            Ok(())
        } else {
            Err(error)
        }
    }

    /// Forgets what an account's document asks for; when that fails, the document still asks for it.
    pub(super) async fn settle_forgotten_soon(&self, user: Uuid, email: &str) {
        if let Err(fault) = self.settle_forgotten(user, email).await {
            tracing::warn!(?fault, "failed sign-ins will be forgotten later");
        }
    }

    /// Changes an account's document and gives what is asked for of it as it is afterwards.
    pub(super) async fn change_account<T>(
        &self,
        filter: Document,
        update: Document,
        fields: Document,
    ) -> Result<Option<T>, Fault>
    where
        T: Send + Sync + serde::de::DeserializeOwned,
    {
        let collection = self.connection.collection::<T>(COLLECTION);
        let changing = collection
            .find_one_and_update(filter, update)
            .projection(fields)
            .return_document(ReturnDocument::After);
        self.connection.run(changing).await
    }
}

fn first_admin_exists() -> Error {
    Error::new(ErrorCode::Conflict, "an admin exists already")
}

fn metadata_text(user: &User) -> Result<Option<String>> {
    let metadata = user.metadata.clone();
    metadata
        .map(|fields| to_json_text(&Value::Object(fields)).map_err(|error| error.under("metadata")))
        .transpose()
}

/// What makes an account's document that of `after`, but for its version.
fn update_of(after: &User) -> Result<Document> {
    let mut set = doc! {
        "email": after.email.as_str(),
        "email_folded": after.email.folded().as_str(),
        "username": after.username.as_str(),
        "username_folded": after.username.folded().as_str(),
        "role": after.role.as_str(),
        "active": after.is_active,
        "verified": after.is_email_verified,
        "metadata": metadata_text(after)?,
        "updated_at": moment(after.updated_at),
    };
    if !after.is_active {
        set.insert("sessions", Bson::Array(Vec::new()));
    }
    let mut update = doc! { "$set": set };
    if after.role != model::Role::Admin {
        // The place of the first admin is free again, should no other admin be left.
        update.insert("$unset", doc! { "first": 1 });
    }
    Ok(update)
}
