extern crate recount_core as recount;

use recount::Timer;

#[derive(Timer)]
enum OrderTimer {
    #[timer(alias = "overdue{}")]
    PaymentOverdue,
}

fn main() {}
