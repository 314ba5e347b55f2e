//! A message that is too large or can't be written is refused with a reason, and its neighbours are stored.

use std::time::Duration;

use recount_messaging::{Broker, Fate, Message, Order, Refusal, Topic};

use super::Harness;
use super::harness::declared;
use super::support::{assert_complete, consumed, fates, message, messages, publish, scaled};

/// The largest limit that a test fills.
const FILLED: usize = 20 * 1024 * 1024;

/// A message with this many bytes of data.
fn sized(key: &str, bytes: usize) -> Message {
    let mut data = vec![b'a'; bytes];
    if let [first, .., last] = &mut data[..] {
        (*first, *last) = (b'"', b'"');
    }
    Message { data: data.into(), ..message(key, 0) }
}

/// The size of the data with which a message is exactly as large as allowed.
async fn greatest_data(broker: &dyn Broker, topic: &Topic, limit: usize) -> usize {
    let fate = fates(broker, topic, &[sized("k", limit + 1)]).await.pop();
    let Some(Fate::Refused(Refusal::TooLarge { size, limit: told, .. })) = fate else { panic!("{fate:?}") };
    assert_eq!(told, limit, "the refusal names the declared limit");
    limit - (size - (limit + 1))
}

/// A message of exactly the declared limit is stored; one byte more is refused with size and limit, and its neighbours in
/// the batch are stored.
pub async fn one_byte_over_the_limit_is_refused_and_its_neighbours_are_stored(h: &dyn Harness) {
    let (broker, binding, mut reader) = consumed(h, Order::PerKey).await;
    let limit = broker.capabilities(&binding).max_message.bytes;
    if !declared(limit <= FILLED, "a limit of message sizes up to 20 MiB") {
        return;
    }
    let data = greatest_data(&*broker, &binding.topic, limit).await;
    let batch = [message("a", 1), sized("k", data + 1), message("b", 2), sized("l", data), message("c", 3)];
    let fates = fates(&*broker, &binding.topic, &batch).await;
    match &fates[1] {
        Fate::Refused(refusal @ Refusal::TooLarge { size, .. }) => {
            assert_eq!(*size, limit + 1);
            assert!(refusal.to_string().contains(batch[1].id.as_str()), "{refusal}");
        }
        other => panic!("{other:?}"),
    }
    let stored: Vec<_> = [0, 2, 3, 4].map(|index: usize| (&fates[index], batch[index].clone())).into();
    assert!(stored.iter().all(|(fate, _)| fate.is_stored()), "{fates:?}");
    let stored: Vec<_> = stored.into_iter().map(|(_, message)| message).collect();
    assert_complete(&reader.consume(4).await, &stored);
    reader.stays_quiet(Duration::from_secs(1)).await;
    publish(&*broker, &binding.topic, &[message("k", 4)]).await;
}

/// Headers beyond the declared limits are refused with a reason, and the neighbours are stored.
pub async fn headers_over_the_limit_are_refused_and_their_neighbours_are_stored(h: &dyn Harness) {
    let (broker, binding, mut reader) = consumed(h, Order::PerKey).await;
    let limits = broker.capabilities(&binding).headers;
    if !declared(limits.max_bytes <= FILLED, "a limit of header sizes up to 20 MiB") {
        return;
    }
    let mut large = message("k", 0);
    large.metadata.headers.insert("x-large".to_owned(), "x".repeat(limits.max_bytes + 1));
    let batch = [message("a", 1), large, message("b", 2)];
    let fates = fates(&*broker, &binding.topic, &batch).await;
    assert!(matches!(&fates[1], Fate::Refused(Refusal::Headers { .. } | Refusal::TooLarge { .. })), "{fates:?}");
    assert!(fates[0].is_stored() && fates[2].is_stored(), "{fates:?}");
    let [first, _, last] = batch;
    assert_complete(&reader.consume(2).await, &[first, last]);
    publish(&*broker, &binding.topic, &messages(3, 3)).await;
    assert_eq!(reader.consume(3).await.len(), 3, "the connection is as good as before");
}

/// Fate i belongs to message i: in batches with bad messages at random places, exactly those arrive that are reported as
/// stored, and each refusal names its own message.
pub async fn each_fate_belongs_to_its_message(h: &dyn Harness) {
    let (broker, binding, mut reader) = consumed(h, Order::PerKey).await;
    let mut random = crate::store::support::random();
    let limit = broker.capabilities(&binding).max_message.bytes;
    let too_large = (limit <= FILLED).then_some(limit + 1);
    let (mut stored, mut refused) = (Vec::new(), 0);
    for round in 0..scaled(h, 10) {
        let mut batch: Vec<_> = (0..random.usize(2..20)).map(|_| unpredictable(&mut random, too_large)).collect();
        // One message at least must be refused in every run.
        batch.extend(too_large.filter(|_| round == 0).map(|bytes| sized("refused", bytes)));
        let fates = fates(&*broker, &binding.topic, &batch).await;
        for (message, fate) in batch.into_iter().zip(&fates) {
            let bad = message.data.len() > 100 || message.metadata.headers.len() > 1;
            match fate {
                Fate::Stored(_) => stored.push(message),
                Fate::Refused(refusal) => {
                    assert!(bad, "round {round}: {refusal}");
                    assert!(refusal.to_string().contains(message.id.as_str()), "{} got {refusal}", message.id);
                    refused += 1;
                }
                Fate::NotSent(None) => {}
                other => panic!("round {round}: {other:?}"),
            }
        }
    }
    assert!(refused > 0 || too_large.is_none(), "no bad message was refused");
    let mut arrived = reader.consume(stored.len()).await;
    arrived.extend(reader.arrivals(0, Duration::from_secs(1)).await);
    assert_complete(&arrived, &stored);
}

/// A good message, or with a chance of a third a bad one, of one of five keys.
fn unpredictable(random: &mut fastrand::Rng, too_large: Option<usize>) -> Message {
    let key = format!("key-{}", random.u8(0..5));
    let mut one = message(&key, random.usize(0..1000));
    match (random.u8(0..6), too_large) {
        (0, Some(bytes)) => one = sized(&key, bytes),
        (1, _) => {
            one.metadata.headers.insert("no token".to_owned(), "x".to_owned());
            one.metadata.headers.insert("x-other".to_owned(), "x".to_owned());
        }
        _ => {}
    }
    one
}
