//! The effects that an event may have, and must have.

use std::collections::BTreeMap;

/// An edited number is greater by this, so that its event is known.
pub(crate) const EDIT: u32 = 1000;

/// The effects of one event after the orders of operators.
#[derive(Clone, Debug)]
pub(crate) struct Effects {
    /// The number that must be entered. `None`: it was discarded.
    pub(crate) must: Option<u32>,
    /// Numbers that may have been entered: the order came after another program had published or handled the message.
    pub(crate) may: Vec<u32>,
    /// Whether a relay's message was ordered otherwise, so that its event was never confirmed.
    pub(crate) at_relay: bool,
}

/// The effects of each event, by key and number.
#[derive(Debug, Default)]
pub(crate) struct Expected(BTreeMap<(String, u32), Effects>);

impl Expected {
    pub(crate) fn of(&self, key: &str, n: u32) -> Effects {
        let ordered = self.0.get(&(key.to_owned(), n % EDIT)).cloned();
        ordered.unwrap_or(Effects { must: Some(n % EDIT), may: Vec::new(), at_relay: false })
    }

    /// An operator replaces a number, or takes it out. `entered`: it may have an effect all the same.
    pub(crate) fn replace(&mut self, key: &str, n: u32, by: Option<u32>, entered: bool, at_relay: bool) {
        let mut effects = self.of(key, n);
        effects.at_relay |= at_relay;
        if effects.must == Some(n) {
            effects.must = by;
        } else {
            effects.may.extend(by);
        }
        if entered {
            effects.may.push(n);
        } else {
            effects.may.retain(|may| *may != n);
        }
        self.0.insert((key.to_owned(), n % EDIT), effects);
    }

    /// Panics unless these are the effects of the events 0 to `count` of a key so far, in order and each once.
    pub(crate) fn check(&self, key: &str, entered: &[u32], count: u32) {
        // An edited copy of a message that had its effect before is by itself.
        let copy = |(place, n): &(usize, u32)| entered[..*place].iter().any(|before| before % EDIT == n % EDIT);
        let places = entered.iter().copied().enumerate().filter(|entry| !copy(entry));
        let in_order: Vec<u32> = places.map(|(_, n)| n % EDIT).collect();
        assert!(in_order.is_sorted(), "{key} is out of order: {entered:?}");
        for (place, n) in entered.iter().enumerate() {
            let effects = self.of(key, *n);
            assert!(n % EDIT < count, "{key}: nothing has placed {n}");
            assert!(!entered[..place].contains(n), "{key}: {n} was entered twice: {entered:?}");
            let expected = effects.must == Some(*n) || effects.may.contains(n);
            assert!(expected, "{key}: {n} was entered, expected {effects:?}: {entered:?}");
        }
    }

    /// The events of a key that lack their effect.
    pub(crate) fn missing(&self, key: &str, entered: &[u32], count: u32) -> Vec<u32> {
        let musts = (0..count).filter_map(|n| self.of(key, n).must);
        musts.filter(|n| !entered.contains(n)).collect()
    }
}
