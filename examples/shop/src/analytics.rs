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

    const NAME: &'static str = "sales";

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
                    .bind(total.get())
                    .execute(connection)
                    .await?;
            }
            Countable::Payment(PaymentEvent::Captured { order, amount, .. }) => {
                paid(order, amount.get(), connection).await?;
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
