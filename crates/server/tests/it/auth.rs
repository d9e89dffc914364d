//! Accounts and credentials, through the door.

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::future::join_all;
use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    caller::{Caller, PASSWORD, Person},
    fixture::Server,
};

const ACCESS_SECRET: &str = "signs the access tokens of these tests";
const REFRESH_SECRET: &str = "signs the refresh tokens of these tests";

const REGISTER: &str = "/api/v1/auth/register";
const LOGIN: &str = "/api/v1/auth/login";
const REFRESH: &str = "/api/v1/auth/refresh";
const PROFILE: &str = "/api/v1/auth/profile";

#[tokio::test]
async fn whoever_registers_is_signed_in_and_shown_without_secrets() {
    let server = Server::start().await;
    let stranger = Caller::stranger(&server);
    let registered = stranger.register("Ada", None).await.expect(201);
    let data = registered.data();
    let user =
        json!({ "id": data["user"]["id"], "email": "Ada@example.org", "username": "Ada", "role": "user" });
    assert_eq!(data["user"], user);
    let ada = Person::of(&stranger, &data);
    let profile = ada.caller.get(PROFILE).await.expect(200);
    assert_eq!(profile.data()["isActive"], true);
    assert!(
        !profile.text.to_lowercase().contains("password") && !profile.text.contains("$2b$"),
        "{}",
        profile.text
    );
}

#[tokio::test]
async fn every_route_of_the_versioned_interface_answers_without_the_version_too() {
    let server = Server::start().await;
    let ada = Person::new(&server, "ada", "user").await;
    let versioned = ada.caller.get("/api/v1/auth/profile").await.expect(200);
    let bare = ada.caller.get("/api/auth/profile").await.expect(200);
    assert_eq!(versioned.data(), bare.data());
}

#[rstest]
#[case("admin")]
#[case("developer")]
#[tokio::test]
async fn a01_nobody_gives_themselves_a_role(#[case] role: &str) {
    let server = Server::start().await;
    let stranger = Caller::stranger(&server);
    let ada = Person::new(&server, "ada", "user").await;
    let dev = Person::new(&server, "dev", "developer").await;
    for caller in [&stranger, &ada.caller, &dev.caller] {
        caller.register("eve", Some(role)).await.refused(403, "forbidden");
    }
    stranger
        .log_in("eve@example.org", PASSWORD)
        .await
        .refused(401, "invalid_credentials");
    ada.caller
        .put(&format!("/api/v1/users/{}", ada.id), json!({ "role": role }))
        .await
        .refused(403, "forbidden");
    assert_eq!(ada.caller.get(PROFILE).await.data()["role"], "user");
}

#[rstest]
#[case("isActive", json!(true))]
#[case("id", json!("0199c0de-0000-7000-8000-00000000abcd"))]
#[case("isEmailVerified", json!(true))]
#[case("__proto__", json!({ "role": "admin" }))]
#[tokio::test]
async fn a02_fields_that_a_route_does_not_know_are_refused(#[case] field: &str, #[case] value: Value) {
    let server = Server::start().await;
    let stranger = Caller::stranger(&server);
    let mut body = json!({ "email": "eve@example.org", "username": "eve", "password": PASSWORD });
    body[field] = value.clone();
    let refused = stranger
        .post(REGISTER, body)
        .await
        .refused(422, "validation_failed");
    assert_eq!(refused.refused_fields(), [field]);
    stranger.log_in("eve@example.org", PASSWORD).await.expect(401);
    let ada = Person::new(&server, "ada", "user").await;
    let before = ada.caller.get(PROFILE).await.data();
    let mut change = json!({ "username": "other" });
    change[field] = value;
    ada.caller.put(PROFILE, change).await.expect(422);
    assert_eq!(ada.caller.get(PROFILE).await.data(), before);
}

#[rstest]
#[case::other_case("ADA@EXAMPLE.ORG", "other")]
#[case::spaces_around("  ada@example.org ", "other")]
#[case::full_width("ａｄａ@example.org", "other")]
#[case::name_in_other_case("other@example.org", "ADA")]
#[case::name_with_spaces("other@example.org", " ada ")]
#[case::name_in_full_width("other@example.org", "ａｄａ")]
#[tokio::test]
async fn a03_what_looks_like_a_taken_name_is_taken(#[case] email: &str, #[case] username: &str) {
    let server = Server::start().await;
    Person::new(&server, "ada", "user").await;
    let body = json!({ "email": email, "username": username, "password": PASSWORD });
    Caller::stranger(&server)
        .post(REGISTER, body)
        .await
        .refused(409, "already_exists");
}

#[rstest]
#[case::composed_or_not("Zoe\u{308}", "ZOË")]
#[case::dotless_i("din\u{131}", "DINI")]
#[tokio::test]
async fn a03_unicode_forms_of_one_name_are_one_name(#[case] first: &str, #[case] second: &str) {
    let server = Server::start().await;
    let stranger = Caller::stranger(&server);
    let body = |number: u8, name: &str| json!({ "email": format!("{number}@example.org"), "username": name, "password": PASSWORD });
    stranger.post(REGISTER, body(1, first)).await.expect(201);
    let taken = stranger
        .post(REGISTER, body(2, second))
        .await
        .refused(409, "already_exists");
    assert_eq!(taken.refused_fields(), ["username"]);
}

#[rstest]
#[case::a04(2)]
#[case::a22(50)]
#[tokio::test(flavor = "multi_thread")]
async fn a04_a22_of_many_registrations_of_one_address_at_once_one_is_accepted(#[case] count: usize) {
    let server = Server::start().await;
    let stranger = Caller::stranger(&server);
    let register = |number: usize| {
        let body =
            json!({ "email": "ada@example.org", "username": format!("ada{number}"), "password": PASSWORD });
        let stranger = stranger.clone();
        async move { stranger.post(REGISTER, body).await.status }
    };
    let mut statuses = join_all((0..count).map(register)).await;
    statuses.sort_unstable();
    let mut expected = vec![201];
    expected.resize(count, 409);
    assert_eq!(statuses, expected);
}

#[rstest]
#[case::too_short("1234567".to_owned(), 422)]
#[case::eight_characters("äöüßéñ€😀".to_owned(), 201)]
#[case::bytes_71("x".repeat(71), 201)]
#[case::bytes_72("x".repeat(72), 201)]
#[case::bytes_73("x".repeat(73), 201)]
#[case::bytes_1024("x".repeat(1024), 201)]
#[case::bytes_1025("x".repeat(1025), 422)]
#[case::bytes_1025_in_few_characters(format!("{}x", "😀".repeat(256)), 422)]
#[case::nul_inside("before\0after".to_owned(), 201)]
#[case::emoji("😀".repeat(8), 201)]
#[tokio::test]
async fn a05_every_byte_of_a_password_matters(#[case] password: String, #[case] status: u16) {
    let server = Server::start().await;
    let stranger = Caller::stranger(&server);
    let body = json!({ "email": "ada@example.org", "username": "ada", "password": password });
    let registered = stranger.post(REGISTER, body).await.expect(status);
    if status == 422 {
        let limit = if password.len() < 8 {
            "8 characters"
        } else {
            "1,024 bytes"
        };
        assert!(registered.message().contains(limit), "{}", registered.text);
        return;
    }
    let mut other: String = password
        .chars()
        .rev()
        .skip(1)
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
        .collect();
    other.push('~');
    stranger
        .log_in("ada@example.org", &other)
        .await
        .refused(401, "invalid_credentials");
    stranger
        .log_in("ada@example.org", &format!("{password}~"))
        .await
        .refused(401, "invalid_credentials");
    stranger.log_in("ada@example.org", &password).await.expect(200);
}

#[tokio::test]
async fn a06_a_failed_login_tells_nothing_and_does_the_same_work() {
    let server = Server::start().await;
    let admin = Person::new(&server, "admin", "admin").await;
    Person::new(&server, "ada", "user").await;
    let gone = Person::new(&server, "gone", "user").await;
    admin
        .caller
        .put(
            &format!("/api/v1/users/{}", gone.id),
            json!({ "isActive": false }),
        )
        .await
        .expect(200);
    let stranger = Caller::stranger(&server).with_header("x-request-id", "same");
    let mut answers = Vec::new();
    for (email, password) in [
        ("nobody@example.org", PASSWORD),
        ("ada@example.org", "wrong password"),
        ("gone@example.org", PASSWORD),
    ] {
        let before = password_checks(&server).await;
        let reply = stranger
            .log_in(email, password)
            .await
            .refused(401, "invalid_credentials");
        answers.push((reply.text, password_checks(&server).await - before));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0], answers[2]);
    assert_eq!(answers[0].1, 1, "each attempt checks one password");
}

async fn password_checks(server: &Server) -> u64 {
    let metrics = Caller::operator(server)
        .get("/metrics?format=txt")
        .await
        .expect(200);
    let count = metrics
        .text
        .lines()
        .find_map(|line| line.strip_prefix("mcp_password_work_seconds_count "));
    count.unwrap().parse().unwrap()
}

#[rstest]
#[case::operator(json!({ "$gt": "" }))]
#[case::array(json!(["ada@example.org"]))]
#[case::number(json!(1))]
#[case::null(Value::Null)]
#[case::truth(json!(true))]
#[tokio::test]
async fn a07_login_fields_are_texts(#[case] value: Value) {
    let server = Server::start().await;
    Person::new(&server, "ada", "user").await;
    let stranger = Caller::stranger(&server);
    let email = stranger
        .post(LOGIN, json!({ "email": value, "password": PASSWORD }))
        .await;
    assert_eq!(
        email.refused(422, "validation_failed").refused_fields(),
        ["email"]
    );
    let password = stranger
        .post(LOGIN, json!({ "email": "ada@example.org", "password": value }))
        .await;
    assert_eq!(
        password.refused(422, "validation_failed").refused_fields(),
        ["password"]
    );
}

#[tokio::test]
async fn a08_many_wrong_logins_are_refused_for_a_while_and_a_session_goes_on() {
    let server = Server::start().await;
    let ada = Person::new(&server, "ada", "user").await;
    let stranger = Caller::stranger(&server);
    for _ in 0..5 {
        stranger
            .log_in(&ada.email, "wrong password")
            .await
            .refused(401, "invalid_credentials");
    }
    let attempts = join_all((0..10).map(|_| stranger.log_in(&ada.email, "wrong password"))).await;
    let refused = attempts
        .into_iter()
        .find(|reply| reply.status == 429)
        .unwrap()
        .refused(429, "rate_limited");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 0);
    ada.caller.get(PROFILE).await.expect(200);
}

/// A server whose secrets are known.
async fn start_with_secrets() -> Server {
    Server::start_with(&[
        ("JWT_SECRET", ACCESS_SECRET),
        ("REFRESH_TOKEN_SECRET", REFRESH_SECRET),
    ])
    .await
}

/// Signs claims as someone would who knows a secret.
fn forge(header: &Value, claims: &Value, secret: &str) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    format!(
        "{signed}.{}",
        URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()))
    )
}

/// Header and claims of a token.
fn open(token: &str) -> (Value, Value) {
    let part = |index: usize| {
        let bytes = URL_SAFE_NO_PAD
            .decode(token.split('.').nth(index).unwrap())
            .unwrap();
        serde_json::from_slice(&bytes).unwrap()
    };
    (part(0), part(1))
}

fn with(mut value: Value, name: &str, other: Value) -> Value {
    value[name] = other;
    value
}

#[tokio::test]
async fn a09_only_tokens_exactly_as_this_server_makes_them_are_accepted() {
    let server = start_with_secrets().await;
    let ada = Person::new(&server, "ada", "user").await;
    let (header, claims) = open(&ada.token);
    let signed = |name: &str, value: Value| forge(&with(header.clone(), name, value), &claims, ACCESS_SECRET);
    let unsigned = |algorithm: &str| {
        let token = signed("alg", json!(algorithm));
        format!("{}.", token.rsplit_once('.').unwrap().0)
    };
    let tokens = [
        unsigned("none"),
        unsigned("None"),
        signed("alg", json!("none")),
        signed("alg", json!("RS256")),
        signed("alg", json!("HS512")),
        signed("typ", json!("JWT")),
        signed("kid", json!("../../etc/passwd")),
        signed("kid", json!("' OR 1=1 --")),
        signed("jwk", json!({ "kty": "oct", "k": "AAAA" })),
        signed("jku", json!("http://127.0.0.1:9/keys")),
        signed("x5u", json!("http://127.0.0.1:9/cert")),
        signed("crit", json!(["exp"])),
        forge(&header, &claims, "another secret of at least 32 bytes"),
        ada.token.replace('.', ""),
        ada.token.rsplit_once('.').unwrap().0.to_owned(),
        String::new(),
        ".".repeat(2),
        "a".repeat(10_000),
    ];
    assert_eq!(
        forge(&header, &claims, ACCESS_SECRET),
        ada.token,
        "the forger can do it right"
    );
    for token in tokens {
        let reply = ada.caller.with_token(&token).get(PROFILE).await;
        let reply = reply.refused(401, "invalid_token");
        assert!(
            reply.header("www-authenticate").contains("invalid_token"),
            "{token:.80}"
        );
    }
}

#[tokio::test]
async fn a10_tokens_of_another_time_issuer_or_audience_are_refused() {
    let server = start_with_secrets().await;
    let ada = Person::new(&server, "ada", "user").await;
    let (header, claims) = open(&ada.token);
    let issued = claims["iat"].as_i64().unwrap();
    let changed = [
        ("exp", json!(issued - 3)),
        ("nbf", json!(issued + 60)),
        ("iss", json!("someone-else")),
        ("aud", json!("mcp-server:refresh")),
        ("sub", json!("0199c0de-0000-7000-8000-00000000abcd")),
        ("sid", json!("0199c0de-0000-7000-8000-00000000abcd")),
        ("extra", json!(1)),
    ];
    for (name, value) in changed {
        let token = forge(&header, &with(claims.clone(), name, value), ACCESS_SECRET);
        ada.caller
            .with_token(&token)
            .get(PROFILE)
            .await
            .refused(401, "invalid_token");
    }
    ada.caller.get(PROFILE).await.expect(200);
}

#[tokio::test]
async fn a11_access_and_refresh_tokens_do_not_stand_in_for_each_other() {
    let server = start_with_secrets().await;
    let ada = Person::new(&server, "ada", "user").await;
    ada.caller
        .with_token(&ada.refresh)
        .get(PROFILE)
        .await
        .refused(401, "invalid_token");
    let stranger = Caller::stranger(&server);
    stranger
        .post(REFRESH, json!({ "refreshToken": ada.token }))
        .await
        .refused(401, "invalid_token");
    let (header, claims) = open(&ada.token);
    let resigned = forge(&header, &claims, REFRESH_SECRET);
    stranger
        .post(REFRESH, json!({ "refreshToken": resigned }))
        .await
        .refused(401, "invalid_token");
}

#[tokio::test]
async fn a12_a_refresh_token_used_twice_ends_its_family_and_its_owner_is_told() {
    let server = Server::start().await;
    let ada = Person::new(&server, "ada", "user").await;
    let elsewhere = ada.again().await;
    let stranger = Caller::stranger(&server);
    let renewed = stranger
        .post(REFRESH, json!({ "refreshToken": ada.refresh }))
        .await
        .expect(200)
        .data();
    let newest = Person::of(&stranger, &renewed);
    newest.caller.get(PROFILE).await.expect(200);
    stranger
        .post(REFRESH, json!({ "refreshToken": ada.refresh }))
        .await
        .refused(401, "invalid_token");
    newest.caller.get(PROFILE).await.refused(401, "invalid_token");
    stranger
        .post(REFRESH, json!({ "refreshToken": newest.refresh }))
        .await
        .refused(401, "invalid_token");
    let events = elsewhere
        .caller
        .get("/api/v1/auth/security-events")
        .await
        .expect(200)
        .data();
    assert_eq!(events[0]["kind"], "refresh_token_reused");
    assert_eq!(events[0]["ipAddress"], "127.0.0.1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a13_of_two_renewals_with_one_token_at_once_one_gets_a_pair_and_the_family_ends() {
    let server = Server::start().await;
    let ada = Person::new(&server, "ada", "user").await;
    let stranger = Caller::stranger(&server);
    let renew = || stranger.post(REFRESH, json!({ "refreshToken": ada.refresh }));
    let (one, other) = tokio::join!(renew(), renew());
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 401]);
    let pair = if one.status == 200 {
        one.data()
    } else {
        other.data()
    };
    Person::of(&stranger, &pair)
        .caller
        .get(PROFILE)
        .await
        .refused(401, "invalid_token");
}

#[rstest]
#[case::deactivated(json!({ "isActive": false }))]
#[case::demoted(json!({ "role": "user" }))]
#[case::deleted(Value::Null)]
#[tokio::test]
async fn a14_who_loses_standing_loses_access_at_the_next_request(#[case] change: Value) {
    let server = Server::start().await;
    let admin = Person::new(&server, "admin", "admin").await;
    let eve = Person::new(&server, "eve", "admin").await;
    let (_, key) = eve.key(&[]).await;
    for caller in [&eve.caller, &key] {
        caller.get("/api/v1/users").await.expect(200);
    }
    let path = format!("/api/v1/users/{}", eve.id);
    let changed = if change.is_null() {
        admin.caller.delete(&path).await
    } else {
        admin.caller.put(&path, change.clone()).await
    };
    changed.expect(200);
    let expected = if change["role"] == "user" {
        (403, "forbidden")
    } else {
        (401, "invalid_token")
    };
    for caller in [&eve.caller, &key] {
        caller.get("/api/v1/users").await.refused(expected.0, expected.1);
    }
}

#[tokio::test]
async fn a14_a_new_password_ends_the_other_sessions_and_all_keys() {
    let server = Server::start().await;
    let ada = Person::new(&server, "ada", "user").await;
    let elsewhere = ada.again().await;
    let (_, key) = ada.key(&[]).await;
    let body = |current: &str| json!({ "currentPassword": current, "newPassword": "another long password" });
    ada.caller
        .put("/api/v1/auth/password", body("wrong password"))
        .await
        .refused(401, "invalid_credentials");
    ada.caller
        .put("/api/v1/auth/password", body(PASSWORD))
        .await
        .expect(200);
    ada.caller.get(PROFILE).await.expect(200);
    for caller in [&elsewhere.caller, &key] {
        caller.get(PROFILE).await.refused(401, "invalid_token");
    }
    let stranger = Caller::stranger(&server);
    stranger
        .post(REFRESH, json!({ "refreshToken": elsewhere.refresh }))
        .await
        .refused(401, "invalid_token");
    stranger
        .log_in(&ada.email, PASSWORD)
        .await
        .refused(401, "invalid_credentials");
    stranger
        .log_in(&ada.email, "another long password")
        .await
        .expect(200);
    let events = ada.caller.get("/api/v1/auth/security-events").await.data();
    assert_eq!(events[0]["kind"], "password_changed");
}

#[tokio::test]
async fn logging_out_ends_this_session_and_logging_out_everywhere_all() {
    let server = Server::start().await;
    let ada = Person::new(&server, "ada", "user").await;
    let (second, third) = (ada.again().await, ada.again().await);
    let ended = second
        .caller
        .send(http::Method::POST, "/api/v1/auth/logout", None)
        .await
        .expect(200);
    assert_eq!(ended.data(), json!({ "ended": 1 }));
    second.caller.get(PROFILE).await.refused(401, "invalid_token");
    ada.caller.get(PROFILE).await.expect(200);
    let all = ada
        .caller
        .send(http::Method::POST, "/api/v1/auth/logout-all", None)
        .await
        .expect(200);
    assert_eq!(all.data(), json!({ "ended": 2 }));
    for caller in [&ada.caller, &third.caller] {
        caller.get(PROFILE).await.refused(401, "invalid_token");
    }
}

#[rstest]
#[case::empty("")]
#[case::too_short("short")]
#[case::sample("your-admin-key-0123456789-0123456789")]
#[case::sample_of_the_documents("CHANGE-IN-PRODUCTION-0123456789-0123456789")]
#[tokio::test]
async fn a19_an_operators_key_that_anyone_could_guess_is_never_accepted(#[case] key: &str) {
    let server = Server::start_with(&[("ADMIN_API_KEY", key)]).await;
    let stranger = Caller::stranger(&server);
    for caller in [stranger.with_key(key), stranger.with_token(key)] {
        caller.get("/api/v1/users").await.refused(401, "invalid_token");
    }
}

#[tokio::test]
async fn a_registration_with_an_idempotency_key_is_done_once() {
    let server = Server::start().await;
    let stranger = Caller::stranger(&server).with_header("idempotency-key", "first try");
    stranger
        .register("ada", None)
        .await
        .refused(422, "validation_failed");
    let stranger = stranger.with_header("idempotency-key", "first-try");
    let first = stranger.register("ada", None).await.expect(201);
    let again = stranger.register("ada", None).await.expect(201);
    assert_eq!(first.body, again.body);
    assert_eq!(again.header("idempotency-replayed"), "true");
    stranger
        .register("eve", None)
        .await
        .refused(409, "idempotency_key_reused");
}
