//! What belongs to sessions, in the memory of one process.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use protocol::{
    ClientAnswer, Full, LocalSessions, LogLevel, MAX_SUBSCRIPTIONS, SessionKey, Sessions, StreamKey,
    UnderWay, Weight,
};
use serde_json::Map;

use crate::post::soon;

const ONE: SessionKey = SessionKey::new(1);
const OTHER: SessionKey = SessionKey::new(2);

fn sessions() -> (Arc<dyn Sessions>, Arc<AtomicU64>) {
    let now = Arc::new(AtomicU64::new(1_000_000));
    let clock = {
        let now = Arc::clone(&now);
        move || now.load(Ordering::SeqCst)
    };
    (Arc::new(LocalSessions::new(clock)), now)
}

async fn fill(sessions: &Arc<dyn Sessions>, stream: StreamKey, weight: Weight, events: usize) -> Vec<bool> {
    let mut taken = Vec::new();
    for _ in 0..events {
        let appended = sessions.append(stream, weight, Bytes::from_static(b"{}")).await;
        taken.push(appended.is_ok());
    }
    taken
}

#[tokio::test]
async fn an_ended_session_stays_ended_for_as_long_as_its_id_is_good() {
    let (sessions, now) = sessions();
    sessions.end(ONE, 2_000_000).await;
    now.store(1_999_999, Ordering::SeqCst);
    sessions.end(OTHER, 3_000_000).await;
    assert!(sessions.standing(ONE).await.ended);
    now.store(2_000_000, Ordering::SeqCst);
    sessions.end(SessionKey::new(3), 3_000_000).await;
    assert!(!sessions.standing(ONE).await.ended);
    assert!(sessions.standing(OTHER).await.ended);
}

#[tokio::test]
async fn an_ended_session_gets_nothing_any_more() {
    let (sessions, _) = sessions();
    let stream = sessions.open_stream(ONE).await.unwrap();
    let reader = sessions.attach(stream).await.unwrap();
    let listener = sessions.listen(ONE).await.unwrap();
    let running = sessions.run(ONE, "1").await.unwrap();
    let asked = sessions.ask(ONE, "q").await.unwrap();
    let ending = sessions.end(ONE, 2_000_000);
    let (read, interests, ()) = tokio::join!(
        sessions.read(stream, reader, 0),
        sessions.interests(ONE, listener, 1),
        ending
    );
    assert_eq!((read, interests), (None, None));
    assert!(soon(running).await.is_ok());
    assert!(soon(asked).await.is_err());
    assert_eq!(sessions.set_log_level(ONE, LogLevel::Info).await, Err(Full));
    assert_eq!(sessions.open_stream(ONE).await, Err(Full));
}

#[tokio::test]
async fn sessions_do_not_know_each_other() {
    let (sessions, _) = sessions();
    sessions.set_log_level(ONE, LogLevel::Error).await.unwrap();
    assert_eq!(sessions.standing(ONE).await.log_level, Some(LogLevel::Error));
    assert_eq!(sessions.standing(OTHER).await.log_level, None);
    let mut running = sessions.run(ONE, "1").await.unwrap();
    let mut asked = sessions.ask(ONE, "q").await.unwrap();
    sessions.cancel(OTHER, "1").await;
    assert!(
        !sessions
            .answer(OTHER, "q", ClientAnswer::Result(Map::new()))
            .await
    );
    assert!(running.try_recv().is_err() && asked.try_recv().is_err());
    assert!(sessions.answer(ONE, "q", ClientAnswer::Result(Map::new())).await);
    assert_eq!(asked.try_recv(), Ok(ClientAnswer::Result(Map::new())));
}

#[tokio::test]
async fn an_answer_that_nobody_waits_for_any_more_is_not_taken() {
    let (sessions, _) = sessions();
    drop(sessions.ask(ONE, "q").await.unwrap());
    assert!(
        !sessions
            .answer(ONE, "q", ClientAnswer::Refused(String::new()))
            .await
    );
}

#[tokio::test]
async fn subscriptions_count_once_and_only_so_many() {
    let (sessions, _) = sessions();
    for number in 0..MAX_SUBSCRIPTIONS {
        sessions.subscribe(ONE, &format!("lab://{number}")).await.unwrap();
    }
    sessions.subscribe(ONE, "lab://0").await.unwrap();
    assert_eq!(sessions.subscribe(ONE, "lab://more").await, Err(Full));
    sessions.unsubscribe(ONE, "lab://0").await;
    sessions.subscribe(ONE, "lab://more").await.unwrap();
    let listener = sessions.listen(ONE).await.unwrap();
    let interests = soon(sessions.interests(ONE, listener, 0)).await.unwrap();
    assert_eq!(interests.uris.len(), MAX_SUBSCRIPTIONS);
    assert!(interests.uris.contains(&"lab://more".to_owned()));
}

#[tokio::test]
async fn a_listener_hears_of_new_interests_until_another_listens() {
    let (sessions, _) = sessions();
    let first = sessions.listen(ONE).await.unwrap();
    let none = soon(sessions.interests(ONE, first, 0)).await.unwrap();
    assert!(none.uris.is_empty());
    let (changed, subscribed) = tokio::join!(
        soon(sessions.interests(ONE, first, none.version)),
        sessions.subscribe(ONE, "lab://1")
    );
    subscribed.unwrap();
    let changed = changed.unwrap();
    assert_eq!(changed.uris, ["lab://1"]);
    let (superseded, second) = tokio::join!(
        soon(sessions.interests(ONE, first, changed.version)),
        sessions.listen(ONE)
    );
    assert_eq!(superseded, None);
    assert!(soon(sessions.interests(ONE, second.unwrap(), 0)).await.is_some());
}

#[tokio::test]
async fn a_full_stream_drops_notices_but_neither_questions_nor_the_response() {
    let (sessions, _) = sessions();
    let stream = sessions.open_stream(ONE).await.unwrap();
    let taken = fill(&sessions, stream, Weight::Notice, 300).await;
    assert!(taken[0] && !taken[299]);
    let kept = taken.iter().filter(|taken| **taken).count();
    assert_eq!(fill(&sessions, stream, Weight::Message, 1).await, [true]);
    assert_eq!(fill(&sessions, stream, Weight::Last, 2).await, [true, false]);
    let reader = sessions.attach(stream).await.unwrap();
    let all = soon(sessions.read(stream, reader, 0)).await.unwrap();
    assert_eq!((all.events.len(), all.is_last), (kept + 2, true));
}

#[tokio::test]
async fn what_was_read_makes_room_for_more() {
    let (sessions, _) = sessions();
    let stream = sessions.open_stream(ONE).await.unwrap();
    let kept = fill(&sessions, stream, Weight::Notice, 300).await;
    let kept = kept.iter().filter(|taken| **taken).count();
    let reader = sessions.attach(stream).await.unwrap();
    let batch = soon(sessions.read(stream, reader, 0)).await.unwrap();
    let (last, _) = batch.events[kept - 1];
    // Coming back for more says that the rest has arrived.
    let (more, taken) = tokio::join!(
        soon(sessions.read(stream, reader, last)),
        fill(&sessions, stream, Weight::Notice, 5)
    );
    assert_eq!(taken, [true; 5]);
    assert!(!more.unwrap().events.is_empty());
    assert_eq!(soon(sessions.read(stream, reader, 0)).await, None);
}

#[tokio::test]
async fn a_finished_stream_is_given_up_in_time() {
    let (sessions, now) = sessions();
    let stream = sessions.open_stream(ONE).await.unwrap();
    fill(&sessions, stream, Weight::Last, 1).await;
    now.fetch_add(119_999, Ordering::SeqCst);
    assert!(sessions.attach(stream).await.is_some());
    now.fetch_add(1, Ordering::SeqCst);
    assert_eq!(sessions.attach(stream).await, None);
}

#[tokio::test]
async fn f09_large_finished_streams_make_room_for_each_other() {
    let (sessions, _) = sessions();
    let large = Bytes::from(vec![b'x'; 16 * 1024 * 1024]);
    let mut streams = Vec::new();
    for _ in 0..6 {
        let stream = sessions.open_stream(ONE).await.unwrap();
        sessions
            .append(stream, Weight::Last, large.clone())
            .await
            .unwrap();
        streams.push(stream);
    }
    assert_eq!(sessions.attach(streams[0]).await, None);
    assert!(sessions.attach(streams[5]).await.is_some());
}

#[tokio::test]
async fn f09_only_so_many_streams_of_one_session_are_open() {
    let (sessions, _) = sessions();
    let mut opened = 0;
    while sessions.open_stream(ONE).await.is_ok() {
        opened += 1;
        assert!(opened < 100_000);
    }
    assert!(sessions.open_stream(OTHER).await.is_ok());
}

#[tokio::test]
async fn f09_sessions_that_wish_for_something_and_go_make_room_for_others() {
    let (sessions, now) = sessions();
    for number in 0..50_000_u128 {
        now.fetch_add(1, Ordering::SeqCst);
        let _crowded = sessions
            .set_log_level(SessionKey::new(number), LogLevel::Debug)
            .await;
    }
    now.fetch_add(1000, Ordering::SeqCst);
    let late = SessionKey::new(60_000);
    sessions.set_log_level(late, LogLevel::Debug).await.unwrap();
    assert_eq!(sessions.standing(late).await.log_level, Some(LogLevel::Debug));
    assert_eq!(sessions.standing(SessionKey::new(0)).await.log_level, None);
}

#[tokio::test]
async fn a_key_is_read_as_it_was_written_and_in_no_other_way() {
    let key = SessionKey::new(u128::MAX - 10);
    let text = key.to_string();
    assert_eq!(SessionKey::parse(&text), Some(key));
    for other in [
        text.to_uppercase(),
        format!("+{}", &text[1..]),
        text[1..].to_owned(),
        format!("{text}0"),
    ] {
        assert_eq!(SessionKey::parse(&other), None, "{other}");
    }
}

#[tokio::test]
async fn questions_that_nobody_waits_for_any_more_take_no_room() {
    let (sessions, _) = sessions();
    let mut asked = Vec::new();
    for number in 0..16 {
        asked.push(sessions.ask(ONE, &format!("q{number}")).await.unwrap());
    }
    asked.truncate(10);
    for number in 16..167 {
        asked.push(sessions.ask(ONE, &format!("q{number}")).await.unwrap());
    }
    asked.clear();
    for number in 200..400 {
        asked.push(sessions.ask(ONE, &format!("q{number}")).await.unwrap());
    }
}

#[tokio::test]
async fn what_waits_and_what_is_said_can_be_looked_at_without_taking_it() {
    let sessions = LocalSessions::numbering_from(|| 1_000_000, 41);
    sessions.set_log_level(OTHER, LogLevel::Info).await.unwrap();
    assert_eq!(sessions.under_way(), []);
    let asked = sessions.ask(ONE, "q").await.unwrap();
    let stream = sessions.open_stream(OTHER).await.unwrap();
    assert_eq!(stream.number, 42);
    let mut under_way = sessions.under_way();
    under_way.sort_by_key(|one| one.session);
    let of = |session, questions: &[&str]| UnderWay {
        session,
        questions: questions.iter().map(|question| (*question).to_owned()).collect(),
    };
    assert_eq!(under_way, [of(ONE, &["q"]), of(OTHER, &[])]);
    assert!(sessions.is_asked(ONE, "q") && !sessions.is_asked(OTHER, "q"));
    drop(asked);
    assert!(!sessions.is_asked(ONE, "q"));

    let event = Bytes::from_static(b"{}");
    sessions
        .append(stream, Weight::Message, event.clone())
        .await
        .unwrap();
    assert_eq!(sessions.peek(stream, 0).unwrap().events, [(1, event.clone())]);
    assert!(sessions.peek(stream, 1).unwrap().events.is_empty());
    sessions.append(stream, Weight::Last, event).await.unwrap();
    assert!(sessions.peek(stream, 1).unwrap().is_last);
    assert_eq!(sessions.under_way(), []);
    let unknown = StreamKey {
        session: ONE,
        ..stream
    };
    assert_eq!(sessions.peek(unknown, 0), None);
}

#[tokio::test]
async fn it_is_told_whether_something_was_cancelled() {
    let sessions = LocalSessions::new(|| 1_000_000);
    let running = sessions.run(ONE, "1").await.unwrap();
    drop(sessions.run(ONE, "2").await.unwrap());
    assert!(!sessions.cancel_here(ONE, "2") && !sessions.cancel_here(OTHER, "1"));
    assert!(sessions.cancel_here(ONE, "1"));
    assert!(soon(running).await.is_ok());
    assert!(!sessions.cancel_here(ONE, "1"));
}
