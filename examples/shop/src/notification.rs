//! Notifications: the messages sent to customers. A read model that stands in for a mail service's outbox.

use recount::{BoxError, Event, Projection, ReadModel, RecordedEvent};

use crate::inventory::StockEvent;
use crate::payment::PaymentEvent;
use crate::tables::Tables;
use crate::user::CustomerEvent;

/// The events that customers are notified of.
#[derive(Event, Clone, Debug)]
#[event(union)]
pub enum Notable {
    Customer(CustomerEvent),
    #[event(only(Captured))]
    Payment(PaymentEvent),
    #[event(only(Shipped))]
    Stock(StockEvent),
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
            Notable::Stock(StockEvent::Shipped { order, customer, cds, .. }) => {
                let text =
                    if *cds == 1 { "1 CD is on its way".to_owned() } else { format!("{cds} CDs are on their way") };
                ("shipped", order.to_string(), customer, text)
            }
            Notable::Payment(PaymentEvent::Waived { .. }) | Notable::Stock(StockEvent::Delivered { .. }) => {
                return Ok(());
            }
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
    use crate::values::{Cents, CustomerId, OrderId, WarehouseId};

    #[tokio::test]
    async fn customers_hear_of_what_concerns_them_and_of_nothing_else() {
        let customer = CustomerId::from("c1".to_owned());
        let order = OrderId::from("o1".to_owned());
        let free = OrderId::from("o2".to_owned());
        let warehouse = WarehouseId::from("w1".to_owned());
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
                PaymentEvent::Waived { order: free, customer: customer.clone(), cds: 1 },
            ])
            .and([
                StockEvent::Delivered { warehouse: warehouse.clone(), cds: 500 },
                StockEvent::Shipped { order, customer, warehouse, cds: 2 },
            ])
            .project(&Notifications(Sqlite(model.clone())), &model)
            .await;
        let told: Vec<(String, String)> =
            sqlx::query_as("SELECT kind, text FROM notifications ORDER BY kind").fetch_all(model.pool()).await.unwrap();
        let row = |kind: &str, text: &str| (kind.to_owned(), text.to_owned());
        assert_eq!(
            told,
            [
                row("receipt", "we received 11.77 USD"),
                row("shipped", "2 CDs are on their way"),
                row("welcome", "welcome to the shop"),
            ]
        );
    }
}
