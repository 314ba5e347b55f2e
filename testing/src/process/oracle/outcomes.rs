//! Outcomes: each request has one, and effects are undone in reverse.

use std::collections::HashMap;

use recount_core::{IdempotencyKey, NamedAppend};

use super::{OrderLog, is, json};
use crate::process::world::World;

/// Each request has one outcome: its effect, its refusal, or its withdrawal. Undos follow one another in the reverse order of
/// their requests.
pub(super) async fn check(world: &World, log: &OrderLog) {
    let mut refused: HashMap<String, u32> = HashMap::new();
    for event in &log.own {
        if is(event, "recount.request_refused") || is(event, "recount.request_withdrawn") {
            let (request, undo) = (&json(event)["request"], &json(event)["undo"]);
            *refused.entry(format!("{}/{} {undo}", request["step"], request["index"])).or_default() += 1;
        }
    }
    assert!(
        refused.values().all(|count| *count == 1),
        "a request was refused or withdrawn twice: {refused:?}\n{}",
        log.text
    );
    let mut undone_after = u64::MAX;
    for step in log.own.iter().filter(|event| is(event, "recount.step")) {
        for index in 0..json(step)["requests"].as_array().map_or(0, Vec::len) {
            let key = format!("recount.process/{}/{}/{index}", step.stream, step.version);
            assert!(outcome(world, &key).await.is_some(), "request {key} has no outcome:\n{}", log.text);
            if let Some(undone) = undone(world, &key).await {
                assert!(undone < undone_after, "{key} was undone before a later request:\n{}", log.text);
                undone_after = undone;
            }
        }
    }
}

async fn outcome(world: &World, key: &str) -> Option<NamedAppend> {
    world.store.find_append(&IdempotencyKey::from_stored(key).unwrap()).await.unwrap()
}

/// The position of the event that undid a request.
async fn undone(world: &World, key: &str) -> Option<u64> {
    for attempt in 0.. {
        let first = outcome(world, &format!("{key}/undo/{attempt}")).await?;
        if first.appended.streams.iter().any(|part| part.count > 0 && part.stream.category() != super::PROCESS) {
            return Some(first.appended.position.get());
        }
    }
    None
}
