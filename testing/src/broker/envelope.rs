//! Every part of a message arrives equal, and a message that can't be read is delivered as it is.

use std::collections::BTreeMap;
use std::time::Duration;

use recount_messaging::envelope::{STRUCTURED_TYPE, to_json};
use recount_messaging::{LaneId, Message, Order, Settle, SmolStr};

use super::Harness;
use super::harness::declared;
use super::reader::distinct;
use super::support::{assert_complete, consumed, message, messages, publish};

/// All attributes arrive equal.
pub async fn every_attribute_arrives_equal(h: &dyn Harness) {
    let (broker, binding, mut reader) = consumed(h, Order::PerKey).await;
    let mut full = message("key/1", 1);
    full.schema_version = 7;
    full.subject = Some("order/17 ü".into());
    full.time = Some("2026-11-28T10:00:00.123456Z".parse().unwrap());
    full.expires = Some("2100-01-01T00:00:00Z".parse().unwrap());
    full.data_schema = Some("https://example.org/orders.placed/7".into());
    full.metadata.correlation_id = Some("conversation 🦀".into());
    full.metadata.causation_id = Some("cause".into());
    full.metadata.actor = Some("ada".into());
    full.metadata.traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into());
    let without_key = Message { key: None, ..message("", 2) };
    let published = [full, without_key];
    publish(&*broker, &binding.topic, &published).await;
    assert_complete(&reader.consume(2).await, &published);
}

/// Bodies arrive byte for byte: all bytes, none, emoji, each control character, JSON as it was written, with the white space
/// around it.
pub async fn bodies_arrive_byte_for_byte(h: &dyn Harness) {
    let (broker, binding, mut reader) = consumed(h, Order::PerKey).await;
    let all_bytes: Vec<u8> = (0..=255).collect();
    let mut bodies: Vec<(&str, Vec<u8>)> = vec![
        ("application/octet-stream", all_bytes.clone()),
        ("application/json", all_bytes),
        ("text/plain; charset=utf-8", "🦀 Zürich \u{202e}\u{0}".as_bytes().to_vec()),
        ("application/json", br#"{"b":1, "a":[1.0,-0.0,1e2, 18446744073709551615] , "a":null}"#.to_vec()),
        ("application/json", b"\xef\xbb\xbf{}".to_vec()),
        ("application/json", b" {\"a\": 1}\r\n".to_vec()),
        ("text/json", b"\"text\"".to_vec()),
        ("application/octet-stream", Vec::new()),
    ];
    bodies.extend((0..=0x1f_u8).map(|control| ("text/plain", vec![b'a', control, b'b'])));
    let mut published = Vec::new();
    for (number, (content_type, body)) in bodies.into_iter().enumerate() {
        let content_type = content_type.into();
        published.push(Message { data: body.into(), content_type, ..message("bodies", number) });
    }
    publish(&*broker, &binding.topic, &published).await;
    assert_complete(&reader.consume(published.len()).await, &published);
}

/// Headers of the application arrive equal: unicode, percent signs, quotes, empty values, control characters.
pub async fn headers_arrive_equal(h: &dyn Harness) {
    let (broker, binding, mut reader) = consumed(h, Order::PerKey).await;
    let mut one = message("k", 1);
    let values = ["plain", "", "zürich % 20% \"quoted\"", "🦀\u{202e}", "a\r\nb: c", " blanks around ", "\u{1}\u{7f}"];
    for (number, value) in values.into_iter().enumerate() {
        one.metadata.headers.insert(format!("x-header-{number}"), value.to_owned());
    }
    publish(&*broker, &binding.topic, std::slice::from_ref(&one)).await;
    assert_complete(&reader.consume(1).await, &[one]);
}

/// Keys that look like patterns, paths or statements, and long ones, arrive equal and do not mix.
pub async fn hostile_keys_arrive_equal(h: &dyn Harness) {
    let (broker, binding, mut reader) = consumed(h, Order::PerKey).await;
    let long = "long ".repeat(200);
    let longer = format!("{long}er");
    let keys = [
        "*",
        ">",
        "a.b.*",
        "#",
        "..",
        "../../etc/passwd",
        "$SYS.x",
        " ",
        "x'); drop table e; --",
        "%",
        "_",
        "🦀🦀",
        "\u{202e}rtl",
        "ключ",
        "a:b/c\\d",
        "\"",
        "key key",
        "KEY KEY",
        &long,
        &longer,
    ];
    let published: Vec<_> = keys.iter().enumerate().map(|(number, key)| message(key, number)).collect();
    publish(&*broker, &binding.topic, &published).await;
    let arrived = reader.consume(published.len()).await;
    assert_complete(&arrived, &published);
    reader.assert_once(&arrived, &published);
}

/// Messages with an empty key arrive without a key, as those without one do.
pub async fn an_empty_key_is_no_key(h: &dyn Harness) {
    let (broker, binding, mut reader) = consumed(h, Order::PerKey).await;
    let empty = [1, 2].map(|number| Message { key: Some("".into()), ..message("", number) });
    publish(&*broker, &binding.topic, &empty).await;
    let arrived = reader.consume(2).await;
    assert_complete(&arrived, &empty.map(|message| Message { key: None, ..message }));
}

/// A foreign message that is no CloudEvent is delivered with the reason and its raw bytes, can be settled, and holds up no
/// other.
pub async fn a_malformed_message_is_delivered_with_its_raw_bytes(h: &dyn Harness) {
    if !declared(h.abilities().raw, "foreign messages") {
        return;
    }
    let (broker, binding, mut reader) = consumed(h, Order::PerKey).await;
    let any_bytes = b"\x00\xff no cloud event \xf0\x9f\xa6\x80";
    let body = if h.abilities().bytes { &any_bytes[..] } else { "no cloud event {ü".as_bytes() };
    h.publish_raw(&binding.topic, "k", &[("x-foreign", b"17")], body).await;
    publish(&*broker, &binding.topic, &[message("k", 1)]).await;
    let foreign = reader.one().await;
    let reason = foreign.message.as_ref().expect_err("it is malformed").to_string();
    assert!(!reason.is_empty());
    assert_eq!(foreign.raw.body, body);
    assert_eq!(foreign.raw.headers.get("x-foreign"), Some(&b"17"[..]), "{:?}", foreign.raw);
    assert!(!foreign.raw.origin.is_empty(), "the native name of its place");
    assert!(reader.settle(vec![(foreign.ticket, Settle::Ack)]).await[0].is_done());
    assert_eq!(reader.consume(1).await.len(), 1);
    reader.stays_quiet(Duration::from_secs(1)).await;
}

/// A foreign message in structured mode is read, in whichever mode the adapter writes.
pub async fn a_structured_foreign_message_is_read(h: &dyn Harness) {
    if !declared(h.abilities().raw, "foreign messages") {
        return;
    }
    let (_broker, binding, mut reader) = consumed(h, Order::PerKey).await;
    let foreign = message("k", 1);
    let body = to_json(&foreign).unwrap();
    h.publish_raw(&binding.topic, "k", &[("content-type", STRUCTURED_TYPE.as_bytes())], &body).await;
    assert_complete(&reader.consume(1).await, &[foreign]);
}

/// Messages of another program arrive, one alone and many in a row, in the lanes of their keys.
pub async fn foreign_messages_arrive_in_the_lanes_of_their_keys(h: &dyn Harness) {
    if !declared(h.abilities().raw, "foreign messages") {
        return;
    }
    let (broker, binding, mut reader) = consumed(h, Order::PerKey).await;
    let structured = [("content-type", STRUCTURED_TYPE.as_bytes())];
    let mut lanes: BTreeMap<SmolStr, LaneId> = BTreeMap::new();
    for part in [messages(5, 5), messages(1, 1), messages(20, 5)] {
        if lanes.is_empty() {
            publish(&*broker, &binding.topic, &part).await;
        } else {
            for foreign in &part {
                let key = foreign.key.as_deref().unwrap();
                h.publish_raw(&binding.topic, key, &structured, &to_json(foreign).unwrap()).await;
            }
        }
        let mut arrived = Vec::new();
        while distinct(&arrived) < part.len() {
            let delivery = reader.one().await;
            let lane = delivery.lane();
            let message = reader.mark(delivery, Settle::Ack).await;
            let key = message.key.clone().unwrap();
            assert_eq!(lane, *lanes.entry(key.clone()).or_insert(lane), "of {key}");
            arrived.push(message);
        }
        assert_complete(&arrived, &part);
    }
}
