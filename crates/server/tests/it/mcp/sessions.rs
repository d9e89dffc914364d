//! What belongs to sessions, served by one process and by several: the same whichever process is asked.

mod process;
mod shop;

use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use protocol::{ClientAnswer, Full, LogLevel, MAX_SUBSCRIPTIONS, SessionKey, Sessions, StreamKey, Weight};
use rstest::rstest;
use serde_json::{Map, json};
use tokio_util::sync::CancellationToken;

use self::process::{Kind, Processes, pause, read_to_end, say, session, soon, until};

/// When the sessions of these tests are too old.
const LATE: u64 = 90_000_000;

fn result() -> ClientAnswer {
    let mut result = Map::new();
    result.insert("action".to_owned(), json!("accept"));
    ClientAnswer::Result(result)
}

/// Waits until a stream can be read, which another process may have written just now.
async fn attached(sessions: &Arc<dyn Sessions>, stream: StreamKey) -> u64 {
    soon(sessions.attach(stream)).await.expect("no such stream")
}

#[rstest]
#[tokio::test]
async fn a_session_that_was_ended_anywhere_is_ended_everywhere(
    #[values(Kind::Local, Kind::Alone, Kind::Two, Kind::Deaf, Kind::Redis)] kind: Kind,
) {
    let Some(processes) = Processes::start(kind).await else {
        return;
    };
    let (a, b, one, other) = (&processes.a, &processes.b, session(), session());
    let stream = b.open_stream(one).await.unwrap();
    let reader = b.attach(stream).await.unwrap();
    let listener = b.listen(one).await.unwrap();
    let running = b.run(one, "1").await.unwrap();
    let asked = b.ask(one, "q1").await.unwrap();
    assert!(!b.standing(one).await.ended && !a.standing(other).await.ended);
    // What runs for a while only is looked after when nothing is heard.
    pause().await;
    a.end(one, LATE).await;
    until(b, one, |standing| standing.ended).await;
    assert!(a.standing(one).await.ended);
    assert_eq!(soon(b.read(stream, reader, 0)).await, None);
    assert_eq!(soon(b.interests(one, listener, 1)).await, None);
    assert!(soon(running).await.is_ok() && soon(asked).await.is_err());
    assert_eq!(b.set_log_level(one, LogLevel::Info).await, Err(Full));
    assert_eq!(b.open_stream(one).await, Err(Full));
    assert_eq!(b.subscribe(one, "lab://1").await, Err(Full));
    assert!(!b.standing(other).await.ended);
    processes.stop().await;
}

#[rstest]
#[tokio::test]
async fn the_last_level_that_was_wanted_counts(
    #[values(Kind::Local, Kind::Alone, Kind::Two, Kind::Deaf, Kind::Redis)] kind: Kind,
) {
    let Some(processes) = Processes::start(kind).await else {
        return;
    };
    let (a, b, one) = (&processes.a, &processes.b, session());
    assert_eq!(b.standing(one).await.log_level, None);
    for (at, elsewhere, level) in [
        (a, b, LogLevel::Error),
        (b, a, LogLevel::Debug),
        (a, b, LogLevel::Alert),
    ] {
        at.set_log_level(one, level).await.unwrap();
        assert_eq!(at.standing(one).await.log_level, Some(level));
        until(elsewhere, one, |standing| standing.log_level == Some(level)).await;
    }
    assert_eq!(b.standing(session()).await.log_level, None);
    processes.stop().await;
}

#[rstest]
#[tokio::test]
async fn a_request_is_cancelled_wherever_it_runs(
    #[values(Kind::Local, Kind::Alone, Kind::Two, Kind::Deaf, Kind::Redis)] kind: Kind,
) {
    let Some(processes) = Processes::start(kind).await else {
        return;
    };
    let (a, b, one) = (&processes.a, &processes.b, session());
    let running = a.run(one, "1").await.unwrap();
    let mut other = a.run(one, "2").await.unwrap();
    let mut foreign = a.run(session(), "1").await.unwrap();
    b.cancel(one, "1").await;
    assert!(soon(running).await.is_ok());
    assert!(other.try_recv().is_err() && foreign.try_recv().is_err());
    processes.stop().await;
}

#[rstest]
#[tokio::test]
async fn an_answer_reaches_who_asked_and_only_once(
    #[values(Kind::Local, Kind::Alone, Kind::Two, Kind::Deaf, Kind::Redis)] kind: Kind,
) {
    let Some(processes) = Processes::start(kind).await else {
        return;
    };
    let (a, b, one) = (&processes.a, &processes.b, session());
    let asked = a.ask(one, "q1").await.unwrap();
    assert!(!b.answer(session(), "q1", result()).await);
    assert!(!b.answer(one, "q2", result()).await);
    assert!(b.answer(one, "q1", result()).await);
    assert_eq!(soon(asked).await, Ok(result()));
    assert!(!a.answer(one, "q1", result()).await);
    assert!(!b.answer(one, "../../q1", result()).await);
    if kind != Kind::Deaf {
        assert!(!b.answer(one, "q1", result()).await);
        drop(a.ask(one, "q3").await.unwrap());
        let refused = ClientAnswer::Refused("no".to_owned());
        assert!(!b.answer(one, "q3", refused).await);
    }
    processes.stop().await;
}

#[rstest]
#[tokio::test]
async fn subscriptions_count_once_and_only_so_many_wherever_they_are_made(
    #[values(Kind::Local, Kind::Alone, Kind::Two, Kind::Deaf, Kind::Redis)] kind: Kind,
) {
    let Some(processes) = Processes::start(kind).await else {
        return;
    };
    let (a, b, one) = (&processes.a, &processes.b, session());
    for number in 0..MAX_SUBSCRIPTIONS {
        let at = if number % 2 == 0 { a } else { b };
        at.subscribe(one, &format!("lab://{number}")).await.unwrap();
    }
    a.subscribe(one, "lab://1").await.unwrap();
    assert_eq!(b.subscribe(one, "lab://more").await, Err(Full));
    a.unsubscribe(one, "lab://0").await;
    b.subscribe(one, "lab://more").await.unwrap();
    let listener = a.listen(one).await.unwrap();
    let interests = soon(a.interests(one, listener, 0)).await.unwrap();
    assert_eq!(interests.uris.len(), MAX_SUBSCRIPTIONS);
    assert!(interests.uris.contains(&"lab://more".to_owned()));
    processes.stop().await;
}

#[rstest]
#[tokio::test]
async fn a_listener_hears_of_interests_until_another_listens_anywhere(
    #[values(Kind::Local, Kind::Alone, Kind::Two, Kind::Deaf, Kind::Redis)] kind: Kind,
) {
    let Some(processes) = Processes::start(kind).await else {
        return;
    };
    let (a, b, one) = (&processes.a, &processes.b, session());
    let first = b.listen(one).await.unwrap();
    let none = soon(b.interests(one, first, 0)).await.unwrap();
    assert!(none.uris.is_empty());
    a.subscribe(one, "lab://1").await.unwrap();
    let more = soon(b.interests(one, first, none.version)).await.unwrap();
    assert_eq!(more.uris, ["lab://1"]);
    a.unsubscribe(one, "lab://1").await;
    let fewer = soon(b.interests(one, first, more.version)).await.unwrap();
    assert!(fewer.uris.is_empty() && fewer.version > more.version);
    let (superseded, second) = tokio::join!(soon(b.interests(one, first, fewer.version)), a.listen(one));
    assert_eq!(superseded, None);
    assert!(soon(a.interests(one, second.unwrap(), 0)).await.is_some());
    processes.stop().await;
}

#[rstest]
#[tokio::test]
async fn a_stream_is_resumed_anywhere_while_its_call_runs_and_after(
    #[values(Kind::Local, Kind::Alone, Kind::Two, Kind::Deaf, Kind::Redis)] kind: Kind,
) {
    let Some(processes) = Processes::start(kind).await else {
        return;
    };
    let (a, b, one) = (&processes.a, &processes.b, session());
    let stream = a.open_stream(one).await.unwrap();
    let at_a = attached(a, stream).await;
    say(a, stream, Weight::Message, "first").await;
    let first = soon(a.read(stream, at_a, 0)).await.unwrap();
    assert_eq!(first.events, [(1, Bytes::from_static(b"first"))]);
    let at_b = attached(b, stream).await;
    assert_eq!(soon(a.read(stream, at_a, 1)).await, None);
    say(a, stream, Weight::Notice, "second").await;
    let (rest, ()) = tokio::join!(read_to_end(b, stream, at_b, 1), async {
        pause().await;
        say(a, stream, Weight::Last, "last").await;
    });
    assert_eq!(rest, [(2, "second".to_owned()), (3, "last".to_owned())]);
    // Once more from the beginning, at either.
    for at in [b, a] {
        let again = attached(at, stream).await;
        assert_eq!(read_to_end(at, stream, again, 0).await.len(), 3);
    }
    let foreign = StreamKey {
        session: session(),
        ..stream
    };
    assert_eq!(b.attach(foreign).await, None);
    processes.stop().await;
}

#[rstest]
#[tokio::test]
async fn who_reads_a_stream_last_reads_it_alone(
    #[values(Kind::Local, Kind::Alone, Kind::Two, Kind::Deaf, Kind::Redis)] kind: Kind,
) {
    let Some(processes) = Processes::start(kind).await else {
        return;
    };
    let (a, b, one) = (&processes.a, &processes.b, session());
    let stream = a.open_stream(one).await.unwrap();
    attached(a, stream).await;
    let at_b = attached(b, stream).await;
    let (superseded, at_a) = tokio::join!(soon(b.read(stream, at_b, 0)), async {
        pause().await;
        attached(a, stream).await
    });
    assert_eq!(superseded, None);
    say(a, stream, Weight::Last, "").await;
    let end = soon(a.read(stream, at_a, 0)).await.unwrap();
    assert!(end.is_last && end.events.is_empty());
    assert_eq!(a.append(stream, Weight::Last, Bytes::new()).await, Err(Full));
    processes.stop().await;
}

#[rstest]
#[tokio::test]
async fn f09_a_stream_keeps_only_so_much_for_another_process(#[values(Kind::Two, Kind::Redis)] kind: Kind) {
    let Some(processes) = Processes::start(kind).await else {
        return;
    };
    let (a, b, one) = (&processes.a, &processes.b, session());
    let stream = a.open_stream(one).await.unwrap();
    let reader = attached(a, stream).await;
    let large = "x".repeat(100_000);
    for number in 0..30 {
        say(a, stream, Weight::Message, &large).await;
        assert!(soon(a.read(stream, reader, number)).await.is_some());
    }
    let at_b = attached(b, stream).await;
    assert_eq!(soon(b.read(stream, at_b, 0)).await, None);
    let at_b = attached(b, stream).await;
    assert_eq!(soon(b.read(stream, at_b, 28)).await.unwrap().events.len(), 2);
    processes.stop().await;
}

#[tokio::test]
async fn a_session_is_read_once_a_second_however_often_it_is_asked_for() {
    let processes = Processes::start(Kind::Two).await.unwrap();
    let one = session();
    processes.a.standing(one).await;
    let before = processes.shop.asked.load(Ordering::SeqCst);
    let begun = std::time::Instant::now();
    for _ in 0..1000 {
        processes.a.standing(one).await;
    }
    let reads = processes.shop.asked.load(Ordering::SeqCst) - before;
    assert!(
        reads <= 1 + usize::try_from(begun.elapsed().as_secs()).unwrap(),
        "{reads}"
    );
    processes.stop().await;
}

#[tokio::test]
async fn g05_without_the_shared_memory_each_process_goes_on_and_all_agree_when_it_is_back() {
    let processes = Processes::start(Kind::Two).await.unwrap();
    let (a, b, one, gone) = (&processes.a, &processes.b, session(), session());
    a.set_log_level(one, LogLevel::Error).await.unwrap();
    until(b, one, |standing| standing.log_level == Some(LogLevel::Error)).await;
    processes.shop.is_away.store(true, Ordering::SeqCst);

    // What is known stays known.
    assert_eq!(b.standing(one).await.log_level, Some(LogLevel::Error));
    b.set_log_level(one, LogLevel::Debug).await.unwrap();
    assert_eq!(b.standing(one).await.log_level, Some(LogLevel::Debug));
    b.subscribe(one, "lab://1").await.unwrap();
    let listener = b.listen(one).await.unwrap();
    assert_eq!(
        soon(b.interests(one, listener, 0)).await.unwrap().uris,
        ["lab://1"]
    );
    let asked = b.ask(one, "q1").await.unwrap();
    assert!(!a.answer(one, "q1", result()).await);
    assert!(b.answer(one, "q1", result()).await && soon(asked).await.is_ok());
    let running = b.run(one, "1").await.unwrap();
    b.cancel(one, "1").await;
    assert!(soon(running).await.is_ok());
    let stream = b.open_stream(one).await.unwrap();
    let reader = b.attach(stream).await.unwrap();
    say(b, stream, Weight::Message, "said").await;
    assert_eq!(soon(b.read(stream, reader, 0)).await.unwrap().events.len(), 1);
    assert_eq!(a.attach(stream).await, None);
    b.end(gone, LATE).await;
    assert!(b.standing(gone).await.ended && !a.standing(gone).await.ended);

    processes.shop.is_away.store(false, Ordering::SeqCst);
    until(a, gone, |standing| standing.ended).await;
    until(a, one, |standing| standing.log_level == Some(LogLevel::Debug)).await;
    let at_a = soon(async {
        loop {
            match a.attach(stream).await {
                Some(reader) => return reader,
                None => pause().await,
            }
        }
    });
    let at_a = at_a.await;
    assert_eq!(soon(a.read(stream, at_a, 0)).await.unwrap().events.len(), 1);
    let at_a = a.listen(one).await.unwrap();
    assert_eq!(soon(a.interests(one, at_a, 0)).await.unwrap().uris, ["lab://1"]);
    processes.stop().await;
}

#[tokio::test]
async fn g05_what_a_flush_takes_is_there_again_as_far_as_somebody_knows_it() {
    let processes = Processes::start(Kind::Two).await.unwrap();
    let (a, b, one, gone) = (&processes.a, &processes.b, session(), session());
    a.set_log_level(one, LogLevel::Error).await.unwrap();
    a.end(gone, LATE).await;
    until(b, gone, |standing| standing.ended).await;
    let listener = b.listen(one).await.unwrap();
    a.subscribe(one, "lab://1").await.unwrap();
    let mut interests = soon(b.interests(one, listener, 0)).await.unwrap();
    if interests.uris.is_empty() {
        interests = soon(b.interests(one, listener, interests.version)).await.unwrap();
    }
    assert_eq!(interests.uris, ["lab://1"]);
    processes.shop.flush();
    assert!(a.standing(gone).await.ended && b.standing(gone).await.ended);
    assert_eq!(a.standing(one).await.log_level, Some(LogLevel::Error));
    a.subscribe(one, "lab://2").await.unwrap();
    let more = soon(b.interests(one, listener, interests.version)).await.unwrap();
    assert!(more.uris.contains(&"lab://2".to_owned()), "{more:?}");
    processes.stop().await;
}

#[tokio::test]
async fn g04_what_a_process_said_to_the_end_is_read_after_its_death_and_the_rest_is_not_waited_for() {
    let mut processes = Processes::start(Kind::Two).await.unwrap();
    let dying = CancellationToken::new();
    let c = processes.enter_until(&dying);
    let (b, one) = (Arc::clone(&processes.b), session());
    let finished = c.open_stream(one).await.unwrap();
    say(&c, finished, Weight::Last, "all").await;
    let unfinished = c.open_stream(one).await.unwrap();
    say(&c, unfinished, Weight::Message, "some").await;
    let reader = attached(&b, unfinished).await;
    assert_eq!(soon(b.read(unfinished, reader, 0)).await.unwrap().events.len(), 1);
    dying.cancel();
    drop(c);
    assert_eq!(soon(b.read(unfinished, reader, 1)).await, None);
    let reader = attached(&b, finished).await;
    assert_eq!(
        read_to_end(&b, finished, reader, 0).await,
        [(1, "all".to_owned())]
    );
    assert_eq!(b.attach(unfinished).await, None);
    processes.stop().await;
}

#[tokio::test]
async fn streams_of_different_processes_have_different_numbers() {
    let processes = Processes::start(Kind::Two).await.unwrap();
    let one: SessionKey = session();
    let here = processes.a.open_stream(one).await.unwrap();
    let there = processes.b.open_stream(one).await.unwrap();
    assert_ne!(here.number, there.number);
    processes.stop().await;
}
