//! Failures, and bytes that no service of recount sends.

use std::time::Duration;

use recount_messaging::{AskError, Question, Topic};
use tokio::time::Instant;

use super::world::{LONG, Probe, Stranger, World, until};
use super::{Carrier, declared};

/// Without a responder, and after its shutdown, the asker hears so at once if the broker can tell.
pub async fn without_a_responder_the_asker_hears_so(carrier: &dyn Carrier) {
    let world = World::new(carrier);
    let (asking, asker) = world.asker().await;
    let started = Instant::now();
    let limit = Duration::from_secs(8);
    let error = world.echo(&asker, limit).await.unwrap_err();
    assert!(error.is_transient() || matches!(error, AskError::Broker { .. }), "{error}");
    if declared(world.is_native().await, "no responders are known at once") {
        assert!(matches!(error, AskError::NoResponders { .. }), "{error}");
        assert!(started.elapsed() < limit / 2, "at once, not at the deadline: {:?}", started.elapsed());
        assert!(error.to_string().contains(world.topic.name()), "{error}");
        // A responder that has ended is none.
        let responder = world.responder("a").await;
        assert_eq!(world.echo(&asker, LONG).await.unwrap().0, "hello");
        responder.shutdown().await;
        let error = world.echo(&asker, limit).await.unwrap_err();
        assert!(matches!(error, AskError::NoResponders { .. }), "{error}");
    }
    drop(asking);
}

async fn failure<Q: Question>(asker: &recount_messaging::Asker, topic: &Topic, question: &Q) -> (String, bool) {
    match asker.ask(topic, question, LONG).await.err() {
        Some(AskError::Failed { reason, transient, .. }) => (reason, transient),
        other => panic!("{other:?}"),
    }
}

/// A failed handler reports its reason, and whether time heals it.
pub async fn a_failure_has_its_reason_and_its_class(carrier: &dyn Carrier) {
    let world = World::new(carrier);
    let (responder, (asking, asker)) = (world.responder("a").await, world.asker().await);
    for (how, reason, transient) in [
        ("transient", "the attic is away", true),
        ("permanent", "there is no attic", false),
        ("panic", "the attic burns", false),
        ("the attic leaks", "the attic leaks", false),
    ] {
        let failed = failure(&asker, &world.topic, &Probe::Fail { how: how.to_owned() }).await;
        assert!(failed.0.contains(reason), "{failed:?}");
        assert_eq!(failed.1, transient, "{how}");
    }
    assert_eq!(world.echo(&asker, LONG).await.unwrap().0, "hello");
    drop((responder, asking));
}

/// A question that no handler takes fails, and names the types that are taken.
pub async fn an_unknown_question_names_the_known_ones(carrier: &dyn Carrier) {
    let world = World::new(carrier);
    let (responder, (asking, asker)) = (world.responder("a").await, world.asker().await);
    let (reason, transient) = failure(&asker, &world.topic, &Stranger::Hello {}).await;
    assert!(reason.contains("stranger.hello") && reason.contains("probe.echo"), "{reason}");
    assert!(!transient);
    drop((responder, asking));
}

/// The size of a message that is too large, if the limit is one that a test can reach.
async fn too_large(carrier: &dyn Carrier, world: &World<'_>) -> Option<usize> {
    let limit = world.capabilities(&*carrier.broker().await).max_message.bytes;
    declared(limit <= 64 * 1024 * 1024, "a limit of messages that a test reaches").then_some(limit + 1)
}

/// A question over the limit of messages is refused before it is sent, and disturbs no other.
pub async fn a_question_over_the_limit_is_refused(carrier: &dyn Carrier) {
    let world = World::new(carrier);
    let Some(bytes) = too_large(carrier, &world).await else { return };
    let (responder, (asking, asker)) = (world.responder("a").await, world.asker().await);
    let error = asker.ask(&world.topic, &Probe::Echo { text: "x".repeat(bytes) }, LONG).await.unwrap_err();
    assert!(matches!(&error, AskError::Refused { reason, .. } if reason.contains("limit")), "{error}");
    assert_eq!(world.echo(&asker, LONG).await.unwrap().0, "hello");
    drop((responder, asking));
}

/// A reply over the limit of messages is a failure that names the limit, and disturbs no other.
pub async fn a_reply_over_the_limit_is_a_failure(carrier: &dyn Carrier) {
    let world = World::new(carrier);
    let Some(bytes) = too_large(carrier, &world).await else { return };
    let (responder, (asking, asker)) = (world.responder("a").await, world.asker().await);
    let (reason, transient) = failure(&asker, &world.topic, &Probe::Large { bytes: bytes as u64 }).await;
    assert!(reason.contains("limit") && !transient, "{reason}");
    assert_eq!(world.echo(&asker, LONG).await.unwrap().0, "hello");
    drop((responder, asking));
}

/// Headers of a message in each of the forms of envelopes.
fn headers<'h>(attributes: &[(&'h str, &'h str)]) -> Vec<(String, &'h [u8])> {
    let forms = ["ce-", "ce_", "cloudEvents:"];
    let named = |form: &str| -> Vec<_> {
        attributes.iter().map(|(name, value)| (format!("{form}{name}"), value.as_bytes())).collect()
    };
    forms.iter().flat_map(|form| named(form)).collect()
}

fn borrowed<'h>(headers: &'h [(String, &'h [u8])]) -> Vec<(&'h str, &'h [u8])> {
    headers.iter().map(|(name, value)| (name.as_str(), *value)).collect()
}

/// Bytes that are no question, or name a hostile address, disturb no other question.
pub async fn hostile_bytes_as_a_question_harm_no_other(carrier: &dyn Carrier) {
    let world = World::new(carrier);
    let (responder, (asking, asker)) = (world.responder("a").await, world.asker().await);
    let hostile = [
        vec![],
        headers(&[("specversion", "7"), ("id", "1"), ("source", "x"), ("type", "probe.echo")]),
        headers(&[("specversion", "1.0"), ("id", "2"), ("source", "x"), ("type", "probe.echo")]),
        headers(&[
            ("specversion", "1.0"),
            ("id", "3"),
            ("source", "x"),
            ("type", "probe.echo"),
            ("replyto", "$JS.API.STREAM.DELETE.all"),
            ("expirytime", "9999-01-01T00:00:00Z"),
        ]),
        headers(&[("specversion", "1.0"), ("id", "4"), ("source", "x"), ("type", "recount.reply.stop")]),
    ];
    for headers in &hostile {
        for body in [&b""[..], &b"\xff\xfe\x00{"[..], &br#"{"text":"hi"}"#[..]] {
            carrier.question_raw(&world.topic, &borrowed(headers), body).await;
        }
    }
    for _ in 0..3 {
        assert_eq!(world.echo(&asker, LONG).await.unwrap().0, "hello");
    }
    drop((responder, asking));
}

/// Bytes that are no reply end at most their own question, with an error that says so.
pub async fn hostile_bytes_as_a_reply_harm_no_other(carrier: &dyn Carrier) {
    let world = World::new(carrier);
    let (responder, (asking, asker)) = (world.responder("a").await, world.asker().await);
    let slow = Probe::Slow { millis: 4000 };
    let asked = asker.ask(&world.topic, &slow, LONG);
    let attack = async {
        until("it is being answered", || world.calls.begun(&slow) == 1).await;
        let (address, key) = world.calls.last();
        let envelope = |of: &'static str, message_type: &'static str, key: &str| {
            let key: &'static str = key.to_owned().leak();
            headers(&[
                ("specversion", "1.0"),
                ("id", of),
                ("source", "x"),
                ("type", message_type),
                ("idempotencykey", key),
            ])
        };
        carrier.reply_raw(&address, &[], b"\xff\xfe\x00").await;
        for (id, key) in [("r1", "another question"), ("r2", &*key)] {
            carrier.reply_raw(&address, &borrowed(&envelope(id, "recount.reply.end", key)), b"\xff{").await;
        }
    };
    let (asked, ()) = tokio::join!(asked, attack);
    let error = asked.unwrap_err();
    assert!(matches!(&error, AskError::Malformed { .. }), "{error}");
    assert_eq!(world.echo(&asker, LONG).await.unwrap().0, "hello");
    drop((responder, asking));
}
