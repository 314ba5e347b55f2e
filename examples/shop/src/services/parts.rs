//! The services: their publications, subscriptions and processes. The domain code is that of the shop in one program.

use anyhow::Result;
use recount::messaging::{GatewayBuilder, Incoming, MessageHandler, Publication, Service, ServiceGateway, Subscriber};
use recount::{BoxError, Commands, RecountBuilder, StartAt};

use super::topology::{CUSTOMERS, NOTIFICATIONS, Names, ORDERS, PAYMENTS, Part, STOCK};
use crate::analytics::Sales;
use crate::customers::Customers;
use crate::fulfilment::Fulfilment;
use crate::inventory::{StockEvent, StockLevels, Warehouse};
use crate::notification::{Notification, NotificationEvent, Notifications};
use crate::order::{Order, OrderEvent};
use crate::payment::{Payment, PaymentEvent};
use crate::tables::Tables;
use crate::user::{Customer, CustomerEvent, RegisterCustomer};
use crate::values::CustomerId;

/// The aggregates of a service: it takes their commands as messages.
pub fn register(part: Part, builder: RecountBuilder) -> RecountBuilder {
    match part {
        Part::User => builder.register::<Customer>(),
        Part::Order => builder.register::<Order>(),
        Part::Payment => builder.register::<Payment>(),
        Part::Inventory => builder.register::<Warehouse>(),
        Part::Notification => builder.register::<Notification>(),
        Part::Analytics => builder,
    }
}

/// How orders are fulfilled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fulfilling {
    /// By the process, after the order was accepted.
    ByEvents,
    /// By requests, one after the other, before the order is accepted. Only to compare the two.
    ByRequests,
}

/// A service with all its parts, and the way to other services if it has one.
pub fn assemble<T: Tables<ReadModel: Clone>>(
    part: Part,
    service: Service,
    names: &Names,
    fulfilling: Fulfilling,
    (tables, read_model): (&T, &T::ReadModel),
) -> Result<(Service, Option<ServiceGateway>)> {
    let (tables, read_model) = (tables.clone(), read_model.clone());
    Ok(match part {
        Part::User => (user(service, names)?, None),
        Part::Order => {
            let (service, gateway) = order(service, names, fulfilling)?;
            (service, Some(gateway))
        }
        Part::Payment => (payment(service, names)?, None),
        Part::Inventory => (inventory(service, names, tables, read_model)?, None),
        Part::Notification => (notification(service, names, tables, read_model)?, None),
        Part::Analytics => (analytics(service, names, tables, read_model)?, None),
    })
}

fn user(service: Service, names: &Names) -> Result<Service> {
    let customers = Publication::new(CUSTOMERS, names.topic(CUSTOMERS)?)
        .map_keyed(|event: &CustomerEvent, _| Some((key_of_customer(event), event.clone())));
    Ok(service
        .publish(customers)
        .subscribe(Subscriber::new(names.takes(Part::User)?).commands())
        .subscribe(Subscriber::new(names.reads(Part::User, ORDERS)?).handle(Welcome)?))
}

/// Registers the customer of an order.
struct Welcome;

impl MessageHandler for Welcome {
    type Message = OrderEvent;

    async fn handle(&self, event: &OrderEvent, _: &Incoming<'_>) -> Result<Commands, BoxError> {
        let OrderEvent::Placed { customer, .. } = event else { return Ok(Commands::none()) };
        let register =
            RegisterCustomer { customer: customer.clone(), source: source_of(customer), number: number_of(customer) };
        Ok(Commands::send(register).existing_is_done())
    }
}

fn source_of(customer: &CustomerId) -> String {
    let id = customer.to_string();
    id.rsplit_once('-').map_or(id.clone(), |(source, _)| source.to_owned())
}

fn number_of(customer: &CustomerId) -> u32 {
    customer.number().and_then(|number| number.try_into().ok()).unwrap_or_default()
}

fn order(service: Service, names: &Names, fulfilling: Fulfilling) -> Result<(Service, ServiceGateway)> {
    let orders = Publication::new(ORDERS, names.topic(ORDERS)?)
        .map_keyed(|event: &OrderEvent, _| Some((key_of_order(event), event.clone())));
    let others = GatewayBuilder::new()
        .aggregate::<Payment>(names.commands(Part::Payment)?)
        .aggregate::<Warehouse>(names.commands(Part::Inventory)?)
        .aggregate::<Notification>(names.commands(Part::Notification)?);
    let (service, gateway) = service
        .publish(orders)
        .subscribe(Subscriber::new(names.reads(Part::Order, PAYMENTS)?).record::<PaymentEvent>(PAYMENTS)?)
        .subscribe(Subscriber::new(names.reads(Part::Order, STOCK)?).record::<StockEvent>(STOCK)?)
        .gateway(others)?;
    let service = match fulfilling {
        Fulfilling::ByEvents => service.consumers(|consumers| {
            let process = consumers.process_across::<Fulfilment>(StartAt::Beginning, gateway.clone());
            process.reaction(Customers::Cancelling)
        }),
        Fulfilling::ByRequests => service,
    };
    Ok((service, gateway))
}

fn payment(service: Service, names: &Names) -> Result<Service> {
    let payments = Publication::new(PAYMENTS, names.topic(PAYMENTS)?)
        .map_keyed(|event: &PaymentEvent, _| Some((key_of_payment(event), event.clone())));
    let service = service.publish(payments).subscribe(Subscriber::new(names.takes(Part::Payment)?).commands());
    Ok(service.consumers(|consumers| consumers.reaction(Customers::Paying)))
}

fn inventory<T: Tables>(service: Service, names: &Names, tables: T, read_model: T::ReadModel) -> Result<Service> {
    // Deliveries concern no order, and no other service.
    let stock = Publication::new(STOCK, names.topic(STOCK)?)
        .map_keyed(|event: &StockEvent, _| Some((key_of_stock(event)?, event.clone())));
    let service = service.publish(stock).subscribe(Subscriber::new(names.takes(Part::Inventory)?).commands());
    Ok(service.consumers(|consumers| consumers.projection(StockLevels(tables), read_model)))
}

fn notification<T: Tables>(service: Service, names: &Names, tables: T, read_model: T::ReadModel) -> Result<Service> {
    let part = Part::Notification;
    let notifications = Publication::new(NOTIFICATIONS, names.topic(NOTIFICATIONS)?)
        .map_keyed(|event: &NotificationEvent, _| Some((key_of_notification(event), event.clone())));
    let service = service
        .publish(notifications)
        .subscribe(Subscriber::new(names.takes(part)?).commands())
        .subscribe(Subscriber::new(names.reads(part, CUSTOMERS)?).record::<CustomerEvent>(CUSTOMERS)?)
        .subscribe(Subscriber::new(names.reads(part, PAYMENTS)?).record::<PaymentEvent>(PAYMENTS)?);
    Ok(service.consumers(|consumers| consumers.projection(Notifications(tables), read_model)))
}

fn analytics<T: Tables>(service: Service, names: &Names, tables: T, read_model: T::ReadModel) -> Result<Service> {
    let reads = |events| names.reads(Part::Analytics, events).map(Subscriber::new);
    let service = service
        .subscribe(reads(CUSTOMERS)?.record::<CustomerEvent>(CUSTOMERS)?)
        .subscribe(reads(ORDERS)?.record::<OrderEvent>(ORDERS)?)
        .subscribe(reads(PAYMENTS)?.record::<PaymentEvent>(PAYMENTS)?)
        .subscribe(reads(STOCK)?.record::<StockEvent>(STOCK)?)
        .subscribe(reads(NOTIFICATIONS)?.record::<NotificationEvent>(NOTIFICATIONS)?);
    Ok(service.consumers(|consumers| consumers.projection(Sales(tables), read_model)))
}

fn key_of_customer(event: &CustomerEvent) -> String {
    let CustomerEvent::Registered { customer, .. } = event;
    customer.to_string()
}

fn key_of_order(event: &OrderEvent) -> String {
    match event {
        OrderEvent::Placed { order, .. } | OrderEvent::Cancelled { order } => order.to_string(),
    }
}

fn key_of_payment(event: &PaymentEvent) -> String {
    match event {
        PaymentEvent::Captured { order, .. }
        | PaymentEvent::Waived { order, .. }
        | PaymentEvent::Invoiced { order, .. }
        | PaymentEvent::Overdue { order }
        | PaymentEvent::Voided { order }
        | PaymentEvent::Refunded { order, .. } => order.to_string(),
    }
}

fn key_of_stock(event: &StockEvent) -> Option<String> {
    match event {
        StockEvent::Delivered { .. } => None,
        StockEvent::Reserved { order, .. } | StockEvent::Released { order, .. } | StockEvent::Shipped { order, .. } => {
            Some(order.to_string())
        }
    }
}

fn key_of_notification(event: &NotificationEvent) -> String {
    let NotificationEvent::Told { order, .. } = event;
    order.to_string()
}
