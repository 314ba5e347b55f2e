//! The read models of the services, compared with the events that they are made of.

use std::collections::BTreeMap;

use anyhow::Result;

use super::archive::{Archive, Entry};
use super::books::Books;
use super::story::{Stories, tell};
use super::topology::Part;

/// An order in the read model of analytics: customer, CDs, total, paid, refunded, outcome.
type Row = (String, String, i64, i64, Option<i64>, Option<i64>, Option<String>);

/// Compares the read models of analytics, inventory and notification.
pub async fn compare(
    books: &mut Books,
    archives: &mut BTreeMap<Part, Archive>,
    entries: &BTreeMap<Part, Vec<Entry>>,
) -> Result<()> {
    let mut stories = Stories::new();
    entries.values().for_each(|entries| tell(&mut stories, entries));
    if let Some(archive) = archives.get_mut(&Part::Analytics) {
        let orders: Vec<Row> =
            archive.rows("SELECT \"order\", customer, cds, total, paid, refunded, outcome FROM shop.orders").await?;
        compare_orders(books, &stories, orders);
    }
    if let Some(archive) = archives.get_mut(&Part::Inventory) {
        let select = "SELECT CAST(coalesce(sum(reserved), 0) AS BIGINT), CAST(coalesce(sum(released), 0) AS BIGINT), \
            CAST(coalesce(sum(shipped), 0) AS BIGINT) FROM shop.stock";
        let table: Vec<(i64, i64, i64)> = archive.rows(select).await?;
        let mut events = (0, 0, 0);
        for story in stories.values() {
            events = (events.0 + story.reserved, events.1 + story.released, events.2 + story.shipped);
        }
        if table != [events] {
            books.differs(format!(
                "inventory's table has (reserved, released, shipped) {table:?}, its events {events:?}"
            ));
        }
    }
    if let Some(archive) = archives.get_mut(&Part::Notification) {
        let select = "SELECT kind, count(*) FROM shop.notifications GROUP BY kind";
        let table: BTreeMap<String, i64> = archive.rows(select).await?.into_iter().collect();
        let events = messages(&stories, &entries[&Part::User]);
        if table != events {
            books.differs(format!("notification's table has {table:?}, and the events say {events:?}"));
        }
    }
    Ok(())
}

fn compare_orders(books: &mut Books, stories: &Stories, rows: Vec<Row>) {
    let mut rows: BTreeMap<String, Row> = rows.into_iter().map(|row| (row.0.clone(), row)).collect();
    for (order, story) in stories {
        let Some((_, customer, cds, total, paid, refunded, outcome)) = rows.remove(order) else {
            books.lost(format!("analytics has no row for order {order}"));
            continue;
        };
        let (paid, refunded) = (paid.unwrap_or_default(), refunded.unwrap_or_default());
        let row = (customer.as_str(), cds, total, paid, refunded, outcome.as_deref());
        let told = story.told.first().map(String::as_str);
        let known = (story.customer.as_str(), story.cds, story.total, story.captured, story.refunded, told);
        if row != known {
            books.differs(format!("order {order}: analytics has {row:?}, and the other services say {known:?}"));
        }
    }
    for order in rows.into_keys() {
        books.differs(format!("analytics has a row for order {order}, which no other service has"));
    }
}

/// The messages to customers that follow from the events, by kind.
fn messages(stories: &Stories, users: &[Entry]) -> BTreeMap<String, i64> {
    let mut messages = BTreeMap::new();
    let mut add = |kind: &str, count: usize| {
        if count > 0 {
            *messages.entry(kind.to_owned()).or_default() += i64::try_from(count).unwrap_or(i64::MAX);
        }
    };
    add("welcome", users.iter().filter(|entry| entry.kind == "customer.registered").count());
    for story in stories.values() {
        add("receipt", story.captures as usize);
        add("refund", story.refunds as usize);
        story.told.iter().for_each(|kind| add(kind, 1));
    }
    messages
}
