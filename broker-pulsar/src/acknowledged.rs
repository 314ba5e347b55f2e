//! The entries of a partition that a subscription has acknowledged.

use serde_json::Value;

/// A ledger and an entry of it. -1 stands before the first entry.
pub(crate) type Position = (u64, i64);

/// The place of a subscription in the statistics of a partition's managed ledger (`internalStats`).
#[derive(Debug)]
pub(crate) struct Acknowledged {
    /// All entries up to here are acknowledged.
    mark: Position,
    /// The acknowledged entries behind it, as ranges without their start.
    ranges: Vec<(Position, Position)>,
    /// The ledgers with the numbers of their entries; that of the one that is written is unknown.
    ledgers: Vec<(u64, i64)>,
    /// The last entry.
    last: Position,
}

impl Acknowledged {
    /// Reads them of the statistics. `None`: they have another form, or nothing of this group.
    pub(crate) fn read(stats: &Value, group: &str) -> Option<Self> {
        let cursor = stats.get("cursors")?.get(group)?;
        let mark = position(cursor.get("markDeletePosition")?.as_str()?)?;
        let last = position(stats.get("lastConfirmedEntry")?.as_str()?)?;
        let ranges = cursor.get("individuallyDeletedMessages")?.as_str()?.split('(').skip(1);
        let ranges = ranges.map(|range| {
            let (start, end) = range.split_once(']')?.0.split_once("..")?;
            Some((position(start)?, position(end)?))
        });
        let ledgers = stats.get("ledgers")?.as_array()?.iter();
        let ledgers = ledgers.map(|ledger| Some((ledger.get("ledgerId")?.as_u64()?, ledger.get("entries")?.as_i64()?)));
        let (mut ranges, mut ledgers) = (ranges.collect::<Option<Vec<_>>>()?, ledgers.collect::<Option<Vec<_>>>()?);
        ranges.sort_unstable();
        ledgers.sort_unstable();
        Some(Self { mark, ranges, ledgers, last })
    }

    /// The first entry behind this one that is not acknowledged. `None` stands before the first one.
    pub(crate) fn open_behind(&self, after: Option<(u64, u64)>) -> Option<Position> {
        let start = after.map_or(self.mark, |after| self.mark.max(signed(after)));
        let mut ledgers = self.ledgers.iter().filter(|(ledger, _)| (start.0..=self.last.0).contains(ledger));
        ledgers.find_map(|(ledger, entries)| {
            let first = if *ledger == start.0 { start.1 + 1 } else { 0 };
            let behind = if *ledger == self.last.0 { self.last.1 + 1 } else { *entries };
            let open = self.first_open(*ledger, first);
            (open < behind).then_some((*ledger, open))
        })
    }

    /// Whether all entries between these two are known to be acknowledged. `None` stands before the first one.
    pub(crate) fn covers(&self, after: Option<(u64, u64)>, before: (u64, u64)) -> bool {
        signed(before) <= self.open_behind(after).unwrap_or((self.last.0, self.last.1 + 1))
    }

    /// The first entry from this one on that is not acknowledged.
    fn first_open(&self, ledger: u64, mut entry: i64) -> i64 {
        for (start, end) in &self.ranges {
            if *start < (ledger, entry) && (ledger, entry) <= *end {
                entry = if end.0 == ledger { end.1 + 1 } else { i64::MAX };
            }
        }
        entry
    }
}

fn signed((ledger, entry): (u64, u64)) -> Position {
    (ledger, i64::try_from(entry).unwrap_or(i64::MAX))
}

/// Reads `LEDGER:ENTRY`.
fn position(text: &str) -> Option<Position> {
    let (ledger, entry) = text.split_once(':')?;
    Some((ledger.parse().ok()?, entry.parse().ok()?))
}

#[cfg(test)]
impl Acknowledged {
    /// The answer for a partition of one ledger with a hundred entries, of which all before this one are acknowledged, and these
    /// ranges.
    pub(crate) fn example(ledger: u64, first_open: u64, ranges: &str) -> Self {
        let mark = format!("{ledger}:{}", i128::from(first_open) - 1);
        let cursor = serde_json::json!({ "markDeletePosition": mark, "individuallyDeletedMessages": ranges });
        let ledgers = [serde_json::json!({ "ledgerId": ledger, "entries": 0 })];
        let last = format!("{ledger}:99");
        let stats = serde_json::json!({ "ledgers": ledgers, "lastConfirmedEntry": last, "cursors": { "g": cursor } });
        Self::read(&stats, "g").expect("an answer")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn acknowledged(mark: &str, ranges: &str) -> Acknowledged {
        let stats = json!({
            "ledgers": [{ "ledgerId": 3, "entries": 10 }, { "ledgerId": 5, "entries": 4 }, { "ledgerId": 8, "entries": 0 }],
            "lastConfirmedEntry": "8:3",
            "cursors": { "g": { "markDeletePosition": mark, "individuallyDeletedMessages": ranges } },
        });
        Acknowledged::read(&stats, "g").unwrap()
    }

    #[test]
    fn entries_up_to_the_mark_are_acknowledged() {
        let known = acknowledged("3:4", "[]");
        assert!(known.covers(None, (3, 0)) && known.covers(None, (3, 5)));
        assert!(!known.covers(None, (3, 6)), "3:5 is open");
        assert!(known.covers(Some((3, 8)), (3, 9)), "nothing is between them");
        assert!(!known.covers(Some((3, 8)), (5, 0)), "3:9 is open");
        assert!(known.covers(Some((3, 9)), (5, 0)), "3:9 is the last one of its ledger");
    }

    #[test]
    fn ranges_behind_the_mark_are_acknowledged() {
        let known = acknowledged("3:4", "[(3:5..3:9],(5:-1..5:1],(8:-1..8:2]]");
        assert!(!known.covers(None, (3, 7)), "3:5 is open");
        assert!(known.covers(Some((3, 5)), (5, 2)));
        assert!(!known.covers(Some((3, 5)), (5, 3)), "5:2 is open");
        assert!(known.covers(Some((5, 3)), (8, 3)));
        assert!(!known.covers(Some((5, 3)), (8, 4)), "8:3 is open");
        assert!(acknowledged("3:4", "[(3:5..8:2]]").covers(Some((3, 5)), (8, 3)), "a range over several ledgers");
    }

    #[test]
    fn entries_behind_the_last_are_not_known() {
        let known = acknowledged("8:3", "[]");
        assert_eq!(known.open_behind(None), None);
        assert!(known.covers(None, (8, 4)));
        assert!(!known.covers(None, (8, 5)) && !known.covers(None, (9, 0)), "8:4 may have come since");
        assert_eq!(acknowledged("5:3", "[(8:-1..8:1]]").open_behind(None), Some((8, 2)));
        assert_eq!(acknowledged("2:7", "[]").open_behind(None), Some((3, 0)), "ledger 2 was removed");
    }
}
