//! The import: rows of the file become commands, many at once, resumable at any point.

use anyhow::{Context, Result};
use futures_util::{StreamExt, TryStreamExt, stream};
use recount::{DispatchError, ExpectedRevision, Position, Recount, StateKey};

use crate::cdnow::{Orders, Row};
use crate::order::PlaceOrder;
use crate::rule;
use crate::user::RegisterCustomer;
use crate::values::{Cents, CustomerId, OrderId};

/// How many rows are under way at once.
const AT_ONCE: usize = 256;
/// After how many rows the place in the file is noted.
const NOTE_EVERY: u64 = 2_000;
/// After how many rows the parts of the shop are waited for. At most twice as many orders are ahead of them.
const AHEAD: u64 = 1_000;

/// Brings in the rows behind the last noted line. `done` is told how many rows are in, of this file, so far; `caught_up` waits
/// until the parts that follow the orders have handled everything up to a position.
///
/// A crash loses at most the note of the last rows: placing them again finds the orders there and adds nothing.
pub async fn import(
    recount: &Recount,
    orders: &Orders,
    done: impl Fn(u64),
    caught_up: impl AsyncFn(Position) -> Result<()>,
) -> Result<()> {
    let key = StateKey::new(format!("import/{}", orders.source))?;
    let noted: u64 = match recount.store().get(&key).await? {
        Some(entry) => serde_json::from_slice(&entry.value).context("damaged note of the import")?,
        None => 0,
    };
    let skipped = orders.rows.partition_point(|row| row.line <= noted);
    done(skipped as u64);
    let rows = &orders.rows[skipped..];
    let mut placed = stream::iter(rows).map(|row| place(recount, &orders.source, row)).buffered(AT_ONCE);
    let mut count = skipped as u64;
    let mut before = Position::START;
    while let Some(line) = placed.try_next().await? {
        count += 1;
        if count.is_multiple_of(NOTE_EVERY) || count == orders.rows.len() as u64 {
            recount.store().put(&key, serde_json::to_vec(&line)?.into(), ExpectedRevision::Any, None).await?;
        }
        done(count);
        if count.is_multiple_of(AHEAD) {
            caught_up(before).await?;
            before = recount.store().head().await?;
        }
    }
    Ok(())
}

/// The order in a row.
pub fn place_order(source: &str, row: &Row) -> PlaceOrder {
    PlaceOrder {
        order: OrderId::from(format!("{source}-{}", row.line)),
        customer: customer_of(source, row),
        day: row.day,
        cds: row.cds,
        total: Cents::from(row.cents),
        payment: rule::payment_method(row.line),
    }
}

fn customer_of(source: &str, row: &Row) -> CustomerId {
    CustomerId::from(format!("{source}-{}", row.customer))
}

async fn place(recount: &Recount, source: &str, row: &Row) -> Result<u64> {
    if row.first {
        let customer = customer_of(source, row);
        let register = RegisterCustomer { customer, source: source.to_owned(), number: row.customer };
        once(recount.dispatch(register).await).with_context(|| format!("customer of line {}", row.line))?;
    }
    once(recount.dispatch(place_order(source, row)).await).with_context(|| format!("order of line {}", row.line))?;
    Ok(row.line)
}

/// Treats an aggregate that exists already as success.
fn once<T, E: std::error::Error>(outcome: Result<T, DispatchError<E>>) -> Result<(), DispatchError<E>> {
    match outcome {
        Ok(_) | Err(DispatchError::AlreadyExists { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}
