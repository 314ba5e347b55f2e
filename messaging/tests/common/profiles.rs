//! Running a test in each profile of the in-process broker.

use std::time::Duration;

use recount_messaging::{InProcess, Profile};

use super::World;

/// Runs a test in each profile, in virtual time.
pub(crate) fn in_each_profile(test: impl AsyncFn(World, InProcess)) {
    in_each_profile_within(Duration::from_secs(7200), test);
}

/// As [`in_each_profile`]. A test that takes longer is stuck.
pub(crate) fn in_each_profile_within(limit: Duration, test: impl AsyncFn(World, InProcess)) {
    let only = std::env::var("RECOUNT_PROFILE").ok();
    let chosen = |profile: &Profile| only.as_ref().is_none_or(|only| *only == format!("{profile:?}"));
    for profile in Profile::ALL.into_iter().filter(chosen) {
        println!("{profile:?}");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let broker = InProcess::with_profile(profile);
            let world = World::new(broker.connect());
            tokio::time::timeout(limit, test(world, broker)).await.unwrap_or_else(|_| panic!("{profile:?} is stuck"));
        });
    }
}

/// Places so many orders of each of the keys `a` and `b`, while connections are cut, the server restarts, and lanes move.
pub(crate) async fn place_through_troubles(world: &World, broker: &InProcess, orders: u32) {
    for n in 0..orders {
        world.place("a", [n]).await;
        world.place("b", [n]).await;
        match n % 20 {
            5 => broker.faults().cut_connections(),
            10 => broker.faults().restart(),
            15 => broker.faults().move_lanes(),
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}
