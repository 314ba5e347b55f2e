//! Topics and groups are declared once, and compared.

use std::num::NonZeroU16;
use std::time::Duration;

use recount_messaging::{BrokerError, Fate, Order, Plan, Topic, TopicPattern};

use super::harness::capabilities;
use super::support::{bound, bounded, ensure, fates, message, publish, unique};
use super::{Harness, Reader};

/// The second `ensure` of the same plan makes no change, from another connection too.
pub async fn ensure_is_idempotent(h: &dyn Harness) {
    let (broker, binding) = (h.broker().await, unique());
    assert!(!ensure(&*broker, &[&binding]).await.is_empty(), "the first call declares something");
    assert_eq!(ensure(&*broker, &[&binding]).await, []);
    assert_eq!(ensure(&*h.broker().await, &[&binding]).await, []);
}

/// A dry run lists the changes and makes none.
pub async fn a_dry_run_changes_nothing(h: &dyn Harness) {
    let (broker, binding) = (h.broker().await, unique());
    let plan = Plan { topics: vec![binding.topic.clone()], bindings: vec![binding.clone()] };
    let planned = bounded(broker.ensure(&plan, true)).await.unwrap();
    assert!(!planned.is_empty());
    assert_eq!(bounded(broker.ensure(&plan, true)).await.unwrap(), planned);
    let subscribed = bounded(broker.subscribe(&binding)).await;
    assert!(matches!(subscribed.err(), Some(BrokerError::Missing { .. })));
    assert_eq!(bounded(broker.ensure(&plan, false)).await.unwrap(), planned, "the planned changes are those made");
}

/// A topic with another number of lanes is refused, and the error names the topic and both numbers. The topic keeps its
/// messages.
pub async fn another_number_of_lanes_is_a_mismatch(h: &dyn Harness) {
    let (broker, binding) = bound(h, Order::PerKey).await;
    publish(&*broker, &binding.topic, &[message("k", 0)]).await;
    let topic = binding.topic.clone().with_lanes(NonZeroU16::new(5).unwrap());
    let plan = Plan { topics: vec![topic], bindings: Vec::new() };
    for dry_run in [true, false] {
        let error = bounded(broker.ensure(&plan, dry_run)).await.unwrap_err();
        assert!(matches!(error, BrokerError::Mismatch { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(binding.topic.name()) && text.contains('4') && text.contains('5'), "{text}");
    }
    assert_eq!(Reader::new(&broker, &binding).await.consume(1).await.len(), 1);
}

/// A consumer of a binding that was not declared is refused, with an error that names the missing object.
pub async fn a_binding_that_was_not_ensured_is_missing(h: &dyn Harness) {
    let (broker, binding) = (h.broker().await, unique());
    let error = bounded(broker.subscribe(&binding)).await.err().unwrap();
    assert!(matches!(error, BrokerError::Missing { .. }), "{error:?}");
    let plan = Plan { topics: vec![binding.topic.clone()], bindings: Vec::new() };
    bounded(broker.ensure(&plan, false)).await.unwrap();
    let error = bounded(broker.subscribe(&binding)).await.err().unwrap();
    assert!(matches!(error, BrokerError::Missing { .. }), "a topic alone is no binding: {error:?}");
}

/// A message to a topic that was not declared is not stored, and its fate says so.
pub async fn a_topic_that_was_not_ensured_takes_no_message(h: &dyn Harness) {
    let broker = h.broker().await;
    let topic = Topic::new(unique().topic.name()).unwrap();
    let fates = fates(&*broker, &topic, &[message("a", 0), message("b", 1)]).await;
    assert!(fates.iter().all(|fate| matches!(fate, Fate::Refused(_) | Fate::NotSent(Some(_)))), "{fates:?}");
}

/// A plan of several services may name an object twice: it is declared once. A plan that contradicts itself declares nothing.
pub async fn a_plan_may_repeat_itself_and_not_contradict_itself(h: &dyn Harness) {
    let (broker, binding) = (h.broker().await, unique());
    let once = Plan { topics: Vec::new(), bindings: vec![binding.clone()] };
    let twice = Plan { topics: vec![binding.topic.clone(); 2], bindings: vec![binding.clone(); 2] };
    let planned = bounded(broker.ensure(&once, true)).await.unwrap();
    assert!(!planned.is_empty());
    assert_eq!(bounded(broker.ensure(&twice, true)).await.unwrap(), planned);
    assert_eq!(bounded(broker.ensure(&twice, false)).await.unwrap(), planned);
    let (fresh, other) = (unique(), unique());
    let both = Plan { topics: Vec::new(), bindings: vec![fresh.clone(), other.clone()] };
    let missing = bounded(broker.ensure(&both, true)).await.unwrap();
    let fewer = other.topic.clone().with_lanes(NonZeroU16::new(3).unwrap());
    let times = [60, 120].map(|seconds| other.topic.clone().keep_for(Duration::from_secs(seconds)));
    let unordered = other.clone().order(Order::Unordered);
    let contradictions =
        [(vec![fewer], vec![other.clone()]), (Vec::from(times), Vec::new()), (Vec::new(), vec![other, unordered])];
    for (topics, bindings) in contradictions {
        let plan = Plan { topics, bindings: [vec![fresh.clone()], bindings].concat() };
        for dry_run in [true, false] {
            let declared = bounded(broker.ensure(&plan, dry_run)).await;
            assert!(matches!(declared, Err(BrokerError::Mismatch { .. })), "{declared:?}");
        }
    }
    assert_eq!(bounded(broker.ensure(&both, true)).await.unwrap(), missing);
}

/// A lease, an expiry or a time to keep messages that no broker can keep is refused, with its value: nothing is declared, and
/// nothing is consumed.
pub async fn a_time_out_of_its_bounds_is_refused_by_name(h: &dyn Harness) {
    let (broker, binding) = (h.broker().await, unique());
    let kept_for = |time| {
        let mut binding = binding.clone();
        binding.topic = binding.topic.keep_for(time);
        binding
    };
    let (nothing, short, long) = (Duration::ZERO, Duration::from_millis(999), Duration::from_secs(31 * 24 * 60 * 60));
    let refused = [nothing, short, long, Duration::MAX].map(|time| (binding.clone().lease(time), time));
    let expiring = [nothing, short, long, Duration::MAX].map(|time| (binding.clone().expires_after(time), time));
    let forgetting = [nothing, short].map(|time| (kept_for(time), time));
    for (binding, time) in refused.into_iter().chain(expiring).chain(forgetting) {
        let plan = Plan { topics: Vec::new(), bindings: vec![unique(), binding.clone()] };
        let mut errors = Vec::new();
        for dry_run in [true, false] {
            errors.extend(bounded(broker.ensure(&plan, dry_run)).await.err());
        }
        errors.extend(bounded(broker.subscribe(&binding)).await.err());
        assert_eq!(errors.len(), 3, "{time:?} is taken");
        for error in errors {
            let named = format!("\"{time:?}\" is no ");
            assert!(matches!(error, BrokerError::Invalid { .. }) && error.to_string().contains(&named), "{error}");
        }
        let missing = Plan { topics: Vec::new(), bindings: vec![plan.bindings[0].clone()] };
        assert!(!bounded(broker.ensure(&missing, true)).await.unwrap().is_empty(), "a refused plan was declared");
    }
}

/// A broker that declares that it lists its topics lists those of a pattern, with their lanes, in the order of their names. Any
/// other refuses.
pub async fn topics_are_listed_as_declared(h: &dyn Harness) {
    let (broker, base) = (h.broker().await, unique());
    let pattern = TopicPattern::new(&format!("*{}-l*", &base.topic.name()[1..])).unwrap();
    if !capabilities(&*broker, Order::PerKey).lists_topics {
        let listed = bounded(broker.topics(&pattern)).await;
        assert!(matches!(listed, Err(BrokerError::Unsupported { .. })), "{listed:?}");
        return;
    }
    assert_eq!(bounded(broker.topics(&pattern)).await.unwrap(), [], "nothing is declared yet");
    let named = |end: &str, lanes| {
        Topic::new(&format!("{}-{end}", base.topic)).unwrap().with_lanes(NonZeroU16::new(lanes).unwrap())
    };
    // The last one does not match.
    let topics = [named("l2", 3), named("l10", 1), named("k", 2)];
    let plan = Plan { topics: topics.to_vec(), bindings: Vec::new() };
    bounded(broker.ensure(&plan, false)).await.unwrap();
    let [second, first, other] = topics;
    assert_eq!(bounded(broker.topics(&pattern)).await.unwrap(), [first, second]);
    let exact = TopicPattern::new(other.name()).unwrap();
    assert_eq!(bounded(h.broker().await.topics(&exact)).await.unwrap(), [other]);
    bounded(broker.close(Duration::from_secs(5))).await;
    assert!(matches!(bounded(broker.topics(&pattern)).await, Err(BrokerError::Closed)));
}

/// After `close`, calls fail with `Closed`, and other connections go on. A second `close` returns.
pub async fn a_closed_connection_says_so(h: &dyn Harness) {
    let (broker, binding) = bound(h, Order::PerKey).await;
    let other = h.broker().await;
    bounded(broker.close(Duration::from_secs(5))).await;
    bounded(broker.close(Duration::MAX)).await;
    assert!(matches!(bounded(broker.health()).await, Err(BrokerError::Closed)));
    assert!(matches!(bounded(broker.subscribe(&binding)).await.err(), Some(BrokerError::Closed)));
    let fate = fates(&*broker, &binding.topic, &[message("k", 0)]).await.pop();
    assert!(matches!(fate, Some(Fate::NotSent(Some(BrokerError::Closed)))), "{fate:?}");
    bounded(other.health()).await.unwrap();
    publish(&*other, &binding.topic, &[message("k", 0)]).await;
}
