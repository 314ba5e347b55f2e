//! The replies that come to an asker.

use std::collections::BTreeMap;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::Stream;
use recount_core::Published;
use smol_str::SmolStr;
use tokio::time::{Instant, Sleep, sleep_until};

use super::desk::Wait;
use super::error::AskError;
use super::frame::{End, Frame, Order, ReplyData};
use super::replies::WINDOW;
use super::stored::MAX_REPLIES;

/// The replies to a question, in the order of sending. The end of the stream is the end of the replies; an error is the last
/// item. Dropping the stream cancels the question.
#[must_use = "dropping the replies cancels the question"]
pub struct Replies<R> {
    /// `None` once the replies have ended.
    wait: Option<Wait>,
    name: String,
    deadline: Pin<Box<Sleep>>,
    limit: Duration,
    /// Replies that came before an earlier one.
    early: BTreeMap<u64, ReplyData>,
    next: u64,
    end: Option<End>,
    responder: Option<SmolStr>,
    /// How many taken replies the responder was told of.
    told: u64,
    /// Whether the responder is not told when no more replies are taken: only one is expected.
    leaves_the_end: bool,
    replies: PhantomData<fn() -> R>,
}

impl<R: Published> Replies<R> {
    pub(crate) fn new(wait: Wait, name: String, deadline: Instant, limit: Duration) -> Self {
        Self {
            wait: Some(wait),
            name,
            deadline: Box::pin(sleep_until(deadline)),
            limit,
            early: BTreeMap::new(),
            next: 0,
            end: None,
            responder: None,
            told: 0,
            leaves_the_end: false,
            replies: PhantomData,
        }
    }

    pub(crate) fn leave_the_end(&mut self) {
        self.leaves_the_end = true;
    }

    /// The type and topic of the question, and its key.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Takes a message of the responder.
    fn take(&mut self, frame: Frame) -> Result<(), AskError> {
        match frame {
            Frame::Reply { number, data, responder } => {
                self.responder = responder.or(self.responder.take());
                // A reply that comes a second time is equal.
                if number >= self.next {
                    self.early.entry(number).or_insert(data);
                }
                if self.early.len() > MAX_REPLIES {
                    return Err(self.malformed(format!("its number is {number}, but reply {} is missing", self.next)));
                }
            }
            Frame::End(end) => self.end = self.end.take().or(Some(end)),
            Frame::NoResponders => return Err(AskError::NoResponders { question: self.name.clone() }),
            Frame::Unreadable(reason) => return Err(self.malformed(reason)),
        }
        Ok(())
    }

    fn malformed(&self, reason: String) -> AskError {
        AskError::Malformed { question: self.name.clone(), reason }
    }

    /// The next reply, or the end.
    fn poll_reply(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<R, AskError>>> {
        loop {
            if let Some(data) = self.early.remove(&self.next) {
                self.next += 1;
                self.let_more_come();
                let reply = R::decode(&data.message_type, data.version, &data.data);
                return Poll::Ready(Some(reply.map_err(|error| self.malformed(recount_core::error_chain(&error)))));
            }
            if let Some(End { replies, failure }) = &self.end
                && *replies <= self.next
            {
                let failed = failure.as_ref().map(|failure| AskError::Failed {
                    question: self.name.clone(),
                    reason: failure.reason.clone(),
                    transient: failure.transient,
                });
                return Poll::Ready(failed.map(Err));
            }
            let Some(wait) = &mut self.wait else { return Poll::Ready(None) };
            match wait.frames.poll_recv(cx) {
                Poll::Ready(Some(frame)) => {
                    if let Err(error) = self.take(frame) {
                        return Poll::Ready(Some(Err(error)));
                    }
                }
                Poll::Ready(None) => {
                    let (question, closed) = (self.name.clone(), wait.desk.is_closed());
                    let error =
                        if closed { AskError::NotRunning { question } } else { AskError::Overflow { question } };
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Pending => break,
            }
        }
        ready!(self.deadline.as_mut().poll(cx));
        let (question, limit, replies) = (self.name.clone(), self.limit, self.next);
        Poll::Ready(Some(Err(AskError::TimedOut { question, limit, replies })))
    }

    /// Tells the responder that replies were taken, each half of the window.
    fn let_more_come(&mut self) {
        if let (Some(wait), Some(responder)) = (&self.wait, &self.responder)
            && self.next - self.told >= WINDOW as u64 / 2
            && self.end.is_none()
        {
            wait.desk.tell(responder, &wait.key, Order::Taken(self.next), self.deadline.deadline());
            self.told = self.next;
        }
    }
}

impl<R> Replies<R> {
    /// Stops waiting, and tells the responder unless it has ended.
    fn stop(&mut self) {
        let Some(mut wait) = self.wait.take() else { return };
        let mut ended = self.end.is_some();
        // A responder that has sent more than the expected reply waits for room, perhaps.
        let mut tells = !self.leaves_the_end || !self.early.is_empty();
        for frame in wait.end() {
            match frame {
                Frame::Reply { responder, .. } => {
                    self.responder = responder.or(self.responder.take());
                    tells = true;
                }
                Frame::End(_) | Frame::NoResponders => ended = true,
                Frame::Unreadable(_) => {}
            }
        }
        if let (Some(responder), true, false) = (&self.responder, tells, ended) {
            wait.desk.tell(responder, &wait.key, Order::Stop, self.deadline.deadline());
        }
    }
}

impl<R: Published> Stream for Replies<R> {
    type Item = Result<R, AskError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.wait.is_none() {
            return Poll::Ready(None);
        }
        let next = ready!(self.poll_reply(cx));
        if !matches!(next, Some(Ok(_))) {
            self.stop();
        }
        Poll::Ready(next)
    }
}

impl<R> Drop for Replies<R> {
    fn drop(&mut self) {
        self.stop();
    }
}
