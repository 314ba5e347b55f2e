//! The envelope: what is written is read back equal in both modes, and bad input is refused with its reason.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

use bytes::Bytes;
use recount_messaging::envelope::{HeaderForm, from_headers, from_json, to_headers, to_json};
use recount_messaging::{Malformed, Message, MessageId};

fn message() -> Message {
    let mut message =
        Message::new(MessageId::new("0199-1").unwrap(), "shop/orders", "orders.placed", r#"{"b":1,"a":[1.0,2]}"#);
    message.schema_version = 3;
    message.subject = Some("order/17\r\n\0".into());
    message.key = Some("order/17 % \"ü\" 🦀".into());
    message.time = Some("2026-11-28T10:00:00.123456Z".parse().unwrap());
    message.expires = Some("2026-11-28T11:00:00Z".parse().unwrap());
    message.data_schema = Some("https://example.org/orders.placed/3".into());
    message.idempotency_key = Some("k/1".into());
    message.reply_to = Some("replies-shop".into());
    message.metadata.correlation_id = Some("c".into());
    message.metadata.causation_id = Some("d".into());
    message.metadata.actor = Some("ada".into());
    message.metadata.traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into());
    message.metadata.headers.insert("x-tenant".into(), "zürich % 1".into());
    message
}

fn through_headers(message: &Message, form: HeaderForm) -> Result<Message, Malformed> {
    let headers = to_headers(message, form).unwrap();
    let headers: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (name.as_ref(), value.as_bytes())).collect();
    from_headers(headers, Some(&message.content_type), message.data.clone(), form)
}

fn read(headers: &[(&str, &[u8])]) -> Result<Message, Malformed> {
    from_headers(headers.iter().copied(), None, Bytes::from_static(b"{}"), HeaderForm::NATS)
}

const NEEDED: [(&str, &[u8]); 4] =
    [("ce-specversion", b"1.0"), ("ce-id", b"1"), ("ce-source", b"s"), ("ce-type", b"orders.placed")];

fn with(more: &[(&'static str, &'static [u8])]) -> Result<Message, Malformed> {
    let mut headers = NEEDED.to_vec();
    headers.extend_from_slice(more);
    read(&headers)
}

#[test]
fn a_message_comes_back_equal_from_native_headers() {
    for form in [HeaderForm::NATS, HeaderForm::AMQP, HeaderForm::KAFKA] {
        assert_eq!(through_headers(&message(), form).unwrap(), message());
    }
    let written = message();
    let headers = to_headers(&written, HeaderForm::NATS).unwrap();
    assert!(headers.iter().all(|(_, value)| value.bytes().all(|b| (0x21..0x7f).contains(&b))), "{headers:?}");
}

#[test]
fn a_message_comes_back_equal_from_one_json_document() {
    assert_eq!(from_json(&to_json(&message()).unwrap().into()).unwrap(), message());
    for (content_type, data) in [
        ("application/octet-stream", &b"\0\xff\x01"[..]),
        ("application/json", b"not json"),
        ("application/json", b" {\"a\": 1}\r\n"),
        ("application/json", b"\t7"),
        ("application/geo+json", b"\"text\""),
        ("text/json", b"\"text\""),
        ("text/plain", b"\"text\""),
        ("text/plain", b""),
    ] {
        let mut other = message();
        (other.content_type, other.data) = (content_type.into(), Bytes::copy_from_slice(data));
        assert_eq!(from_json(&to_json(&other).unwrap().into()).unwrap(), other);
    }
}

#[test]
fn a_structured_message_is_read_whatever_the_mode_of_the_broker() {
    let body: Bytes = to_json(&message()).unwrap().into();
    let read = from_headers([], Some("application/cloudevents+json; charset=utf-8"), body, HeaderForm::AMQP);
    assert_eq!(read.unwrap(), message());
}

#[test]
fn a_text_in_a_foreign_structured_message_is_the_data_unless_its_type_is_json() {
    let text = r#""<a>\n\u00fc</a>""#;
    for (content_type, written, read) in [
        (Some("text/xml; charset=utf-8"), text, "<a>\nü</a>"),
        (Some("text/plain"), r#""""#, ""),
        (Some("text/plain"), "{\"a\":1}", "{\"a\":1}"),
        (Some("application/json"), text, text),
        (Some("TEXT/JSON"), text, text),
        (Some("image/svg+json; v=1"), text, text),
        (None, text, text),
    ] {
        let named = content_type.map(|name| format!(r#","datacontenttype":"{name}""#)).unwrap_or_default();
        let body = format!(r#"{{"data":{written},"specversion":"1.0","id":"1","source":"s","type":"t"{named}}}"#);
        assert_eq!(from_json(&body.into()).unwrap().data, read, "{content_type:?}");
    }
}

#[test]
fn data_of_a_type_that_readers_take_for_an_event_is_not_written_beside_attributes() {
    let typed = |content_type: &str| Message { content_type: content_type.into(), ..message() };
    for name in [
        "application/cloudevents+json",
        " Application/CloudEvents+JSON ; charset=utf-8",
        "application/cloudevents-batch+json",
        "application/cloudevents+protobuf",
        "application/cloudevents",
    ] {
        let reason = to_headers(&typed(name), HeaderForm::KAFKA).unwrap_err();
        assert!(reason.starts_with("datacontenttype") && reason.contains("CloudEvent"), "{reason}");
        // One document has the attributes of the event and those of its data apart.
        assert_eq!(from_json(&to_json(&typed(name)).unwrap().into()).unwrap(), typed(name));
    }
    assert!(to_headers(&typed("application/cloud"), HeaderForm::KAFKA).is_ok());
    assert!(to_headers(&typed("application/cloudevenü+json"), HeaderForm::KAFKA).is_ok());
}

#[test]
fn a_missing_attribute_is_named() {
    for missing in 0..NEEDED.len() {
        let mut headers = NEEDED.to_vec();
        let (name, _) = headers.remove(missing);
        let error = read(&headers).unwrap_err().to_string();
        assert_eq!(error, format!("the attribute `{}` is missing: it is no CloudEvent", &name[3..]));
    }
    assert!(matches!(with(&[("ce-id", b"")]), Err(Malformed::Repeated { .. })));
}

#[test]
fn bad_values_are_refused_with_their_reason() {
    let cases: &[(&'static str, &'static [u8], &str)] = &[
        ("ce-time", b"yesterday", "it is no time of RFC 3339"),
        ("ce-schemaversion", b"0", "it is no number from 1"),
        ("ce-schemaversion", b"two", "it is no number from 1"),
        ("ce-dataschema", b"a%0D%0Ab", "it has a control character"),
        ("ce-subject", b"\xff\xfe", "it is not UTF-8"),
        ("ce-subject", b"%ff", "it does not decode to UTF-8"),
    ];
    for (name, value, reason) in cases {
        let error = with(&[(name, value)]).unwrap_err().to_string();
        assert!(error.contains(reason) && error.contains(&name[3..]), "{error}");
    }
    let long = "x".repeat(1025);
    let mut headers = NEEDED.to_vec();
    headers.push(("ce-partitionkey", long.as_bytes()));
    let error = read(&headers).unwrap_err().to_string();
    assert!(error.contains("it has 1025 bytes, the limit is 1024") && error.len() < 200, "{error}");
    assert!(matches!(read(&[("ce-specversion", b"0.3")]), Err(Malformed::SpecVersion { .. })));
}

/// A message that is stored and that no service can read would be a dead letter in every group.
#[test]
fn a_message_that_no_reader_would_take_is_not_written() {
    let long = "x".repeat(1025);
    type Spoil = fn(&mut Message, &str);
    let cases: [(&str, Spoil); 9] = [
        ("source", |message, _| message.source = "".into()),
        ("type", |message, _| message.message_type = "a\nb".into()),
        ("schemaversion", |message, _| message.schema_version = 0),
        ("subject", |message, long| message.subject = Some(long.into())),
        ("partitionkey", |message, long| message.key = Some(long.into())),
        ("dataschema", |message, _| message.data_schema = Some("a\u{85}b".into())),
        ("datacontenttype", |message, _| message.content_type = "text/plain\r\n".into()),
        ("actor", |message, _| message.metadata.actor = Some("ada\nlovelace".into())),
        ("correlationid", |message, long| message.metadata.correlation_id = Some(long.into())),
    ];
    for (attribute, spoil) in cases {
        let mut bad = message();
        spoil(&mut bad, &long);
        for reason in [to_headers(&bad, HeaderForm::KAFKA).unwrap_err(), to_json(&bad).unwrap_err()] {
            assert!(reason.starts_with(attribute) && reason.len() < 100, "{attribute}: {reason}");
        }
    }
}

#[test]
fn ten_thousand_headers_are_refused() {
    let names: Vec<String> = (0..10_000).map(|number| format!("h{number}")).collect();
    let mut headers = NEEDED.to_vec();
    headers.extend(names.iter().map(|name| (name.as_str(), &b"v"[..])));
    assert!(matches!(read(&headers), Err(Malformed::TooManyHeaders { limit: 256, .. })));
}

#[test]
fn a_repeated_attribute_is_refused_and_a_repeated_header_of_another_program_is_not() {
    assert!(matches!(with(&[("CE-Type", b"other")]), Err(Malformed::Repeated { attribute }) if attribute == "type"));
    let read = with(&[("x", b"1"), ("x", b"2"), ("y", b"\xff")]).unwrap();
    assert_eq!(read.metadata.headers.into_iter().collect::<Vec<_>>(), [("x".to_owned(), "1".to_owned())]);
}

#[test]
fn an_invalid_trace_context_is_ignored() {
    for bad in [&b"garbage"[..], b"00-00000000000000000000000000000000-b7ad6b7169203331-01", b"a%0Ab"] {
        let mut headers = NEEDED.to_vec();
        headers.push(("ce-traceparent", bad));
        assert_eq!(read(&headers).unwrap().metadata.traceparent, None);
    }
}

#[test]
fn a_header_that_could_be_taken_for_an_attribute_is_not_written() {
    for name in ["ce-id", "CE-Type", "content-type", "Content-Type", "", "a b", "a\r\nb", "ü"] {
        let mut message = message();
        message.metadata.headers.insert(name.to_owned(), "x".to_owned());
        assert!(to_headers(&message, HeaderForm::NATS).is_err(), "{name:?}");
    }
}

#[test]
fn bodies_that_are_no_event_are_refused() {
    for body in [
        "",
        "[]",
        "{",
        r#"{"id":1}"#,
        r#"{"specversion":"1.0","id":"1","source":"s","type":"t","data":1,"data_base64":"AA=="}"#,
        r#"{"specversion":"1.0","id":"1","source":"s","type":"t","data_base64":"%"}"#,
        r#"{"specversion":"1.0","id":"1","source":["s"],"type":"t"}"#,
    ] {
        assert!(from_json(&Bytes::from_static(body.as_bytes())).is_err(), "{body}");
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(from_json(&deep.into()).is_err());
}
