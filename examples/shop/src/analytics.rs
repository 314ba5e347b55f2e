//! Analytics: customers, orders and payments, as tables for queries.

use recount::{BoxError, Event, Projection, ReadModel, RecordedEvent};

use crate::order::OrderEvent;
use crate::payment::PaymentEvent;
use crate::tables::Tables;
use crate::user::CustomerEvent;
use crate::values::{OrderId, day_text};

/// The events that the figures are computed from.
#[derive(Event, Clone, Debug)]
#[event(union)]
pub enum Countable {
    Customer(CustomerEvent),
    Order(OrderEvent),
    Payment(PaymentEvent),
}

/// The read models `customers` and `orders`.
pub struct Sales<T>(pub T);

impl<T: Tables> Projection for Sales<T> {
    type Event = Countable;
    type ReadModel = T::ReadModel;

    fn name(&self) -> &str {
        "sales"
    }

    async fn setup(&self, connection: &mut <T::ReadModel as ReadModel>::Connection) -> Result<(), BoxError> {
        let customers = "CREATE TABLE IF NOT EXISTS shop.customers \
            (customer TEXT PRIMARY KEY, source TEXT NOT NULL, number BIGINT NOT NULL)";
        let orders = "CREATE TABLE IF NOT EXISTS shop.orders \
            (\"order\" TEXT PRIMARY KEY, customer TEXT NOT NULL, day TEXT NOT NULL, cds BIGINT NOT NULL, \
             total BIGINT NOT NULL, paid BIGINT)";
        self.0.run(connection, customers, []).await?;
        self.0.run(connection, orders, []).await
    }

    async fn on(
        &self,
        event: &Countable,
        _: &RecordedEvent,
        connection: &mut <T::ReadModel as ReadModel>::Connection,
    ) -> Result<(), BoxError> {
        match event {
            Countable::Customer(CustomerEvent::Registered { customer, source, number }) => {
                let insert = "INSERT INTO shop.customers VALUES ($1, $2, $3)";
                self.0.run(connection, insert, [customer.into(), source.into(), (*number).into()]).await
            }
            Countable::Order(OrderEvent::Placed { order, customer, day, cds, total }) => {
                let insert = "INSERT INTO shop.orders VALUES ($1, $2, $3, $4, $5, NULL)";
                let day = day_text(*day);
                let values = [order.into(), customer.into(), (&day).into(), (*cds).into(), total.cents.get().into()];
                self.0.run(connection, insert, values).await
            }
            Countable::Payment(PaymentEvent::Captured { order, amount, .. }) => {
                self.paid(order, amount.cents.get(), connection).await
            }
            Countable::Payment(PaymentEvent::Waived { order, .. }) => self.paid(order, 0, connection).await,
        }
    }
}

impl<T: Tables> Sales<T> {
    async fn paid(
        &self,
        order: &OrderId,
        cents: i64,
        connection: &mut <T::ReadModel as ReadModel>::Connection,
    ) -> Result<(), BoxError> {
        let update = "UPDATE shop.orders SET paid = $1 WHERE \"order\" = $2";
        self.0.run(connection, update, [cents.into(), order.into()]).await
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use recount::sqlite::SqliteReadModel;
    use recount_testing::given_events;

    use super::*;
    use crate::tables::Sqlite;
    use crate::values::{Cents, CustomerId};

    #[tokio::test]
    async fn an_order_is_counted_with_what_was_paid_for_it() {
        let customer = CustomerId::from("c1".to_owned());
        let order = |name: &str| OrderId::from(name.to_owned());
        let placed = |name, total| OrderEvent::Placed {
            order: order(name),
            customer: customer.clone(),
            day: date(1997, 1, 1),
            cds: 2,
            total: Cents::from(total).into(),
        };
        let directory = tempfile::tempdir().unwrap();
        let model = SqliteReadModel::open(directory.path().join("sales.db")).await.unwrap();
        given_events([CustomerEvent::Registered { customer: customer.clone(), source: "f1".to_owned(), number: 7 }])
            .and([placed("o1", 1177), placed("o2", 0), placed("o3", 500)])
            .and([
                PaymentEvent::Captured {
                    order: order("o1"),
                    customer: customer.clone(),
                    amount: Cents::from(1177).into(),
                    cds: 2,
                },
                PaymentEvent::Waived { order: order("o2"), customer: customer.clone(), cds: 2 },
            ])
            .project(&Sales(Sqlite(model.clone())), &model)
            .await;
        let paid: Vec<(String, i64, String, Option<i64>)> = sqlx::query_as(
            "SELECT \"order\", number, day, paid FROM orders JOIN customers USING (customer) ORDER BY 1",
        )
        .fetch_all(model.pool())
        .await
        .unwrap();
        let row = |order: &str, paid| (order.to_owned(), 7, "1997-01-01".to_owned(), paid);
        assert_eq!(paid, [row("o1", Some(1177)), row("o2", Some(0)), row("o3", None)]);
    }
}
