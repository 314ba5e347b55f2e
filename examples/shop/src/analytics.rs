//! Analytics: customers, orders, their payments and outcomes, as tables for queries.

use recount::{BoxError, Event, Projection, ReadModel, RecordedEvent};

use crate::notification::NotificationEvent;
use crate::order::OrderEvent;
use crate::payment::PaymentEvent;
use crate::tables::{Tables, Value};
use crate::user::CustomerEvent;
use crate::values::{OrderId, day_text};

/// The events that the figures are computed from.
#[derive(Event, Clone, Debug)]
#[event(union)]
pub enum Countable {
    Customer(CustomerEvent),
    #[event(only(Placed))]
    Order(OrderEvent),
    #[event(only(Captured, Waived, Refunded))]
    Payment(PaymentEvent),
    Outcome(NotificationEvent),
}

/// The outcome of orders that an earlier shop took: it saw to them itself.
pub const EARLIER: &str = "earlier";

/// The read models `customers` and `orders`.
pub struct Sales<T>(pub T);

impl<T: Tables> Sales<T> {
    /// Notes a fact about an order in a column. Events of other services may come before the order itself.
    async fn note(
        &self,
        connection: &mut <T::ReadModel as ReadModel>::Connection,
        order: &OrderId,
        column: &'static str,
        value: Value,
    ) -> Result<(), BoxError> {
        let upsert = format!(
            "INSERT INTO shop.orders (\"order\", customer, day, cds, total, {column}) VALUES ($1, '', '', 0, 0, $2) \
             ON CONFLICT (\"order\") DO UPDATE SET {column} = excluded.{column}"
        );
        self.0.run(connection, &upsert, [order.into(), value]).await
    }
}

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
             total BIGINT NOT NULL, paid BIGINT, refunded BIGINT, outcome TEXT)";
        self.0.run(connection, customers, []).await?;
        self.0.run(connection, orders, []).await
    }

    async fn reset(&self, connection: &mut <T::ReadModel as ReadModel>::Connection) -> Result<(), BoxError> {
        for table in ["DROP TABLE IF EXISTS shop.customers", "DROP TABLE IF EXISTS shop.orders"] {
            self.0.run(connection, table, []).await?;
        }
        Ok(())
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
            Countable::Order(OrderEvent::Placed { order, customer, day, cds, total, payment }) => {
                let insert = "INSERT INTO shop.orders AS o VALUES ($1, $2, $3, $4, $5, NULL, NULL, nullif($6, '')) \
                    ON CONFLICT (\"order\") DO UPDATE SET customer = excluded.customer, day = excluded.day, \
                    cds = excluded.cds, total = excluded.total, outcome = coalesce(o.outcome, excluded.outcome)";
                let day = day_text(*day);
                let outcome = if payment.is_none() { EARLIER } else { "" };
                let values = [
                    order.into(),
                    customer.into(),
                    (&day).into(),
                    (*cds).into(),
                    total.cents.get().into(),
                    outcome.into(),
                ];
                self.0.run(connection, insert, values).await
            }
            Countable::Payment(PaymentEvent::Captured { order, amount, .. }) => {
                self.note(connection, order, "paid", amount.cents.get().into()).await
            }
            Countable::Payment(PaymentEvent::Waived { order, .. }) => {
                self.note(connection, order, "paid", 0_i64.into()).await
            }
            Countable::Payment(PaymentEvent::Refunded { order, amount, .. }) => {
                self.note(connection, order, "refunded", amount.cents.get().into()).await
            }
            Countable::Outcome(NotificationEvent::Told { order, news, .. }) => {
                self.note(connection, order, "outcome", news.kind().into()).await
            }
            Countable::Order(_) | Countable::Payment(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use recount::sqlite::SqliteReadModel;
    use recount_testing::given_events;

    use super::*;
    use crate::notification::News;
    use crate::tables::Sqlite;
    use crate::values::{Cents, CustomerId, PaymentMethod};

    #[tokio::test]
    async fn facts_that_come_before_their_order_are_kept() {
        let (customer, order) = (CustomerId::from("c1".to_owned()), OrderId::from("o1".to_owned()));
        let (amount, directory) = (Cents::from(1177).into(), tempfile::tempdir().unwrap());
        let model = SqliteReadModel::open(directory.path().join("sales.db")).await.unwrap();
        given_events([PaymentEvent::Captured { order: order.clone(), customer: customer.clone(), amount, cds: 2 }])
            .and([NotificationEvent::Told {
                order: order.clone(),
                customer: customer.clone(),
                news: News::Shipped { cds: 2 },
            }])
            .and([OrderEvent::Placed {
                order,
                customer,
                day: date(1997, 1, 1),
                cds: 2,
                total: amount,
                payment: Some(PaymentMethod::Card),
            }])
            .project(&Sales(Sqlite(model.clone())), &model)
            .await;
        type Row = (String, String, i64, i64, Option<i64>, Option<String>);
        let select = "SELECT customer, day, cds, total, paid, outcome FROM orders";
        let rows: Vec<Row> = sqlx::query_as(select).fetch_all(model.pool()).await.unwrap();
        let known = ("c1".to_owned(), "1997-01-01".to_owned(), 2, 1177, Some(1177), Some("shipped".to_owned()));
        assert_eq!(rows, [known]);
    }

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
            payment: Some(PaymentMethod::Card),
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
                PaymentEvent::Refunded {
                    order: order("o1"),
                    customer: customer.clone(),
                    amount: Cents::from(1177).into(),
                },
            ])
            .and([NotificationEvent::Told { order: order("o1"), customer, news: News::SoldOut }])
            .project(&Sales(Sqlite(model.clone())), &model)
            .await;
        type Row = (String, i64, String, Option<i64>, Option<i64>, Option<String>);
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT \"order\", number, day, paid, refunded, outcome \
             FROM orders JOIN customers USING (customer) ORDER BY 1",
        )
        .fetch_all(model.pool())
        .await
        .unwrap();
        let row = |order: &str, paid, refunded, outcome: Option<&str>| {
            (order.to_owned(), 7, "1997-01-01".to_owned(), paid, refunded, outcome.map(str::to_owned))
        };
        let sold_out = row("o1", Some(1177), Some(1177), Some("sold_out"));
        assert_eq!(rows, [sold_out, row("o2", Some(0), None, None), row("o3", None, None, None)]);
    }
}
