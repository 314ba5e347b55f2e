//! The books of all services, compared.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use serde::Serialize;

use super::archive::{Archive, Entry};
use super::copies;
use super::stores::Stores;
use super::story::{Defect, Stories, tell};
use super::topology::Part;
use crate::values::Cents;

/// How many differences are told in words.
const TOLD: usize = 20;

/// The books of all services.
#[derive(Debug, Default, Serialize)]
pub struct Books {
    /// The orders that the order service has recorded.
    pub orders: u64,
    /// The effects that should be there, and are not.
    pub lost: u64,
    /// The effects that happened twice.
    pub doubled: u64,
    pub books_agree: bool,
    /// The orders with undone effects.
    pub compensated: u64,
    /// By the news that the customers were told.
    pub outcomes: BTreeMap<String, u64>,
    /// The money that payment has captured and not refunded.
    pub money: String,
    /// The CDs that inventory has shipped.
    pub shipped_cds: i64,
    /// The differences, at most 20 of them.
    pub differences: Vec<String>,
    /// The number of differences that are not among them.
    pub more_differences: u64,
}

impl Books {
    /// Reads the stores of all services and compares them. `accepted` are the orders that must be there, and no others.
    pub async fn read(stores: &Stores, accepted: &BTreeSet<String>) -> Result<Self> {
        let mut books = Self::default();
        let (mut archives, mut entries) = (BTreeMap::new(), BTreeMap::new());
        for part in Part::ALL {
            let Some(mut archive) = Archive::open(stores, part).await? else {
                books.lost(format!("service {part} has no store"));
                continue;
            };
            match archive.events().await? {
                Some(events) => drop(entries.insert(part, events)),
                None => books.lost(format!("the store of service {part} has no tables")),
            }
            archives.insert(part, archive);
        }
        if entries.len() == Part::ALL.len() {
            books.compare(&entries, accepted);
            super::tables::compare(&mut books, &mut archives, &entries).await?;
        }
        for archive in archives.into_values() {
            archive.close().await?;
        }
        books.books_agree = books.differences.is_empty();
        Ok(books)
    }

    /// Something should be there, and is not.
    pub fn lost(&mut self, difference: String) {
        self.lost += 1;
        self.differs(difference);
    }

    /// Something happened twice.
    pub fn doubled(&mut self, difference: String) {
        self.doubled += 1;
        self.differs(difference);
    }

    pub fn differs(&mut self, difference: String) {
        if self.differences.len() < TOLD {
            self.differences.push(difference);
        } else {
            self.more_differences += 1;
        }
    }

    fn compare(&mut self, entries: &BTreeMap<Part, Vec<Entry>>, accepted: &BTreeSet<String>) {
        let mut stories = Stories::new();
        entries.values().for_each(|entries| tell(&mut stories, entries));
        for order in accepted.iter().filter(|order| stories.get(*order).is_none_or(|story| story.placed == 0)) {
            self.lost(format!("order {order} was accepted, and is not recorded"));
        }
        let (mut cents, mut customers) = (0, BTreeSet::new());
        for (order, story) in &stories {
            if !accepted.contains(order) {
                self.differs(format!("order {order} was not accepted"));
            }
            for defect in story.defects() {
                match defect {
                    Defect::Missing(text) => self.lost(format!("order {order}: it {text}")),
                    Defect::Twice(text) => self.doubled(format!("order {order}: it {text}")),
                    Defect::Wrong(text) => self.differs(format!("order {order}: {text}")),
                }
            }
            self.orders += u64::from(story.placed > 0);
            self.compensated += u64::from(story.compensated > 0);
            self.shipped_cds += story.shipped;
            cents += story.captured - story.refunded;
            customers.insert(story.customer.as_str());
            if let Some(told) = story.told.first() {
                *self.outcomes.entry(told.clone()).or_default() += 1;
            }
        }
        self.money = Cents::from(cents).dollars().to_string();
        self.customers(&entries[&Part::User], &customers);
        copies::compare(self, entries);
    }

    /// Each customer with an order is registered once, and no other.
    fn customers(&mut self, entries: &[Entry], ordering: &BTreeSet<&str>) {
        let mut registered: BTreeMap<&str, u32> = BTreeMap::new();
        for entry in entries.iter().filter(|entry| entry.kind == "customer.registered") {
            *registered.entry(entry.payload["customer"].as_str().unwrap_or_default()).or_default() += 1;
        }
        for customer in ordering.iter().filter(|customer| !registered.contains_key(*customer)) {
            self.lost(format!("customer {customer} has an order, and is not registered"));
        }
        for (customer, times) in registered {
            if times > 1 {
                self.doubled(format!("customer {customer} is registered {times} times"));
            }
            if !ordering.contains(customer) {
                self.differs(format!("customer {customer} is registered without an order"));
            }
        }
    }
}
