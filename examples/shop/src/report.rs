//! The report: figures from the read models, as data and as text.

use std::fmt::{self, Write};

use anyhow::Result;
use comfy_table::{CellAlignment, Table, presets};
use recount::{ProcessDefinition, ProcessSummary, Recount};
use serde::Serialize;

use crate::analytics::EARLIER;
use crate::fulfilment::Fulfilment;
use crate::tables::ReadModels;
use crate::values::{Cents, grouped};

/// Everything that is reported about one source of orders; stock and notifications are the whole shop's.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The orders, customers, CDs and dollars (as text: money is not a floating-point number).
    #[serde(flatten)]
    pub totals: Totals,
    /// How many lines of the file were no orders.
    pub malformed: usize,
    /// How many events the store holds up to, by position.
    pub position: u64,
    /// By month.
    pub months: Vec<Month>,
    /// By month of the first order.
    pub cohorts: Vec<Cohort>,
    /// The ten customers that paid most.
    pub best_customers: Vec<Best>,
    /// By warehouse.
    pub stock: Vec<Stock>,
    /// By kind.
    pub notifications: Vec<Notified>,
    /// By outcome.
    pub outcomes: Vec<Outcome>,
    /// The processes of all orders of the shop.
    pub processes: ProcessCounts,
    /// The whole shop's.
    pub books: Books,
}

#[derive(Debug, PartialEq, Serialize)]
pub struct Totals {
    pub orders: i64,
    pub customers: i64,
    pub cds: i64,
    pub revenue: String,
}

#[derive(Debug, Serialize)]
pub struct Month {
    pub month: String,
    pub orders: i64,
    pub revenue: String,
    #[serde(skip)]
    cents: i64,
}

#[derive(Debug, Serialize)]
pub struct Cohort {
    pub first_month: String,
    pub customers: i64,
    /// How many of them had ordered on another day within this many months of their first: 1, 3, 6, 12.
    pub again_within: [i64; 4],
}

#[derive(Debug, Serialize)]
pub struct Best {
    pub customer: i64,
    pub orders: i64,
    pub cds: i64,
    pub paid: String,
}

#[derive(Debug, Serialize)]
pub struct Stock {
    pub warehouse: String,
    pub delivered: i64,
    pub reserved: i64,
    pub released: i64,
    pub shipped: i64,
    pub in_stock: i64,
}

#[derive(Debug, Serialize)]
pub struct Notified {
    pub kind: String,
    pub count: i64,
    pub example: String,
}

/// The orders of one outcome.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// `open` if it is not known yet.
    pub outcome: String,
    pub orders: i64,
    pub cds: i64,
    pub total: String,
}

/// Each order is counted in one of them.
#[derive(Debug, Serialize)]
pub struct ProcessCounts {
    pub ended: u64,
    pub compensated: u64,
    /// For a timer, or for commands that are under way.
    pub waiting: u64,
    /// An operator must see to it.
    pub stuck: u64,
}

/// The first two are equal, and the last two.
#[derive(Debug, Serialize)]
pub struct Books {
    pub captured_minus_refunded: String,
    pub revenue_of_shipped: String,
    pub reserved_minus_released: i64,
    pub shipped_cds: i64,
}

const WITHIN_MONTHS: [u32; 4] = [1, 3, 6, 12];

impl Report {
    /// Asks the read models about the orders of this source, and the store about the processes.
    pub async fn of(recount: &Recount, tables: &ReadModels, source: &str, malformed: usize) -> Result<Self> {
        let position = recount.store().head().await?.get();
        Ok(Self {
            totals: totals(tables, source).await?,
            malformed,
            position,
            months: months(tables, source).await?,
            cohorts: cohorts(tables, source).await?,
            best_customers: best_customers(tables, source).await?,
            stock: stock(tables).await?,
            notifications: notifications(tables).await?,
            outcomes: outcomes(tables, source).await?,
            processes: processes(recount).await?,
            books: books(tables).await?,
        })
    }
}

fn dollars(cents: i64) -> String {
    Cents::from(cents).dollars().to_string()
}

async fn totals(tables: &ReadModels, source: &str) -> Result<Totals> {
    let select = "SELECT count(*), count(DISTINCT customer), CAST(coalesce(sum(cds), 0) AS BIGINT), \
        CAST(coalesce(sum(total), 0) AS BIGINT) \
        FROM shop.orders JOIN shop.customers USING (customer) WHERE source = $1";
    let rows: Vec<(i64, i64, i64, i64)> = tables.rows(select, [source.into()]).await?;
    let (orders, customers, cds, cents) = rows.into_iter().next().unwrap_or_default();
    Ok(Totals { orders, customers, cds, revenue: dollars(cents) })
}

async fn months(tables: &ReadModels, source: &str) -> Result<Vec<Month>> {
    let select = "SELECT substr(day, 1, 7) AS month, count(*), CAST(coalesce(sum(total), 0) AS BIGINT) \
        FROM shop.orders JOIN shop.customers USING (customer) WHERE source = $1 GROUP BY month ORDER BY month";
    let rows: Vec<(String, i64, i64)> = tables.rows(select, [source.into()]).await?;
    Ok(rows.into_iter().map(|(month, orders, cents)| Month { month, orders, revenue: dollars(cents), cents }).collect())
}

async fn cohorts(tables: &ReadModels, source: &str) -> Result<Vec<Cohort>> {
    let again = WITHIN_MONTHS
        .map(|within| format!("count(*) FILTER (WHERE second < {})", tables.months_after("first", within)));
    let select = format!(
        "WITH firsts AS MATERIALIZED (SELECT customer, min(day) AS first \
                                      FROM shop.orders JOIN shop.customers USING (customer) \
                                      WHERE source = $1 GROUP BY customer), \
              seconds AS MATERIALIZED (SELECT customer, min(day) AS second FROM shop.orders JOIN firsts USING (customer) \
                                       WHERE day > first GROUP BY customer) \
         SELECT substr(first, 1, 7) AS month, count(*), {} \
         FROM firsts LEFT JOIN seconds USING (customer) GROUP BY month ORDER BY month",
        again.join(", ")
    );
    let rows: Vec<(String, i64, i64, i64, i64, i64)> = tables.rows(&select, [source.into()]).await?;
    let cohort = |(first_month, customers, a, b, c, d)| Cohort { first_month, customers, again_within: [a, b, c, d] };
    Ok(rows.into_iter().map(cohort).collect())
}

async fn best_customers(tables: &ReadModels, source: &str) -> Result<Vec<Best>> {
    let select = "SELECT number, count(*), CAST(sum(cds) AS BIGINT), CAST(coalesce(sum(paid), 0) - coalesce(sum(refunded), 0) AS BIGINT) AS cents \
        FROM shop.orders JOIN shop.customers USING (customer) WHERE source = $1 \
        GROUP BY customer, number ORDER BY cents DESC, number LIMIT 10";
    let rows: Vec<(i64, i64, i64, i64)> = tables.rows(select, [source.into()]).await?;
    let best = |(customer, orders, cds, cents)| Best { customer, orders, cds, paid: dollars(cents) };
    Ok(rows.into_iter().map(best).collect())
}

async fn stock(tables: &ReadModels) -> Result<Vec<Stock>> {
    let select = "SELECT warehouse, delivered, reserved, released, shipped FROM shop.stock ORDER BY warehouse";
    let rows: Vec<(String, i64, i64, i64, i64)> = tables.rows(select, []).await?;
    let stock = |(warehouse, delivered, reserved, released, shipped)| {
        let in_stock = delivered - shipped;
        Stock { warehouse, delivered, reserved, released, shipped, in_stock }
    };
    Ok(rows.into_iter().map(stock).collect())
}

async fn notifications(tables: &ReadModels) -> Result<Vec<Notified>> {
    let select = "SELECT kind, count(*), min(customer || ': ' || text) FROM shop.notifications \
        GROUP BY kind ORDER BY kind";
    let rows: Vec<(String, i64, String)> = tables.rows(select, []).await?;
    Ok(rows.into_iter().map(|(kind, count, example)| Notified { kind, count, example }).collect())
}

async fn outcomes(tables: &ReadModels, source: &str) -> Result<Vec<Outcome>> {
    let select = "SELECT coalesce(outcome, 'open') AS became, count(*) AS many, CAST(sum(cds) AS BIGINT), \
        CAST(sum(total) AS BIGINT) \
        FROM shop.orders JOIN shop.customers USING (customer) WHERE source = $1 GROUP BY became ORDER BY many DESC, became";
    let rows: Vec<(String, i64, i64, i64)> = tables.rows(select, [source.into()]).await?;
    let outcome = |(outcome, orders, cds, cents)| Outcome { outcome, orders, cds, total: dollars(cents) };
    Ok(rows.into_iter().map(outcome).collect())
}

async fn processes(recount: &Recount) -> Result<ProcessCounts> {
    let summary = recount.processes().summary(Fulfilment::NAME).await.map_err(anyhow::Error::from_boxed)?;
    let ProcessSummary { held, running, waiting, compensating, stuck, parked, ended, compensated } = summary;
    Ok(ProcessCounts { ended, compensated, waiting: held + running + waiting + compensating, stuck: stuck + parked })
}

async fn books(tables: &ReadModels) -> Result<Books> {
    let money = format!(
        "SELECT CAST(coalesce(sum(coalesce(paid, 0) - coalesce(refunded, 0)), 0) AS BIGINT), \
            CAST(coalesce(sum(total) FILTER (WHERE outcome IN ('shipped', 'shipped_late', '{EARLIER}')), 0) AS BIGINT) \
         FROM shop.orders"
    );
    let stock = "SELECT CAST(coalesce(sum(reserved - released), 0) AS BIGINT), \
        CAST(coalesce(sum(shipped), 0) AS BIGINT) FROM shop.stock";
    let money: Vec<(i64, i64)> = tables.rows(&money, []).await?;
    let stock: Vec<(i64, i64)> = tables.rows(stock, []).await?;
    let (captured, revenue) = money.into_iter().next().unwrap_or_default();
    let (reserved_minus_released, shipped_cds) = stock.into_iter().next().unwrap_or_default();
    let (captured_minus_refunded, revenue_of_shipped) = (dollars(captured), dollars(revenue));
    Ok(Books { captured_minus_refunded, revenue_of_shipped, reserved_minus_released, shipped_cds })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Totals { orders, customers, cds, revenue } = &self.totals;
        let [orders, customers, cds] = [orders, customers, cds].map(grouped);
        writeln!(f, "{orders} orders of {customers} customers: {cds} CDs for {} USD\n", grouped(revenue))?;
        writeln!(f, "Revenue by month\n{}", chart(&self.months)?)?;
        writeln!(f, "Customers who ordered again, by month of their first order\n{}\n", cohort_table(&self.cohorts))?;
        writeln!(f, "Best customers\n{}\n", best_table(&self.best_customers))?;
        writeln!(f, "Stock\n{}\n", stock_table(&self.stock))?;
        writeln!(f, "Notifications\n{}\n", notified_table(&self.notifications))?;
        writeln!(f, "Outcomes\n{}\n", outcome_table(&self.outcomes))?;
        writeln!(f, "Processes\n  {}\n", self.processes)?;
        writeln!(f, "Books\n{}", self.books)?;
        if self.malformed > 0 {
            writeln!(f, "\n{} malformed lines were left out, see above", self.malformed)?;
        }
        Ok(())
    }
}

/// A bar a month, in eighths of a character.
fn chart(months: &[Month]) -> Result<String, fmt::Error> {
    const WIDTH: i64 = 50 * 8;
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let most = months.iter().map(|month| month.cents).max().unwrap_or(0).max(1);
    let mut chart = String::new();
    for month in months {
        let eighths = usize::try_from(month.cents.max(0) * WIDTH / most).unwrap_or(0);
        let bar = "█".repeat(eighths / 8) + PARTS[eighths % 8];
        writeln!(chart, "  {}  {bar} {}", month.month, grouped(&month.revenue))?;
    }
    Ok(chart)
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY).set_header(header);
    table
}

fn right_aligned(mut table: Table, from: usize) -> Table {
    for column in table.column_iter_mut().skip(from) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn cohort_table(cohorts: &[Cohort]) -> Table {
    let mut table = table(&["first order", "customers", "within 1 month", "3 months", "6 months", "12 months"]);
    for cohort in cohorts {
        let share = |again: i64| format!("{:.1} %", again as f64 * 100.0 / cohort.customers.max(1) as f64);
        let mut row = vec![cohort.first_month.clone(), grouped(cohort.customers)];
        row.extend(cohort.again_within.map(share));
        table.add_row(row);
    }
    right_aligned(table, 1)
}

fn best_table(best: &[Best]) -> Table {
    let mut table = table(&["customer", "orders", "CDs", "paid (USD)"]);
    for Best { customer, orders, cds, paid } in best {
        table.add_row([customer.to_string(), grouped(orders), grouped(cds), grouped(paid)]);
    }
    right_aligned(table, 0)
}

fn stock_table(stock: &[Stock]) -> Table {
    let mut table = table(&["warehouse", "delivered", "reserved", "released", "shipped", "in stock"]);
    for Stock { warehouse, delivered, reserved, released, shipped, in_stock } in stock {
        let numbers = [delivered, reserved, released, shipped, in_stock].map(grouped);
        table.add_row(std::iter::once(warehouse.clone()).chain(numbers));
    }
    right_aligned(table, 1)
}

fn outcome_table(outcomes: &[Outcome]) -> Table {
    let mut table = table(&["outcome", "orders", "CDs", "total (USD)"]);
    for Outcome { outcome, orders, cds, total } in outcomes {
        table.add_row([outcome.replace('_', " "), grouped(orders), grouped(cds), grouped(total)]);
    }
    right_aligned(table, 1)
}

impl fmt::Display for ProcessCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ended, compensated, waiting, stuck } = self;
        let [ended, compensated, waiting, stuck] = [ended, compensated, waiting, stuck].map(grouped);
        write!(f, "{ended} ended, {compensated} compensated, {waiting} waiting, {stuck} stuck")
    }
}

impl fmt::Display for Books {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { captured_minus_refunded, revenue_of_shipped, reserved_minus_released, shipped_cds } = self;
        let balance = |left: String, right: String| {
            let sign = if left == right { '=' } else { '≠' };
            (left, sign, right)
        };
        let (left, sign, right) = balance(grouped(captured_minus_refunded), grouped(revenue_of_shipped));
        writeln!(f, "  captured - refunded  {left} USD {sign} {right} USD  for what was shipped")?;
        let (left, sign, right) = balance(grouped(reserved_minus_released), grouped(shipped_cds));
        write!(f, "  reserved - released  {left} CDs {sign} {right} CDs  shipped")
    }
}

fn notified_table(notified: &[Notified]) -> Table {
    let mut table = table(&["kind", "sent", "for example"]);
    for Notified { kind, count, example } in notified {
        table.add_row([kind.clone(), grouped(count), example.clone()]);
    }
    if let Some(sent) = table.column_mut(1) {
        sent.set_cell_alignment(CellAlignment::Right);
    }
    table
}
