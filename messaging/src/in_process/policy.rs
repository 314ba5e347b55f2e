//! The behaviour of a profile beyond its declared capabilities.

use std::time::Duration;

use super::Profile;
use crate::envelope::HeaderForm;
use crate::{Capabilities, OrderSupport};

/// The behaviour of a profile that has no word in [`Capabilities`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    /// How attributes are written as headers.
    pub(super) form: HeaderForm,
    /// The fate of a consumer's open deliveries when its connection is lost.
    pub(super) at_disconnect: AtDisconnect,
    /// How lanes are given to members.
    pub(super) assignment: Assignment,
    /// Whether the release of a message takes the later ones of its key or lane back too.
    pub(super) rewinds: bool,
    /// Whether the end of one lease ends the consumer's connection.
    pub(super) lease_ends_connection: bool,
    /// Acknowledgements that are younger are forgotten when the server ends suddenly.
    pub(super) ack_flush: Duration,
    /// The most messages of one receive.
    pub(super) max_receive: usize,
    /// The most messages that may be out, or wait for a delay, at once.
    pub(super) window: usize,
    /// Whether a message without any group is refused.
    pub(super) refuses_unroutable: bool,
    /// How long settled messages are kept to be read again. `None`: not at all.
    pub(super) history: Option<Duration>,
}

/// The fate of open deliveries when the connection is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AtDisconnect {
    /// They come again at once.
    Return,
    /// They come again when their lease ends.
    KeepLease,
    /// They come again after this time: the client no longer extends their lease.
    EndLease(Duration),
}

/// How lanes are given to members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Assignment {
    /// Not at all: each member takes from any lane.
    Shared,
    /// All lanes belong to the member that came first, until it leaves.
    FirstMember,
    /// Evenly; lanes move at once when a member joins.
    Even,
    /// Evenly; members are told the lanes that they gain, will lose and have lost.
    Announced,
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const HOUR: Duration = Duration::from_secs(60 * 60);

impl Policy {
    pub(super) fn of(profile: Profile, declared: &Capabilities) -> Self {
        let lanes = matches!(declared.order, OrderSupport::Lane { .. });
        let base = Self {
            form: HeaderForm::KAFKA,
            at_disconnect: AtDisconnect::Return,
            assignment: Assignment::Shared,
            rewinds: false,
            lease_ends_connection: false,
            ack_flush: Duration::ZERO,
            max_receive: usize::MAX,
            window: usize::MAX,
            refuses_unroutable: false,
            history: None,
        };
        match profile {
            Profile::Own => Self { history: Some(HOUR), ..base },
            Profile::Kafka => Self { assignment: Assignment::Announced, history: Some(7 * DAY), ..base },
            Profile::Pulsar => Self {
                assignment: if lanes { Assignment::Even } else { Assignment::Shared },
                rewinds: lanes,
                ack_flush: Duration::from_secs(1),
                history: Some(7 * DAY),
                ..base
            },
            Profile::RabbitMq => Self {
                form: HeaderForm::AMQP,
                assignment: if lanes { Assignment::FirstMember } else { Assignment::Shared },
                lease_ends_connection: true,
                refuses_unroutable: true,
                ..base
            },
            Profile::Nats => Self {
                form: HeaderForm::NATS,
                at_disconnect: AtDisconnect::KeepLease,
                ack_flush: Duration::from_millis(200),
                window: 1_000,
                history: Some(7 * DAY),
                ..base
            },
            Profile::Fifo => Self { at_disconnect: AtDisconnect::KeepLease, max_receive: 10, ..base },
            Profile::PubSub => Self {
                at_disconnect: AtDisconnect::EndLease(Duration::from_secs(10)),
                rewinds: matches!(declared.order, OrderSupport::Key { .. }),
                ack_flush: Duration::from_millis(100),
                history: Some(7 * DAY),
                ..base
            },
        }
    }
}
