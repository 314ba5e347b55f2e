//! Published events, and their copies in the services that have recorded them.

use std::collections::BTreeMap;

use super::archive::Entry;
use super::books::Books;
use super::topology::{CUSTOMERS, NOTIFICATIONS, ORDERS, PAYMENTS, Part, STOCK};

/// Published events: the service that has them, its category, and the services with copies.
const PUBLISHED: [(&str, Part, &str, &[Part]); 5] = [
    (CUSTOMERS, Part::User, "customer", &[Part::Notification, Part::Analytics]),
    (ORDERS, Part::Order, "order", &[Part::Analytics]),
    (PAYMENTS, Part::Payment, "payment", &[Part::Order, Part::Notification, Part::Analytics]),
    (STOCK, Part::Inventory, "warehouse", &[Part::Order, Part::Analytics]),
    (NOTIFICATIONS, Part::Notification, "notification", &[Part::Analytics]),
];
/// An event that stays in its service.
const PRIVATE: &str = "stock.delivered";

/// Compares the copies with the published events.
pub fn compare(books: &mut Books, entries: &BTreeMap<Part, Vec<Entry>>) {
    for (topic, owner, category, readers) in PUBLISHED {
        let published = by_id(&entries[&owner], category);
        for reader in readers {
            let copies = by_id(&entries[reader], topic);
            for (id, originals) in &published {
                match copies.get(id).map(Vec::as_slice) {
                    None => {
                        let Entry { kind, name, .. } = originals[0];
                        books.lost(format!("{reader} lacks {kind} {id} of {owner} ({category}/{name})"));
                    }
                    Some([copy]) if copy.kind == originals[0].kind && copy.payload == originals[0].payload => {}
                    Some([copy]) => books.differs(format!("{reader} has another {} {id} than {owner}", copy.kind)),
                    Some(more) => books.doubled(format!("{reader} has {} {id} {} times", more[0].kind, more.len())),
                }
            }
            for id in copies.keys().filter(|id| !published.contains_key(*id)) {
                books.differs(format!("{reader} has {} {id}, which {owner} has not", copies[id][0].kind));
            }
        }
    }
}

/// The events of a category by their ids.
fn by_id<'e>(entries: &'e [Entry], category: &str) -> BTreeMap<&'e str, Vec<&'e Entry>> {
    let mut by_id: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| entry.category == category && entry.kind != PRIVATE) {
        by_id.entry(&entry.id).or_default().push(entry);
    }
    by_id
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(category: &str, id: &str, cds: i64) -> Entry {
        let payload = json!({"order": "o1", "cds": cds});
        Entry { category: category.into(), name: "o1".into(), kind: "stock.reserved".into(), payload, id: id.into() }
    }

    /// The books when inventory has one event, and order and analytics have these copies.
    fn books(order: Vec<Entry>, analytics: Vec<Entry>) -> Books {
        let mut entries: BTreeMap<Part, Vec<Entry>> = Part::ALL.map(|part| (part, Vec::new())).into();
        entries.insert(Part::Inventory, vec![entry("warehouse", "a", 2)]);
        entries.insert(Part::Order, order);
        entries.insert(Part::Analytics, analytics);
        let mut books = Books::default();
        compare(&mut books, &entries);
        books
    }

    #[test]
    fn copies_are_missing_or_doubled_or_changed_or_made_up() {
        let copy = || entry("stock", "a", 2);
        let counts = |books: Books| (books.lost, books.doubled, books.differences.len());
        assert_eq!(counts(books(vec![copy()], vec![copy()])), (0, 0, 0));
        assert_eq!(counts(books(vec![], vec![copy()])), (1, 0, 1));
        assert_eq!(counts(books(vec![copy(), copy()], vec![copy()])), (0, 1, 1));
        assert_eq!(counts(books(vec![entry("stock", "a", 3)], vec![copy()])), (0, 0, 1));
        assert_eq!(counts(books(vec![copy(), entry("stock", "b", 2)], vec![copy()])), (0, 0, 1));
    }
}
