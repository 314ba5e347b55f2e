//! The order in which the messages of a partition come.
//!
//! A server that makes another consumer of a Failover subscription the active one goes back to the first message without an
//! acknowledgement. With `activeConsumerFailoverDelayTimeMillis`, a second by default, it goes back later, and until then may send
//! the new consumer later messages, before messages that the old consumer has not acknowledged. If the server reads when the delay
//! ends it does not go back, so the messages in between come to no consumer until the active consumer changes again
//! (`PersistentDispatcherSingleActiveConsumer` of 4.2.4: the end of a write to the old consumer begins a read for the new one, and
//! the end of a read sets the place that the delayed rewind has set before).
//!
//! The protocol does not tell of it. So the messages behind a gap, as the first ones of a consumer are, wait until all before
//! them are known to be acknowledged, or until the server has gone back: then they come again, behind the others. If it does not
//! go back, and if nothing comes though there is something, the consumer is opened anew.

use std::time::Duration;

use tokio::time::Instant;

use crate::acknowledged::{Acknowledged, Position};
use crate::lane::Place;

/// How long messages wait until the consumer is opened anew. The delay of the server is shorter.
const LIMIT: Duration = Duration::from_millis(2500);
/// The pause between two questions at the server while messages wait.
const PAUSE: Duration = Duration::from_millis(250);
/// For how long an entry may be under way that has not come.
const CONFIRMATION: Duration = Duration::from_secs(1);
/// The first and the longest pause between two questions while nothing comes. It doubles.
const QUIET: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));
/// For how long messages do not wait after the server has given no answer. Else each gap would take the time of a call.
const BLIND: Duration = Duration::from_secs(60);
/// How often the consumer is opened anew for one entry. One that does not come then can't be sent, such as one of a lost ledger.
const TRIES: u32 = 8;

/// The messages of a partition in their order.
#[derive(Debug)]
pub(crate) struct Sequence<T> {
    /// The last message, of those with nothing open before them that did not come.
    top: Option<Place>,
    known: Option<Acknowledged>,
    doubt: Option<Doubt<T>>,
    /// Whether a message has come that could not be read. Its place is not known.
    unreadable: bool,
    /// When to ask while nothing comes, the pause after that, and the entry that should have come at the last answer.
    quiet: (Instant, Duration, Option<Position>),
    opened: Opened,
    /// Until when messages do not wait.
    blind: Option<Instant>,
}

/// Messages may have been left out before these.
#[derive(Debug)]
struct Doubt<T> {
    first: Place,
    last: Place,
    /// `None`: one that could not be read.
    held: Vec<Option<(Place, T)>>,
    /// Whether the server has said that messages before these are missing.
    is_known: bool,
    /// Whether some could not be held. They come again if the server goes back.
    dropped: bool,
    since: Instant,
    ask_at: Instant,
}

/// An answer of the server.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The acknowledged messages. `None` if they are not known, or not asked for since another consumer is the active one.
    pub(crate) known: Option<Acknowledged>,
    /// Whether this consumer is the active one. Only asked while nothing comes.
    pub(crate) is_active: bool,
}

/// The entry for which a consumer was opened anew, and how often.
pub(crate) type Opened = (Position, u32);

/// The consumer must be opened anew. The server then sends all messages without an acknowledgement again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OpenAnew(pub(crate) Opened);

impl<T> Sequence<T> {
    /// `opened`: from the last [`OpenAnew`] of this partition.
    pub(crate) fn new(opened: Opened, now: Instant) -> Self {
        Self {
            top: None,
            known: None,
            doubt: None,
            unreadable: false,
            quiet: (now + QUIET.0, QUIET.0, None),
            opened,
            blind: None,
        }
    }

    /// Takes in a message, and hands on the messages that are in order.
    pub(crate) fn arrive(&mut self, place: Place, message: T, now: Instant, hand_on: &mut impl FnMut(T)) {
        self.quiet = (now + QUIET.0, QUIET.0, None);
        if let Some(doubt) = &mut self.doubt
            && place > doubt.last
        {
            doubt.last = place;
            if !doubt.dropped {
                doubt.held.push(Some((place, message)));
            }
            return;
        }
        // If there was a doubt, the server has gone back.
        self.doubt = None;
        if self.follows(place) || self.blind.is_some_and(|until| now < until) {
            self.top = self.top.max(Some(place));
            return hand_on(message);
        }
        let (held, since, ask_at) = (vec![Some((place, message))], now, now);
        self.doubt = Some(Doubt { first: place, last: place, held, is_known: false, dropped: false, since, ask_at });
    }

    /// A message came that can't be read. It leaves a gap.
    pub(crate) fn miss(&mut self) {
        match &mut self.doubt {
            Some(doubt) => doubt.held.push(None),
            None => self.unreadable = true,
        }
    }

    /// Whether each message before this one has come or is acknowledged.
    fn follows(&mut self, place: Place) -> bool {
        let is_next = |top: Place| place <= top || (place.0 == top.0 && place.1 <= top.1.saturating_add(1));
        std::mem::take(&mut self.unreadable)
            || self.top.is_some_and(is_next)
            || self.known.as_ref().is_some_and(|known| known.covers(self.top.map(entry), entry(place)))
    }

    /// When to ask the server.
    pub(crate) fn ask_at(&self) -> Instant {
        self.doubt.as_ref().map_or(self.quiet.0, |doubt| doubt.ask_at)
    }

    /// Whether the question is that for the active consumer, too.
    pub(crate) fn is_quiet(&self) -> bool {
        self.doubt.is_none()
    }

    /// Takes in the answer of the server, if there is one, and hands on the messages that are in order. `has_room`: whether
    /// the lane may take another message.
    ///
    /// # Errors
    /// [`OpenAnew`] if messages are missing that this consumer should have.
    pub(crate) fn learn(
        &mut self,
        answer: Option<Answer>,
        has_room: bool,
        now: Instant,
        hand_on: &mut impl FnMut(T),
    ) -> Result<(), OpenAnew> {
        let is_active = answer.as_ref().is_some_and(|answer| answer.is_active);
        let known = answer.and_then(|answer| answer.known);
        let is_known = known.is_some();
        self.known = known.or(self.known.take());
        let open = self.known.as_ref().and_then(|known| known.open_behind(self.top.map(entry)));
        let Some(doubt) = &mut self.doubt else {
            let (_, pause, missed) = self.quiet;
            let open = open.filter(|_| is_active && has_room && !self.unreadable);
            if open.is_some() && open != missed {
                self.quiet = (now + CONFIRMATION, pause, open);
                return Ok(());
            }
            let pause = (pause * 2).min(QUIET.1);
            self.quiet = (now + pause, pause, None);
            return match open {
                Some(open) if self.may_open(open) => Err(OpenAnew(self.opened)),
                _ => Ok(()),
            };
        };
        (doubt.ask_at, doubt.is_known) = (now + PAUSE, is_known);
        let (first, dropped, expired) = (doubt.first, doubt.dropped, now >= doubt.since + LIMIT);
        let is_first = self.follows(first);
        if !is_first && !expired {
            return Ok(());
        }
        let Some(doubt) = self.doubt.take() else { return Ok(()) };
        let may_open = !is_first && is_known && open.is_some_and(|open| self.may_open(open));
        if may_open || dropped {
            return Err(OpenAnew(self.opened));
        }
        if !is_first {
            tracing::warn!(ledger = first.0, entry = first.1, is_known, "the messages before this one have not come");
            self.top = self.top.max(Some(first));
            self.blind = (!is_known).then(|| now + BLIND);
        }
        for held in doubt.held {
            match held {
                Some((place, message)) => self.arrive(place, message, now, hand_on),
                None => self.miss(),
            }
        }
        Ok(())
    }

    /// Whether to open the consumer anew for this entry.
    fn may_open(&mut self, open: Position) -> bool {
        let times = if self.opened.0 == open { self.opened.1 + 1 } else { 1 };
        self.opened = (open, times);
        times <= TRIES
    }

    /// There is no room, of this size, for the message that would show that the server has gone back. If it is that of the messages
    /// that wait, they free all of it, unless they may have to be handed on as they are; else they wait on until others are settled.
    pub(crate) fn lacks_room(&mut self, size: usize, now: Instant) {
        let Some(doubt) = &mut self.doubt else { return };
        if doubt.held.iter().flatten().count() < size {
            doubt.since = now;
        } else if doubt.is_known && self.opened.1 < TRIES {
            doubt.held.clear();
            doubt.dropped = true;
        }
    }
}

fn entry(place: Place) -> (u64, u64) {
    (place.0, place.1)
}

#[cfg(test)]
mod tests;
