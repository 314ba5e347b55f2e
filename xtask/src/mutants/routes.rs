//! The mutants of routes, forwarded messages and layers.

use super::table::{Edit, Mutant, Tests};

const fn routes(name: &'static str, test: &'static str) -> Mutant {
    Mutant { name, tests: Tests::Routes, test }
}

const fn forwarding(name: &'static str, test: &'static str) -> Mutant {
    Mutant { name, tests: Tests::Forwarding, test }
}

const fn layers(name: &'static str, test: &'static str) -> Mutant {
    Mutant { name, tests: Tests::Layers, test }
}

pub(super) const MUTANTS: &[Mutant] = &[
    routes("new-id-on-a-republished-command", "commands_from_events_take_effect_once_in_the_order_of_their_aggregate"),
    routes("topics-share-a-queue", "a_refused_message_holds_up_its_key_in_its_topic_alone_and_goes_there_in_the_end"),
    routes("letters-go-to-the-first-topic", "a_letter_for_a_topic_that_is_no_longer_declared_names_it_and_is_kept"),
    forwarding("new-id-on-forward", "a_crash_between_forwarding_and_acknowledging_repeats_the_same_message"),
    forwarding("forward-is-not-confirmed", "forwarded_commands_take_effect_once_in_order_through_faults"),
    forwarding(
        "time-limit-fails-an-unconfirmed-message",
        "an_unconfirmed_message_uses_up_no_attempt_even_beyond_the_time_limit",
    ),
    layers("layers-of-each-message", "all_lanes_share_a_rate_limit"),
    layers("time-limit-of-readiness", "slow_readiness_fails_no_message_and_keeps_the_order_of_keys"),
    layers("waiting-counts-as-an-attempt", "a_parked_message_that_waits_at_a_shutdown_uses_up_no_attempt"),
    layers("waiting-counts-as-a-crash", "a_shutdown_ends_the_wait_for_readiness_and_uses_up_no_attempt"),
    layers("failed-layers-are-used-again", "a_failed_or_panicking_layer_fails_the_message_alone_and_is_made_anew"),
    layers("unused-reservation-is-kept", "a_buried_message_gives_its_place_in_a_limit_back"),
];

pub(super) const EDITS: &[Edit] = &[
    Edit {
        file: "messaging/src/route/draft.rs",
        find: r#"derived(&["command", event_id.as_str(), &message_type, &key])"#,
        replace: r#"if crate::mutant("new-id-on-a-republished-command") {
                    EventId::new().into()
                } else {
                    derived(&["command", event_id.as_str(), &message_type, &key])
                }"#,
    },
    Edit {
        file: "messaging/src/route/draft.rs",
        find: r#"derived(&["forward", incoming.key(0)?.as_str()])"#,
        replace: r#"if crate::mutant("new-id-on-forward") {
            EventId::new().into()
        } else {
            derived(&["forward", incoming.key(0)?.as_str()])
        }"#,
    },
    Edit {
        file: "messaging/src/relay/source.rs",
        find: "publication.topics.get(*topic).map_or",
        replace: r#"publication.topics.get(*topic).filter(|_| !crate::mutant("topics-share-a-queue")).map_or"#,
    },
    Edit {
        file: "messaging/src/relay/publication.rs",
        find: "self.topics.iter().position(|topic| topic.name() == name)",
        replace: r#"self.topics.iter().position(|topic| topic.name() == name || crate::mutant("letters-go-to-the-first-topic"))"#,
    },
    Edit {
        file: "messaging/src/route/forwarder.rs",
        find: "            Err(Unconfirmed::Unknown(error) | ",
        replace: r#"            Err(Unconfirmed::Unknown(_)) if crate::mutant("forward-is-not-confirmed") => Ok(()),
            Err(Unconfirmed::Unknown(error) | "#,
    },
    Edit {
        file: "messaging/src/inbox/call.rs",
        find: "if exit.is_unconfirmed() {",
        replace: r#"if exit.is_unconfirmed() && !crate::mutant("time-limit-fails-an-unconfirmed-message") {"#,
    },
    Edit {
        file: "messaging/src/middleware/layered.rs",
        find: "        let Self { layered, service } = self;\n",
        replace: r#"        let Self { layered, service } = self;
        if crate::mutant("layers-of-each-message") {
            **service = None;
        }
"#,
    },
    Edit {
        file: "messaging/src/inbox/sink.rs",
        find: "        let ready = self.enter().await.ready().await;\n",
        replace: r#"        if crate::mutant("waiting-counts-as-an-attempt") {
            drop(self.parking.claim(queue, std::time::Duration::from_secs(60)).await?);
        }
        let ready = self.enter().await.ready().await;
"#,
    },
    Edit {
        file: "messaging/src/inbox/sink.rs",
        find: "        let admission = self.enter().await.ready().await;\n",
        replace: r#"        if crate::mutant("waiting-counts-as-a-crash")
            && delivered.may_repeat
            && self.parking.count_attempt(&delivered.identity).await? > self.parts.crashes
        {
            return self.bury(delivered, &delivered.queue, "mutant".to_owned(), 0).await;
        }
        let admission = self.enter().await.ready().await;
"#,
    },
    Edit {
        file: "messaging/src/middleware/layered.rs",
        find: "if ready.is_err() {",
        replace: r#"if ready.is_err() && !crate::mutant("failed-layers-are-used-again") {"#,
    },
    Edit {
        file: "messaging/src/inbox/admission.rs",
        find: "let Err(error) = turn.ready().await",
        replace: r#"let Err(error) = {
                let hours = if crate::mutant("time-limit-of-readiness") { 0 } else { 1_000_000 };
                let limit = std::time::Duration::from_secs(hours * 3600 + 1);
                tokio::time::timeout(limit, turn.ready()).await.unwrap_or_else(|_| Err("not ready".into()))
            }"#,
    },
    Edit {
        file: "messaging/src/inbox/admission.rs",
        find: "            turn.abandon();\n",
        replace: r#"            if crate::mutant("unused-reservation-is-kept") {
                return;
            }
            turn.abandon();
"#,
    },
];
