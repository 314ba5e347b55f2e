//! Capabilities as a table: the same rows for every broker, and what is declared in words.
#![allow(clippy::unwrap_used, reason = "a test")]

use recount_messaging::{Binding, Broker, Group, InProcess, Order, Profile, Topic};
use recount_testing::broker::documented;

fn binding() -> Binding {
    Binding::new(Topic::new("orders").unwrap(), Group::new("mail").unwrap())
}

#[test]
fn every_ability_is_a_row() {
    let nats = Profile::Nats.capabilities(&binding()).to_string();
    let expected = "\
messages survive a crash  yes
order                     within each of 8 lanes, one message out at a time
acknowledgement           each message, confirmed, a crash may forget it
lease                     30 s, extended by a call
delayed retry             0 s to 365 d, the key waits, counts as out
released message          to the front, counts as a delivery
count of deliveries       exact
dead letters              none
limit of attempts         none
dedupe on publish         by id, for 2 min
publish request           1000 messages, any size, one message of a key
greatest message          1 MiB with headers, the server says
headers                   any number, 64 KiB
key                       any text, 1 KiB
envelope                  attributes in headers
read again                by position and time
late group gets history   yes
lists its topics          yes
consumers of a group      any number
replies                   by the broker, the requester must be there
unused group is removed   never";
    assert_eq!(nats, expected);
}

#[test]
fn every_broker_has_the_same_rows() {
    let names = |profile: Profile| -> Vec<_> {
        profile.capabilities(&binding()).rows().into_iter().map(|(name, _)| name).collect()
    };
    for profile in Profile::ALL {
        assert_eq!(names(profile), names(Profile::Own), "{profile:?}");
    }
}

#[test]
fn no_two_profiles_declare_the_same() {
    let tables: std::collections::BTreeSet<_> =
        Profile::ALL.map(|profile| profile.capabilities(&binding()).to_string()).into();
    assert_eq!(tables.len(), Profile::ALL.len());
}

#[test]
fn the_documentation_says_what_the_broker_in_the_process_declares() {
    let (broker, text) = (InProcess::new(), include_str!("../../docs/capabilities.md"));
    documented(text, "## In order per key", "in process", &broker.capabilities(&binding()));
    documented(text, "## Without order", "in process", &broker.capabilities(&binding().order(Order::Unordered)));
}
