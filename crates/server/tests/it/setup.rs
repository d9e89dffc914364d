//! The page on which the first admin is made.

use http::Method;
use rstest::rstest;

use crate::{
    caller::{Caller, PASSWORD, Person, Reply},
    fixture::Server,
};

async fn token(server: &Server) -> String {
    server
        .engine()
        .setup_token()
        .await
        .unwrap()
        .unwrap()
        .expose()
        .to_owned()
}

async fn submit(caller: &Caller, fields: &[(&str, &str)]) -> Reply {
    let form: Vec<_> = fields
        .iter()
        .map(|(name, value)| format!("{name}={}", escape(value)))
        .collect();
    let body = ("application/x-www-form-urlencoded", form.join("&").into_bytes());
    caller.send_raw(Method::POST, "/setup", Some(body)).await
}

fn escape(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

fn fields<'a>(token: &'a str, email: &'a str) -> [(&'a str, &'a str); 5] {
    [
        ("token", token),
        ("email", email),
        ("username", "root"),
        ("password", PASSWORD),
        ("repeated", PASSWORD),
    ]
}

#[tokio::test]
async fn a20_the_link_makes_one_admin_and_no_second() {
    let server = Server::start().await;
    let stranger = Caller::stranger(&server);
    let (token, other) = (token(&server).await, token(&server).await);
    let page = stranger.get(&format!("/setup?token={token}")).await.expect(200);
    assert!(page.text.contains(&format!("name=\"token\" value=\"{token}\"")));
    let made = submit(&stranger, &fields(&token, "root@example.org"))
        .await
        .expect(201);
    assert!(made.text.contains("Welcome, root"));
    let root = stranger
        .log_in("root@example.org", PASSWORD)
        .await
        .expect(200)
        .data();
    assert_eq!(root["user"]["role"], "admin");
    for token in [&token, &other] {
        stranger.get(&format!("/setup?token={token}")).await.expect(404);
        submit(&stranger, &fields(token, "second@example.org"))
            .await
            .expect(404);
    }
    stranger.log_in("second@example.org", PASSWORD).await.expect(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a20_of_two_first_admins_at_once_one_is_made() {
    let server = Server::start().await;
    let stranger = Caller::stranger(&server);
    let token = token(&server).await;
    let (first, second) = (
        fields(&token, "one@example.org"),
        fields(&token, "two@example.org")
            .map(|(name, value)| (name, if name == "username" { "two" } else { value })),
    );
    let (one, two) = tokio::join!(submit(&stranger, &first), submit(&stranger, &second));
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 404]);
}

#[tokio::test]
async fn a20_the_link_dies_when_an_admin_is_made_elsewhere() {
    let server = Server::start().await;
    let token = token(&server).await;
    Person::new(&server, "admin", "admin").await;
    Caller::stranger(&server)
        .get(&format!("/setup?token={token}"))
        .await
        .expect(404);
    assert!(server.engine().setup_token().await.unwrap().is_none());
}

#[rstest]
#[case::empty("")]
#[case::made_up("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]
#[case::markup("\"><script>alert(1)</script>")]
#[tokio::test]
async fn a20_without_a_valid_link_nothing_is_shown(#[case] token: &str) {
    let server = Server::start().await;
    let stranger = Caller::stranger(&server);
    let page = stranger
        .get(&format!("/setup?token={}", escape(token)))
        .await
        .expect(404);
    assert!(
        !page.text.contains("<form") && !page.text.contains("<script"),
        "{}",
        page.text
    );
    submit(&stranger, &fields(token, "root@example.org"))
        .await
        .expect(404);
}

#[tokio::test]
async fn what_was_entered_wrong_is_said_beside_its_field() {
    let server = Server::start().await;
    let stranger = Caller::stranger(&server);
    let token = token(&server).await;
    let wrong = [
        ("token", &*token),
        ("email", "\"><b>x"),
        ("username", "<i>"),
        ("password", PASSWORD),
        ("repeated", "other"),
    ];
    let page = submit(&stranger, &wrong).await.expect(422);
    for part in [
        "role=\"alert\"",
        "id=\"email-error\"",
        "href=\"#username\"",
        "value=\"&quot;&gt;&lt;b&gt;x\"",
        "value=\"&lt;i&gt;\"",
    ] {
        assert!(page.text.contains(part), "{part} is missing in {}", page.text);
    }
    assert!(!page.text.contains(PASSWORD) && !page.text.contains("<b>x") && !page.text.contains("<i>"));
    let mut short = fields(&token, "root@example.org");
    (short[3].1, short[4].1) = ("short", "short");
    assert!(
        submit(&stranger, &short)
            .await
            .expect(422)
            .text
            .contains("id=\"password-error\"")
    );
    (short[3].1, short[4].1) = (PASSWORD, "another password");
    assert!(
        submit(&stranger, &short)
            .await
            .expect(422)
            .text
            .contains("id=\"repeated-error\"")
    );
    submit(&stranger, &fields(&token, "root@example.org"))
        .await
        .expect(201);
}

#[tokio::test]
async fn the_page_runs_no_script_and_every_input_has_a_label() {
    let server = Server::start().await;
    let stranger = Caller::stranger(&server);
    let page = stranger
        .get(&format!("/setup?token={}", token(&server).await))
        .await
        .expect(200);
    assert!(
        page.header("content-security-policy")
            .starts_with("default-src 'none'; style-src 'self'; form-action 'self'")
    );
    // Otherwise browsers would send the form with a null origin, which is refused.
    assert_eq!(page.header("referrer-policy"), "same-origin");
    assert!(!page.text.contains("<script") && page.text.contains("<html lang=\"en\">"));
    for name in ["email", "username", "password", "repeated"] {
        assert!(
            page.text.contains(&format!("<label for=\"{name}\">"))
                && page.text.contains(&format!("<input id=\"{name}\""))
        );
    }
    let style = stranger.get("/setup/style.css").await.expect(200);
    assert_eq!(style.header("content-type"), "text/css; charset=utf-8");
}

#[tokio::test]
async fn f01_a_form_of_a_foreign_page_makes_no_admin() {
    let server = Server::start_with(&[("CORS_ORIGIN", "https://console.example")]).await;
    let token = token(&server).await;
    for origin in ["null", "https://evil.example"] {
        let page = Caller::stranger(&server).with_header("origin", origin);
        submit(&page, &fields(&token, "root@example.org"))
            .await
            .refused(403, "origin_not_allowed");
    }
    let own = Caller::stranger(&server).with_header("origin", &server.url());
    submit(&own, &fields(&token, "root@example.org"))
        .await
        .expect(201);
}

#[tokio::test]
async fn c03_c04_a_form_has_its_type_and_size() {
    let server = Server::start().await;
    let stranger = Caller::stranger(&server);
    let json = ("application/json", b"{}".to_vec());
    stranger
        .send_raw(Method::POST, "/setup", Some(json))
        .await
        .refused(415, "unsupported_media_type");
    let large = ("application/x-www-form-urlencoded", vec![b'a'; 100_000]);
    stranger
        .send_raw(Method::POST, "/setup", Some(large))
        .await
        .refused(413, "payload_too_large");
}
