extern crate recount_core as recount;

use recount::Timer;

#[derive(Timer)]
#[timer(name = "order")]
enum OrderTimer {
    #[timer(retired)]
    PaymentOverdue,
}

fn main() {}
