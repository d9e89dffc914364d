//! Accounts, for their owners and for admins.

use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    caller::{Caller, Person},
    fixture::Server,
};

#[tokio::test]
async fn a_profile_changes_in_part_and_null_removes_metadata() {
    let server = Server::start().await;
    let ada = Person::new(&server, "ada", "user").await;
    let path = "/api/v1/auth/profile";
    let metadata = json!({ "$set": { "a.b": 1 }, "": [0.1, -0.0, 1e300], "n": 9_007_199_254_740_993_u64 });
    let changed = ada
        .caller
        .put(path, json!({ "metadata": metadata }))
        .await
        .expect(200)
        .data();
    assert_eq!(
        (&changed["metadata"], &changed["username"]),
        (&metadata, &json!("ada"))
    );
    let renamed = ada
        .caller
        .put(path, json!({ "username": "ada2" }))
        .await
        .expect(200)
        .data();
    assert_eq!(
        (&renamed["metadata"], &renamed["username"]),
        (&metadata, &json!("ada2"))
    );
    let removed = ada
        .caller
        .put(path, json!({ "metadata": null }))
        .await
        .expect(200)
        .data();
    assert_eq!(removed.get("metadata"), None);
    let same = ada.caller.put(path, json!({})).await.expect(200).data();
    assert_eq!(same["username"], "ada2");
    ada.caller
        .put(path, json!({ "username": null }))
        .await
        .refused(422, "validation_failed");
}

#[tokio::test]
async fn c08_keys_of_metadata_are_kept_as_they_are_and_its_limits_are_named() {
    let server = Server::start().await;
    let ada = Person::new(&server, "ada", "user").await;
    let path = format!("/api/v1/users/{}", ada.id);
    let odd = json!({ "$where": "1", "a.b": 1, "__proto__": { "x": 1 }, "": 0, "constructor": null, "\u{0}": "\u{0}" });
    let kept = ada
        .caller
        .put(&path, json!({ "metadata": odd }))
        .await
        .expect(200);
    assert_eq!(kept.data()["metadata"], odd);
    assert_eq!(ada.caller.get(&path).await.data()["metadata"], odd);
    let deep = (0..12).fold(json!(1), |inner, _| json!({ "a": inner }));
    let many: Value = (0..10_000)
        .map(|number| (format!("key{number}"), json!(number)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let large = json!({ "text": "x".repeat(17_000) });
    for (metadata, limit) in [(deep, "8 levels"), (many, "1,000 keys"), (large, "16,384 bytes")] {
        let refused = ada
            .caller
            .put(&path, json!({ "metadata": metadata }))
            .await
            .refused(422, "validation_failed");
        assert!(refused.message().contains(limit), "{}", refused.text);
        assert_eq!(refused.refused_fields(), ["metadata"]);
    }
}

#[tokio::test]
async fn an_admin_lists_filters_sorts_and_pages_through_accounts() {
    let server = Server::start().await;
    let admin = Person::new(&server, "admin", "admin").await;
    for name in ["carol", "bob", "dave"] {
        Person::new(&server, name, "user").await;
    }
    let names = |reply: &crate::caller::Reply| -> Vec<String> {
        let users = reply.body["data"].as_array().unwrap();
        users
            .iter()
            .map(|user| user["username"].as_str().unwrap().to_owned())
            .collect()
    };
    let newest = admin.caller.get("/api/v1/users").await.expect(200);
    assert_eq!(names(&newest), ["dave", "bob", "carol", "admin"]);
    assert_eq!(
        newest.body["page"],
        json!({ "limit": 20, "nextCursor": null, "total": 4 })
    );
    let first = admin
        .caller
        .get("/api/v1/users?role=user&sort=username&limit=2")
        .await
        .expect(200);
    assert_eq!(names(&first), ["bob", "carol"]);
    let cursor = first.body["page"]["nextCursor"].as_str().unwrap();
    let second = format!("/api/v1/users?role=user&sort=username&limit=2&cursor={cursor}");
    let second = admin.caller.get(&second).await.expect(200);
    assert_eq!(
        (names(&second), &second.body["page"]["nextCursor"]),
        (vec!["dave".to_owned()], &Value::Null)
    );
    assert_eq!(
        names(&admin.caller.get("/api/v1/users?q=AR").await.expect(200)),
        ["carol"]
    );
    assert!(names(&admin.caller.get("/api/v1/users?isActive=false").await.expect(200)).is_empty());
}

#[tokio::test]
async fn the_overview_counts_by_role_and_day() {
    let server = Server::start().await;
    let admin = Person::new(&server, "admin", "admin").await;
    let ada = Person::new(&server, "ada", "user").await;
    admin
        .caller
        .put(&format!("/api/v1/users/{}", ada.id), json!({ "isActive": false }))
        .await
        .expect(200);
    let overview = admin
        .caller
        .get("/api/v1/users/stats/overview")
        .await
        .expect(200)
        .data();
    assert_eq!(
        overview["byRole"],
        json!({ "user": 1, "developer": 0, "admin": 1 })
    );
    assert_eq!(
        (&overview["total"], &overview["active"], &overview["inactive"]),
        (&json!(2), &json!(1), &json!(1))
    );
    let days = overview["days"].as_array().unwrap();
    let today = days.last().unwrap();
    assert_eq!(
        (days.len(), &today["new"], &today["active"]),
        (30, &json!(2), &json!(2))
    );
}

#[rstest]
#[case::demoted(json!({ "role": "user" }))]
#[case::deactivated(json!({ "isActive": false }))]
#[case::deleted(Value::Null)]
#[tokio::test]
async fn a18_the_last_active_admin_stays(#[case] change: Value) {
    let server = Server::start().await;
    let admin = Person::new(&server, "admin", "admin").await;
    let other = Person::new(&server, "other", "admin").await;
    let remove = async |who: &Person| {
        let path = format!("/api/v1/users/{}", who.id);
        if change.is_null() {
            admin.caller.delete(&path).await
        } else {
            admin.caller.put(&path, change.clone()).await
        }
    };
    remove(&other).await.expect(200);
    remove(&admin).await.refused(409, "last_admin");
    admin.caller.get("/api/v1/users").await.expect(200);
}

#[tokio::test]
async fn a17_an_operator_without_an_account_manages_others_and_has_no_profile() {
    let server = Server::start().await;
    let operator = Caller::operator(&server);
    operator.get("/api/v1/users").await.expect(200);
    operator
        .get("/api/v1/auth/profile")
        .await
        .refused(403, "wrong_credential");
    operator
        .get("/api/v1/auth/api-keys")
        .await
        .refused(403, "wrong_credential");
}

#[tokio::test]
async fn b01_another_persons_account_does_not_exist() {
    let server = Server::start().await;
    let (ada, eve) = (
        Person::new(&server, "ada", "user").await,
        Person::new(&server, "eve", "developer").await,
    );
    let path = format!("/api/v1/users/{}", ada.id);
    let missing = "/api/v1/users/0199c0de-0000-7000-8000-00000000abcd";
    let foreign = eve
        .caller
        .with_header("x-request-id", "same")
        .get(&path)
        .await
        .refused(404, "not_found");
    let nothing = eve
        .caller
        .with_header("x-request-id", "same")
        .get(missing)
        .await
        .refused(404, "not_found");
    assert_eq!(foreign.text, nothing.text);
    eve.caller
        .put(&path, json!({ "username": "mine" }))
        .await
        .refused(404, "not_found");
    eve.caller.delete(&path).await.refused(403, "forbidden");
    eve.caller.get("/api/v1/users").await.refused(403, "forbidden");
    assert_eq!(ada.caller.get(&path).await.data()["username"], "ada");
}

#[rstest]
#[case("limit", &["0", "-1", "101", "1000000000", "abc", "1.5", "", "9223372036854775808"])]
#[case("sort", &["password", "-", "createdAt,email", "created_at", "$natural", ""])]
#[case("role", &["root", "ADMIN", "user,admin", ""])]
#[case("isActive", &["yes", "1", "TRUE", ""])]
#[case("q", &[""])]
#[case("unknown", &["1"])]
#[tokio::test]
async fn c05_c10_query_parameters_have_ranges(#[case] name: &str, #[case] values: &[&str]) {
    let server = Server::start().await;
    let admin = Person::new(&server, "admin", "admin").await;
    for value in values {
        let refused = admin.caller.get(&format!("/api/v1/users?{name}={value}")).await;
        let refused = refused.refused(422, "validation_failed");
        assert_eq!(refused.refused_fields(), [name], "{value}");
        if name == "limit" {
            assert!(refused.message().contains("from 1 to 100"), "{}", refused.text);
        }
    }
}

#[rstest]
#[case("(a%2B)%2B%24")]
#[case("%25")]
#[case("_")]
#[case("%27%20OR%201=1%20--")]
#[case("%00")]
#[case("%5C")]
#[tokio::test]
async fn c10_a_search_is_literal(#[case] search: &str) {
    let server = Server::start().await;
    let admin = Person::new(&server, "admin", "admin").await;
    let found = admin
        .caller
        .get(&format!("/api/v1/users?q={search}"))
        .await
        .expect(200);
    assert_eq!(found.body["page"]["total"], 0);
    let long = "a".repeat(10_000);
    admin
        .caller
        .get(&format!("/api/v1/users?q={long}"))
        .await
        .refused(422, "validation_failed");
}

#[tokio::test]
async fn c09_a_cursor_serves_its_caller_list_filter_and_order_only() {
    let server = Server::start().await;
    let (admin, other) = (
        Person::new(&server, "admin", "admin").await,
        Person::new(&server, "other", "admin").await,
    );
    let first = admin.caller.get("/api/v1/users?limit=1").await.expect(200);
    let cursor = first.body["page"]["nextCursor"].as_str().unwrap().to_owned();
    admin
        .caller
        .get(&format!("/api/v1/users?limit=1&cursor={cursor}"))
        .await
        .expect(200);
    let last = if cursor.ends_with('A') { 'B' } else { 'A' };
    let tampered = format!("{}{last}", &cursor[..cursor.len() - 1]);
    let foreign = [
        format!("/api/v1/users?limit=1&cursor={tampered}"),
        format!("/api/v1/users?limit=1&role=admin&cursor={cursor}"),
        format!("/api/v1/users?limit=1&sort=email&cursor={cursor}"),
        format!("/mcp/history?limit=1&cursor={cursor}"),
        "/api/v1/users?cursor=".to_owned(),
        "/api/v1/users?cursor=%00".to_owned(),
        format!("/api/v1/users?cursor={}", "A".repeat(10_000)),
    ];
    for path in foreign {
        let refused = admin.caller.get(&path).await.refused(422, "validation_failed");
        assert_eq!(refused.refused_fields(), ["cursor"], "{path:.100}");
    }
    other
        .caller
        .get(&format!("/api/v1/users?limit=1&cursor={cursor}"))
        .await
        .refused(422, "validation_failed");
}

#[rstest]
#[case("ADA%00")]
#[case("..%2f..%2fetc%2fpasswd")]
#[case("{ID}")]
#[case("1")]
#[case("%ff")]
#[case("'%20OR%201=1")]
#[tokio::test]
async fn b06_what_is_no_identifier_leads_nowhere(#[case] id: &str) {
    let server = Server::start().await;
    let admin = Person::new(&server, "admin", "admin").await;
    let id = id.replace("{ID}", &admin.id.to_uppercase());
    for path in [format!("/api/v1/users/{id}"), format!("/mcp/history/{id}")] {
        admin.caller.get(&path).await.refused(404, "not_found");
    }
    admin
        .caller
        .delete(&format!("/api/v1/auth/api-keys/{id}"))
        .await
        .refused(404, "not_found");
    let long = format!("/api/v1/users/{}", "a".repeat(10_000));
    admin.caller.get(&long).await.refused(404, "not_found");
}

#[rstest]
#[case::empty("")]
#[case::spaces("   ")]
#[case::control("a\u{7}b")]
#[case::nul("a\0b")]
#[case::right_to_left("a\u{202e}b")]
#[case::markup("<script>")]
#[case::long("{LONG}")]
#[tokio::test]
async fn c06_a_user_name_is_kept_as_given_or_refused(#[case] name: &str) {
    let server = Server::start().await;
    let ada = Person::new(&server, "ada", "user").await;
    let name = name.replace("{LONG}", &"a".repeat(500_000));
    let refused = ada
        .caller
        .put("/api/v1/auth/profile", json!({ "username": name }))
        .await;
    assert_eq!(
        refused.refused(422, "validation_failed").refused_fields(),
        ["username"]
    );
    let kept = ada
        .caller
        .put("/api/v1/auth/profile", json!({ "username": "Ада.Лавлейс-1" }))
        .await
        .expect(200);
    assert_eq!(kept.data()["username"], "Ада.Лавлейс-1");
}
