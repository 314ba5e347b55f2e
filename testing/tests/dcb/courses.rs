//! Course subscriptions: a course has so many seats, a student takes at most five courses.

use recount_core::{Context, Decision, Event, NameError, Query, QueryItem, Tag};
use recount_testing::{given_events, given_nothing};

const MOST_COURSES: usize = 5;

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "course")]
pub(crate) enum CourseEvent {
    Defined {
        #[event(tag)]
        course: String,
        capacity: usize,
    },
    CapacityChanged {
        #[event(tag)]
        course: String,
        capacity: usize,
    },
    Subscribed {
        #[event(tag)]
        student: String,
        #[event(tag)]
        course: String,
    },
}

#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum CourseError {
    #[error("the course exists already")]
    Exists,
    #[error("there is no such course")]
    Unknown,
    #[error("that is the capacity already")]
    SameCapacity,
    #[error("the course is full")]
    Full,
    #[error("the student takes this course already")]
    Subscribed,
    #[error("the student takes {MOST_COURSES} courses already")]
    TooMany,
}

use CourseError::{Exists, Full, SameCapacity, TooMany, Unknown};
use CourseEvent::{CapacityChanged, Defined, Subscribed};

#[derive(Debug)]
pub(crate) struct DefineCourse {
    pub(crate) course: &'static str,
    pub(crate) capacity: usize,
}

impl Decision for DefineCourse {
    type Event = CourseEvent;
    type State = bool;
    type Error = CourseError;

    fn boundary(&self) -> Result<Query, NameError> {
        Ok(Query::tags([Tag::pair("course", self.course)?]))
    }
    fn apply(&self, exists: &mut bool, event: &CourseEvent) {
        *exists |= matches!(event, Defined { .. });
    }
    fn decide(&self, exists: &bool, _: &Context<'_>) -> Result<Vec<CourseEvent>, CourseError> {
        if *exists { Err(Exists) } else { Ok(vec![Defined { course: self.course.into(), capacity: self.capacity }]) }
    }
}

struct ChangeCapacity {
    course: &'static str,
    capacity: usize,
}

impl Decision for ChangeCapacity {
    type Event = CourseEvent;
    type State = Option<usize>;
    type Error = CourseError;

    fn boundary(&self) -> Result<Query, NameError> {
        Ok(Query::tags([Tag::pair("course", self.course)?]))
    }
    fn apply(&self, current: &mut Option<usize>, event: &CourseEvent) {
        if let Defined { capacity, .. } | CapacityChanged { capacity, .. } = event {
            *current = Some(*capacity);
        }
    }
    fn decide(&self, current: &Option<usize>, _: &Context<'_>) -> Result<Vec<CourseEvent>, CourseError> {
        match *current {
            None => Err(Unknown),
            Some(current) if current == self.capacity => Err(SameCapacity),
            Some(_) => Ok(vec![CapacityChanged { course: self.course.into(), capacity: self.capacity }]),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Subscribe {
    pub(crate) student: &'static str,
    pub(crate) course: &'static str,
}

#[derive(Default)]
pub(crate) struct Subscriptions {
    capacity: Option<usize>,
    seats_taken: usize,
    courses_taken: usize,
    subscribed: bool,
}

impl Decision for Subscribe {
    type Event = CourseEvent;
    type State = Subscriptions;
    type Error = CourseError;

    fn boundary(&self) -> Result<Query, NameError> {
        let student = QueryItem::default().tag(Tag::pair("student", self.student)?);
        Ok(Query::tags([Tag::pair("course", self.course)?]).or(student))
    }
    fn apply(&self, state: &mut Subscriptions, event: &CourseEvent) {
        match event {
            Defined { capacity, .. } | CapacityChanged { capacity, .. } => state.capacity = Some(*capacity),
            Subscribed { student, course } => {
                state.seats_taken += usize::from(course == self.course);
                state.courses_taken += usize::from(student == self.student);
                state.subscribed |= course == self.course && student == self.student;
            }
        }
    }
    fn decide(&self, state: &Subscriptions, _: &Context<'_>) -> Result<Vec<CourseEvent>, CourseError> {
        match state.capacity {
            None => Err(Unknown),
            _ if state.subscribed => Err(CourseError::Subscribed),
            Some(capacity) if state.seats_taken >= capacity => Err(Full),
            _ if state.courses_taken >= MOST_COURSES => Err(TooMany),
            _ => Ok(vec![subscribed(self.student, self.course)]),
        }
    }
}

pub(crate) fn defined(course: &str, capacity: usize) -> CourseEvent {
    Defined { course: course.into(), capacity }
}

pub(crate) fn subscribed(student: &str, course: &str) -> CourseEvent {
    Subscribed { student: student.into(), course: course.into() }
}

#[test]
fn case_1_a_course_is_defined_once() {
    given_events([defined("c1", 10)]).when(DefineCourse { course: "c1", capacity: 15 }).then_error(Exists);
}

#[test]
fn case_2_a_new_course_is_defined() {
    given_nothing().when(DefineCourse { course: "c1", capacity: 15 }).then([defined("c1", 15)]);
    given_events([defined("c2", 10)]).when(DefineCourse { course: "c1", capacity: 15 }).then([defined("c1", 15)]);
}

#[test]
fn case_3_the_capacity_of_an_unknown_course_does_not_change() {
    given_nothing().when(ChangeCapacity { course: "c0", capacity: 15 }).then_error(Unknown);
}

#[test]
fn case_4_the_capacity_of_a_course_changes() {
    let changed = CapacityChanged { course: "c1".into(), capacity: 15 };
    given_events([defined("c1", 12)]).when(ChangeCapacity { course: "c1", capacity: 15 }).then([changed.clone()]);
    given_events([defined("c1", 15)]).when(ChangeCapacity { course: "c1", capacity: 15 }).then_error(SameCapacity);
    let given = given_events([defined("c1", 12), changed]);
    given.when(ChangeCapacity { course: "c1", capacity: 15 }).then_error(SameCapacity);
}

#[test]
fn case_5_nobody_subscribes_to_an_unknown_course() {
    given_nothing().when(Subscribe { student: "s1", course: "c0" }).then_error(Unknown);
}

#[test]
fn case_6_nobody_subscribes_to_a_full_course() {
    given_events([defined("c1", 3), subscribed("s1", "c1"), subscribed("s2", "c1"), subscribed("s3", "c1")])
        .when(Subscribe { student: "s4", course: "c1" })
        .then_error(Full);
}

#[test]
fn case_7_a_student_subscribes_to_a_course_once() {
    given_events([defined("c1", 10), subscribed("s1", "c1")])
        .when(Subscribe { student: "s1", course: "c1" })
        .then_error(CourseError::Subscribed);
}

#[test]
fn case_8_a_student_takes_at_most_five_courses() {
    given_events([defined("c6", 10)])
        .and(["c1", "c2", "c3", "c4", "c5"].map(|course| subscribed("s1", course)))
        .when(Subscribe { student: "s1", course: "c6" })
        .then_error(TooMany);
}

#[test]
fn case_9_a_student_subscribes() {
    let given = given_events([defined("c1", 10), defined("c2", 1), subscribed("s2", "c2")]);
    given.when(Subscribe { student: "s1", course: "c1" }).then([subscribed("s1", "c1")]);
}
