//! A table of values by name that only grows, for names that the code bounds.

use std::hash::BuildHasher;
use std::sync::OnceLock;

use foldhash::fast::FixedState;
use smol_str::SmolStr;

/// Values by name in `CHAINS` linked lists. A look-up takes no lock and no reference count.
pub(crate) struct ByName<T, const CHAINS: usize>([Link<T>; CHAINS]);

type Link<T> = OnceLock<Box<Node<T>>>;

struct Node<T> {
    name: SmolStr,
    value: T,
    next: Link<T>,
}

impl<T, const CHAINS: usize> ByName<T, CHAINS> {
    pub(crate) fn new() -> Self {
        Self([const { OnceLock::new() }; CHAINS])
    }

    /// The value of this name, made if there is none.
    pub(crate) fn get(&self, name: &str, make: impl Fn() -> T) -> &T {
        let chain = if CHAINS == 1 { 0 } else { FixedState::default().hash_one(name) as usize % CHAINS };
        let mut link = &self.0[chain];
        loop {
            let fresh = || Box::new(Node { name: name.into(), value: make(), next: OnceLock::new() });
            let node = link.get_or_init(fresh);
            if node.name == name {
                return &node.value;
            }
            link = &node.next;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::ByName;

    #[test]
    fn each_name_has_its_own_value_that_is_made_once() {
        let table = ByName::<u32, 4>::new();
        let made = AtomicU32::new(0);
        for _ in 0..3 {
            for number in 0..100 {
                let make = || {
                    made.fetch_add(1, Ordering::Relaxed);
                    number
                };
                assert_eq!(*table.get(&number.to_string(), make), number);
            }
        }
        assert_eq!(made.load(Ordering::Relaxed), 100);
    }
}
