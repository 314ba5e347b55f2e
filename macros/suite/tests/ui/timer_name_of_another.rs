extern crate recount_core as recount;

use recount::Timer;

#[derive(Timer)]
enum OrderTimer {
    PaymentOverdue,
    #[timer(name = "payment_overdue")]
    Overdue,
}

fn main() {}
