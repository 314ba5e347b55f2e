//! The records of a partition that are given out, by their offsets.

use std::collections::VecDeque;

/// Values by their offsets, for offsets that mostly come in order and go near the front: each costs no memory of its own.
#[derive(Debug)]
pub(crate) struct Window<T> {
    /// By offset. The first one is there, later ones may be gone.
    places: VecDeque<(i64, Option<T>)>,
}

impl<T> Window<T> {
    pub(crate) fn new() -> Self {
        Self { places: VecDeque::new() }
    }

    pub(crate) fn insert(&mut self, offset: i64, value: T) {
        let place = match self.places.back() {
            Some((last, _)) if *last >= offset => self.find(offset),
            _ => Err(self.places.len()),
        };
        match place {
            Ok(place) => self.places[place].1 = Some(value),
            Err(place) => self.places.insert(place, (offset, Some(value))),
        }
    }

    pub(crate) fn remove(&mut self, offset: i64) -> Option<T> {
        let place = self.find(offset).ok()?;
        let value = self.places[place].1.take()?;
        while self.places.pop_front_if(|(_, value)| value.is_none()).is_some() {}
        Some(value)
    }

    pub(crate) fn contains(&self, offset: i64) -> bool {
        self.find(offset).is_ok_and(|place| self.places[place].1.is_some())
    }

    /// The lowest offset.
    pub(crate) fn first(&self) -> Option<i64> {
        self.places.front().map(|(offset, _)| *offset)
    }

    pub(crate) fn len(&self) -> usize {
        self.places.iter().filter(|(_, value)| value.is_some()).count()
    }

    /// Takes all values, in the order of their offsets.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = (i64, T)> + '_ {
        self.places.drain(..).filter_map(|(offset, value)| Some((offset, value?)))
    }

    fn find(&self, offset: i64) -> Result<usize, usize> {
        self.places.binary_search_by_key(&offset, |(offset, _)| *offset)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn it_is_a_map_whatever_the_order() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..200 {
            let (mut window, mut map) = (Window::new(), BTreeMap::new());
            for step in 0..200 {
                let offset = random.i64(0..40);
                if random.bool() {
                    window.insert(offset, step);
                    map.insert(offset, step);
                } else {
                    assert_eq!(window.remove(offset), map.remove(&offset));
                }
                let first = map.first_key_value().map(|(offset, _)| *offset);
                assert_eq!((window.first(), window.len()), (first, map.len()));
                assert_eq!(window.contains(offset), map.contains_key(&offset));
            }
            assert_eq!(window.drain().collect::<Vec<_>>(), map.into_iter().collect::<Vec<_>>());
            assert_eq!((window.first(), window.len()), (None, 0));
        }
    }
}
