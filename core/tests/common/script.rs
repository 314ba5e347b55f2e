//! A source of numbers, and a sink of them, that behave as a test says.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use recount_core::{BoxError, Delivered, Lane, Position, Sink, Source, TransientError};
use tokio::time::Instant;

/// How the source is resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resumes {
    /// By the mark of the last item.
    ByMark,
    /// Items that were not settled come again.
    BySettling,
}

/// A call of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Open,
    Settle,
    Complete,
}

#[derive(Debug)]
pub struct State {
    /// The numbers are those from 1 up to here.
    pub last: u64,
    /// Fails for good instead of this number.
    pub fails_at: Option<u64>,
    /// Fails for so long before each number.
    pub falters: Duration,
    /// This call doesn't return.
    pub hangs: Option<Call>,
    /// This call fails for good.
    pub fails: Option<Call>,
    /// The failures pass by themselves.
    pub transient: bool,
    /// How often it was opened.
    pub opened: usize,
    settled: Vec<u64>,
    faltered: Option<(u64, Instant)>,
}

/// Numbers. Clones share the state.
#[derive(Clone)]
pub struct Script {
    pub state: Arc<Mutex<State>>,
    resumes: Resumes,
    next: u64,
    caught_up: bool,
}

impl Script {
    pub fn new(resumes: Resumes, last: u64) -> Self {
        let state = State {
            last,
            fails_at: None,
            falters: Duration::ZERO,
            hangs: None,
            fails: None,
            transient: false,
            opened: 0,
            settled: Vec::new(),
            faltered: None,
        };
        Self { state: Arc::new(Mutex::new(state)), resumes, next: 1, caught_up: false }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn failure(&self) -> BoxError {
        failure(&self.state())
    }

    async fn call(&self, made: Call) -> Result<(), BoxError> {
        call(&self.state, made).await
    }

    /// The number to deliver, if there is one.
    fn number(&mut self) -> Result<Option<u64>, BoxError> {
        let (mut state, failure) = (self.state(), "the line is broken");
        let mut next = self.next;
        while state.settled.contains(&next) {
            next += 1;
        }
        if state.fails_at == Some(next) {
            drop(state);
            return Err(self.failure());
        }
        if next > state.last {
            return Ok(None);
        }
        let since = match state.faltered {
            Some((number, since)) if number == next => since,
            _ => Instant::now(),
        };
        state.faltered = Some((next, since));
        if since.elapsed() < state.falters {
            return Err(failure.into());
        }
        drop(state);
        self.next = next + 1;
        Ok(Some(next))
    }
}

fn failure(state: &State) -> BoxError {
    match state.transient {
        true => TransientError::new("the line is broken").into(),
        false => "the line is broken".into(),
    }
}

async fn call(state: &Mutex<State>, call: Call) -> Result<(), BoxError> {
    let hangs = state.lock().unwrap().hangs == Some(call);
    if hangs {
        std::future::pending::<()>().await;
    }
    let state = state.lock().unwrap();
    if state.fails == Some(call) { Err(failure(&state)) } else { Ok(()) }
}

impl Source for Script {
    type Item = u64;
    type Mark = u64;
    type Ticket = u64;

    const HAS_POSITIONS: bool = true;

    async fn open(&mut self, after: Option<u64>) -> Result<(), BoxError> {
        self.state().opened += 1;
        (self.next, self.caught_up) = (after.unwrap_or(0) + 1, false);
        self.call(Call::Open).await
    }

    async fn next(&mut self) -> Result<Delivered<Self>, BoxError> {
        loop {
            let by_mark = self.resumes == Resumes::ByMark;
            if let Some(item) = self.number()? {
                return Ok(Delivered::Item { item, lane: Lane(item), ticket: item, mark: by_mark.then_some(item) });
            }
            if !std::mem::replace(&mut self.caught_up, true) {
                return Ok(Delivered::CaughtUp { mark: by_mark.then_some(self.next - 1) });
            }
            while self.state().last < self.next && self.state().fails_at != Some(self.next) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            self.caught_up = false;
        }
    }

    async fn settle(&mut self, tickets: Vec<u64>) -> Result<(), BoxError> {
        self.call(Call::Settle).await?;
        if self.resumes == Resumes::BySettling {
            self.state().settled.extend(tickets);
        }
        Ok(())
    }

    fn complete(&self, mark: u64) -> impl Future<Output = Result<u64, BoxError>> + Send + 'static {
        let state = Arc::clone(&self.state);
        async move { call(&state, Call::Complete).await.map(|()| mark) }
    }

    fn position(mark: &u64) -> Position {
        Position::new(*mark)
    }
}

/// Five numbers and a failure, from the start again at each opening: it has neither marks nor tickets.
pub struct Forgetful(pub u64);

impl Source for Forgetful {
    type Item = u64;
    type Mark = ();
    type Ticket = ();

    async fn open(&mut self, _: Option<()>) -> Result<(), BoxError> {
        self.0 = 0;
        Ok(())
    }

    async fn next(&mut self) -> Result<Delivered<Self>, BoxError> {
        self.0 += 1;
        if self.0 > 5 {
            return Err("the line is broken".into());
        }
        Ok(Delivered::Item { item: self.0, lane: Lane(self.0), ticket: (), mark: None })
    }
}

/// Has nothing to deliver, and no positions.
pub struct Unplaced;

impl Source for Unplaced {
    type Item = u64;
    type Mark = u64;
    type Ticket = ();

    async fn open(&mut self, _: Option<u64>) -> Result<(), BoxError> {
        Ok(())
    }

    async fn next(&mut self) -> Result<Delivered<Self>, BoxError> {
        std::future::pending().await
    }
}

/// Keeps the numbers in the order in which it took them.
#[derive(Clone, Default)]
pub struct Numbers {
    pub taken: Arc<Mutex<Vec<u64>>>,
    /// How long each takes.
    pub takes: Duration,
}

impl Numbers {
    pub fn taken(&self) -> Vec<u64> {
        self.taken.lock().unwrap().clone()
    }
}

impl Sink for Numbers {
    type Item = u64;

    async fn take(&self, number: &u64) -> Result<(), BoxError> {
        tokio::time::sleep(self.takes).await;
        self.taken.lock().unwrap().push(*number);
        Ok(())
    }
}
