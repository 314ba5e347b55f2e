//! The deliveries of a broker that does not count them: which may be repetitions.

use std::collections::HashMap;

use crate::LaneId;

/// How many deliveries of a lane count as early.
const EARLY: u32 = 1024;

/// The first deliveries of each lane since this program got it.
///
/// A broker delivers again the messages that its consumer had when it died, which come first when another one gets the lane.
/// So if the broker does not count, a message that kills programs is found among these. Later ones cost no look into the store.
#[derive(Debug, Default)]
pub(super) struct Early(HashMap<LaneId, u32>);

impl Early {
    /// Notes a delivery. Returns whether it is one of the first of its lane.
    pub(super) fn note(&mut self, lane: LaneId) -> bool {
        let count = self.0.entry(lane).or_default();
        *count = count.saturating_add(1);
        *count <= EARLY
    }

    /// Notes that the lane was gained.
    pub(super) fn gained(&mut self, lane: LaneId) {
        self.0.remove(&lane);
    }

    /// Notes that all lanes may be gained anew.
    pub(super) fn start_over(&mut self) {
        self.0.clear();
    }
}
