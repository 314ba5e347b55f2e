extern crate recount_core as recount;

use recount::Timer;

#[derive(Timer)]
enum OrderTimer {
    Restock { sku: Option<Option<u64>> },
}

fn main() {}
