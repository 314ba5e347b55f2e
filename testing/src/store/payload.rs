//! Payloads: any bytes come back as they were.

use bytes::Bytes;
use recount_core::ExpectedVersion::Any;
use recount_core::{Append, AppendError, EventData, InvalidAppend, MAX_PAYLOAD, Query};

use super::Harness;
use super::support::*;

/// The bytes of any payload come back unchanged: no store parses, rewrites or refuses them.
pub async fn any_bytes_come_back_unchanged(h: &dyn Harness) {
    let store = h.open().await;
    let deep = |open: &str, close: &str, levels| [open.repeat(levels), close.repeat(levels)].concat().into_bytes();
    let mut payloads: Vec<Vec<u8>> = vec![
        vec![],
        vec![0],
        b"null".to_vec(),
        (0..=255).collect(),
        b"\xef\xbb\xbf{}".to_vec(),
        b"\xff\xfe invalid UTF-8 \xc3\x28".to_vec(),
        "\"NFC \u{e9}, NFD e\u{301}, \u{202e}, \u{1f980}, \u{0}\"".into(),
        br#"{"b":1,"a":2,"b":3}"#.to_vec(),
        br#""\ud800 lone, \u0000 escaped""#.to_vec(),
        b"[1e400,1.0,1,-0.0,1e2,18446744073709551615,18446744073709551616,-9223372036854775808,9007199254740993]"
            .to_vec(),
        b"[0.1,1.7976931348623157e308,5e-324,2.2250738585072014e-308]".to_vec(),
        deep("[", "]", 127),
        deep("[", "]", 100_000),
        deep("{\"a\":", "}", 10_000),
        b"  {\n\"spaces\" :\t1 }  ".to_vec(),
        b"'; DROP TABLE events; --".to_vec(),
    ];
    let mut random = random();
    payloads.extend((0..20).map(|_| (0..random.usize(..5000)).map(|_| random.u8(..)).collect()));
    let written: Vec<EventData> =
        payloads.into_iter().map(|payload| EventData { payload: payload.into(), ..event() }).collect();
    append(&*store, &stream("s"), Any, written.clone()).await.unwrap();
    for found in [read(&*store, &stream("s")).await, everything(&*store).await] {
        for (found, written) in found.iter().zip(&written) {
            assert!(found.data == *written, "{:?} became {:?}", written.payload, found.data.payload);
        }
        assert_eq!(found.len(), written.len());
    }
}

/// Payloads are written up to the limit, which is the same on all stores.
pub async fn payloads_up_to_the_limit_are_written(h: &dyn Harness) {
    let store = h.open().await;
    let mut random = random();
    for size in [1, 65_535, 65_536, 1024 * 1024, MAX_PAYLOAD - 1, MAX_PAYLOAD] {
        let payload = incompressible(&mut random, size);
        let to = stream(&size.to_string());
        add(&*store, &to, EventData { payload: payload.clone(), ..event() }).await;
        let found = read(&*store, &to).await;
        assert!(found[0].data.payload == payload, "{size} bytes became {}", found[0].data.payload.len());
    }
}

/// A payload beyond the limit refuses the whole request with an error that names size and limit; nothing is written.
pub async fn a_payload_beyond_the_limit_refuses_the_whole_request(h: &dyn Harness) {
    let store = h.open().await;
    for size in [MAX_PAYLOAD + 1, MAX_PAYLOAD * 4] {
        let large = EventData { payload: vec![b' '; size].into(), ..typed("large") };
        let request = Append::to(stream("s"), Any, vec![event(), large, event()]);
        let outcome = store.append(request).await;
        let limit = MAX_PAYLOAD;
        let expected = InvalidAppend::PayloadTooLarge { event_type: "large".into(), size, limit };
        assert!(matches!(&outcome, Err(AppendError::Invalid(found)) if *found == expected), "{outcome:?}");
        let text = outcome.unwrap_err().to_string();
        assert!(text.contains(&size.to_string()) && text.contains(&limit.to_string()), "{text}");
    }
    assert_eq!(select(&*store, Query::all()).await, []);
}

fn incompressible(random: &mut fastrand::Rng, size: usize) -> Bytes {
    let mut bytes = vec![0; size];
    random.fill(&mut bytes);
    bytes.into()
}
