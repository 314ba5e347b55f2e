//! The mutants of questions between services.

use super::table::{Edit, Mutant, Tests};

const fn mutant(name: &'static str, test: &'static str) -> Mutant {
    Mutant { name, tests: Tests::Questions, test }
}

const fn in_trouble(name: &'static str, test: &'static str) -> Mutant {
    Mutant { name, tests: Tests::QuestionTroubles, test }
}

pub(super) const MUTANTS: &[Mutant] = &[
    mutant("replies-have-no-end", "own::answering::many_replies_come_in_order_and_end"),
    mutant("responder-waits-for-no-room", "own::answering::a_slow_asker_holds_its_responder_up"),
    mutant("asker-lets-no-more-replies-come", "own::answering::many_replies_come_in_order_and_end"),
    mutant("expired-question-is-answered", "own::deadlines::an_expired_question_is_not_answered"),
    mutant("handler-outlives-the-deadline", "own::deadlines::a_handler_is_dropped_at_the_deadline"),
    mutant("late-reply-is-not-counted", "own::deadlines::a_late_reply_is_counted"),
    mutant("dropped-stream-stops-no-handler", "own::deadlines::a_dropped_stream_stops_its_handler"),
    mutant("no-responders-are-not-reported", "nats::failing::without_a_responder_the_asker_hears_so"),
    mutant(
        "question-delivered-again-is-answered-anew",
        "kafka::answering::a_question_that_is_delivered_again_has_equal_replies",
    ),
    mutant("transient-failure-is-permanent", "own::failing::a_failure_has_its_reason_and_its_class"),
    mutant("unreadable-reply-is-ignored", "own::failing::hostile_bytes_as_a_reply_harm_no_other"),
    mutant("refused-reply-is-not-reported", "kafka::failing::a_reply_over_the_limit_is_a_failure"),
    in_trouble("reply-is-sent-once", "outages::replies_and_their_end_wait_for_a_broker_that_is_away"),
    in_trouble("handler-ends-with-the-connection", "outages::replies_and_their_end_wait_for_a_broker_that_is_away"),
];

pub(super) const EDITS: &[Edit] = &[
    Edit {
        file: "messaging/src/question/answers.rs",
        find: "        outlet.finish(&End { replies, failure }, until).await;\n",
        replace: r#"        if !crate::mutant("replies-have-no-end") {
            outlet.finish(&End { replies, failure }, until).await;
        }
"#,
    },
    Edit {
        file: "messaging/src/question/answers.rs",
        find: "                self.tasks.spawn(async move { answering.answer(&question).await }).await;\n",
        replace: r#"                if crate::mutant("handler-ends-with-the-connection") {
                    answering.answer(&question).await;
                    return Ok(());
                }
                self.tasks.spawn(async move { answering.answer(&question).await }).await;
"#,
    },
    Edit {
        file: "messaging/src/question/replies.rs",
        find: "if error.is_transient() => {",
        replace: r#"if error.is_transient() && !crate::mutant("reply-is-sent-once") => {"#,
    },
    Edit {
        file: "messaging/src/question/clock.rs",
        find: "if left.is_zero() {",
        replace: r#"if left.is_zero() && !crate::mutant("expired-question-is-answered") {"#,
    },
    Edit {
        file: "messaging/src/question/replies.rs",
        find: "                    place.forget();\n",
        replace: r#"                    if !crate::mutant("responder-waits-for-no-room") {
                        place.forget();
                    }
"#,
    },
    Edit {
        file: "messaging/src/question/stream.rs",
        find: "&& self.next - self.told >= WINDOW as u64 / 2",
        replace: r#"&& self.next - self.told >= WINDOW as u64 / 2 && !crate::mutant("asker-lets-no-more-replies-come")"#,
    },
    Edit {
        file: "messaging/src/question/stream.rs",
        find: "            wait.desk.tell(responder, &wait.key, Order::Stop, self.deadline.deadline());\n",
        replace: r#"            if !crate::mutant("dropped-stream-stops-no-handler") {
                wait.desk.tell(responder, &wait.key, Order::Stop, self.deadline.deadline());
            }
"#,
    },
    Edit {
        file: "messaging/src/question/stream.rs",
        find: "            Frame::Unreadable(reason) =>",
        replace: r#"            Frame::Unreadable(_) if crate::mutant("unreadable-reply-is-ignored") => {}
            Frame::Unreadable(reason) =>"#,
    },
    Edit {
        file: "messaging/src/question/responder.rs",
        find: "deadline.map_or(limit, |deadline| deadline.min(limit))",
        replace: r#"deadline.filter(|_| !crate::mutant("handler-outlives-the-deadline")).map_or(limit, |deadline| deadline.min(limit))"#,
    },
    Edit {
        file: "messaging/src/question/responder.rs",
        find: "classify(&*error) == Class::Transient",
        replace: r#"classify(&*error) == Class::Transient && !crate::mutant("transient-failure-is-permanent")"#,
    },
    Edit {
        file: "messaging/src/question/desk.rs",
        find: "        self.0.late_count.fetch_add(1, Ordering::Relaxed);\n",
        replace: r#"        if !crate::mutant("late-reply-is-not-counted") {
            self.0.late_count.fetch_add(1, Ordering::Relaxed);
        }
"#,
    },
    Edit {
        file: "messaging/src/question/desk.rs",
        find: "            InboxSignal::NoResponders { request } =>",
        replace: r#"            InboxSignal::NoResponders { .. } if crate::mutant("no-responders-are-not-reported") => {}
            InboxSignal::NoResponders { request } =>"#,
    },
    Edit {
        file: "messaging/src/question/stored.rs",
        find: "if let Some(entry) = store.get(&entry).await? {",
        replace: r#"if let Some(entry) = store.get(&entry).await?.filter(|_| !crate::mutant("question-delivered-again-is-answered-anew")) {"#,
    },
    Edit {
        file: "messaging/src/question/stored.rs",
        find: "                Fate::Refused(refusal) => {\n",
        replace: r#"                Fate::Refused(_) if crate::mutant("refused-reply-is-not-reported") => {}
                Fate::Refused(refusal) => {
"#,
    },
];
