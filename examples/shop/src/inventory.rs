//! Stock: a warehouse ships paid orders, and orders more before it runs out. It never ships more than it has.

use recount::{
    Aggregate, Apply, BoxError, Command, Commands, Event, Handle, IdempotencyKey, Projection, Reaction, ReadModel,
    RecordedEvent,
};

use crate::payment::PaymentEvent;
use crate::tables::Tables;
use crate::values::{CustomerId, OrderId, WarehouseId, warehouse_of};

/// How many CDs a supplier delivers at once.
const DELIVERY: u32 = 500;
/// The stock below which a warehouse orders a delivery.
const LOW: u32 = 100;

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "stock")]
pub enum StockEvent {
    Delivered {
        warehouse: WarehouseId,
        cds: u32,
    },
    Shipped {
        #[event(tag)]
        order: OrderId,
        customer: CustomerId,
        warehouse: WarehouseId,
        cds: u32,
    },
}

/// Ships an order; the caller's idempotency key makes it happen once.
#[derive(Command, Clone, Debug)]
#[command(aggregate = Warehouse)]
pub struct ShipOrder {
    #[command(id)]
    pub warehouse: WarehouseId,
    pub order: OrderId,
    pub customer: CustomerId,
    pub cds: u32,
}

#[derive(Aggregate, Clone, Debug, Default)]
#[aggregate(name = "warehouse", id = WarehouseId, event = StockEvent, error = std::convert::Infallible,
            commands(ShipOrder), snapshot(every = 1000, version = 1))]
pub struct Warehouse {
    cds: u32,
}

impl Apply for Warehouse {
    fn apply(&mut self, event: &StockEvent) {
        match event {
            StockEvent::Delivered { cds, .. } => self.cds += cds,
            StockEvent::Shipped { cds, .. } => self.cds -= cds,
        }
    }
}

impl Handle<ShipOrder> for Warehouse {
    fn handle(&self, command: ShipOrder) -> Result<Vec<StockEvent>, std::convert::Infallible> {
        let ShipOrder { warehouse, order, customer, cds } = command;
        let mut events = Vec::new();
        let short = (cds + LOW).saturating_sub(self.cds);
        if short > 0 {
            let delivered = short.div_ceil(DELIVERY) * DELIVERY;
            events.push(StockEvent::Delivered { warehouse: warehouse.clone(), cds: delivered });
        }
        events.push(StockEvent::Shipped { order, customer, warehouse, cds });
        Ok(events)
    }
}

/// Hears of a payment, and ships.
pub struct Shipping;

impl Reaction for Shipping {
    type Event = PaymentEvent;

    fn name(&self) -> &str {
        "shipping"
    }

    async fn on(&self, event: &PaymentEvent, _: &RecordedEvent) -> Result<Commands, BoxError> {
        let (PaymentEvent::Captured { order, customer, cds, .. } | PaymentEvent::Waived { order, customer, cds }) =
            event.clone();
        // The key that earlier shops gave it, so that nothing in their files is shipped again.
        let key = IdempotencyKey::new(format!("ship/{order}"))?;
        let warehouse = warehouse_of(&customer);
        Ok(Commands::send(ShipOrder { warehouse, order, customer, cds }).idempotency_key(key))
    }
}

/// The read model `stock`: the CDs delivered to and shipped from each warehouse.
pub struct StockLevels<T>(pub T);

impl<T: Tables> Projection for StockLevels<T> {
    type Event = StockEvent;
    type ReadModel = T::ReadModel;

    fn name(&self) -> &str {
        "stock_levels"
    }

    async fn setup(&self, connection: &mut <T::ReadModel as ReadModel>::Connection) -> Result<(), BoxError> {
        let stock = "CREATE TABLE IF NOT EXISTS shop.stock \
            (warehouse TEXT PRIMARY KEY, delivered BIGINT NOT NULL, shipped BIGINT NOT NULL)";
        self.0.run(connection, stock, []).await
    }

    async fn on(
        &self,
        event: &StockEvent,
        _: &RecordedEvent,
        connection: &mut <T::ReadModel as ReadModel>::Connection,
    ) -> Result<(), BoxError> {
        let (warehouse, delivered, shipped) = match event {
            StockEvent::Delivered { warehouse, cds } => (warehouse, *cds, 0),
            StockEvent::Shipped { warehouse, cds, .. } => (warehouse, 0, *cds),
        };
        let upsert = "INSERT INTO shop.stock AS s VALUES ($1, $2, $3) ON CONFLICT (warehouse) \
            DO UPDATE SET delivered = s.delivered + excluded.delivered, shipped = s.shipped + excluded.shipped";
        self.0.run(connection, upsert, [warehouse.into(), delivered.into(), shipped.into()]).await
    }
}

#[cfg(test)]
mod tests {
    use recount_testing::given;

    use super::*;

    fn ship(cds: u32) -> ShipOrder {
        ShipOrder {
            warehouse: "w1".to_owned().into(),
            order: "o1".to_owned().into(),
            customer: "c1".to_owned().into(),
            cds,
        }
    }

    fn delivered(cds: u32) -> StockEvent {
        StockEvent::Delivered { warehouse: "w1".to_owned().into(), cds }
    }

    fn shipped(cds: u32) -> StockEvent {
        let ShipOrder { warehouse, order, customer, cds } = ship(cds);
        StockEvent::Shipped { order, customer, warehouse, cds }
    }

    #[test]
    fn an_empty_warehouse_gets_a_delivery_first() {
        given::<Warehouse>([]).when(ship(3)).then([delivered(500), shipped(3)]);
    }

    #[test]
    fn stock_goes_down_until_it_is_low() {
        given::<Warehouse>([delivered(500)]).when(ship(400)).then([shipped(400)]);
        given::<Warehouse>([delivered(500), shipped(400)]).when(ship(1)).then([delivered(500), shipped(1)]);
    }

    #[test]
    fn a_large_order_gets_as_many_deliveries_as_it_needs() {
        given::<Warehouse>([]).when(ship(1000)).then([delivered(1500), shipped(1000)]);
    }
}
