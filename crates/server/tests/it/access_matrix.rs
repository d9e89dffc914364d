//! Who may call what: every route × role × credential.
//!
//! The table is written out here and held against two things: the server's answers, and the rules of the model.
//! The routes come from the OpenAPI document, so that a route without a row fails.

use std::sync::atomic::{AtomicU32, Ordering};

use http::Method;
use model::{CredentialRule, Permission, PluginName, Role};
use serde_json::{Value, json};

use crate::{
    caller::{Caller, PASSWORD, Person},
    contract,
    fixture::Server,
};

/// What a route asks of its caller.
enum Access {
    /// Nothing.
    Public,
    /// These, in this order: kind of credential, an account of one's own, scope, role.
    Needs {
        credential: CredentialRule,
        account: bool,
        scope: &'static str,
        role: Role,
        permission: Permission,
    },
}

/// One route of the matrix.
struct Row {
    route: &'static str,
    access: Access,
    /// A body with which the route works.
    body: Value,
    /// Whether it names something that belongs to someone.
    owned: Owned,
    /// Another scope that a narrowed key must hold.
    also: &'static str,
    /// Whether it can't be done to the thing as it is, which only those are told who may do it at all.
    is_in_conflict: bool,
}

/// Whose the thing is that a path names.
#[derive(Clone, Copy, PartialEq)]
enum Owned {
    /// It names none.
    Nobody,
    /// Its owner's and every admin's.
    OwnerAndAdmins,
    /// Its owner's alone.
    OwnerOnly,
}

fn row(route: &'static str, access: Access) -> Row {
    Row {
        route,
        access,
        body: Value::Null,
        owned: Owned::Nobody,
        also: "",
        is_in_conflict: false,
    }
}

impl Row {
    fn body(self, body: Value) -> Self {
        Self { body, ..self }
    }

    fn owned(self, owned: Owned) -> Self {
        Self { owned, ..self }
    }

    fn also(self, also: &'static str) -> Self {
        Self { also, ..self }
    }

    fn in_conflict(self) -> Self {
        Self {
            is_in_conflict: true,
            ..self
        }
    }

    fn method(&self) -> Method {
        self.route.split_once(' ').unwrap().0.parse().unwrap()
    }

    fn path(&self) -> &'static str {
        self.route.split_once(' ').unwrap().1
    }
}

fn any(permission: Permission, role: Role, scope: &'static str) -> Access {
    Access::Needs {
        credential: CredentialRule::TokenOrKey,
        account: false,
        scope,
        role,
        permission,
    }
}

fn own(permission: Permission, scope: &'static str) -> Access {
    Access::Needs {
        credential: CredentialRule::TokenOrKey,
        account: true,
        scope,
        role: Role::User,
        permission,
    }
}

fn token(permission: Permission) -> Access {
    Access::Needs {
        credential: CredentialRule::TokenOnly,
        account: true,
        scope: "admin",
        role: Role::User,
        permission,
    }
}

fn key(permission: Permission) -> Access {
    Access::Needs {
        credential: CredentialRule::KeyOnly,
        account: true,
        scope: "",
        role: Role::User,
        permission,
    }
}

fn matrix() -> Vec<Row> {
    let open = [
        "GET /health",
        "GET /health/live",
        "GET /health/ready",
        "GET /health/db",
        "GET /health/cache",
        "GET /metrics",
        "GET /openapi.json",
        "GET /docs",
        "GET /docs/",
        "GET /docs/{file}",
        "GET /setup",
        "GET /setup/style.css",
        "GET /.well-known/oauth-protected-resource",
        "GET /.well-known/oauth-protected-resource/mcp",
    ];
    let mut rows: Vec<_> = open.map(|route| row(route, Access::Public)).into();
    rows.push(row("POST /setup", Access::Public).body(json!({})));
    rows.extend(signing_in());
    rows.extend(own_account());
    rows.extend(users());
    rows.extend(tools());
    rows.extend(tasks());
    rows
}

fn signing_in() -> Vec<Row> {
    let registration = json!({ "email": "new@example.org", "username": "new", "password": PASSWORD });
    let login = json!({ "email": "nobody@example.org", "password": PASSWORD });
    vec![
        row("POST /api/v1/auth/register", Access::Public).body(registration),
        row("POST /api/v1/auth/login", Access::Public).body(login),
        row("POST /api/v1/auth/refresh", Access::Public).body(json!({ "refreshToken": "none" })),
        row("POST /api/v1/auth/logout", token(Permission::EndOwnSessions)),
        row("POST /api/v1/auth/logout-all", token(Permission::EndOwnSessions)),
    ]
}

fn own_account() -> Vec<Row> {
    let passwords = json!({ "currentPassword": PASSWORD, "newPassword": PASSWORD });
    let (read, change) = (Permission::ReadOwnAccount, Permission::ChangeOwnAccount);
    let keys = || token(Permission::ManageOwnKeys);
    let (update_key, revoke_key) = (
        "PATCH /api/v1/auth/api-keys/{id}",
        "DELETE /api/v1/auth/api-keys/{id}",
    );
    vec![
        row("GET /api/v1/auth/profile", own(read, "users:read")),
        row("PUT /api/v1/auth/profile", own(change, "users:write")).body(json!({})),
        row("PUT /api/v1/auth/password", token(Permission::ChangeOwnPassword)).body(passwords),
        row(
            "GET /api/v1/auth/security-events",
            token(Permission::ReadOwnSecurityEvents),
        ),
        row("GET /api/v1/auth/api-key", key(Permission::ReadPresentedKey)),
        row("POST /api/v1/auth/api-key/generate", keys()),
        row("GET /api/v1/auth/api-keys", keys()),
        row(update_key, keys()).body(json!({})).owned(Owned::OwnerOnly),
        row(revoke_key, keys()).owned(Owned::OwnerOnly),
    ]
}

fn users() -> Vec<Row> {
    let of_all = || any(Permission::ReadAllAccounts, Role::Admin, "users:read");
    let read = any(Permission::ReadAccount, Role::User, "users:read");
    let change = any(Permission::ChangeAccount, Role::User, "users:write");
    let delete = any(Permission::DeleteAccount, Role::Admin, "users:write");
    let (update, both) = ("PUT /api/v1/users/{id}", Owned::OwnerAndAdmins);
    vec![
        row("GET /api/v1/users", of_all()),
        row("GET /api/v1/users/stats/overview", of_all()),
        row("GET /api/v1/users/{id}", read).owned(both),
        row(update, change).body(json!({})).owned(both),
        row("DELETE /api/v1/users/{id}", delete).owned(both),
    ]
}

fn tools() -> Vec<Row> {
    let execute = Permission::ExecutePlugin(PluginName::parse("sample").unwrap());
    let execute = any(execute, Role::User, "plugins:execute:sample");
    let echo = json!({ "plugin": "sample", "action": "echo", "payload": { "message": "hello" } });
    let read = || any(Permission::ReadPlugins, Role::User, "plugins:read");
    let history = || any(Permission::ReadHistory, Role::User, "history:read");
    vec![
        row("POST /mcp/execute", execute).body(echo),
        row("GET /mcp/plugins", read()),
        row("GET /mcp/plugins/{name}", read()),
        row("GET /mcp/history", history()),
        row("GET /mcp/history/{id}", history()).owned(Owned::OwnerAndAdmins),
    ]
}

fn tasks() -> Vec<Row> {
    let (read, both) = (
        || any(Permission::ReadTasks, Role::User, "tasks:read"),
        Owned::OwnerAndAdmins,
    );
    let write = || any(Permission::WriteTasks, Role::User, "tasks:write");
    let to_do = json!({ "title": "a to-do" });
    let execute = "POST /api/v1/tasks/{id}/execute";
    vec![
        row("GET /api/v1/tasks", read()),
        row("POST /api/v1/tasks", write()).body(to_do.clone()),
        row("POST /api/v1/tasks/bulk", write()).body(json!({ "tasks": [to_do] })),
        row("GET /api/v1/tasks/stats", read()),
        row("GET /api/v1/tasks/{id}", read()).owned(both),
        row("PUT /api/v1/tasks/{id}", write()).body(json!({})).owned(both),
        row("DELETE /api/v1/tasks/{id}", write()).owned(both),
        row(execute, write()).also("plugins:execute:sample").owned(both),
        row("POST /api/v1/tasks/{id}/cancel", write()).owned(both),
        row("POST /api/v1/tasks/{id}/answers", write())
            .body(json!({ "answers": {} }))
            .owned(both)
            .in_conflict(),
        row("POST /api/v1/tasks/{id}/retry", write()).owned(both),
        row("POST /api/v1/tasks/{id}/pause", write()).owned(both),
        row("POST /api/v1/tasks/{id}/resume", write())
            .also("plugins:execute:sample")
            .owned(both),
        row("GET /api/v1/tasks/{id}/attempts", read()).owned(both),
    ]
}

/// A kind of caller.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// Without a credential.
    Anonymous,
    /// With a token that isn't accepted.
    WrongToken,
    /// With a key that isn't accepted.
    WrongKey,
    /// With the operator's key.
    Operator,
    /// With an access token.
    Token(Role),
    /// With an API key of this scope; empty when it is not narrowed.
    Key(Role, &'static str),
}

const SCOPES: [&str; 10] = [
    "tasks:read",
    "tasks:write",
    "plugins:read",
    "plugins:execute",
    "plugins:execute:sample",
    "plugins:execute:llm",
    "history:read",
    "users:read",
    "users:write",
    "admin",
];

fn kinds() -> Vec<Kind> {
    let mut kinds = vec![Kind::Anonymous, Kind::WrongToken, Kind::WrongKey, Kind::Operator];
    for role in Role::ALL {
        kinds.extend([Kind::Token(role), Kind::Key(role, "")]);
        // What a developer may beyond a user is no part of this table yet: the two ends show how scopes narrow.
        let scopes = if role == Role::Developer {
            &SCOPES[..1]
        } else {
            &SCOPES
        };
        kinds.extend(scopes.iter().map(|scope| Kind::Key(role, scope)));
    }
    kinds
}

/// Someone of a kind, with an account of its own where the kind has one.
struct Someone {
    kind: Kind,
    caller: Caller,
    /// What belongs to it.
    things: Option<Things>,
}

impl Someone {
    async fn appear(server: &Server, kind: Kind) -> Self {
        let stranger = Caller::stranger(server);
        let without_account = |caller| Self {
            kind,
            caller,
            things: None,
        };
        match kind {
            Kind::Anonymous => without_account(stranger),
            Kind::WrongToken => without_account(stranger.with_token("none")),
            Kind::WrongKey => without_account(stranger.with_key("mcp_000000000000_none")),
            Kind::Operator => without_account(Caller::operator(server)),
            Kind::Token(role) => {
                let person = newcomer(server, role).await;
                Self {
                    kind,
                    caller: person.caller.clone(),
                    things: Some(Things::of(&person).await),
                }
            }
            Kind::Key(role, scope) => {
                let person = newcomer(server, role).await;
                let scopes: Vec<_> = Some(scope)
                    .filter(|scope| !scope.is_empty())
                    .into_iter()
                    .collect();
                Self {
                    kind,
                    caller: person.key(&scopes).await.1,
                    things: Some(Things::of(&person).await),
                }
            }
        }
    }
}

/// Someone with a name that nobody has yet.
async fn newcomer(server: &Server, role: Role) -> Person {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    Person::new(server, &format!("person{number}"), role.as_str()).await
}

/// The failure that the table foresees; none when the route lets the caller through.
fn foreseen(row: &Row, kind: Kind, is_foreign: bool) -> Option<(u16, &'static str)> {
    let Access::Needs {
        credential,
        account,
        scope,
        role,
        ..
    } = &row.access
    else {
        return None;
    };
    let (own_role, own_scope, is_key) = match kind {
        Kind::Anonymous => return Some((401, "unauthenticated")),
        Kind::WrongToken | Kind::WrongKey => return Some((401, "invalid_token")),
        Kind::Operator => (Role::Admin, "", false),
        Kind::Token(role) => (role, "", false),
        Kind::Key(role, scope) => (role, scope, true),
    };
    let is_taken = match credential {
        CredentialRule::TokenOrKey => true,
        CredentialRule::TokenOnly => !is_key,
        CredentialRule::KeyOnly => is_key,
    };
    if !is_taken || (*account && kind == Kind::Operator) {
        return Some((403, "wrong_credential"));
    }
    let covers = |scope: &str| {
        let within = own_scope == scope || scope.starts_with(&format!("{own_scope}:"));
        own_scope.is_empty() || scope.is_empty() || own_scope == "admin" || within
    };
    if !covers(scope) {
        return Some((403, "insufficient_scope"));
    }
    if own_role < *role {
        return Some((403, "forbidden"));
    }
    let is_hidden = match row.owned {
        Owned::Nobody => false,
        Owned::OwnerAndAdmins => own_role < Role::Admin,
        Owned::OwnerOnly => true,
    };
    if is_foreign && is_hidden {
        return Some((404, "not_found"));
    }
    (!covers(row.also)).then_some((403, "insufficient_scope"))
}

/// Things that belong to someone, to be named in paths.
struct Things {
    user: String,
    key: String,
    execution: String,
    /// One for each thing that is done to a task and can't be done twice.
    tasks: Tasks,
}

/// Tasks by what can be done to them.
struct Tasks {
    to_do: String,
    to_be_deleted: String,
    to_be_cancelled: String,
    to_be_retried: String,
    job: String,
    recurring: String,
}

impl Tasks {
    async fn of(caller: &Caller) -> Self {
        let to_do = json!({ "title": "a to-do" });
        let job = json!({
            "title": "a job", "plugin": "sample", "action": "echo", "payload": { "message": "hello" },
            "scheduledAt": "2099-01-01T00:00:00Z",
        });
        let mut recurring = job.clone();
        recurring.as_object_mut().unwrap().remove("scheduledAt");
        recurring["schedule"] = json!({ "cron": "0 0 1 1 *" });
        let body = json!({ "tasks": [to_do, to_do, to_do, to_do, job, recurring] });
        let made = caller.post("/api/v1/tasks/bulk", body).await.expect(201).data();
        let ids: Vec<_> = made["tasks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|task| task["id"].clone())
            .collect();
        let ids = ids.iter().map(|id| id.as_str().unwrap().to_owned());
        let [
            to_do,
            to_be_deleted,
            to_be_cancelled,
            to_be_retried,
            job,
            recurring,
        ] = <[String; 6]>::try_from(ids.collect::<Vec<_>>()).unwrap();
        let cancelled = format!("/api/v1/tasks/{to_be_retried}/cancel");
        caller.send(Method::POST, &cancelled, None).await.expect(200);
        Self {
            to_do,
            to_be_deleted,
            to_be_cancelled,
            to_be_retried,
            job,
            recurring,
        }
    }

    fn of_route(&self, route: &str) -> &str {
        match route {
            "DELETE /api/v1/tasks/{id}" => &self.to_be_deleted,
            route if route.ends_with("/cancel") => &self.to_be_cancelled,
            route if route.ends_with("/retry") => &self.to_be_retried,
            route if route.ends_with("/execute") => &self.job,
            route if route.ends_with("/pause") || route.ends_with("/resume") => &self.recurring,
            _ => &self.to_do,
        }
    }
}

impl Things {
    async fn of(person: &Person) -> Self {
        let executed = person.caller.echo("mine").await.expect(200).data();
        Self {
            user: person.id.clone(),
            key: person.key(&[]).await.0,
            execution: executed["executionId"].as_str().unwrap().to_owned(),
            tasks: Tasks::of(&person.caller).await,
        }
    }

    fn fill(&self, row: &Row) -> String {
        let path = row.path();
        let id = match path {
            path if path.contains("/users/") => &self.user,
            path if path.contains("/api-keys/") => &self.key,
            path if path.contains("/tasks/") => self.tasks.of_route(row.route),
            _ => &self.execution,
        };
        path.replace("{id}", id)
            .replace("{name}", "sample")
            .replace("{file}", "index.html")
    }
}

/// Sends a request of the table, holds its answer against what is foreseen, and tells whether it was let through.
async fn check(row: &Row, someone: &Someone, things: &Things, is_foreign: bool) -> bool {
    let body = Some(row.body.clone()).filter(|body| !body.is_null());
    let reply = someone.caller.send(row.method(), &things.fill(row), body).await;
    let told = format!(
        "{} by {:?}, foreign: {is_foreign}: {}",
        row.route, someone.kind, reply.text
    );
    if let Some(foreseen) = foreseen(row, someone.kind, is_foreign) {
        assert_eq!((reply.status, reply.code()), foreseen, "{told}");
        return false;
    }
    let is_public = matches!(row.access, Access::Public);
    let is_done = if row.is_in_conflict {
        reply.status == 409
    } else {
        (200..300).contains(&reply.status)
    };
    assert!(is_public || is_done, "{told}");
    assert!(
        ![403, 405].contains(&reply.status) && reply.status < 500,
        "{told}"
    );
    true
}

/// Routes after which the caller can't go on as it was.
const LAST: [&str; 4] = [
    "PUT /api/v1/auth/password",
    "POST /api/v1/auth/logout",
    "POST /api/v1/auth/logout-all",
    "DELETE /api/v1/users/{id}",
];

#[test]
fn b05_every_route_has_a_row_and_every_row_a_route() {
    let mut routes = contract::routes();
    let rows = matrix();
    let mut listed: Vec<_> = rows.iter().map(|row| row.route.to_owned()).collect();
    routes.sort_unstable();
    listed.sort_unstable();
    assert_eq!(listed, routes);
}

#[test]
fn b05_the_matrix_agrees_with_the_rules_of_the_model() {
    for row in matrix() {
        let Access::Needs {
            credential,
            account,
            scope,
            role,
            permission,
        } = row.access
        else {
            continue;
        };
        let rule = permission.rule();
        assert_eq!(
            (rule.credential, rule.needs_account, rule.role),
            (credential, account, role),
            "{}",
            row.route
        );
        let asks_no_scope = permission == Permission::ReadPresentedKey;
        assert!(asks_no_scope || rule.scope.to_string() == scope, "{}", row.route);
    }
}

#[test]
fn b05_the_document_says_which_credentials_a_route_takes() {
    for row in matrix() {
        let (method, path) = row.route.split_once(' ').unwrap();
        let security = &contract::document()["paths"][path][method.to_lowercase()]["security"];
        let expected = match row.access {
            Access::Public if path.ends_with("/register") => json!([{}, { "bearer": [] }, { "apiKey": [] }]),
            Access::Public => Value::Null,
            Access::Needs {
                credential: CredentialRule::TokenOrKey,
                ..
            } => json!([{ "bearer": [] }, { "apiKey": [] }]),
            Access::Needs {
                credential: CredentialRule::TokenOnly,
                ..
            } => json!([{ "bearer": [] }]),
            Access::Needs {
                credential: CredentialRule::KeyOnly,
                ..
            } => json!([{ "apiKey": [] }, { "bearer": [] }]),
        };
        assert_eq!(security, &expected, "{}", row.route);
    }
}

#[tokio::test]
async fn b05_every_caller_is_let_through_or_refused_as_the_matrix_says() {
    let server = Server::start().await;
    // Keeps the others from being the last admin.
    newcomer(&server, Role::Admin).await;
    for kind in kinds() {
        let mut someone = Someone::appear(&server, kind).await;
        let mut foreign = Things::of(&newcomer(&server, Role::User).await).await;
        // What asks nothing of anyone is tried by those only who could be asked for something.
        let is_keyed = matches!(kind, Kind::Key(..));
        let rows = matrix()
            .into_iter()
            .filter(|row| !is_keyed || !matches!(row.access, Access::Public));
        for row in rows {
            let Some(things) = &someone.things else {
                check(&row, &someone, &foreign, true).await;
                if LAST.contains(&row.route) {
                    foreign = Things::of(&newcomer(&server, Role::User).await).await;
                }
                continue;
            };
            if check(&row, &someone, things, false).await && LAST.contains(&row.route) {
                someone = Someone::appear(&server, kind).await;
            }
        }
    }
}

#[tokio::test]
async fn b01_what_belongs_to_others_is_hidden_from_all_but_admins() {
    let server = Server::start().await;
    newcomer(&server, Role::Admin).await;
    for kind in kinds() {
        let someone = Someone::appear(&server, kind).await;
        let mut foreign = Things::of(&newcomer(&server, Role::User).await).await;
        for row in matrix().into_iter().filter(|row| row.owned != Owned::Nobody) {
            if check(&row, &someone, &foreign, true).await && LAST.contains(&row.route) {
                foreign = Things::of(&newcomer(&server, Role::User).await).await;
            }
        }
    }
}
