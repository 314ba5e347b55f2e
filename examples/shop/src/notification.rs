//! Notifications: the messages to customers about their orders, and a read model that stands in for a mail service's outbox.

use recount::{Aggregate, Apply, BoxError, Command, Event, Handle, Projection, ReadModel, RecordedEvent, Shape};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::payment::PaymentEvent;
use crate::tables::Tables;
use crate::user::CustomerEvent;
use crate::values::{CustomerId, OrderId};

/// The outcome of an order.
#[derive(Shape, Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum News {
    Shipped {
        cds: u32,
    },
    /// It was out of stock at first.
    ShippedLate {
        cds: u32,
    },
    /// The bank declined the card.
    Declined,
    /// Neither the warehouse nor the supplier has it.
    SoldOut,
    /// The customer cancelled it.
    Cancelled,
    /// The invoice was not paid in time.
    Overdue,
}

impl News {
    /// Its name: the kind of the message.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Shipped { .. } => "shipped",
            Self::ShippedLate { .. } => "shipped_late",
            Self::Declined => "declined",
            Self::SoldOut => "sold_out",
            Self::Cancelled => "cancelled",
            Self::Overdue => "overdue",
        }
    }

    fn text(&self) -> String {
        let under_way = |cds| match cds {
            1 => "1 CD is on its way".to_owned(),
            cds => format!("{cds} CDs are on their way"),
        };
        match self {
            Self::Shipped { cds } => under_way(*cds),
            Self::ShippedLate { cds } => format!("sorry for the delay, {}", under_way(*cds)),
            Self::Declined => "your bank declined your card".to_owned(),
            Self::SoldOut => "sorry, your order is sold out".to_owned(),
            Self::Cancelled => "your order is cancelled, as you wished".to_owned(),
            Self::Overdue => "your order is cancelled, since its invoice was not paid".to_owned(),
        }
    }
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "notification", published)]
pub enum NotificationEvent {
    /// The customer was told the outcome of the order.
    Told {
        #[event(tag)]
        order: OrderId,
        customer: CustomerId,
        news: News,
    },
}

/// Tells the customer the outcome of an order. Its stream is named by the order: it can only happen once.
#[derive(Command, Clone, Debug)]
#[command(aggregate = Notification, create)]
pub struct TellCustomer {
    #[command(id)]
    pub order: OrderId,
    pub customer: CustomerId,
    pub news: News,
}

#[derive(Aggregate, Clone, Debug, Default)]
#[aggregate(name = "notification", id = OrderId, event = NotificationEvent, error = std::convert::Infallible,
            commands(TellCustomer))]
pub struct Notification;

impl Apply for Notification {
    fn apply(&mut self, _: &NotificationEvent) {}
}

impl Handle<TellCustomer> for Notification {
    fn handle(&self, command: TellCustomer) -> Result<Vec<NotificationEvent>, std::convert::Infallible> {
        let TellCustomer { order, customer, news } = command;
        Ok(vec![NotificationEvent::Told { order, customer, news }])
    }
}

/// The events that customers are notified of.
#[derive(Event, Clone, Debug)]
#[event(union)]
pub enum Notable {
    Customer(CustomerEvent),
    #[event(only(Captured, Refunded))]
    Payment(PaymentEvent),
    Order(NotificationEvent),
}

/// The read model `notifications`.
pub struct Notifications<T>(pub T);

impl<T: Tables> Projection for Notifications<T> {
    type Event = Notable;
    type ReadModel = T::ReadModel;

    fn name(&self) -> &str {
        "notifications"
    }

    async fn setup(&self, connection: &mut <T::ReadModel as ReadModel>::Connection) -> Result<(), BoxError> {
        let notifications = "CREATE TABLE IF NOT EXISTS shop.notifications \
            (kind TEXT NOT NULL, about TEXT NOT NULL, customer TEXT NOT NULL, text TEXT NOT NULL, \
             PRIMARY KEY (kind, about))";
        self.0.run(connection, notifications, []).await
    }

    async fn reset(&self, connection: &mut <T::ReadModel as ReadModel>::Connection) -> Result<(), BoxError> {
        self.0.run(connection, "DROP TABLE IF EXISTS shop.notifications", []).await
    }

    async fn on(
        &self,
        event: &Notable,
        _: &RecordedEvent,
        connection: &mut <T::ReadModel as ReadModel>::Connection,
    ) -> Result<(), BoxError> {
        let (kind, about, customer, text) = match event {
            Notable::Customer(CustomerEvent::Registered { customer, .. }) => {
                ("welcome", customer.to_string(), customer, "welcome to the shop".to_owned())
            }
            Notable::Payment(PaymentEvent::Captured { order, customer, amount, .. }) => {
                ("receipt", order.to_string(), customer, format!("we received {amount}"))
            }
            Notable::Payment(PaymentEvent::Refunded { order, customer, amount }) => {
                ("refund", order.to_string(), customer, format!("we gave back {amount}"))
            }
            Notable::Order(NotificationEvent::Told { order, customer, news }) => {
                (news.kind(), order.to_string(), customer, news.text())
            }
            Notable::Payment(_) => return Ok(()),
        };
        let insert = "INSERT INTO shop.notifications VALUES ($1, $2, $3, $4)";
        self.0.run(connection, insert, [kind.into(), (&about).into(), customer.into(), (&text).into()]).await
    }
}

#[cfg(test)]
mod tests {
    use recount::sqlite::SqliteReadModel;
    use recount_testing::given_events;

    use super::*;
    use crate::tables::Sqlite;
    use crate::values::Cents;

    #[tokio::test]
    async fn customers_hear_of_what_concerns_them_and_of_nothing_else() {
        let customer = CustomerId::from("c1".to_owned());
        let order = OrderId::from("o1".to_owned());
        let free = OrderId::from("o2".to_owned());
        let directory = tempfile::tempdir().unwrap();
        let model = SqliteReadModel::open(directory.path().join("notifications.db")).await.unwrap();
        given_events([CustomerEvent::Registered { customer: customer.clone(), source: "f1".to_owned(), number: 7 }])
            .and([
                PaymentEvent::Captured {
                    order: order.clone(),
                    customer: customer.clone(),
                    amount: Cents::from(1177).into(),
                    cds: 2,
                },
                PaymentEvent::Waived { order: free.clone(), customer: customer.clone(), cds: 1 },
            ])
            .and([
                NotificationEvent::Told { order, customer: customer.clone(), news: News::Shipped { cds: 2 } },
                NotificationEvent::Told { order: free, customer, news: News::Cancelled },
            ])
            .project(&Notifications(Sqlite(model.clone())), &model)
            .await;
        let told: Vec<(String, String)> =
            sqlx::query_as("SELECT kind, text FROM notifications ORDER BY kind").fetch_all(model.pool()).await.unwrap();
        let row = |kind: &str, text: &str| (kind.to_owned(), text.to_owned());
        assert_eq!(
            told,
            [
                row("cancelled", "your order is cancelled, as you wished"),
                row("receipt", "we received 11.77 USD"),
                row("shipped", "2 CDs are on their way"),
                row("welcome", "welcome to the shop"),
            ]
        );
    }
}
