//! The conductor looks after the services: it starts again the ones that end, and leaves none behind.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Place, sample};
use recount_servers::Nats;

/// How long the services have to get where they should.
const LIMIT: Duration = Duration::from_secs(60);

/// Starts the services over NATS; they run until the conductor is stopped.
fn conductor(place: &Place, nats: &Nats) -> Child {
    let mut command = place.shop();
    command.env("SHOP_BROKER", nats.url()).args(["services", "--stores", "stores", "--orders-limit", "5", "--orders"]);
    command.arg(sample()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// The ids of the processes that a process has started.
fn children(parent: u32) -> BTreeSet<u32> {
    let output = Command::new("pgrep").args(["-P", &parent.to_string()]).output().unwrap();
    common::text(&output.stdout).lines().map(|id| id.parse().unwrap()).collect()
}

/// Whether a process runs: one that has ended may be listed until it is waited for.
fn is_there(process: u32) -> bool {
    let output = Command::new("ps").args(["-o", "stat=", "-p", &process.to_string()]).output().unwrap();
    let state = common::text(&output.stdout);
    !state.trim().is_empty() && !state.trim().starts_with('Z')
}

fn signal(signal: &str, process: u32) {
    assert!(Command::new("kill").args([signal, &process.to_string()]).status().unwrap().success());
}

/// Waits until something holds.
fn until<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < LIMIT, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn six(parent: u32) -> BTreeSet<u32> {
    until("six services", || Some(children(parent)).filter(|services| services.len() == 6))
}

#[test]
fn a_service_that_was_killed_by_hand_is_started_again_and_all_end_with_the_conductor() {
    let (place, nats) = (Place::new(), Nats::start().unwrap());
    let mut conductor = conductor(&place, &nats);
    let services = six(conductor.id());
    let victim = *services.first().unwrap();
    signal("-KILL", victim);
    let after = until("another process instead of the killed one", || {
        Some(children(conductor.id())).filter(|now| now.len() == 6 && !now.contains(&victim))
    });
    assert_eq!(after.intersection(&services).count(), 5, "the others were left alone");
    signal("-TERM", conductor.id());
    assert_eq!(conductor.wait().unwrap().code(), Some(143));
    assert!(after.iter().all(|service| !is_there(*service)), "the conductor ended before its services");
}

#[test]
fn services_end_when_their_conductor_was_killed() {
    let (place, nats) = (Place::new(), Nats::start().unwrap());
    let mut conductor = conductor(&place, &nats);
    let services = six(conductor.id());
    conductor.kill().unwrap();
    conductor.wait().unwrap();
    until("no service is left", || services.iter().all(|service| !is_there(*service)).then_some(()));
}
