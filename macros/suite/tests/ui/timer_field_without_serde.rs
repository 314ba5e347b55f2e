extern crate recount_core as recount;

use recount::Timer;

struct Sku(u64);

#[derive(Timer)]
enum OrderTimer {
    Restock { sku: Sku },
}

fn main() {}
