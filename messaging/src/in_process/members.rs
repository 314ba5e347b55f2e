//! The members of a group and the lanes that they hold.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::policy::Assignment;
use crate::LaneId;

/// How long a member keeps a lane that it will lose, if it still has something out.
const NOTICE: Duration = Duration::from_secs(3);

/// A member of a group, for as long as its connection lasts.
pub(super) type MemberId = u64;

/// News for a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    Gained(LaneId),
    Losing(LaneId, Instant),
    Lost(LaneId),
}

#[derive(Debug)]
pub(super) struct Member {
    /// The connection it belongs to.
    pub(super) connection: u64,
    /// When it last asked for messages.
    pub(super) polled: Instant,
    pub(super) news: VecDeque<News>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Lane {
    holder: Option<MemberId>,
    /// How often it was given to a member.
    generation: u32,
    /// When it goes to which member.
    losing: Option<(Instant, MemberId)>,
}

/// The members of a group and the lanes that they hold.
#[derive(Debug)]
pub(super) struct Members {
    assignment: Assignment,
    members: BTreeMap<MemberId, Member>,
    lanes: Vec<Lane>,
    next: MemberId,
}

impl Members {
    pub(super) fn new(assignment: Assignment, lanes: u32, next: MemberId) -> Self {
        let lanes = (0..lanes).map(|_| Lane::default()).collect();
        Self { assignment, members: BTreeMap::new(), lanes, next }
    }

    pub(super) fn get(&mut self, member: MemberId) -> Option<&mut Member> {
        self.members.get_mut(&member)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(super) fn is_member(&self, member: MemberId) -> bool {
        self.members.contains_key(&member)
    }

    /// The members that match.
    pub(super) fn which(&self, matches: impl Fn(&Member) -> bool) -> Vec<MemberId> {
        self.members.iter().filter(|(_, member)| matches(member)).map(|(id, _)| *id).collect()
    }

    /// When the first member was last heard of.
    pub(super) fn least_polled(&self) -> Option<Instant> {
        self.members.values().map(|member| member.polled).min()
    }

    pub(super) fn add(&mut self, connection: u64, now: Instant) -> MemberId {
        self.next += 1;
        self.members.insert(self.next, Member { connection, polled: now, news: VecDeque::new() });
        self.next
    }

    /// Removes a member and returns the lanes that it held.
    pub(super) fn remove(&mut self, member: MemberId) -> Vec<u32> {
        self.members.remove(&member);
        let mut left = Vec::new();
        for (number, lane) in (0..).zip(&mut self.lanes) {
            if lane.losing.is_some_and(|(_, to)| to == member) {
                lane.losing = None;
            }
            if lane.holder == Some(member) {
                (lane.holder, lane.losing) = (None, None);
                left.push(number);
            }
        }
        left
    }

    /// Whether a member may take messages of a lane.
    pub(super) fn may_take(&self, member: MemberId, lane: u32) -> bool {
        if self.assignment == Assignment::Shared {
            return true;
        }
        let lane = self.lanes.get(lane as usize);
        lane.is_some_and(|lane| lane.holder == Some(member) && lane.losing.is_none())
    }

    pub(super) fn generation(&self, lane: u32) -> u32 {
        self.lanes.get(lane as usize).map_or(0, |lane| lane.generation)
    }

    /// The lanes of a member: all, where they are shared.
    pub(super) fn held_by(&self, member: MemberId) -> Vec<u32> {
        let lanes = (0..).zip(&self.lanes);
        lanes
            .filter(|(_, l)| self.assignment == Assignment::Shared || l.holder == Some(member))
            .map(|(n, _)| n)
            .collect()
    }

    /// The lanes that are due to move: their time has come, or nothing of them is out.
    pub(super) fn due(&self, now: Instant, is_out: impl Fn(u32) -> bool) -> Vec<(u32, MemberId)> {
        let lanes = (0..).zip(&self.lanes);
        let losing = lanes.filter_map(|(number, lane)| lane.losing.map(|(at, to)| (number, at, to)));
        losing.filter(|(number, at, _)| *at <= now || !is_out(*number)).map(|(number, _, to)| (number, to)).collect()
    }

    /// When the next lane moves.
    pub(super) fn next_move(&self) -> Option<Instant> {
        self.lanes.iter().filter_map(|lane| lane.losing.map(|(at, _)| at)).min()
    }

    /// Gives a lane to a member, and tells both.
    pub(super) fn give(&mut self, number: u32, to: MemberId) {
        let Some(lane) = self.lanes.get_mut(number as usize) else { return };
        let from = lane.holder.replace(to);
        lane.generation += 1;
        lane.losing = None;
        if let Some(from) = from {
            self.tell(from, News::Lost(LaneId(number)));
        }
        self.tell(to, News::Gained(LaneId(number)));
    }

    fn tell(&mut self, member: MemberId, news: News) {
        if self.assignment == Assignment::Announced
            && let Some(member) = self.members.get_mut(&member)
        {
            member.news.push_back(news);
        }
    }

    /// The next moves by which lanes are spread as the assignment says: those that happen at once. The others are announced.
    pub(super) fn rebalance(&mut self, now: Instant) -> Vec<(u32, MemberId)> {
        if self.assignment == Assignment::Shared || self.members.is_empty() {
            return Vec::new();
        }
        let mut owners: Vec<Option<MemberId>> =
            self.lanes.iter().map(|lane| lane.losing.map(|(_, to)| to).or(lane.holder)).collect();
        let mut moves = Vec::new();
        for number in 0..owners.len() {
            if owners[number].is_none() {
                let to = self.poorest(&owners);
                owners[number] = to;
                moves.extend(to.map(|to| (number, to)));
            }
        }
        while self.assignment != Assignment::FirstMember
            && let Some((number, to)) = self.uneven(&owners)
        {
            owners[number] = Some(to);
            moves.push((number, to));
        }
        let mut at_once = Vec::new();
        for (number, to) in moves {
            let announced = self.assignment == Assignment::Announced && self.lanes[number].holder.is_some();
            let lane = u32::try_from(number).unwrap_or(u32::MAX);
            if announced { self.announce(lane, to, now) } else { at_once.push((lane, to)) }
        }
        at_once
    }

    /// Tells the holder of a lane that it goes to another member.
    fn announce(&mut self, number: u32, to: MemberId, now: Instant) {
        let Some(lane) = self.lanes.get_mut(number as usize) else { return };
        let Some(holder) = lane.holder else { return };
        // A lane that comes back to its holder before it has left does not move.
        lane.losing = (holder != to).then_some((now + NOTICE, to));
        if holder != to {
            self.tell(holder, News::Losing(LaneId(number), now + NOTICE));
        }
    }

    /// Moves every lane to the next member, or takes it away from and gives it back to the only one.
    pub(super) fn rotate(&mut self, now: Instant) -> Vec<(u32, MemberId)> {
        let members: Vec<MemberId> = self.members.keys().copied().collect();
        let mut moves = Vec::new();
        for number in 0..self.lanes.len() {
            let Some(holder) = self.lanes[number].holder else { continue };
            let place = members.iter().position(|member| *member == holder).unwrap_or_default();
            let to = members[(place + 1) % members.len()];
            let lane = u32::try_from(number).unwrap_or(u32::MAX);
            if self.assignment == Assignment::Announced && to != holder {
                self.announce(lane, to, now);
            } else {
                moves.push((lane, to));
            }
        }
        moves
    }

    fn count(owners: &[Option<MemberId>], member: MemberId) -> usize {
        owners.iter().filter(|owner| **owner == Some(member)).count()
    }

    fn poorest(&self, owners: &[Option<MemberId>]) -> Option<MemberId> {
        if self.assignment == Assignment::FirstMember {
            return self.members.keys().next().copied();
        }
        self.members.keys().copied().min_by_key(|member| Self::count(owners, *member))
    }

    /// A lane of the richest member for the poorest, if that makes the assignment more even.
    fn uneven(&self, owners: &[Option<MemberId>]) -> Option<(usize, MemberId)> {
        let poorest = self.poorest(owners)?;
        let richest = self.members.keys().copied().max_by_key(|member| Self::count(owners, *member))?;
        if Self::count(owners, richest) <= Self::count(owners, poorest) + 1 {
            return None;
        }
        let lane = owners.iter().rposition(|owner| *owner == Some(richest))?;
        Some((lane, poorest))
    }
}
