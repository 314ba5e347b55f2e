//! Analytics: customers, orders and what was paid for them, as tables to ask anything of.

use recount::sqlite::SqliteReadModel;
use recount::{BoxError, Event, Projection, RecordedEvent};
use sqlx::SqliteConnection;

use crate::order::OrderEvent;
use crate::payment::PaymentEvent;
use crate::user::CustomerEvent;
use crate::values::{OrderId, day_text};

/// What the numbers are made from.
#[derive(Event, Clone, Debug)]
#[event(union)]
pub enum Countable {
    Customer(CustomerEvent),
    Order(OrderEvent),
    Payment(PaymentEvent),
}

/// The read models `customers` and `orders`.
pub struct Sales;

impl Projection for Sales {
    type Event = Countable;
    type ReadModel = SqliteReadModel;

    fn name(&self) -> &str {
        "sales"
    }

    async fn setup(&self, connection: &mut SqliteConnection) -> Result<(), BoxError> {
        sqlx::raw_sql(
            "CREATE TABLE IF NOT EXISTS customers \
             (customer TEXT PRIMARY KEY, source TEXT NOT NULL, number INTEGER NOT NULL) STRICT, WITHOUT ROWID;
             CREATE TABLE IF NOT EXISTS orders \
             (\"order\" TEXT PRIMARY KEY, customer TEXT NOT NULL, day TEXT NOT NULL, cds INTEGER NOT NULL, \
              total INTEGER NOT NULL, paid INTEGER) STRICT, WITHOUT ROWID;",
        )
        .execute(connection)
        .await?;
        Ok(())
    }

    async fn on(
        &self,
        event: &Countable,
        _: &RecordedEvent,
        connection: &mut SqliteConnection,
    ) -> Result<(), BoxError> {
        match event {
            Countable::Customer(CustomerEvent::Registered { customer, source, number }) => {
                sqlx::query("INSERT INTO customers VALUES (?, ?, ?)")
                    .bind(customer.to_string())
                    .bind(source)
                    .bind(number)
                    .execute(connection)
                    .await?;
            }
            Countable::Order(OrderEvent::Placed { order, customer, day, cds, total }) => {
                sqlx::query("INSERT INTO orders VALUES (?, ?, ?, ?, ?, NULL)")
                    .bind(order.to_string())
                    .bind(customer.to_string())
                    .bind(day_text(*day))
                    .bind(cds)
                    .bind(total.cents.get())
                    .execute(connection)
                    .await?;
            }
            Countable::Payment(PaymentEvent::Captured { order, amount, .. }) => {
                paid(order, amount.cents.get(), connection).await?;
            }
            Countable::Payment(PaymentEvent::Waived { order, .. }) => paid(order, 0, connection).await?,
        }
        Ok(())
    }
}

async fn paid(order: &OrderId, cents: i64, connection: &mut SqliteConnection) -> Result<(), BoxError> {
    sqlx::query("UPDATE orders SET paid = ? WHERE \"order\" = ?")
        .bind(cents)
        .bind(order.to_string())
        .execute(connection)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use recount_testing::given_events;

    use super::*;
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
            .project(&Sales, &model)
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
