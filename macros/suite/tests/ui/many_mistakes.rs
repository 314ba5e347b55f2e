extern crate recount_core as recount;

use recount::Event;

#[derive(Event)]
#[event(name = "ac count", version = 2)]
enum AccountEvent {
    #[event(version = 3, upcast(v1))]
    Opened {
        #[event(tog)]
        owner: String,
    },
    #[event(retired = true, alias = "")]
    #[serde(rename = "x")]
    Closed(#[event(tag)] String),
    #[event(name = "opened")]
    Reopened,
}

fn listen(event: &AccountEvent) -> Vec<recount::EventVariant> {
    let _ = event.encode();
    AccountEvent::variants()
}

fn main() {}
