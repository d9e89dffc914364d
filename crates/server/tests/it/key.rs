//! API keys, through the door.

use std::sync::Arc;

use http::Method;
use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    caller::{Caller, Person},
    fixture::Server,
    home::Home,
};

const GENERATE: &str = "/api/v1/auth/api-key/generate";
const KEYS: &str = "/api/v1/auth/api-keys";
const PROFILE: &str = "/api/v1/auth/profile";

#[tokio::test]
async fn a_key_is_made_without_a_body_and_shown_once() {
    let server = Server::start().await;
    let ada = Person::new(&server, "ada", "user").await;
    let made = ada
        .caller
        .send(Method::POST, GENERATE, None)
        .await
        .expect(201)
        .data();
    let key = made["key"].as_str().unwrap();
    assert!(key.starts_with(made["prefix"].as_str().unwrap()));
    let caller = ada.caller.with_key(key);
    caller.get(PROFILE).await.expect(200);
    ada.caller.with_token(key).get(PROFILE).await.expect(200);
    let list = ada.caller.get(KEYS).await.expect(200);
    let secret = &key[made["prefix"].as_str().unwrap().len()..];
    assert!(!list.text.contains(secret));
    let presented = caller.get("/api/v1/auth/api-key").await.expect(200).data();
    assert_eq!(
        (&presented["id"], &presented["usageCount"]),
        (&made["id"], &json!(3))
    );
    ada.caller
        .get("/api/v1/auth/api-key")
        .await
        .refused(403, "wrong_credential");
}

#[tokio::test]
async fn keys_are_listed_renamed_narrowed_and_revoked() {
    let server = Server::start().await;
    let ada = Person::new(&server, "ada", "user").await;
    let (id, caller) = ada.key(&["plugins:execute", "history:read"]).await;
    let path = format!("{KEYS}/{id}");
    let narrowed = json!({ "name": "mine", "scopes": ["plugins:execute:sample"], "rateLimit": 7 });
    let changed = ada.caller.patch(&path, narrowed).await.expect(200).data();
    assert_eq!(
        (&changed["name"], &changed["scopes"], &changed["rateLimit"]),
        (&json!("mine"), &json!(["plugins:execute:sample"]), &json!(7))
    );
    caller
        .get("/mcp/history")
        .await
        .refused(403, "insufficient_scope");
    caller.echo("hello").await.expect(200);
    ada.caller
        .patch(&path, json!({ "scopes": ["admin"] }))
        .await
        .refused(422, "validation_failed");
    ada.caller
        .patch(&path, json!({ "scopes": [] }))
        .await
        .refused(422, "validation_failed");
    let revoked = ada.caller.delete(&path).await.expect(200).data();
    assert_eq!(revoked["isActive"], false);
    caller.echo("hello").await.refused(401, "invalid_token");
    ada.caller
        .patch(&path, json!({ "name": "again" }))
        .await
        .refused(409, "conflict");
    let list = ada.caller.get(&format!("{KEYS}?sort=name")).await.expect(200);
    assert_eq!(
        (&list.body["page"]["total"], &list.body["data"][0]["isActive"]),
        (&json!(1), &json!(false))
    );
}

#[tokio::test]
async fn a15_only_the_very_key_is_accepted_and_never_in_the_query() {
    let server = Server::start().await;
    let (ada, eve) = (
        Person::new(&server, "ada", "user").await,
        Person::new(&server, "eve", "user").await,
    );
    let make = async |person: &Person| {
        let made = person
            .caller
            .send(Method::POST, GENERATE, None)
            .await
            .expect(201)
            .data();
        (
            made["key"].as_str().unwrap().to_owned(),
            made["prefix"].as_str().unwrap().to_owned(),
        )
    };
    let ((key, prefix), (foreign, foreign_prefix)) = (make(&ada).await, make(&eve).await);
    let last = if key.ends_with('A') { 'E' } else { 'A' };
    let wrong = [
        format!("{}{last}", &key[..key.len() - 1]),
        key.replace(&prefix, &foreign_prefix),
        prefix,
        key.to_uppercase(),
        format!("{key}A"),
        format!("{key}={foreign}"),
    ];
    let stranger = Caller::stranger(&server);
    for text in wrong {
        stranger
            .with_key(&text)
            .get(PROFILE)
            .await
            .refused(401, "invalid_token");
        stranger
            .with_token(&text)
            .get(PROFILE)
            .await
            .refused(401, "invalid_token");
    }
    for name in ["api_key", "apiKey", "X-API-Key", "access_token", "token"] {
        stranger
            .get(&format!("{PROFILE}?{name}={key}"))
            .await
            .refused(401, "unauthenticated");
    }
    stranger.with_key(&key).get(PROFILE).await.expect(200);
}

#[tokio::test]
async fn a15_a_key_is_kept_as_a_hash_only() {
    let home = Arc::new(Home::embedded());
    let server = Server::start_in(&home, &[]).await;
    let ada = Person::new(&server, "ada", "user").await;
    let made = ada
        .caller
        .send(Method::POST, GENERATE, None)
        .await
        .expect(201)
        .data();
    let (key, prefix) = (made["key"].as_str().unwrap(), made["prefix"].as_str().unwrap());
    let secret = &key.as_bytes()[prefix.len() + 1..];
    let files: Vec<_> = walk(home.path())
        .into_iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect();
    let holds = |needle: &[u8]| {
        files
            .iter()
            .any(|file| file.windows(needle.len()).any(|window| window == needle))
    };
    assert!(holds(prefix.as_bytes()), "the store was looked at");
    assert!(!holds(secret) && !holds(ada.refresh.as_bytes()) && !holds(ada.token.as_bytes()));
    assert!(!holds(crate::caller::PASSWORD.as_bytes()));
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] })
        .collect()
}

#[tokio::test]
async fn a16_a_narrow_key_is_told_which_scope_it_lacks() {
    let server = Server::start().await;
    let admin = Person::new(&server, "admin", "admin").await;
    let (_, key) = admin.key(&["tasks:read"]).await;
    let refused = key.echo("hello").await.refused(403, "insufficient_scope");
    assert!(
        refused.message().contains("plugins:execute:sample"),
        "{}",
        refused.text
    );
    let refused = key.get("/api/v1/users").await.refused(403, "insufficient_scope");
    assert!(refused.message().contains("users:read"), "{}", refused.text);
    key.post(GENERATE, json!({ "scopes": ["admin"] }))
        .await
        .refused(403, "wrong_credential");
    let history = admin.caller.get("/mcp/history").await.expect(200);
    assert_eq!(history.body["data"][0]["error"]["code"], "insufficient_scope");
}

#[tokio::test]
async fn a17_a_key_makes_no_keys_changes_no_password_and_does_not_outrank_its_owner() {
    let server = Server::start().await;
    let ada = Person::new(&server, "ada", "user").await;
    let (id, key) = ada.key(&["admin"]).await;
    key.send(Method::POST, GENERATE, None)
        .await
        .refused(403, "wrong_credential");
    let passwords =
        json!({ "currentPassword": crate::caller::PASSWORD, "newPassword": "another long password" });
    key.put("/api/v1/auth/password", passwords)
        .await
        .refused(403, "wrong_credential");
    key.get("/api/v1/users").await.refused(403, "forbidden");
    key.delete(&format!("{KEYS}/{id}"))
        .await
        .refused(403, "wrong_credential");
    let admin = Person::new(&server, "admin", "admin").await;
    admin
        .caller
        .delete(&format!("/api/v1/users/{}", ada.id))
        .await
        .expect(200);
    key.get(PROFILE).await.refused(401, "invalid_token");
}

#[tokio::test]
async fn a21_credentials_of_two_owners_are_refused() {
    let server = Server::start().await;
    let (ada, eve) = (
        Person::new(&server, "ada", "user").await,
        Person::new(&server, "eve", "user").await,
    );
    let made = eve
        .caller
        .send(Method::POST, GENERATE, None)
        .await
        .expect(201)
        .data();
    let own = ada
        .caller
        .send(Method::POST, GENERATE, None)
        .await
        .expect(201)
        .data();
    let with = |key: &Value| ada.caller.with_header("x-api-key", key.as_str().unwrap());
    with(&made["key"])
        .get(PROFILE)
        .await
        .refused(400, "conflicting_credentials");
    with(&own["key"]).get(PROFILE).await.expect(200);
}

#[rstest]
#[case("name", json!(""))]
#[case("name", json!("  "))]
#[case("name", json!("a\u{0}b"))]
#[case("name", json!("x".repeat(101)))]
#[case("name", Value::Null)]
#[case("scopes", json!(["everything"]))]
#[case("scopes", json!("admin"))]
#[case("scopes", json!(vec!["admin"; 51]))]
#[case("expiresAt", json!("2020-01-01T00:00:00Z"))]
#[case("expiresAt", json!("0000-01-01T00:00:00Z"))]
#[case("expiresAt", json!("10000-01-01T00:00:00Z"))]
#[case("expiresAt", json!("2030-01-01T00:00:00"))]
#[case("expiresAt", json!("2030-02-30T00:00:00Z"))]
#[case("expiresAt", json!(1_900_000_000))]
#[case("rateLimit", json!(0))]
#[case("rateLimit", json!(-1))]
#[case("rateLimit", json!(0.1))]
#[case("rateLimit", json!(1e300))]
#[case("rateLimit", json!(u64::MAX))]
#[case("rateLimit", json!("1"))]
#[tokio::test]
async fn c05_c06_c07_what_a_key_can_not_be_is_refused(#[case] field: &str, #[case] value: Value) {
    let server = Server::start().await;
    let ada = Person::new(&server, "ada", "user").await;
    let mut body = json!({});
    body[field] = value;
    let refused = ada
        .caller
        .post(GENERATE, body)
        .await
        .refused(422, "validation_failed");
    assert!(refused.refused_fields()[0].starts_with(field), "{}", refused.text);
    assert_eq!(ada.caller.get(KEYS).await.body["page"]["total"], 0);
}

#[rstest]
#[case::other_zone("2999-12-31T23:59:60+00:00", "3000-01-01T00:00:00.000Z")]
#[case::finer_than_milliseconds("2999-06-01T12:00:00.1239+02:00", "2999-06-01T10:00:00.123Z")]
#[case::last_year("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z")]
#[tokio::test]
async fn c07_moments_are_kept_in_utc(#[case] given: &str, #[case] kept: &str) {
    let server = Server::start().await;
    let ada = Person::new(&server, "ada", "user").await;
    let made = ada
        .caller
        .post(GENERATE, json!({ "expiresAt": given }))
        .await
        .expect(201)
        .data();
    assert_eq!(made["expiresAt"], kept);
}

#[tokio::test]
async fn b04_an_idempotency_key_belongs_to_its_sender() {
    let server = Server::start().await;
    let (ada, eve) = (
        Person::new(&server, "ada", "user").await,
        Person::new(&server, "eve", "user").await,
    );
    let send = async |person: &Person, name: &str| {
        let caller = person.caller.with_header("idempotency-key", "same-key");
        caller.post(GENERATE, json!({ "name": name })).await
    };
    let first = send(&ada, "mine").await.expect(201);
    let again = send(&ada, "mine").await.expect(201);
    assert_eq!(
        (first.body, again.header("idempotency-replayed")),
        (again.body.clone(), "true")
    );
    let foreign = send(&eve, "mine").await.expect(201);
    assert_ne!(foreign.data()["key"], again.data()["key"]);
    assert_eq!(foreign.header("idempotency-replayed"), "");
    send(&ada, "other").await.refused(409, "idempotency_key_reused");
    assert_eq!(ada.caller.get(KEYS).await.body["page"]["total"], 1);
}

#[tokio::test]
async fn b01_another_persons_key_does_not_exist() {
    let server = Server::start().await;
    let (ada, admin) = (
        Person::new(&server, "ada", "user").await,
        Person::new(&server, "admin", "admin").await,
    );
    let (id, key) = ada.key(&[]).await;
    let path = format!("{KEYS}/{id}");
    admin
        .caller
        .patch(&path, json!({ "name": "mine" }))
        .await
        .refused(404, "not_found");
    admin.caller.delete(&path).await.refused(404, "not_found");
    assert_eq!(admin.caller.get(KEYS).await.body["page"]["total"], 0);
    key.get(PROFILE).await.expect(200);
}

#[tokio::test]
async fn a_keys_own_limit_takes_the_place_of_the_general_one() {
    let server = Server::start().await;
    let ada = Person::new(&server, "ada", "user").await;
    let made = ada
        .caller
        .post(GENERATE, json!({ "rateLimit": 2 }))
        .await
        .expect(201)
        .data();
    let key = ada.caller.with_key(made["key"].as_str().unwrap());
    assert_eq!(key.get(PROFILE).await.expect(200).header("ratelimit-limit"), "2");
    key.get(PROFILE).await.expect(200);
    let refused = key.get(PROFILE).await.refused(429, "rate_limited");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 0);
    ada.caller.get(PROFILE).await.expect(200);
}
