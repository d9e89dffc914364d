//! Input that can't be read, is too large, or can be read in two ways.

use rstest::rstest;

use crate::fixture::{Server, body_of, header_of, status_of};

const REGISTER: &str = "POST /api/v1/auth/register HTTP/1.1\r\nHost: localhost\r\n";

fn post(kind: &str, body: &[u8]) -> Vec<u8> {
    let mut sent = format!(
        "{REGISTER}{kind}Connection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    sent.extend_from_slice(body);
    sent
}

fn post_json(body: &[u8]) -> Vec<u8> {
    post("Content-Type: application/json\r\n", body)
}

fn code_of(answer: &str) -> String {
    body_of(answer)["error"]["code"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[rstest]
#[case::no_json(b"hello", "line 1, column 1")]
#[case::truncated(b"{\"email\":\n\"a", "line 2")]
#[case::two_values(b"{}{}", "line 1, column 3")]
#[case::byte_order_mark(b"\xef\xbb\xbf{}", "line 1, column 1")]
#[case::utf_16(b"\xff\xfe{\0}\0", "line 1, column 1")]
#[case::invalid_utf_8(b"{\"email\":\"\xff\"}", "line 1, column 11")]
#[case::nan(b"{\"email\":NaN}", "line 1, column 10")]
#[case::duplicate_key(b"{\"email\":1,\"email\":1}", "line 1, column")]
#[case::lone_surrogate(b"{\"email\":\"\\udc00\"}", "line 1, column")]
#[case::too_great_a_number(b"{\"email\":1e400}", "line 1, column")]
#[case::too_long_an_integer(b"{\"email\":18446744073709551616}", "line 1, column 10")]
#[case::nothing(b"", "empty")]
#[tokio::test]
async fn c01_a_body_that_is_not_json_is_refused_with_its_position(#[case] body: &[u8], #[case] place: &str) {
    let server = Server::start().await;
    let answer = server.exchange(post_json(body)).await;
    assert_eq!(
        (status_of(&answer), code_of(&answer).as_str()),
        (400, "malformed_json"),
        "{answer}"
    );
    let message = body_of(&answer)["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains(place), "{message}");
    server.stop().await;
}

#[tokio::test]
async fn c02_a_deep_body_is_refused() {
    let server = Server::start().await;
    for opening in ["[", "{\"a\":"] {
        let answer = server
            .exchange(post_json(opening.repeat(100_000).as_bytes()))
            .await;
        assert_eq!(
            (status_of(&answer), code_of(&answer).as_str()),
            (400, "malformed_json"),
            "{answer}"
        );
        assert!(answer.contains("64 levels"), "{answer}");
    }
    server.stop().await;
}

#[tokio::test]
async fn c03_a_body_beyond_the_limit_is_refused_before_it_is_read() {
    let server = Server::start_with(&[("MAX_BODY_BYTES", "2048")]).await;
    let head = format!("{REGISTER}Content-Type: application/json\r\nContent-Length: 1000000000\r\n\r\n");
    let answer = server.exchange(head).await;
    assert_eq!(
        (status_of(&answer), code_of(&answer).as_str()),
        (413, "payload_too_large"),
        "{answer}"
    );
    assert_eq!(header_of(&answer, "connection"), Some("close"));
    assert!(answer.contains("2048 bytes"), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn c03_a_body_beyond_the_limit_that_was_sent_whole_gets_its_answer() {
    let server = Server::start_with(&[("MAX_BODY_BYTES", "2048")]).await;
    let answer = server.exchange(post_json(&[b' '; 1_000_000])).await;
    assert_eq!(status_of(&answer), 413);
    server.stop().await;
}

#[tokio::test]
async fn c03_chunks_without_end_are_refused_at_the_limit() {
    let server = Server::start_with(&[("MAX_BODY_BYTES", "2048")]).await;
    let mut wire = server.connect().await;
    wire.send(format!(
        "{REGISTER}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    ))
    .await;
    for _ in 0..20 {
        wire.send(format!("100\r\n{}\r\n", " ".repeat(0x100))).await;
    }
    let answer = wire.read_answer().await;
    assert_eq!(status_of(&answer), 413);
    assert_eq!(header_of(&answer, "connection"), Some("close"));
    wire.close();
    server.stop().await;
}

#[tokio::test]
async fn c03_a_compressed_body_is_not_unpacked() {
    let server = Server::start().await;
    let kind = "Content-Type: application/json\r\nContent-Encoding: gzip\r\n";
    let answer = server
        .exchange(post(kind, &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]))
        .await;
    assert_eq!(
        (status_of(&answer), code_of(&answer).as_str()),
        (415, "unsupported_media_type"),
        "{answer}"
    );
    server.stop().await;
}

#[rstest]
#[case::missing("")]
#[case::text("Content-Type: text/plain\r\n")]
#[case::form("Content-Type: application/x-www-form-urlencoded\r\n")]
#[case::other_charset("Content-Type: application/json; charset=latin1\r\n")]
#[case::twice("Content-Type: application/json\r\nContent-Type: application/json\r\n")]
#[tokio::test]
async fn c04_a_body_of_another_type_is_refused(#[case] kind: &str) {
    let server = Server::start().await;
    let answer = server.exchange(post(kind, b"{}")).await;
    assert_eq!(
        (status_of(&answer), code_of(&answer).as_str()),
        (415, "unsupported_media_type"),
        "{answer}"
    );
    server.stop().await;
}

#[tokio::test]
async fn c05_numbers_out_of_range_are_refused_with_the_range() {
    let server = Server::start().await;
    for limit in ["0", "-1", "101", "1e9", "abc", "", "99999999999999999999"] {
        let key = format!("X-API-Key: {}\r\n", crate::fixture::ADMIN_API_KEY);
        let sent = format!(
            "GET /api/v1/users?limit={limit} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{key}\r\n"
        );
        let answer = server.exchange(sent).await;
        assert_eq!(status_of(&answer), 422, "{limit}");
        assert_eq!(body_of(&answer)["error"]["details"][0]["path"], "limit");
        assert_eq!(
            body_of(&answer)["error"]["details"][0]["message"],
            "must be a whole number from 1 to 100"
        );
    }
    server.stop().await;
}

#[rstest]
#[case::twice("?role=user&role=user", 422)]
#[case::unknown("?colour=red", 422)]
#[case::bad_escape("?q=%zz", 400)]
#[case::not_utf_8("?q=%ff", 400)]
#[tokio::test]
async fn c12_a_query_string_is_taken_literally_or_refused(#[case] query: &str, #[case] status: u16) {
    let server = Server::start().await;
    let key = format!("X-API-Key: {}\r\n", crate::fixture::ADMIN_API_KEY);
    let sent =
        format!("GET /api/v1/users{query} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{key}\r\n");
    let answer = server.exchange(sent).await;
    assert_eq!(status_of(&answer), status, "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn c11_many_or_long_headers_are_refused() {
    let server = Server::start().await;
    let many: String = (0..200).map(|index| format!("X-{index}: 1\r\n")).collect();
    let long = format!("X-Long: {}\r\n", "x".repeat(64_000));
    for headers in [many, long] {
        let sent = format!("GET /health HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        assert_eq!(status_of(&server.exchange(sent).await), 431);
    }
    let path = "x".repeat(70_000);
    let answer = server
        .exchange(format!("GET /{path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
        .await;
    assert!([414, 431].contains(&status_of(&answer)), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn c11_a_header_with_a_line_break_is_another_header() {
    let server = Server::start().await;
    let sent = "GET /health HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: a\nX-Evil: b\r\n\r\n";
    let answer = server.exchange(sent).await;
    assert_eq!(status_of(&answer), 400);
    assert!(!answer.contains("vil"), "{answer}");
    server.stop().await;
}

#[rstest]
#[case::length_and_chunks("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n")]
#[case::chunks_and_length("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n")]
#[case::two_lengths("Content-Length: 4\r\nContent-Length: 40\r\n")]
#[case::hidden_chunks("Transfer-Encoding: xchunked\r\n")]
#[case::chunks_not_last("Transfer-Encoding: chunked, identity\r\n")]
#[case::space_before_colon("Content-Length : 4\r\n")]
#[case::folded("X-A: b\r\n Content-Length: 4\r\n")]
#[case::bare_line_feed("X-A: b\nContent-Length: 4\r\n")]
#[case::bare_carriage_return("X-A: b\rContent-Length: 4\r\n")]
#[case::nul("X-A: b\0c\r\n")]
#[tokio::test]
async fn d09_a_request_that_can_be_read_in_two_ways_is_refused(#[case] headers: &str) {
    let server = Server::start().await;
    let smuggled = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let sent = format!("{REGISTER}Content-Type: application/json\r\n{headers}\r\n0\r\n\r\n{smuggled}");
    let answer = server.exchange(sent).await;
    assert_eq!(status_of(&answer), 400, "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn d09_a_chunk_that_can_be_read_in_two_ways_is_refused() {
    let server = Server::start().await;
    let smuggled = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for body in [
        "2\n{}\r\n0\r\n\r\n",
        "2;\n{}\r\n0\r\n\r\n",
        "0x2\r\n{}\r\n0\r\n\r\n",
        "2\r\n{}0\r\n\r\n",
    ] {
        let head = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n";
        let answer = server
            .exchange(format!("{REGISTER}{head}\r\n{body}{smuggled}"))
            .await;
        assert_eq!(status_of(&answer), 400, "{body:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{body:?}: {answer}");
    }
    server.stop().await;
}

#[tokio::test]
async fn requests_that_follow_each_other_are_all_answered() {
    let server = Server::start().await;
    let one = format!("{REGISTER}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
    let chunks = "2;x=y\r\n{}\r\n0\r\n\r\n";
    let two = format!("{REGISTER}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}");
    let three = "\r\nGET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let answers = server.exchange(format!("{one}{chunks}{two}{three}")).await;
    let statuses: Vec<_> = answers
        .split("HTTP/1.1 ")
        .skip(1)
        .map(|rest| &rest[..3])
        .collect();
    assert_eq!(statuses, ["422", "422", "200"], "{answers}");
    server.stop().await;
}

#[rstest]
#[case::tunnel("CONNECT localhost:80 HTTP/1.1")]
#[case::whole_server("OPTIONS * HTTP/1.1")]
#[case::star("GET * HTTP/1.1")]
#[case::no_path("GET http://localhost HTTP/1.1")]
#[case::no_slash("GET health HTTP/1.1")]
#[case::empty_query("GET /nothing?# HTTP/1.1")]
#[case::nul("GET /health\0 HTTP/1.1")]
#[case::not_ascii("GET /h\u{e9}alth HTTP/1.1")]
#[case::two_spaces("GET  /health HTTP/1.1")]
#[case::old("GET /nothing HTTP/1.0")]
#[case::very_old("GET /health")]
#[case::later("GET /health HTTP/3.0")]
#[case::other_protocol("\u{16}\u{3}\u{1}\0\u{5}")]
#[tokio::test]
async fn c12_an_odd_target_is_refused_and_harms_nothing(#[case] line: &str) {
    let server = Server::start().await;
    let answer = server
        .exchange(format!("{line}\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
        .await;
    assert!(
        (400..500).contains(&status_of(&answer.replace("HTTP/1.0", "HTTP/1.1"))),
        "{answer}"
    );
    let after = server
        .exchange("GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await;
    assert_eq!(status_of(&after), 200);
    server.stop().await;
}
