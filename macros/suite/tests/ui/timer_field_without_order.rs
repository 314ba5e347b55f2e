extern crate recount_core as recount;

use std::collections::HashMap;

use recount::Timer;

#[derive(Timer)]
enum OrderTimer {
    Restock { wanted: HashMap<String, u64> },
}

fn main() {}
