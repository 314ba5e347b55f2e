//! Layers for tests: some observe, some fail as ordered.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use recount_core::BoxError;
use recount_messaging::{Handled, HandlerRequest, HandlerService};
use tokio::time::Instant;
use tower::{Layer, Service};

type Answer = Pin<Box<dyn Future<Output = Result<Handled, BoxError>> + Send>>;

/// A call as an observer has seen it.
#[derive(Clone, Debug)]
pub(crate) struct Observed {
    pub(crate) at: Instant,
    pub(crate) consumer: String,
    pub(crate) key: Option<String>,
    pub(crate) attempt: u32,
}

/// Takes note of each call, and may take some time before the handler.
#[derive(Clone, Default)]
pub(crate) struct Observer {
    takes: Duration,
    name: &'static str,
    order: Arc<Mutex<Vec<&'static str>>>,
    seen: Arc<Mutex<Vec<Observed>>>,
    /// The calls under way, and the most of them so far.
    at_once: Arc<Mutex<(usize, usize)>>,
}

impl Observer {
    pub(crate) fn taking(takes: Duration) -> Self {
        Self { takes, ..Self::default() }
    }

    pub(crate) fn named(name: &'static str, order: &Arc<Mutex<Vec<&'static str>>>) -> Self {
        Self { name, order: Arc::clone(order), ..Self::default() }
    }

    pub(crate) fn seen(&self) -> Vec<Observed> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn most_at_once(&self) -> usize {
        self.at_once.lock().unwrap().1
    }
}

impl<S> Layer<S> for Observer {
    type Service = Observing<S>;

    fn layer(&self, inner: S) -> Observing<S> {
        Observing { observer: self.clone(), inner }
    }
}

pub(crate) struct Observing<S> {
    observer: Observer,
    inner: S,
}

impl<S> Service<HandlerRequest> for Observing<S>
where
    S: Service<HandlerRequest, Response = Handled, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = Handled;
    type Error = BoxError;
    type Future = Answer;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: HandlerRequest) -> Answer {
        let observer = self.observer.clone();
        observer.order.lock().unwrap().push(observer.name);
        observer.seen.lock().unwrap().push(Observed {
            at: Instant::now(),
            consumer: request.consumer().to_owned(),
            key: request.message().key.as_deref().map(str::to_owned),
            attempt: request.attempt(),
        });
        let handled = self.inner.call(request);
        Box::pin(async move {
            {
                let mut at_once = observer.at_once.lock().unwrap();
                at_once.0 += 1;
                at_once.1 = at_once.1.max(at_once.0);
            }
            if !observer.takes.is_zero() {
                tokio::time::sleep(observer.takes).await;
            }
            let handled = handled.await;
            observer.at_once.lock().unwrap().0 -= 1;
            handled
        })
    }
}

/// Fails if two messages of one key are handled at once.
#[derive(Clone, Default)]
pub(crate) struct Lane(Arc<Mutex<BTreeSet<String>>>);

impl<S> Layer<S> for Lane {
    type Service = Exclusive<S>;

    fn layer(&self, inner: S) -> Exclusive<S> {
        Exclusive { lane: self.clone(), inner }
    }
}

pub(crate) struct Exclusive<S> {
    lane: Lane,
    inner: S,
}

struct Held(Lane, String);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().remove(&self.1);
    }
}

impl<S> Service<HandlerRequest> for Exclusive<S>
where
    S: Service<HandlerRequest, Response = Handled, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = Handled;
    type Error = BoxError;
    type Future = Answer;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: HandlerRequest) -> Answer {
        let key = request.message().key.as_deref().unwrap_or_default().to_owned();
        let lane = self.lane.clone();
        let handled = self.inner.call(request);
        Box::pin(async move {
            assert!(lane.0.lock().unwrap().insert(key.clone()), "two messages of {key} at once");
            let _held = Held(lane, key);
            tokio::time::sleep(Duration::from_millis(5)).await;
            handled.await
        })
    }
}

/// What a layer does with a call.
pub(crate) enum Step {
    Through,
    Fail(BoxError),
    Drop,
    WithData(String),
    NeverReady,
    Unready(BoxError),
    PanicInReadiness,
    PanicInCall,
    PanicInFuture,
}

type Plan = Box<dyn FnMut(usize) -> Step + Send>;

/// A layer that does with each call as a test has planned for its number, from 0.
#[derive(Clone)]
pub(crate) struct Stepping {
    plan: Arc<Mutex<Plan>>,
    /// How often the plan was asked.
    asked: Arc<Mutex<usize>>,
    attempts: Arc<Mutex<Vec<u32>>>,
    made: Arc<Mutex<usize>>,
}

impl Stepping {
    pub(crate) fn new(plan: impl FnMut(usize) -> Step + Send + 'static) -> Self {
        let plan: Plan = Box::new(plan);
        Self { plan: Arc::new(Mutex::new(plan)), asked: Arc::default(), attempts: Arc::default(), made: Arc::default() }
    }

    pub(crate) fn change(&self, plan: impl FnMut(usize) -> Step + Send + 'static) {
        *self.plan.lock().unwrap() = Box::new(plan);
    }

    pub(crate) fn asked(&self) -> usize {
        *self.asked.lock().unwrap()
    }

    pub(crate) fn attempts(&self) -> Vec<u32> {
        self.attempts.lock().unwrap().clone()
    }

    pub(crate) fn made(&self) -> usize {
        *self.made.lock().unwrap()
    }

    fn next(&self) -> Step {
        let number = {
            let mut asked = self.asked.lock().unwrap();
            *asked += 1;
            *asked - 1
        };
        (self.plan.lock().unwrap())(number)
    }
}

impl Layer<HandlerService> for Stepping {
    type Service = Steps;

    fn layer(&self, inner: HandlerService) -> Steps {
        *self.made.lock().unwrap() += 1;
        Steps { stepping: self.clone(), inner, next: None }
    }
}

pub(crate) struct Steps {
    stepping: Stepping,
    inner: HandlerService,
    /// The step of the call for which it is being made ready.
    next: Option<Step>,
}

impl Service<HandlerRequest> for Steps {
    type Response = Handled;
    type Error = BoxError;
    type Future = Answer;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if self.next.is_none() {
            self.next = Some(self.stepping.next());
        }
        match self.next.take() {
            Some(Step::Unready(error)) => return Poll::Ready(Err(error)),
            Some(Step::PanicInReadiness) => panic!("in readiness"),
            next => self.next = next,
        }
        if matches!(self.next, Some(Step::NeverReady)) {
            return Poll::Pending;
        }
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: HandlerRequest) -> Answer {
        self.stepping.attempts.lock().unwrap().push(request.attempt());
        match self.next.take().expect("ready") {
            Step::Fail(error) => Box::pin(async { Err(error) }),
            Step::Drop => Box::pin(async { Ok(Handled::default()) }),
            Step::WithData(data) => self.inner.call(request.with_data(data)),
            Step::PanicInCall => panic!("in a call"),
            Step::PanicInFuture => Box::pin(async { panic!("in a future") }),
            _ => self.inner.call(request),
        }
    }
}
