//! The mutants of messaging: relay, inbox, parked messages, circuit.

use super::table::{Edit, Mutant, Tests};

const fn simulation(name: &'static str) -> Mutant {
    Mutant { name, tests: Tests::Simulation, test: "every_seed_keeps_the_promises" }
}

const fn services(name: &'static str, test: &'static str) -> Mutant {
    Mutant { name, tests: Tests::Services, test }
}

const fn letters(name: &'static str, test: &'static str) -> Mutant {
    Mutant { name, tests: Tests::DeadLetters, test }
}

pub(super) const MUTANTS: &[Mutant] = &[
    simulation("relay-marks-an-unknown-fate"),
    simulation("failed-message-is-not-parked"),
    simulation("later-messages-overtake-a-parked-one"),
    simulation("messages-behind-a-parked-one-are-dropped"),
    services("new-id-on-republish", "messages_that_are_published_twice_take_effect_once"),
    services("inbox-key-from-the-delivery", "messages_that_are_published_twice_take_effect_once"),
    services("attempts-from-the-store-are-forgotten", "a_failing_message_is_tried_again_and_its_key_keeps_its_order"),
    services("last-parked-message-comes-first", "parked_messages_survive_a_restart_in_order"),
    services("circuit-never-closes", "an_outage_of_the_broker_opens_the_circuit_and_is_caught_up"),
    services("circuit-never-opens", "an_outage_of_the_broker_opens_the_circuit_and_is_caught_up"),
    letters("ack-before-handled", "a_shutdown_gives_unhandled_messages_back"),
    letters("attempts-in-memory-only", "a_message_that_kills_programs_is_a_dead_letter_in_the_end"),
    letters("claim-of-a-parked-message-is-ignored", "a_parked_message_is_handled_by_one_program_at_a_time"),
    letters("copy-of-a-discarded-message-is-handled", "a_copy_of_a_discarded_or_edited_message_has_no_effect"),
    letters("relay-overtakes-a-refused-message", "a_refused_message_of_a_relay_parks_its_key_and_others_go_on"),
    letters("two-relays-at-once", "of_two_relays_one_works_and_the_other_takes_over"),
];

pub(super) const EDITS: &[Edit] = &[
    Edit {
        file: "messaging/src/relay/sink.rs",
        find: "                permit.failed();\n",
        replace: r#"                if crate::mutant("relay-marks-an-unknown-fate") {
                    return Ok(Ok(()));
                }
                permit.failed();
"#,
    },
    Edit {
        file: "messaging/src/relay/sink.rs",
        find: "send_one(&*self.broker, topic, message.clone(), metrics)",
        replace: r#"send_one(&*self.broker, topic, {
            let mut message = message.clone();
            if crate::mutant("new-id-on-republish") {
                message.id = recount_core::EventId::new().into();
            }
            message
        }, metrics)"#,
    },
    Edit {
        file: "messaging/src/relay/sink.rs",
        find: "if self.parking.is_parked(queue) {",
        replace: r#"if self.parking.is_parked(queue) && !crate::mutant("relay-overtakes-a-refused-message") {"#,
    },
    Edit {
        file: "messaging/src/relay/claim.rs",
        find: r#"&format!("relay/{name}")"#,
        replace: r#"&(if crate::mutant("two-relays-at-once") { holder.clone() } else { format!("relay/{name}") })"#,
    },
    Edit {
        file: "messaging/src/inbox/sink.rs",
        find: "                    self.parking.park(&delivered.queue, &letter, Standing::Retry(delay)).await?;\n",
        replace: r#"                    if !crate::mutant("failed-message-is-not-parked") {
                        self.parking.park(&delivered.queue, &letter, Standing::Retry(delay)).await?;
                    }
"#,
    },
    Edit {
        file: "messaging/src/inbox/sink.rs",
        find: "        if self.parking.is_parked(&delivered.queue) {\n",
        replace: r#"        let parked = self.parking.is_parked(&delivered.queue);
        if parked && crate::mutant("messages-behind-a-parked-one-are-dropped") {
            return Ok(());
        }
        if parked && !crate::mutant("later-messages-overtake-a-parked-one") {
"#,
    },
    Edit {
        file: "messaging/src/inbox/source.rs",
        find: "                return Ok(self.hand_on(delivery));\n",
        replace: r#"                let handed_on = self.hand_on(delivery);
                if crate::mutant("ack-before-handled") {
                    self.settle(vec![Some(self.next)]).await?;
                }
                return Ok(handed_on);
"#,
    },
    Edit {
        file: "messaging/src/handler/context.rs",
        find: r#"let mut identity = format!("{id}@{}", message.source);"#,
        replace: r#"let mut identity = format!("{id}@{}", message.source);
        if crate::mutant("inbox-key-from-the-delivery") {
            identity = recount_core::EventId::new().to_string();
        }"#,
    },
    Edit {
        file: "messaging/src/parking/head.rs",
        find: "self.claimed.map_or(due,",
        replace: r#"self.claimed.filter(|_| !crate::mutant("claim-of-a-parked-message-is-ignored")).map_or(due,"#,
    },
    Edit {
        file: "messaging/src/parking/claim.rs",
        find: "key.letter(&self.consumer, head.first)?",
        replace: r#"key.letter(
            &self.consumer,
            if crate::mutant("last-parked-message-comes-first") { head.next - 1 } else { head.first },
        )?"#,
    },
    Edit {
        file: "messaging/src/parking/claim.rs",
        find: "(head.due, head.claimed, head.reason) = (due(standing, now), None, reason);",
        replace: r#"(head.due, head.claimed, head.reason) = (due(standing, now), None, reason);
        if crate::mutant("attempts-from-the-store-are-forgotten") {
            head.attempts = 0;
        }"#,
    },
    Edit {
        file: "messaging/src/parking/lot.rs",
        find: "        let value = serde_json::to_vec(&attempts)?.into();\n",
        replace: r#"        if crate::mutant("attempts-in-memory-only") {
            return Ok(attempts);
        }
        let value = serde_json::to_vec(&attempts)?.into();
"#,
    },
    Edit {
        file: "messaging/src/parking/claim.rs",
        find: "Ok(self.store.get(&entry).await?.is_some())",
        replace: r#"Ok(self.store.get(&entry).await?.is_some() && !crate::mutant("copy-of-a-discarded-message-is-handled"))"#,
    },
    Edit {
        file: "messaging/src/parking/lot.rs",
        find: "schedule.is_settled(&message().hash)",
        replace: r#"schedule.is_settled(&message().hash) && !crate::mutant("copy-of-a-discarded-message-is-handled")"#,
    },
    Edit {
        file: "messaging/src/circuit.rs",
        find: "                self.change(&mut inner, CircuitState::Closed);\n",
        replace: r#"                if crate::mutant("circuit-never-closes") {
                    self.open(&mut inner);
                } else {
                    self.change(&mut inner, CircuitState::Closed);
                }
"#,
    },
    Edit {
        file: "messaging/src/circuit.rs",
        find: "if inner.failures >= settings.failures {",
        replace: r#"if inner.failures >= settings.failures && !crate::mutant("circuit-never-opens") {"#,
    },
];
