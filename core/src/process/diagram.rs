//! The diagram of a process, in the notation of Mermaid.

use std::fmt::Write;

use super::{Process, Route, Timer, UnknownInstance};

/// The diagram of a process as a Mermaid flowchart: the events that it hears, the commands that it may send, the timers
/// that it may set.
///
/// It shows the declarations of the derives. Code decides which step follows from an input, so the diagram has no edge from
/// a certain input to a certain command, and none from a command to the one that undoes it. The timeline of an instance
/// ([`Processes::timeline`](crate::Processes::timeline)) shows those that were taken.
///
/// ```
/// # extern crate recount_core as recount;
/// # use recount_core::{Aggregate, Apply, Command, Event, Handle, Moment, Process, Route, Step, Timer};
/// # #[derive(Event)] #[event(name = "order.placed")] struct Placed { order: u64 }
/// # #[derive(Event)] #[event(name = "payment.requested")] struct Requested;
/// # #[derive(Aggregate, Clone, Default)]
/// # #[aggregate(name = "payment", id = u64, event = Requested, error = std::fmt::Error, commands(Capture))]
/// # struct Payment;
/// # impl Apply for Payment { fn apply(&mut self, _: &Requested) {} }
/// # #[derive(Command, Clone)] #[command(aggregate = Payment)] struct Capture { #[command(id)] order: u64 }
/// # impl Handle<Capture> for Payment {
/// #     fn handle(&self, _: Capture) -> Result<Vec<Requested>, std::fmt::Error> { Ok(vec![Requested]) }
/// # }
/// # #[derive(Event, Route)] #[event(union)] #[route(to = u64)]
/// # enum Input { #[route(start, by = order)] Order(Placed) }
/// # #[derive(Event)] #[event(name = "fulfilment")] enum Fact { Reminded }
/// # #[derive(Timer)] enum Overdue { Payment }
/// # #[derive(Process, Clone, Default)]
/// # #[process(name = "fulfilment", id = u64, input = Input, fact = Fact, timer = Overdue, commands(Capture))]
/// # struct Fulfilment;
/// # impl Process for Fulfilment {
/// #     fn apply(&mut self, _: &Fact) {}
/// #     fn on(&self, _: &Input, _: &Moment) -> Step<Self> { Step::ignore() }
/// #     fn due(&self, _: &Overdue, _: &Moment) -> Step<Self> { Step::ignore() }
/// # }
/// assert_eq!(recount::diagram::<Fulfilment>(), r#"flowchart LR
///     process(["fulfilment"])
///     input0["Order"] -- "starts, by order" --> process
///     process --> command0["payment.capture"]
///     process -. "sets" .-> timer0{{"payment"}}
///     timer0 -. "due" .-> process
/// "#);
/// ```
#[must_use]
pub fn diagram<P: Process>() -> String {
    let mut lines = vec![format!("process([{}])", quoted(P::NAME))];
    let unknown = match P::UNKNOWN {
        UnknownInstance::Ignore => "",
        UnknownInstance::Hold => ", held until the start",
        UnknownInstance::Park => ", parked before the start",
    };
    for (index, (event, starts, by)) in heard::<P>().into_iter().enumerate() {
        let label = if starts { format!("starts, by {by}") } else { format!("by {by}{unknown}") };
        lines.push(format!("input{index}[{}] -- {} --> process", quoted(&event), quoted(&label)));
    }
    for (index, command) in P::commands().iter().enumerate() {
        let name = format!("{}.{}", command.aggregate, command.command);
        lines.push(format!("process --> command{index}[{}]", quoted(&name)));
    }
    for (index, timer) in P::Timer::NAMES.iter().enumerate() {
        lines.push(format!("process -. \"sets\" .-> timer{index}{{{{{}}}}}", quoted(timer)));
        lines.push(format!("timer{index} -. \"due\" .-> process"));
    }
    lines.iter().fold("flowchart LR\n".to_owned(), |text, line| text + "    " + line + "\n")
}

/// The events that a process hears: name, whether it starts an instance, the field or function that names the instance.
fn heard<P: Process>() -> Vec<(String, bool, &'static str)> {
    let mut heard = Vec::new();
    for route in P::Input::ROUTES {
        if route.only.is_empty() {
            heard.push((route.variant.to_owned(), !route.starts.is_empty(), route.by));
        }
        for event in route.only {
            heard.push((format!("{}: {event}", route.variant), route.starts.contains(event), route.by));
        }
    }
    heard
}

/// A text in quotation marks. Characters with a meaning in Mermaid are written by their number.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars() {
        if character.is_alphanumeric() || " _-.,:/".contains(character) {
            quoted.push(character);
        } else {
            // Writing to a string can't fail.
            let _ = write!(quoted, "#{};", u32::from(character));
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn what_has_a_meaning_in_mermaid_is_escaped() {
        assert_eq!(quoted("order.placed 7"), r#""order.placed 7""#);
        assert_eq!(quoted("a\"]; click x `b` <c> #d\né"), r#""a#34;#93;#59; click x #96;b#96; #60;c#62; #35;d#10;é""#);
    }
}
