extern crate recount_core as recount;

use recount::Timer;

#[derive(Timer)]
enum OrderTimer {
    Refill,
    #[timer(alias = "refill")]
    Restock,
}

fn main() {}
