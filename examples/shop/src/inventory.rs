//! Stock: a warehouse reserves CDs for orders and ships them, and orders more before it runs out. CDs that are not
//! on its shelves come from a supplier. It never ships without a reservation.

use std::collections::BTreeMap;

use recount::{Aggregate, Apply, BoxError, Command, Event, Handle, Projection, ReadModel, RecordedEvent};
use serde::{Deserialize, Serialize};

use crate::rule::{FROM_THE_SUPPLIER, ON_THE_SHELF};
use crate::tables::Tables;
use crate::values::{CustomerId, OrderId, WarehouseId};

/// How many CDs a supplier delivers at once.
const DELIVERY: u32 = 500;
/// The stock below which a warehouse orders a delivery.
const LOW: u32 = 100;

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "stock", published)]
pub enum StockEvent {
    Delivered {
        warehouse: WarehouseId,
        cds: u32,
    },
    Reserved {
        #[event(tag)]
        order: OrderId,
        warehouse: WarehouseId,
        cds: u32,
    },
    /// They are back on the shelves.
    Released {
        #[event(tag)]
        order: OrderId,
        warehouse: WarehouseId,
        cds: u32,
    },
    Shipped {
        #[event(tag)]
        order: OrderId,
        customer: CustomerId,
        warehouse: WarehouseId,
        cds: u32,
        /// Earlier shops shipped from the shelves, without a reservation.
        #[serde(default)]
        reserved: bool,
    },
}

/// Sets CDs aside for an order.
#[derive(Command, Clone, Debug)]
#[command(aggregate = Warehouse)]
pub struct ReserveStock {
    #[command(id)]
    pub warehouse: WarehouseId,
    pub order: OrderId,
    pub cds: u32,
}

/// Gets CDs from the supplier, for this order.
#[derive(Command, Clone, Debug)]
#[command(aggregate = Warehouse)]
pub struct Backorder {
    #[command(id)]
    pub warehouse: WarehouseId,
    pub order: OrderId,
    pub cds: u32,
}

/// Puts reserved CDs back.
#[derive(Command, Clone, Debug)]
#[command(aggregate = Warehouse)]
pub struct ReleaseStock {
    #[command(id)]
    pub warehouse: WarehouseId,
    pub order: OrderId,
    pub cds: u32,
}

/// Ships reserved CDs.
#[derive(Command, Clone, Debug)]
#[command(aggregate = Warehouse)]
pub struct ShipOrder {
    #[command(id)]
    pub warehouse: WarehouseId,
    pub order: OrderId,
    pub customer: CustomerId,
    pub cds: u32,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum StockError {
    #[error("{cds} CDs are more than the {most} that can be had for one order")]
    OutOfStock { cds: u32, most: u32 },
    #[error("{cds} CDs are more than the {reserved} that are reserved")]
    NotReserved { cds: u32, reserved: u32 },
}

#[derive(Aggregate, Clone, Debug, Default)]
#[aggregate(name = "warehouse", id = WarehouseId, event = StockEvent, error = StockError,
            commands(ReserveStock, Backorder, ReleaseStock, ShipOrder), snapshot(every = 1000, version = 2))]
pub struct Warehouse {
    /// On the shelves, for orders to come.
    free: u32,
    reserved: u32,
}

impl Apply for Warehouse {
    fn apply(&mut self, event: &StockEvent) {
        match event {
            StockEvent::Delivered { cds, .. } => self.free += cds,
            StockEvent::Reserved { cds, .. } => {
                self.free -= cds;
                self.reserved += cds;
            }
            StockEvent::Released { cds, .. } => {
                self.reserved -= cds;
                self.free += cds;
            }
            StockEvent::Shipped { cds, reserved: true, .. } => self.reserved -= cds,
            StockEvent::Shipped { cds, reserved: false, .. } => self.free -= cds,
        }
    }
}

impl Warehouse {
    /// Sets CDs aside, if they are not more than can be had for one order; a delivery comes before the shelves are empty.
    fn reserve(
        &self,
        warehouse: WarehouseId,
        order: OrderId,
        cds: u32,
        most: u32,
    ) -> Result<Vec<StockEvent>, StockError> {
        if cds > most {
            return Err(StockError::OutOfStock { cds, most });
        }
        let mut events = Vec::new();
        let short = (cds + LOW).saturating_sub(self.free);
        if short > 0 {
            let delivered = short.div_ceil(DELIVERY) * DELIVERY;
            events.push(StockEvent::Delivered { warehouse: warehouse.clone(), cds: delivered });
        }
        events.push(StockEvent::Reserved { order, warehouse, cds });
        Ok(events)
    }

    fn holds(&self, cds: u32) -> Result<(), StockError> {
        let reserved = self.reserved;
        if cds > reserved { Err(StockError::NotReserved { cds, reserved }) } else { Ok(()) }
    }
}

impl Handle<ReserveStock> for Warehouse {
    fn handle(&self, command: ReserveStock) -> Result<Vec<StockEvent>, StockError> {
        let ReserveStock { warehouse, order, cds } = command;
        self.reserve(warehouse, order, cds, ON_THE_SHELF)
    }
}

impl Handle<Backorder> for Warehouse {
    fn handle(&self, command: Backorder) -> Result<Vec<StockEvent>, StockError> {
        let Backorder { warehouse, order, cds } = command;
        self.reserve(warehouse, order, cds, FROM_THE_SUPPLIER)
    }
}

impl Handle<ReleaseStock> for Warehouse {
    fn handle(&self, command: ReleaseStock) -> Result<Vec<StockEvent>, StockError> {
        let ReleaseStock { warehouse, order, cds } = command;
        self.holds(cds)?;
        Ok(vec![StockEvent::Released { order, warehouse, cds }])
    }
}

impl Handle<ShipOrder> for Warehouse {
    fn handle(&self, command: ShipOrder) -> Result<Vec<StockEvent>, StockError> {
        let ShipOrder { warehouse, order, customer, cds } = command;
        self.holds(cds)?;
        Ok(vec![StockEvent::Shipped { order, customer, warehouse, cds, reserved: true }])
    }
}

/// The read model `stock`: the CDs delivered to each warehouse, reserved, released, and shipped.
pub struct StockLevels<T>(pub T);

/// How many CDs were moved in a warehouse.
#[derive(Clone, Copy, Debug, Default)]
struct Moved {
    delivered: i64,
    reserved: i64,
    released: i64,
    shipped: i64,
}

impl Moved {
    fn add(&mut self, event: &StockEvent) {
        match event {
            StockEvent::Delivered { cds, .. } => self.delivered += i64::from(*cds),
            StockEvent::Reserved { cds, .. } => self.reserved += i64::from(*cds),
            StockEvent::Released { cds, .. } => self.released += i64::from(*cds),
            StockEvent::Shipped { cds, reserved, .. } => {
                self.shipped += i64::from(*cds);
                if !reserved {
                    // Taken from the shelves and shipped at once.
                    self.reserved += i64::from(*cds);
                }
            }
        }
    }
}

impl StockEvent {
    fn warehouse(&self) -> &WarehouseId {
        match self {
            Self::Delivered { warehouse, .. }
            | Self::Reserved { warehouse, .. }
            | Self::Released { warehouse, .. }
            | Self::Shipped { warehouse, .. } => warehouse,
        }
    }
}

impl<T: Tables> StockLevels<T> {
    async fn moved(
        &self,
        warehouse: &WarehouseId,
        moved: Moved,
        connection: &mut <T::ReadModel as ReadModel>::Connection,
    ) -> Result<(), BoxError> {
        let upsert = "INSERT INTO shop.stock AS s VALUES ($1, $2, $3, $4, $5) ON CONFLICT (warehouse) \
            DO UPDATE SET delivered = s.delivered + excluded.delivered, reserved = s.reserved + excluded.reserved, \
                          released = s.released + excluded.released, shipped = s.shipped + excluded.shipped";
        let Moved { delivered, reserved, released, shipped } = moved;
        let values = [warehouse.into(), delivered.into(), reserved.into(), released.into(), shipped.into()];
        self.0.run(connection, upsert, values).await
    }
}

impl<T: Tables> Projection for StockLevels<T> {
    type Event = StockEvent;
    type ReadModel = T::ReadModel;

    fn name(&self) -> &str {
        "stock_levels"
    }

    async fn setup(&self, connection: &mut <T::ReadModel as ReadModel>::Connection) -> Result<(), BoxError> {
        let stock = "CREATE TABLE IF NOT EXISTS shop.stock \
            (warehouse TEXT PRIMARY KEY, delivered BIGINT NOT NULL, reserved BIGINT NOT NULL, \
             released BIGINT NOT NULL, shipped BIGINT NOT NULL)";
        self.0.run(connection, stock, []).await
    }

    async fn reset(&self, connection: &mut <T::ReadModel as ReadModel>::Connection) -> Result<(), BoxError> {
        self.0.run(connection, "DROP TABLE IF EXISTS shop.stock", []).await
    }

    async fn on(
        &self,
        event: &StockEvent,
        _: &RecordedEvent,
        connection: &mut <T::ReadModel as ReadModel>::Connection,
    ) -> Result<(), BoxError> {
        let mut moved = Moved::default();
        moved.add(event);
        self.moved(event.warehouse(), moved, connection).await
    }

    /// A row for each warehouse instead of one for each event.
    async fn on_many(
        &self,
        events: &[(StockEvent, &RecordedEvent)],
        connection: &mut <T::ReadModel as ReadModel>::Connection,
    ) -> Result<(), BoxError> {
        let mut levels: BTreeMap<String, (&WarehouseId, Moved)> = BTreeMap::new();
        for (event, _) in events {
            let warehouse = event.warehouse();
            levels.entry(warehouse.to_string()).or_insert((warehouse, Moved::default())).1.add(event);
        }
        for (warehouse, moved) in levels.into_values() {
            self.moved(warehouse, moved, connection).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use recount_testing::given;

    use super::*;

    fn warehouse() -> WarehouseId {
        "w1".to_owned().into()
    }

    fn order() -> OrderId {
        "o1".to_owned().into()
    }

    fn reserve(cds: u32) -> ReserveStock {
        ReserveStock { warehouse: warehouse(), order: order(), cds }
    }

    fn release(cds: u32) -> ReleaseStock {
        ReleaseStock { warehouse: warehouse(), order: order(), cds }
    }

    fn ship(cds: u32) -> ShipOrder {
        ShipOrder { warehouse: warehouse(), order: order(), customer: "c1".to_owned().into(), cds }
    }

    fn delivered(cds: u32) -> StockEvent {
        StockEvent::Delivered { warehouse: warehouse(), cds }
    }

    fn reserved(cds: u32) -> StockEvent {
        StockEvent::Reserved { order: order(), warehouse: warehouse(), cds }
    }

    fn released(cds: u32) -> StockEvent {
        StockEvent::Released { order: order(), warehouse: warehouse(), cds }
    }

    fn shipped(cds: u32, reserved: bool) -> StockEvent {
        let ShipOrder { warehouse, order, customer, cds } = ship(cds);
        StockEvent::Shipped { order, customer, warehouse, cds, reserved }
    }

    #[test]
    fn an_empty_warehouse_gets_a_delivery_first() {
        given::<Warehouse>([]).when(reserve(3)).then([delivered(500), reserved(3)]);
    }

    #[test]
    fn stock_goes_down_until_it_is_low() {
        let until_low = std::iter::repeat_n(reserved(10), 40).chain([delivered(0)]);
        given::<Warehouse>(std::iter::once(delivered(500)).chain(until_low.clone()))
            .when(ship(400))
            .then([shipped(400, true)]);
        given::<Warehouse>(std::iter::once(delivered(500)).chain(until_low))
            .when(reserve(1))
            .then([delivered(500), reserved(1)]);
    }

    #[test]
    fn what_earlier_shops_shipped_is_gone() {
        let history = [delivered(500), shipped(400, false)];
        given::<Warehouse>(history).when(reserve(1)).then([delivered(500), reserved(1)]);
    }

    #[test]
    fn a_large_order_is_out_of_stock_until_it_is_delivered_and_a_larger_one_for_ever() {
        let backorder = |cds| Backorder { warehouse: warehouse(), order: order(), cds };
        let refused = |cds, most| StockError::OutOfStock { cds, most };
        given::<Warehouse>([]).when(reserve(13)).then_error(refused(13, 12));
        given::<Warehouse>([]).when(backorder(20)).then([delivered(500), reserved(20)]);
        given::<Warehouse>([]).when(backorder(21)).then_error(refused(21, 20));
    }

    #[test]
    fn only_what_is_reserved_is_shipped_or_put_back() {
        let history = [delivered(500), reserved(3)];
        given::<Warehouse>(history.clone()).when(ship(3)).then([shipped(3, true)]);
        given::<Warehouse>(history.clone()).when(release(3)).then([released(3)]);
        given::<Warehouse>(history).when(ship(4)).then_error(StockError::NotReserved { cds: 4, reserved: 3 });
        let history = [delivered(500), reserved(3), released(3)];
        given::<Warehouse>(history).when(ship(3)).then_error(StockError::NotReserved { cds: 3, reserved: 0 });
    }
}
