//! Texts that are sealed for transports.

use crate::fixture::World;

#[test]
fn a_sealed_text_opens_for_its_purpose_and_what_it_is_bound_to_only() {
    let world = World::new();
    let sealing = world.engine.sealing("state").unwrap();
    let sealed = sealing.seal(b"ada", b"notes").unwrap();
    assert_eq!(sealing.open(b"ada", &sealed).unwrap(), b"notes");
    assert_eq!(sealing.open(b"bob", &sealed), None);
    let other = world.engine.sealing("session").unwrap();
    assert_eq!(other.open(b"ada", &sealed), None);
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    assert!(sealed.bytes().all(is_safe), "{sealed}");
}

#[test]
fn a_sealed_text_opens_on_another_process_with_the_same_secret() {
    let world = World::new();
    let sealed = world
        .engine
        .sealing("state")
        .unwrap()
        .seal(b"", b"notes")
        .unwrap();
    let other = world.another_engine().sealing("state").unwrap();
    assert_eq!(other.open(b"", &sealed).unwrap(), b"notes");
}

#[tokio::test]
async fn a_sealed_text_does_not_open_with_another_secret() {
    let world = World::new();
    let sealed = world
        .engine
        .sealing("state")
        .unwrap()
        .seal(b"", b"notes")
        .unwrap();
    let world = world
        .restarted_with(|settings| {
            settings.sealing_secret = model::Secret::new("another secret, as long as needed");
        })
        .await;
    assert_eq!(world.engine.sealing("state").unwrap().open(b"", &sealed), None);
}

#[test]
fn what_was_never_sealed_does_not_open() {
    let sealing = World::new().engine.sealing("state").unwrap();
    for text in ["", "AAAA", "not base64!", &"A".repeat(2 * 1024 * 1024)] {
        assert_eq!(sealing.open(b"", text), None);
    }
}
