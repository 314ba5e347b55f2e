extern crate recount_core as recount;

use recount::Timer;

#[derive(Timer)]
enum OrderTimer {
    #[timer(alias = "refill", alias = "refill")]
    Restock,
}

fn main() {}
