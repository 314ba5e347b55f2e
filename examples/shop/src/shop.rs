//! The shop as a whole: its parts, wired together by the events they hear of.

use anyhow::{Context, Result};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use recount::memory::MemoryStore;
use recount::sqlite::{SqliteReadModel, SqliteStore};
use recount::{IdempotencyKey, Projections, Recount};

use crate::analytics::Sales;
use crate::cdnow::Orders;
use crate::import::{import, once};
use crate::inventory::{ShipOrder, StockLevels};
use crate::notification::Notifications;
use crate::order::OrderEvent;
use crate::payment::{CapturePayment, PaymentEvent};
use crate::reaction::Reaction;
use crate::values::{CustomerId, OrderId, warehouse_of};

/// The parts that run, and the store they share.
pub struct Shop {
    pub recount: Recount,
    pub read_model: SqliteReadModel,
    projections: Projections,
    payments: Reaction,
    shipping: Reaction,
}

impl Shop {
    /// Opens the store, and starts everything that listens.
    pub async fn open(url: &str) -> Result<Self> {
        let (recount, read_model) = connect(url).await.with_context(|| format!("can't open the store {url}"))?;
        let projections = recount
            .projections()
            .add(Sales, read_model.clone())
            .add(StockLevels, read_model.clone())
            .add(Notifications, read_model.clone())
            .start();
        Ok(Self {
            payments: Reaction::start(recount.clone(), "payments", capture_payment),
            shipping: Reaction::start(recount.clone(), "shipping", ship_order),
            recount,
            read_model,
            projections,
        })
    }

    /// Brings in the orders, and waits until every part of the shop has done what follows from them.
    pub async fn take_in(&mut self, orders: &Orders, bars: &MultiProgress) -> Result<()> {
        let bar = bars.add(ProgressBar::new(orders.rows.len() as u64).with_style(style("orders")?));
        import(&self.recount, orders, |done| bar.set_position(done)).await?;
        bar.finish();
        let head = self.recount.store().head().await?;
        let bar = bars.add(ProgressBar::new_spinner().with_message("waiting for payments, shipping and read models"));
        bar.enable_steady_tick(std::time::Duration::from_millis(100));
        self.payments.wait_for(head).await?;
        let head = self.recount.store().head().await?;
        self.shipping.wait_for(head).await?;
        let head = self.recount.store().head().await?;
        if let Err(stopped) = self.projections.wait_for(head).await {
            anyhow::bail!("projection {} is at {}: {:?}", stopped.projection, stopped.position, stopped.status);
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// Lets the parts finish what they are doing, and closes the store.
    pub async fn close(self) {
        drop((self.payments, self.shipping));
        self.projections.shutdown().await;
        self.recount.close().await;
    }
}

async fn connect(url: &str) -> Result<(Recount, SqliteReadModel)> {
    match url.split_once("://") {
        Some(("sqlite", path)) => {
            let store = SqliteStore::open(path).await?;
            let read_model = store.read_model();
            Ok((Recount::new(store), read_model))
        }
        Some(("memory", "")) => {
            // The read models want SQL; like the events they are gone afterwards.
            let read_model =
                SqliteReadModel::open(std::env::temp_dir().join(format!("shop-{}.db", std::process::id()))).await?;
            Ok((Recount::new(MemoryStore::new()), read_model))
        }
        _ => anyhow::bail!("it is neither sqlite://FILE nor memory://"),
    }
}

fn style(what: &str) -> Result<ProgressStyle> {
    let template = format!("{{spinner}} {what} {{wide_bar}} {{human_pos}}/{{human_len}} {{per_sec}}, {{eta}} left");
    Ok(ProgressStyle::with_template(&template)?)
}

/// Payment hears of an order, and takes the money.
async fn capture_payment(recount: Recount, event: OrderEvent) -> Result<()> {
    let OrderEvent::Placed { order, customer, cds, total, .. } = event;
    let command = CapturePayment { order, customer, amount: total, cds };
    Ok(once(recount.dispatch(command).await)?)
}

/// Inventory hears of a payment, and ships.
async fn ship_order(recount: Recount, event: PaymentEvent) -> Result<()> {
    let (PaymentEvent::Captured { order, customer, cds, .. } | PaymentEvent::Waived { order, customer, cds }) = event;
    ship(&recount, order, customer, cds).await
}

async fn ship(recount: &Recount, order: OrderId, customer: CustomerId, cds: u32) -> Result<()> {
    // A warehouse ships many orders, so its stream can't say that this one was shipped; the key can.
    let key = IdempotencyKey::new(format!("ship/{order}"))?;
    let warehouse = warehouse_of(&customer);
    let receipt = recount.dispatch(ShipOrder { warehouse, order, customer, cds }).idempotency_key(key).await?;
    tracing::trace!(position = ?receipt.position, "shipped");
    Ok(())
}
