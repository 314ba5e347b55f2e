extern crate recount_core as recount;

use recount::Event;

#[derive(Event)]
#[event(name = "account")]
enum AccountEvent {
    #[event(version = 2, upcast(opened_v1))]
    Opened { owner: String },
    #[event(version = 3, upcast(closed_v1, closed_v2))]
    Closed { why: String },
    #[event(version = 2, upcast(moved_v1))]
    Moved,
    #[event(version = 2, upcast(paid_v1))]
    Paid,
}

fn opened_v1(owner: String) -> Vec<AccountEvent> {
    vec![AccountEvent::Opened { owner }]
}

fn closed_v1(_: ()) -> Option<String> {
    None
}

fn closed_v2(why: String) -> AccountEvent {
    AccountEvent::Closed { why }
}

struct NoError;

fn moved_v1(_: ()) -> Result<AccountEvent, NoError> {
    Err(NoError)
}

fn paid_v1(_: ()) -> Result<Vec<AccountEvent>, String> {
    Ok(vec![])
}

fn main() {}
