extern crate recount_core as recount;

use recount::Event;

#[derive(Event)]
#[event(name = "a.very.long.name.a.very.long.name.a.very.long.name.a.very.long.name.a.very.long.name.a.very.long.name.a.very.long")]
enum AccountEvent {
    #[event(name = "short")]
    Opened,
    TheNameOfThisVariantIsTooLong,
}

fn main() {}
