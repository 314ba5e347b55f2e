//! The services of the shop, and the topics between them.

use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;
use std::time::Duration;

use recount::NameError;
use recount::messaging::{Binding, Group, Order, Plan, Topic};

/// How long a message of a service that was killed is out before the broker gives it to the service again.
const LEASE: Duration = Duration::from_secs(5);

/// How long a gateway's replies wait for it.
const REPLIES_EXPIRE: Duration = Duration::from_secs(24 * 60 * 60);

/// A service of the shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    User,
    Order,
    Payment,
    Inventory,
    Notification,
    Analytics,
}

impl Part {
    pub const ALL: [Self; 6] =
        [Self::User, Self::Order, Self::Payment, Self::Inventory, Self::Notification, Self::Analytics];

    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Order => "order",
            Self::Payment => "payment",
            Self::Inventory => "inventory",
            Self::Notification => "notification",
            Self::Analytics => "analytics",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Part {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::name).join(", ");
        Self::ALL.into_iter().find(|part| part.name() == name).ok_or_else(|| format!("the services are {}", known()))
    }
}

/// The published events.
pub const CUSTOMERS: &str = "customers";
pub const ORDERS: &str = "orders";
pub const PAYMENTS: &str = "payments";
pub const STOCK: &str = "stock";
pub const NOTIFICATIONS: &str = "notifications";

/// The services that take the published events of a topic.
const READERS: [(&str, &[Part]); 5] = [
    (CUSTOMERS, &[Part::Notification, Part::Analytics]),
    (ORDERS, &[Part::User, Part::Analytics]),
    (PAYMENTS, &[Part::Order, Part::Notification, Part::Analytics]),
    (STOCK, &[Part::Order, Part::Analytics]),
    (NOTIFICATIONS, &[Part::Analytics]),
];

/// The services that take commands.
const COMMANDED: [Part; 4] = [Part::User, Part::Payment, Part::Inventory, Part::Notification];

/// The names at the broker. Shops with different names share a broker and nothing else.
#[derive(Clone, Debug)]
pub struct Names {
    shop: String,
}

impl Names {
    /// # Errors
    /// If the name makes no topics.
    pub fn new(shop: &str) -> Result<Self, NameError> {
        let names = Self { shop: shop.to_owned() };
        names.plan()?;
        Ok(names)
    }

    /// The name of the shop.
    pub fn shop(&self) -> &str {
        &self.shop
    }

    /// The name of a service: the source of its messages.
    pub fn service(&self, part: Part) -> String {
        format!("{}-{part}", self.shop)
    }

    /// The topic of published events.
    pub fn topic(&self, events: &str) -> Result<Topic, NameError> {
        Topic::new(&format!("{}-{events}", self.shop))
    }

    /// The topic at which a service takes commands.
    pub fn commands(&self, part: Part) -> Result<Topic, NameError> {
        Topic::new(&format!("{}-commands", self.service(part)))
    }

    /// The published events that a service takes, in order per key.
    pub fn reads(&self, part: Part, events: &str) -> Result<Binding, NameError> {
        Ok(Binding::new(self.topic(events)?, Group::new(&self.service(part))?).lease(LEASE))
    }

    /// The commands that a service takes. The sender of a command awaits its outcome, so the commands need no order.
    pub fn takes(&self, part: Part) -> Result<Binding, NameError> {
        let binding = Binding::new(self.commands(part)?, Group::new(&self.service(part))?);
        Ok(binding.order(Order::Unordered).lease(LEASE))
    }

    /// The replies to the order service, as its gateway binds them.
    fn replies(&self) -> Result<Binding, NameError> {
        let service = self.service(Part::Order);
        let topic = Topic::new(&format!("replies-{service}"))?.with_lanes(NonZeroU16::MIN);
        let binding = Binding::new(topic.keep_for(REPLIES_EXPIRE), Group::new(&service)?);
        Ok(binding.order(Order::Unordered).expires_after(REPLIES_EXPIRE))
    }

    /// All that the shop needs at a broker. Each service declares all of it before it starts: some brokers keep no message for
    /// a group that comes later.
    pub fn plan(&self) -> Result<Plan, NameError> {
        let mut plan = Plan::default();
        for (events, readers) in READERS {
            plan.topics.push(self.topic(events)?);
            for part in readers {
                plan.bindings.push(self.reads(*part, events)?);
            }
        }
        for part in COMMANDED {
            plan.bindings.push(self.takes(part)?);
        }
        plan.bindings.push(self.replies()?);
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_has_each_topic_and_each_reader() {
        let plan = Names::new("shop").unwrap().plan().unwrap();
        assert_eq!(plan.topics.len(), 5);
        assert_eq!(plan.bindings.len(), 10 + 4 + 1);
    }

    #[test]
    fn a_name_that_makes_no_topic_is_refused() {
        assert!(Names::new("my shop").is_err() && Names::new(&"x".repeat(60)).is_err());
    }
}
