//! Lanes: order within a lane, many lanes at once; and the window: the end of its done prefix is the watermark.

use std::collections::{HashMap, VecDeque};

use foldhash::fast::RandomState;

use super::source::Lane;

/// Items that wait for their lane or for a free place.
pub(crate) struct Lanes<T> {
    /// The lanes that have an item ready or running, each with the items behind it.
    busy: HashMap<Lane, VecDeque<T>, RandomState>,
    ready: VecDeque<(Lane, T)>,
    running: usize,
    at_once: usize,
}

impl<T> Lanes<T> {
    pub(crate) fn new(at_once: usize) -> Self {
        Self { busy: HashMap::default(), ready: VecDeque::new(), running: 0, at_once }
    }

    pub(crate) fn push(&mut self, lane: Lane, item: T) {
        match self.busy.get_mut(&lane) {
            Some(waiting) => waiting.push_back(item),
            None => {
                self.busy.insert(lane, VecDeque::new());
                self.ready.push_back((lane, item));
            }
        }
    }

    /// The next item that may run.
    pub(crate) fn start(&mut self) -> Option<(Lane, T)> {
        if self.running >= self.at_once {
            return None;
        }
        let next = self.ready.pop_front()?;
        self.running += 1;
        Some(next)
    }

    /// The running item of this lane has ended.
    pub(crate) fn finished(&mut self, lane: Lane) {
        self.running -= 1;
        if let Some(waiting) = self.busy.get_mut(&lane) {
            match waiting.pop_front() {
                Some(next) => self.ready.push_back((lane, next)),
                None => drop(self.busy.remove(&lane)),
            }
        }
    }
}

/// The deliveries that are not below the watermark, in the order in which they came.
pub(crate) struct Window<M> {
    /// The number of the first entry.
    first: u64,
    entries: VecDeque<Entry<M>>,
}

struct Entry<M> {
    mark: Option<M>,
    done: bool,
    is_item: bool,
}

/// The move of the watermark over deliveries that are done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Moved<M> {
    /// The mark of the last of them that has one.
    pub(crate) mark: Option<M>,
    /// How many of them are items.
    pub(crate) items: u64,
}

impl<M> Window<M> {
    pub(crate) fn new() -> Self {
        Self { first: 0, entries: VecDeque::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Adds an item, and returns its number.
    pub(crate) fn push(&mut self, mark: Option<M>) -> u64 {
        self.entries.push_back(Entry { mark, done: false, is_item: true });
        self.first + self.entries.len() as u64 - 1
    }

    /// Adds a delivery that needs no handling. Several in a row take one place.
    pub(crate) fn push_done(&mut self, mark: Option<M>) {
        if let Some(last) = self.entries.back_mut()
            && !last.is_item
        {
            last.mark = mark.or(last.mark.take());
            return;
        }
        self.entries.push_back(Entry { mark, done: true, is_item: false });
    }

    /// The item of this number is handled.
    pub(crate) fn finish(&mut self, number: u64) {
        let index = usize::try_from(number - self.first).unwrap_or(usize::MAX);
        if let Some(entry) = self.entries.get_mut(index) {
            entry.done = true;
        }
    }

    /// Moves the watermark to the first delivery that is not done.
    pub(crate) fn advance(&mut self) -> Moved<M> {
        let mut moved = Moved { mark: None, items: 0 };
        while let Some(entry) = self.entries.pop_front_if(|entry| entry.done) {
            self.first += 1;
            moved.items += u64::from(entry.is_item);
            moved.mark = entry.mark.or(moved.mark);
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_runs_one_item_and_the_lanes_run_at_once() {
        let mut lanes = Lanes::new(2);
        for (lane, item) in [(1, 'a'), (1, 'b'), (2, 'c'), (3, 'd')] {
            lanes.push(Lane(lane), item);
        }
        assert_eq!((lanes.start(), lanes.start()), (Some((Lane(1), 'a')), Some((Lane(2), 'c'))));
        assert_eq!(lanes.start(), None, "two at once");
        lanes.finished(Lane(1));
        assert_eq!((lanes.start(), lanes.start()), (Some((Lane(3), 'd')), None));
        lanes.finished(Lane(2));
        assert_eq!((lanes.start(), lanes.start()), (Some((Lane(1), 'b')), None));
        lanes.finished(Lane(3));
        lanes.finished(Lane(1));
        assert!(lanes.busy.is_empty());
    }

    #[test]
    fn the_watermark_passes_no_item_that_is_not_done() {
        let mut window = Window::new();
        let numbers: Vec<u64> = (1..=4).map(|mark| window.push(Some(mark))).collect();
        window.push_done(Some(4));
        // However long the first item takes, deliveries without an item take one place.
        window.push_done(Some(5));
        window.push_done(None);
        assert_eq!(window.len(), 5);
        window.finish(numbers[1]);
        window.finish(numbers[2]);
        assert_eq!(window.advance(), Moved { mark: None, items: 0 });
        window.finish(numbers[0]);
        assert_eq!(window.advance(), Moved { mark: Some(3), items: 3 });
        window.finish(numbers[3]);
        assert_eq!((window.advance(), window.len()), (Moved { mark: Some(5), items: 1 }, 0));
        let next = window.push(Some(6));
        window.finish(next);
        assert_eq!(window.advance(), Moved { mark: Some(6), items: 1 });
    }
}
