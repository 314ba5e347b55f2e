//! The conductor looks after the services: it starts again the ones that end, and leaves none behind.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use std::collections::BTreeSet;
use std::io::Read;
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
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
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

/// A parameter that no broker has: to connect fails for good.
const WRONG: &str = "nats://app:hunter2@127.0.0.1:4?colour=red";

/// The exit status and the error stream of a program that ends by itself.
fn ends(mut child: Child) -> (Option<i32>, String) {
    let status = until("an end", || child.try_wait().unwrap());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (status.code(), said)
}

#[test]
fn a_broker_that_can_never_be_reached_ends_the_conductor_with_one_line() {
    let place = Place::new();
    let mut command = place.shop();
    command.args(["services", "--stores", "stores", "--orders-limit", "5", "--check", "--json", "--patience", "3"]);
    command.env("SHOP_BROKER", WRONG).arg("--orders").arg(sample());
    let started = Instant::now();
    let (code, said) = ends(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    assert_eq!((code, said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.contains("can't connect to the broker nats://") && said.contains("unknown parameter"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert!(place.files().0.is_empty(), "no stores were made");
}

#[test]
fn a_service_that_cannot_start_ends_before_its_input_does() {
    let place = Place::new();
    let mut command = place.shop();
    command.args(["service", "order", "--conducted"]).env("SHOP_BROKER", WRONG).env("SHOP_STORE", "memory://");
    let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let (code, said) = ends(child);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("can't connect to the broker"), "{said}");
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
