//! Conditions at once: those that overlap have one winner, those that don't never conflict, none overlooks an event.

use std::sync::Arc;

use recount_core::ExpectedVersion::Any;
use recount_core::{Append, Direction, EventData, Position, Query, QueryItem, ReadAll, RecordedEvent, Store};

use super::Harness;
use super::support::*;

const WRITERS: usize = 24;

/// Exactly one of several racing appends wins if their conditions exclude each other.
pub async fn of_racing_conditions_that_overlap_exactly_one_wins(h: &dyn Harness) {
    let instances = instances(h).await;
    for round in 0..scaled(h, 20) {
        let outcomes = race(WRITERS, |task| {
            let store = instances[task % 2].clone();
            async move {
                let seat = format!("seat:{round}");
                // Some ask for the tag, some for type and tag, some for the type: they all exclude each other.
                let booked = format!("booked-{round}");
                let query = Query::item(
                    [item(&[], &[&seat]), item(&[&booked], &[&seat]), item(&[&booked], &[])][task % 3].clone(),
                );
                let request = Append::to(stream(&format!("{round}-{task}")), Any, vec![tagged(&booked, &[&seat])]);
                store.append(request.condition(unless(query, Position::START))).await
            }
        })
        .await;
        assert_eq!(outcomes.iter().filter(|outcome| won(outcome)).count(), 1, "round {round}");
        let booked = select(&*instances[1], Query::tags([tag(&format!("seat:{round}"))])).await;
        assert_eq!(booked.len(), 1, "round {round}");
    }
}

/// Appends with disjoint conditions never conflict, however many there are at once.
pub async fn disjoint_conditions_never_conflict(h: &dyn Harness) {
    let instances = instances(h).await;
    let rounds = scaled(h, 20);
    race(WRITERS, |task| {
        let store = instances[task % 2].clone();
        async move {
            let mine = format!("account:{task}");
            let mut after = Position::START;
            for round in 0..rounds {
                let query = Query::item(item(&["t"], &[&mine])).or(item(&["u"], &[&mine, "all"]));
                let event = tagged(["t", "u"][round % 2], &["all", &mine]);
                let request = Append::to(stream(&mine), Any, vec![event]).condition(unless(query, after));
                after = store.append(request).await.expect("nobody else writes these tags").position;
            }
        }
    })
    .await;
    assert_eq!(everything(&*instances[0]).await.len(), WRITERS * rounds);
}

/// A condition also fails on events that are appended, at the same moment, without any.
pub async fn an_unconditional_append_is_not_missed_by_a_condition(h: &dyn Harness) {
    let instances = instances(h).await;
    let rounds = scaled(h, 40);
    race(WRITERS, |task| {
        let store = instances[task % 2].clone();
        async move {
            for _ in 0..rounds {
                let to = stream(&task.to_string());
                if task < WRITERS / 2 {
                    add(&*store, &to, tagged("t", &["watched"])).await;
                } else {
                    judged(&*store, Query::tags([tag("watched")]), 0, tagged("t", &["watched"])).await;
                }
                tokio::task::yield_now().await;
            }
        }
    })
    .await;
    judge(&everything(&*instances[0]).await, &[Query::tags([tag("watched")])]);
}

/// Twenty writers with random queries: recomputed afterwards, no event that was recorded breaks its own condition.
pub async fn every_recorded_condition_held(h: &dyn Harness) {
    let instances = instances(h).await;
    let mut random = random();
    let part = |random: &mut fastrand::Rng, of: &[&'static str]| -> Vec<&'static str> {
        (0..random.usize(0..3)).map(|_| of[random.usize(..of.len())]).collect()
    };
    let mut item_of = || item(&part(&mut random, &["t", "u", "v"]), &part(&mut random, &["a", "b", "c", "d"]));
    let queries: Arc<[Query]> = (0..30).map(|_| Query::item(item_of()).or(item_of())).collect();
    let seed = random.u64(..);
    let rounds = scaled(h, 40);
    let wins = race(20, |task| {
        let (store, queries) = (instances[task % 2].clone(), queries.clone());
        let mut random = fastrand::Rng::with_seed(seed + task as u64);
        async move {
            let mut wins = 0;
            for _ in 0..rounds {
                let which = random.usize(..queries.len());
                let tags = part(&mut random, &["a", "b", "c", "d"]);
                let event = tagged(["t", "u", "v"][random.usize(..3)], &tags);
                wins += usize::from(judged(&*store, queries[which].clone(), which, event).await);
            }
            wins
        }
    })
    .await;
    let all = everything(&*instances[0]).await;
    assert_eq!(all.len(), wins.iter().sum::<usize>());
    judge(&all, &queries);
}

/// A category narrows a condition; streams of another category never conflict with it.
pub async fn conditions_on_disjoint_categories_never_conflict(h: &dyn Harness) {
    let instances = instances(h).await;
    let rounds = scaled(h, 10);
    race(WRITERS, |task| {
        let store = instances[task % 2].clone();
        async move {
            let category = format!("category-{task}");
            let to = recount_core::StreamId::new(&category, "1").unwrap();
            let mut after = Position::START;
            for _ in 0..rounds {
                let query = Query::item(QueryItem { category: Some(category.as_str().into()), ..item(&["t"], &[]) });
                let request = Append::to(to.clone(), Any, vec![typed("t")]).condition(unless(query, after));
                after = store.append(request).await.expect("nobody else writes this category").position;
            }
        }
    })
    .await;
}

/// Reads the events of a query, then appends on the condition that it selects nothing newer. The event tells both.
async fn judged(store: &dyn Store, query: Query, which: usize, event: EventData) -> bool {
    let last = ReadAll { direction: Direction::Backward, limit: Some(1), ..ReadAll::new(query.clone()) };
    let after = collect_all(store, last).await.first().map_or(Position::START, |event| event.position);
    let event = EventData { payload: format!("judged {which} {after}").into(), ..event };
    won(&store.append(Append::to(stream("judged"), Any, vec![event]).condition(unless(query, after))).await)
}

fn judge(all: &[RecordedEvent], queries: &[Query]) {
    for event in all {
        let text = String::from_utf8_lossy(&event.data.payload);
        let Some(verdict) = text.strip_prefix("judged ") else { continue };
        let (which, after) = verdict.split_once(' ').unwrap();
        let (query, after) = (&queries[which.parse::<usize>().unwrap()], after.parse::<u64>().unwrap());
        let between = |other: &&RecordedEvent| other.position.get() > after && other.position < event.position;
        let missed = all.iter().filter(between).find(|other| query.matches(other));
        assert_eq!(missed, None, "{event:?} was recorded although {query:?} selects a newer event than {after}");
    }
}
