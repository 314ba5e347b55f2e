//! Customers: their identity. An aggregate of one event.

use recount::{Aggregate, Apply, Command, Event, Handle};

use crate::values::CustomerId;

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "customer", published)]
pub enum CustomerEvent {
    Registered {
        #[event(tag)]
        customer: CustomerId,
        /// The file that the customer came with, and the number there.
        source: String,
        number: u32,
    },
}

#[derive(Command, Clone, Debug)]
#[command(aggregate = Customer, create)]
pub struct RegisterCustomer {
    #[command(id)]
    pub customer: CustomerId,
    pub source: String,
    pub number: u32,
}

#[derive(Aggregate, Clone, Debug, Default)]
#[aggregate(name = "customer", id = CustomerId, event = CustomerEvent, error = std::convert::Infallible,
            commands(RegisterCustomer))]
pub struct Customer;

impl Apply for Customer {
    fn apply(&mut self, _: &CustomerEvent) {}
}

impl Handle<RegisterCustomer> for Customer {
    fn handle(&self, command: RegisterCustomer) -> Result<Vec<CustomerEvent>, std::convert::Infallible> {
        let RegisterCustomer { customer, source, number } = command;
        Ok(vec![CustomerEvent::Registered { customer, source, number }])
    }
}

#[cfg(test)]
mod tests {
    use recount_testing::given;

    use super::*;

    fn register() -> RegisterCustomer {
        RegisterCustomer { customer: "c1".to_owned().into(), source: "f1".to_owned(), number: 1 }
    }

    fn registered() -> CustomerEvent {
        let RegisterCustomer { customer, source, number } = register();
        CustomerEvent::Registered { customer, source, number }
    }

    #[test]
    fn a_customer_is_registered() {
        given::<Customer>([]).when(register()).then([registered()]);
    }

    #[test]
    fn a_customer_is_registered_once() {
        given::<Customer>([registered()]).when(register()).then_already_exists();
    }
}
