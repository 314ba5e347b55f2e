//! The mutants of processes: the defect of each, and the test that finds it.

/// A deliberate defect.
pub(crate) struct Mutant {
    pub(crate) name: &'static str,
    /// The test that fails, and where it is.
    pub(crate) tests: Tests,
    pub(crate) test: &'static str,
}

/// A test program.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tests {
    /// The tests of processes on the memory store.
    Processes,
    /// Seeds of the simulation of messaging.
    Simulation,
    /// Services over the in-process broker.
    Services,
    /// Dead letters.
    DeadLetters,
    /// Publications to several topics.
    Routes,
    /// Messages that follow from other ones.
    Forwarding,
    /// Layers around handlers.
    Layers,
    /// Questions between services.
    Questions,
    /// Questions in outages and at odd limits.
    QuestionTroubles,
}

impl Tests {
    pub(crate) const ALL: [Self; 9] = [
        Self::Processes,
        Self::Simulation,
        Self::Services,
        Self::DeadLetters,
        Self::Routes,
        Self::Forwarding,
        Self::Layers,
        Self::Questions,
        Self::QuestionTroubles,
    ];

    /// The package, its test program, and how the names of the tests begin.
    pub(crate) const fn place(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Processes => ("recount-store-memory", "suite", "process::"),
            Self::Simulation => ("recount-messaging", "simulation", ""),
            Self::Services => ("recount-messaging", "services", ""),
            Self::DeadLetters => ("recount-messaging", "dead_letters", ""),
            Self::Routes => ("recount-messaging", "routes", ""),
            Self::Forwarding => ("recount-messaging", "forwarding", ""),
            Self::Layers => ("recount-messaging", "layers", ""),
            Self::Questions => ("recount-messaging", "questions", ""),
            Self::QuestionTroubles => ("recount-messaging", "questions_troubles", ""),
        }
    }
}

/// A change of a source file. The replacement asks `crate::mutant("NAME")` whether it is to be wrong, so that all mutants are built
/// at once.
pub(crate) struct Edit {
    pub(crate) file: &'static str,
    /// Occurs once in the file.
    pub(crate) find: &'static str,
    pub(crate) replace: &'static str,
}

const fn mutant(name: &'static str, test: &'static str) -> Mutant {
    Mutant { name, tests: Tests::Processes, test }
}

pub(crate) const MUTANTS: &[Mutant] = &[
    mutant("inputs-are-taken-again", "points::c02_the_reactors_checkpoint"),
    mutant("checkpoint-before-append", "points::c01_the_first_step"),
    mutant("key-without-step", "promises::stock_that_arrives_late_is_reserved"),
    mutant("refusal-without-key", "points::c09_a_paused_decision"),
    mutant("withdrawal-without-key", "races::c13_the_withdrawal_comes_first"),
    mutant("timer-without-generation", "races::c19_a_moved_timer"),
    mutant("sender-skips-open-requests", "points::c07_a_command"),
    mutant("undo-in-forward-order", "points::c16_between_two_undos"),
    mutant("command-is-encoded-anew", "deploys::c28_a_field_more"),
    mutant("moment-by-the-local-clock", "promises::an_overdue_payment_is_given_up"),
    mutant("held-inputs-stay", "deploys::early_inputs_are_held"),
    mutant("held-inputs-stay-after-a-crash", "deploys::early_inputs_are_held"),
    mutant("compensation-skips-the-first-request", "promises::a_declined_payment_releases_the_stock"),
    mutant("compensation-forgets-refused-undos", "races::c15_a_refused_undo"),
    mutant("undo-key-without-attempt", "promises::a_stuck_compensation_is_redriven"),
    mutant("redrive-skips-an-input", "races::c27_a_redrive_among_inputs"),
    mutant("parked-instance-takes-inputs", "races::c27_a_redrive_among_inputs"),
    mutant("resumed-without-commands", "deploys::c28_a_command_that_is_gone"),
    mutant("alarm-deletes-before-it-fires", "points::c20_the_step_of_a_timer"),
    mutant("alarm-by-the-local-clock", "outages::c22_a_clock_that_jumps"),
    mutant("timers-without-index", "points::c17_the_index_of_timers"),
    mutant("closed-target-is-a-failure", "outages::c29_a_closed_target"),
    mutant("late-inputs-are-taken", "outages::c24_late_inputs_and_timers"),
    mutant("withdrawn-without-a-look", "races::c13_the_effect_comes_first"),
    mutant("a-step-conflicts-unseen", "races::c04_two_reactors"),
];

pub(crate) const EDITS: &[Edit] = &[
    Edit {
        file: "core/src/process/decide.rs",
        find: "    if position <= ledger.last {",
        replace: r#"    if position <= ledger.last && !crate::mutant("inputs-are-taken-again") {"#,
    },
    Edit {
        file: "core/src/process/decide.rs",
        find: "if ledger.parked.is_some() && !redriven {",
        replace: r#"if ledger.parked.is_some() && !redriven && !crate::mutant("parked-instance-takes-inputs") {"#,
    },
    Edit {
        file: "core/src/process/decide.rs",
        find: "pending.is_none_or(|pending| pending.generation != record.generation)",
        replace: r#"pending.is_none_or(|pending| {
                    pending.generation != record.generation && !crate::mutant("timer-without-generation")
                })"#,
    },
    Edit {
        file: "core/src/process/decide.rs",
        find: "Mode::Running | Mode::Compensating => Ok(Admitted::Step),",
        replace: r#"Mode::Running | Mode::Compensating => Ok(Admitted::Step),
        _ if crate::mutant("late-inputs-are-taken") => Ok(Admitted::Step),"#,
    },
    Edit {
        file: "core/src/run/consumer/state.rs",
        find: "let number = self.window.push(mark);",
        replace: r#"let number = self.window.push(mark);
                if crate::mutant("checkpoint-before-append") {
                    self.window.finish(number);
                }"#,
    },
    Edit {
        file: "core/src/run/consumer/state.rs",
        find: "self.window.finish(ended.number);",
        replace: r#"if !crate::mutant("checkpoint-before-append") {
            self.window.finish(ended.number);
        }"#,
    },
    Edit {
        file: "core/src/process/desk.rs",
        find: "let RequestId { step, index } = request;",
        replace: r#"let RequestId { step, index } = request;
    let step = if crate::mutant("key-without-step") { 0 } else { step };
    let undo = undo.map(|attempt| if crate::mutant("undo-key-without-attempt") { 0 } else { attempt });"#,
    },
    Edit {
        file: "core/src/process/sender.rs",
        find: "Append { idempotency: Some(idempotency), ..append }",
        replace: r#"{
            let forgets = match record {
                Record::Refused(_) => crate::mutant("refusal-without-key"),
                _ => crate::mutant("withdrawal-without-key"),
            };
            Append { idempotency: Some(idempotency).filter(|_| !forgets), ..append }
        }"#,
    },
    Edit {
        file: "core/src/process/sender.rs",
        find: "match self.send(errand, id, None, command).await? {",
        replace: r#"let sent = self.send(errand, id, None, command).await;
        if sent.is_err() && crate::mutant("sender-skips-open-requests") {
            return Ok(true);
        }
        match sent? {"#,
    },
    Edit {
        file: "core/src/process/sender.rs",
        find: "if let Some(command) = request.command.as_ref().filter(|_| !settled.refused && !settled.withdrawn)",
        replace: r#"if let Some(command) = request.command.as_ref().filter(|_| {
                !settled.refused && !settled.withdrawn && !crate::mutant("resumed-without-commands")
            })"#,
    },
    Edit {
        file: "core/src/process/sender.rs",
        find: "timers::put(store, P::NAME, &instance, &step.timers).await?;",
        replace: r#"if !crate::mutant("timers-without-index") {
            timers::put(store, P::NAME, &instance, &step.timers).await?;
        }"#,
    },
    Edit {
        file: "core/src/process/sender.rs",
        find: "ref closed if is_closed(closed) =>",
        replace: r#"ref closed if is_closed(closed) && !crate::mutant("closed-target-is-a-failure") =>"#,
    },
    Edit {
        file: "core/src/process/sender.rs",
        find: "Ok(events > 0 && !is_of(&first, errand.stream))",
        replace: r#"Ok(events > 0 && !is_of(&first, errand.stream) && !crate::mutant("withdrawn-without-a-look"))"#,
    },
    Edit {
        file: "core/src/process/undo.rs",
        find: "for (request, settled) in ledger.requests.iter().rev() {",
        replace: r#"let mut requests: Vec<_> = ledger.requests.iter().rev().collect();
        if crate::mutant("undo-in-forward-order") {
            requests.reverse();
        }
        if crate::mutant("compensation-skips-the-first-request") {
            requests.pop();
        }
        for (request, settled) in requests {"#,
    },
    Edit {
        file: "core/src/process/undo.rs",
        find: "|| ledger.stuck.is_some() ||",
        replace: r#"|| (ledger.stuck.is_some() && !crate::mutant("compensation-forgets-refused-undos")) ||"#,
    },
    Edit {
        file: "core/src/dispatch/turn.rs",
        find: "command.content().map_err(",
        replace: r#"(if crate::mutant("command-is-encoded-anew") { command.to_json() } else { command.content() }).map_err("#,
    },
    Edit {
        file: "core/src/process/moment.rs",
        find: "pub const fn new(time: Timestamp) -> Self {",
        replace: r#"pub fn new(time: Timestamp) -> Self {
        let time = if crate::mutant("moment-by-the-local-clock") { Timestamp::now() } else { time };"#,
    },
    Edit {
        file: "core/src/process/reactor.rs",
        find: "for position in held {",
        replace: r#"for position in held.into_iter().filter(|_| !crate::mutant("held-inputs-stay")) {"#,
    },
    Edit {
        file: "core/src/process/reactor.rs",
        find: "if no_step == NoStep::Duplicate\n",
        replace: "if no_step == NoStep::Duplicate && !crate::mutant(\"held-inputs-stay-after-a-crash\")\n",
    },
    Edit {
        file: "core/src/process/reactor.rs",
        find: "let after = before(halt.position).max(ledger.last);",
        replace: r#"let skips = crate::mutant("redrive-skips-an-input");
        let after = if skips { halt.position } else { before(halt.position) }.max(ledger.last);"#,
    },
    Edit {
        file: "core/src/process/alarm.rs",
        find: "after = Some(key.clone());",
        replace: r#"after = Some(key.clone());
                if crate::mutant("alarm-deletes-before-it-fires") {
                    timers::remove_keys(store, vec![key.clone()]).await?;
                }"#,
    },
    Edit {
        file: "core/src/process/timers.rs",
        find: "Ok(StateStore::now(store).await?)",
        replace: r#"let now = StateStore::now(store).await?;
    Ok(if crate::mutant("alarm-by-the-local-clock") { Timestamp::now() } else { now })"#,
    },
    Edit {
        file: "core/src/dispatch/attempt.rs",
        find: "if pending.command.creates() { ExpectedVersion::NoStream } else { ExpectedVersion::Exact(version) };",
        replace: r#"if pending.command.creates() {
                ExpectedVersion::NoStream
            } else if crate::mutant("a-step-conflicts-unseen") {
                ExpectedVersion::Any
            } else {
                ExpectedVersion::Exact(version)
            };"#,
    },
];
