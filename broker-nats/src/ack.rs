//! The subject by which a delivery is acknowledged, which holds its counts and its place.

use recount_core::Timestamp;

/// The subject for the acknowledgement of a delivery: `$JS.ACK.STREAM.CONSUMER.DELIVERED.SEQUENCE.….TIME.PENDING`,
/// or with domain and account before the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AckSubject<'s> {
    pub(crate) consumer: &'s str,
    /// How often it was delivered, with this time.
    pub(crate) delivered: u32,
    /// The number of the message in its stream.
    pub(crate) sequence: u64,
    /// When the stream stored it.
    pub(crate) stored: Option<Timestamp>,
}

impl<'s> AckSubject<'s> {
    pub(crate) fn read(subject: &'s str) -> Option<Self> {
        let tokens: Vec<&str> = subject.strip_prefix("$JS.ACK.")?.split('.').collect();
        let tokens = match tokens.len() {
            7 => &tokens[..],
            9.. => &tokens[2..],
            _ => return None,
        };
        let [_stream, consumer, delivered, sequence, _, stored, ..] = tokens else { return None };
        Some(Self {
            consumer,
            delivered: delivered.parse().ok()?,
            sequence: sequence.parse().ok()?,
            stored: stored.parse().ok().and_then(|nanoseconds| Timestamp::from_nanosecond(nanoseconds).ok()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_the_subject_are_read() {
        let read = |subject| AckSubject::read(subject).map(|ack| (ack.consumer, ack.delivered, ack.sequence));
        let expected = Some(("lane-3-mail", 2, 17));
        assert_eq!(read("$JS.ACK.recount-orders.lane-3-mail.2.17.9.1700000000000000000.4"), expected);
        assert_eq!(read("$JS.ACK._.aBc.recount-orders.lane-3-mail.2.17.9.1700000000000000000.4.token"), expected);
        assert_eq!(read("$JS.ACK.recount-orders.lane-3-mail.x.17.9.1.4"), None);
        assert_eq!(read("_INBOX.1"), None);
    }
}
