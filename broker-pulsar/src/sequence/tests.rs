//! The order of messages as they come, and questions at the server.

use super::*;

/// The sequence of a test, with the messages that it has handed on.
struct Lane {
    sequence: Sequence<u64>,
    taken: Vec<u64>,
    now: Instant,
}

impl Lane {
    fn new() -> Self {
        let now = Instant::now();
        Self { sequence: Sequence::new(Opened::default(), now), taken: Vec::new(), now }
    }

    /// These entries come.
    fn arrive(&mut self, entries: impl IntoIterator<Item = u64>) {
        for entry in entries {
            self.sequence.arrive((7, entry, -1), entry, self.now, &mut |taken| self.taken.push(taken));
        }
    }

    /// The server says that the entries before this one are acknowledged, with these ranges behind it.
    fn learn(&mut self, first_open: u64, ranges: &str) -> Result<(), OpenAnew> {
        let answer = Answer { known: Some(Acknowledged::example(7, first_open, ranges)), is_active: true };
        self.answer(Some(answer))
    }

    fn answer(&mut self, answer: Option<Answer>) -> Result<(), OpenAnew> {
        self.sequence.learn(answer, true, self.now, &mut |taken| self.taken.push(taken))
    }

    fn waits(&self) -> bool {
        !self.sequence.is_quiet()
    }
}

#[test]
fn the_first_messages_wait_for_the_answer_of_the_server() {
    let mut lane = Lane::new();
    lane.arrive([4, 5]);
    assert!(lane.taken.is_empty() && lane.waits());
    lane.learn(4, "[]").unwrap();
    lane.arrive([6]);
    assert_eq!((lane.taken.as_slice(), lane.waits()), ([4, 5, 6].as_slice(), false));
}

#[test]
fn without_an_answer_nothing_is_acknowledged() {
    let mut lane = Lane::new();
    for place in [(0, 0, -1), (0, 1, -1)] {
        lane.sequence.arrive(place, place.1, lane.now, &mut |taken| lane.taken.push(taken));
    }
    assert!(lane.taken.is_empty() && lane.waits(), "{:?}", lane.taken);
}

#[test]
fn messages_before_the_server_goes_back_come_again_behind_the_others() {
    let mut lane = Lane::new();
    lane.arrive([45, 46]);
    lane.learn(44, "[]").unwrap();
    assert!(lane.taken.is_empty() && lane.waits());
    lane.arrive([47, 44, 45, 46, 47, 48]);
    assert_eq!((lane.taken.as_slice(), lane.waits()), ([44, 45, 46, 47, 48].as_slice(), false));
}

#[test]
fn messages_wait_until_another_consumer_has_acknowledged_those_before() {
    let mut lane = Lane::new();
    lane.arrive([3, 4]);
    for first_open in [0, 2, 3] {
        assert!(lane.waits() && lane.taken.is_empty());
        lane.learn(first_open, "[]").unwrap();
    }
    assert_eq!((lane.taken.as_slice(), lane.waits()), ([3, 4].as_slice(), false));
}

#[test]
fn a_gap_is_looked_into() {
    let mut lane = Lane::new();
    lane.arrive([0]);
    lane.learn(0, "[(7:5..7:6]]").unwrap();
    lane.arrive([1, 2, 5]);
    assert!(lane.waits(), "3 and 4 have not come");
    lane.learn(0, "[(7:2..7:4],(7:5..7:6]]").unwrap();
    lane.arrive([7]);
    // The server goes back for another reason, such as a new connection.
    lane.arrive([1, 2, 5, 7]);
    assert_eq!((lane.taken.as_slice(), lane.waits()), ([0, 1, 2, 5, 7, 1, 2, 5, 7].as_slice(), false));
}

#[test]
fn messages_of_a_batch_follow_each_other() {
    let mut lane = Lane::new();
    lane.arrive([0]);
    lane.learn(0, "[]").unwrap();
    for place in [(7, 1, 0), (7, 1, 1), (7, 2, 0)] {
        lane.sequence.arrive(place, place.1, lane.now, &mut |taken| lane.taken.push(taken));
    }
    assert_eq!(lane.taken, [0, 1, 1, 2]);
}

#[test]
fn the_consumer_is_opened_anew_if_the_server_does_not_go_back() {
    let mut lane = Lane::new();
    for tries in 1..=TRIES {
        lane.arrive([3, 4, 9]);
        lane.now += LIMIT - Duration::from_millis(1);
        lane.learn(0, "[]").unwrap();
        lane.now += Duration::from_millis(1);
        let OpenAnew(opened) = lane.learn(0, "[]").unwrap_err();
        assert!(lane.taken.is_empty() && opened == ((7, 0), tries), "{opened:?}");
        lane.sequence = Sequence::new(opened, lane.now);
    }
    lane.arrive([3, 4, 9]);
    lane.now += LIMIT;
    lane.learn(0, "[]").unwrap();
    assert_eq!(lane.taken, [3, 4], "the server can't send what is before");
    assert!(lane.waits(), "9 has a gap of its own");
}

#[test]
fn without_answers_messages_only_wait() {
    let mut lane = Lane::new();
    lane.arrive([3, 4]);
    lane.now += LIMIT;
    lane.answer(None).unwrap();
    lane.arrive([7, 9]);
    assert_eq!(lane.taken, [3, 4, 7, 9], "only the first ones wait");
    lane.now += BLIND;
    lane.arrive([12]);
    assert!(lane.waits(), "the server is asked again");
}

#[test]
fn the_consumer_is_opened_anew_if_nothing_comes() {
    let mut lane = Lane::new();
    let quiet = |lane: &mut Lane, is_active| {
        lane.now = lane.sequence.ask_at();
        lane.answer(Some(Answer { known: Some(Acknowledged::example(7, 50, "[(7:49..7:60]]")), is_active }))
    };
    for _ in 0..10 {
        quiet(&mut lane, false).unwrap();
    }
    assert_eq!(lane.sequence.ask_at() - lane.now, QUIET.1, "another consumer is the active one");
    for tries in 1..=TRIES {
        quiet(&mut lane, true).unwrap();
        assert_eq!(lane.sequence.ask_at() - lane.now, CONFIRMATION);
        let OpenAnew(opened) = quiet(&mut lane, true).expect_err("61 did not come within that time");
        assert_eq!(opened, ((7, 61), tries));
        lane.sequence = Sequence::new(opened, lane.now);
    }
    quiet(&mut lane, true).unwrap();
    quiet(&mut lane, true).unwrap();
    assert!(lane.sequence.ask_at() - lane.now > CONFIRMATION, "the server can't send it");
    lane.arrive([61]);
    assert_eq!(lane.taken, [61]);
    lane.now = lane.sequence.ask_at();
    lane.learn(100, "[]").unwrap();
    assert!(lane.sequence.ask_at() - lane.now > CONFIRMATION, "nothing is left");
}

#[test]
fn an_unreadable_message_is_no_gap() {
    let mut lane = Lane::new();
    lane.arrive([0]);
    lane.learn(0, "[]").unwrap();
    lane.sequence.miss();
    lane.arrive([2, 3]);
    assert_eq!(lane.taken, [0, 2, 3]);
    lane.arrive([5]);
    assert!(lane.waits(), "4 is missing");
    lane.arrive([6]);
    lane.sequence.miss();
    lane.arrive([8]);
    lane.learn(5, "[]").unwrap();
    assert_eq!((lane.taken.as_slice(), lane.waits()), ([0, 2, 3, 5, 6, 8].as_slice(), false));
}

#[test]
fn messages_that_wait_give_up_their_room_but_not_that_of_others() {
    let mut lane = Lane::new();
    lane.arrive([3, 4]);
    lane.learn(0, "[]").unwrap();
    lane.now += LIMIT;
    lane.sequence.lacks_room(3, lane.now);
    lane.learn(0, "[]").unwrap();
    assert!(lane.waits(), "the time does not count while another message has the room");
    lane.sequence.lacks_room(2, lane.now);
    lane.arrive([5, 2, 3]);
    lane.learn(2, "[]").unwrap();
    assert_eq!(lane.taken, [2, 3], "the server has gone back");

    let mut lane = Lane::new();
    lane.arrive([3]);
    lane.learn(0, "[]").unwrap();
    lane.sequence.lacks_room(1, lane.now);
    assert_eq!(lane.learn(3, "[]"), Err(OpenAnew(Opened::default())), "3 would not come again");
    assert!(lane.taken.is_empty());
}

#[test]
fn without_room_messages_are_handed_on_in_the_end() {
    let mut lane = Lane::new();
    lane.arrive([3, 4]);
    lane.answer(None).unwrap();
    lane.sequence.lacks_room(2, lane.now);
    lane.now += LIMIT;
    lane.answer(None).unwrap();
    assert_eq!(lane.taken, [3, 4], "no answer");

    let mut lane = Lane::new();
    for tries in 1..=TRIES {
        lane.arrive([3, 4]);
        lane.learn(0, "[]").unwrap();
        lane.sequence.lacks_room(2, lane.now);
        lane.now += LIMIT;
        let OpenAnew(opened) = lane.learn(0, "[]").unwrap_err();
        assert_eq!(opened, ((7, 0), tries));
        lane.sequence = Sequence::new(opened, lane.now);
    }
    lane.arrive([3, 4]);
    lane.learn(0, "[]").unwrap();
    lane.sequence.lacks_room(2, lane.now);
    lane.now += LIMIT;
    lane.learn(0, "[]").unwrap();
    assert_eq!(lane.taken, [3, 4], "the server can't send what is before");
}
