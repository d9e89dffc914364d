//! The OpenAPI document and the page that shows it.

use crate::{caller::Caller, contract, fixture::Server};

#[tokio::test]
async fn the_document_is_served_as_it_is_printed() {
    let server = Server::start().await;
    let served = Caller::stranger(&server).get("/openapi.json").await.expect(200);
    assert_eq!(&served.body, contract::document());
}

#[tokio::test]
async fn the_page_comes_whole_from_this_server() {
    let server = Server::start().await;
    let stranger = Caller::stranger(&server);
    assert_eq!(
        stranger.get("/docs").await.expect(308).header("location"),
        "/docs/"
    );
    let page = stranger.get("/docs/").await.expect(200);
    assert!(
        !page.text.contains("http://") && !page.text.contains("https://"),
        "{}",
        page.text
    );
    assert!(
        page.header("content-security-policy")
            .contains("default-src 'none'; script-src 'self'")
    );
    let attributes = page
        .text
        .split(['"', '\''])
        .filter(|part| part.starts_with("./") || part.ends_with(".css"));
    let parts: Vec<_> = attributes
        .map(|part| part.trim_start_matches("./").to_owned())
        .collect();
    assert!(parts.len() >= 4, "{parts:?}");
    for part in parts {
        stranger.get(&format!("/docs/{part}")).await.expect(200);
    }
    let initializer = stranger.get("/docs/swagger-initializer.js").await.expect(200);
    assert!(initializer.text.contains("/openapi.json"), "{}", initializer.text);
    stranger.get("/docs/nothing.js").await.refused(404, "not_found");
    stranger
        .get("/docs/..%2fopenapi.json")
        .await
        .refused(404, "not_found");
}
