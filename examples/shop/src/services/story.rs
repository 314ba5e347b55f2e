//! The story of an order, as the services that own its parts have recorded it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::archive::Entry;

/// The history of an order, by the services' own events.
#[derive(Debug, Default)]
pub struct Story {
    pub placed: u32,
    pub customer: String,
    pub cds: i64,
    pub total: i64,
    pub ended: u32,
    pub compensated: u32,
    /// The reason for which the process gave up.
    pub given_up: Vec<String>,
    /// The process waits for an operator.
    pub halted: bool,
    pub captures: u32,
    pub captured: i64,
    pub waived: u32,
    pub refunds: u32,
    pub refunded: i64,
    pub reservations: u32,
    pub reserved: i64,
    pub released: i64,
    pub shipments: u32,
    pub shipped: i64,
    /// The kinds of the news that the customer was told.
    pub told: Vec<String>,
}

/// The stories of all orders.
pub type Stories = BTreeMap<String, Story>;

/// Adds the events of a service's own streams.
pub fn tell(stories: &mut Stories, entries: &[Entry]) {
    for entry in entries {
        match entry.category.as_str() {
            "order" | "payment" | "warehouse" | "notification" => {
                if let Some(order) = entry.payload["order"].as_str() {
                    stories.entry(order.to_owned()).or_default().add(entry);
                }
            }
            "fulfilment" => stories.entry(entry.name.clone()).or_default().step(entry),
            _ => {}
        }
    }
}

impl Story {
    fn add(&mut self, Entry { kind, payload, .. }: &Entry) {
        let cents = |of: &str| payload[of]["cents"].as_i64().unwrap_or_default();
        let cds = payload["cds"].as_i64().unwrap_or_default();
        match kind.as_str() {
            "order.placed" => {
                self.placed += 1;
                self.customer = payload["customer"].as_str().unwrap_or_default().to_owned();
                (self.cds, self.total) = (cds, cents("total"));
            }
            "payment.captured" => {
                self.captures += 1;
                self.captured += cents("amount");
            }
            "payment.waived" => self.waived += 1,
            "payment.refunded" => {
                self.refunds += 1;
                self.refunded += cents("amount");
            }
            "stock.reserved" => {
                self.reservations += 1;
                self.reserved += cds;
            }
            "stock.released" => self.released += cds,
            "stock.shipped" => {
                self.shipments += 1;
                self.shipped += cds;
            }
            "notification.told" => self.told.push(news(&payload["news"])),
            _ => {}
        }
    }

    fn step(&mut self, Entry { kind, payload, .. }: &Entry) {
        match kind.as_str() {
            "recount.step" if payload["next"] == "end" => self.ended += 1,
            "recount.compensated" => self.compensated += 1,
            "recount.parked" => self.halted = true,
            "recount.resumed" => self.halted = false,
            "fulfilment.given_up" => self.given_up.push(news(&payload["because"])),
            _ => {}
        }
    }

    /// Whether it was shipped in the end, by the process.
    pub fn is_shipped(&self) -> bool {
        self.ended == 1
    }

    /// The defects of the story: missing effects, effects that happened twice, and values that don't fit.
    pub fn defects(&self) -> Vec<Defect> {
        let mut defects = Vec::new();
        let once = [
            ("is placed", self.placed),
            ("is over", self.ended + self.compensated),
            ("is told", u32::try_from(self.told.len()).unwrap_or(u32::MAX)),
        ];
        for (what, count) in once {
            match count {
                1 => {}
                0 => defects.push(Defect::Missing(format!("never {what}"))),
                more => defects.push(Defect::Twice(format!("{what} {more} times"))),
            }
        }
        let most_once = [
            ("is paid", self.captures + self.waived),
            ("is refunded", self.refunds),
            ("is reserved", self.reservations),
            ("is shipped", self.shipments),
            ("is given up", u32::try_from(self.given_up.len()).unwrap_or(u32::MAX)),
        ];
        for (what, count) in most_once.into_iter().filter(|(_, count)| *count > 1) {
            defects.push(Defect::Twice(format!("{what} {count} times")));
        }
        if defects.is_empty() {
            defects.extend(self.misfits().map(Defect::Wrong));
        }
        defects
    }

    /// The values that don't fit in a story where each thing happened once.
    fn misfits(&self) -> impl Iterator<Item = String> {
        let told = self.told.first().map_or("", String::as_str);
        let (paid, gone) = if self.is_shipped() { (self.total, self.cds) } else { (0, 0) };
        let kept = self.captured - self.refunded;
        let held = self.reserved - self.released;
        let fits = if self.is_shipped() {
            matches!(told, "shipped" | "shipped_late") && self.given_up.is_empty()
        } else {
            self.given_up.first().is_some_and(|because| because == told)
        };
        [
            (self.halted, "its process waits for an operator".to_owned()),
            (kept != paid, format!("payment kept {kept} cents, and the process says {paid}")),
            (self.shipped != gone, format!("inventory shipped {} CDs, and the process says {gone}", self.shipped)),
            (held != gone, format!("inventory holds or shipped {held} CDs, and the process says {gone}")),
            (!fits, format!("its customer was told {told:?}, which is not how its process ended")),
        ]
        .into_iter()
        .filter_map(|(is_wrong, text)| is_wrong.then_some(text))
    }
}

/// A defect of a story.
#[derive(Debug, PartialEq, Eq)]
pub enum Defect {
    Missing(String),
    Twice(String),
    Wrong(String),
}

/// The kind of the news: their name, or the only key of an object.
fn news(value: &Value) -> String {
    let name = value.as_str().or_else(|| value.as_object()?.keys().next().map(String::as_str));
    name.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(stream: &str, kind: &str, payload: Value) -> Entry {
        let (category, name) = stream.split_once('/').unwrap();
        Entry { category: category.into(), name: name.into(), kind: kind.into(), payload, id: String::new() }
    }

    fn shipped() -> Vec<Entry> {
        let money = json!({"cents": 1177, "currency": "USD"});
        vec![
            entry("order/o1", "order.placed", json!({"order": "o1", "customer": "c1", "cds": 2, "total": money})),
            entry("payment/o1", "payment.captured", json!({"order": "o1", "amount": money, "cds": 2})),
            entry("warehouse/w01", "stock.reserved", json!({"order": "o1", "cds": 2})),
            entry("warehouse/w01", "stock.shipped", json!({"order": "o1", "cds": 2})),
            entry("notification/o1", "notification.told", json!({"order": "o1", "news": {"shipped": {"cds": 2}}})),
            entry("fulfilment/o1", "recount.step", json!({"next": "end"})),
        ]
    }

    fn defects(entries: &[Entry]) -> Vec<Defect> {
        let mut stories = Stories::new();
        tell(&mut stories, entries);
        stories.values().flat_map(Story::defects).collect()
    }

    #[test]
    fn a_shipped_order_has_no_defect() {
        assert_eq!(defects(&shipped()), []);
    }

    #[test]
    fn each_event_that_is_missing_is_a_defect() {
        for missing in 0..shipped().len() {
            let mut entries = shipped();
            let gone = entries.remove(missing);
            assert!(!defects(&entries).is_empty(), "without {}", gone.kind);
        }
    }

    #[test]
    fn each_event_that_happened_twice_is_a_defect() {
        for double in 0..shipped().len() {
            let mut entries = shipped();
            entries.push(shipped().swap_remove(double));
            let found = defects(&entries);
            assert!(matches!(found.as_slice(), [Defect::Twice(_), ..]), "{double}: {found:?}");
        }
    }

    #[test]
    fn an_order_that_was_given_up_keeps_no_money_and_no_stock() {
        let money = json!({"cents": 500, "currency": "USD"});
        let given_up = |refunded: bool| {
            let mut entries = vec![
                entry("order/o1", "order.placed", json!({"order": "o1", "customer": "c1", "cds": 30, "total": money})),
                entry("payment/o1", "payment.captured", json!({"order": "o1", "amount": money, "cds": 30})),
                entry("fulfilment/o1", "fulfilment.given_up", json!({"because": "sold_out"})),
                entry("notification/o1", "notification.told", json!({"order": "o1", "news": "sold_out"})),
                entry("fulfilment/o1", "recount.compensated", json!({})),
            ];
            if refunded {
                entries.push(entry("payment/o1", "payment.refunded", json!({"order": "o1", "amount": money})));
            }
            defects(&entries)
        };
        assert_eq!(given_up(true), []);
        assert!(matches!(given_up(false).as_slice(), [Defect::Wrong(_)]));
    }
}
