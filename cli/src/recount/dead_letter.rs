//! `recount dead-letter …`

use std::io::Read;
use std::path::PathBuf;

use clap::Subcommand;
use recount::messaging::{Content, DeadLetters, Letter, LetterError, LetterId, LetterState, LetterSummary};
use serde_json::{Value, json};

use crate::Failure;
use crate::process::At;
use crate::report::{VERSION, columns};

/// How many dead letters are redriven without `--all` at most.
const MOST: usize = 100;
/// How much of a reason a list shows.
const SHOWN: usize = 80;

#[derive(Subcommand)]
pub(crate) enum Task {
    /// Lists messages that are set aside: dead letters, messages that wait for a retry, and messages behind them.
    Ls {
        /// Only of this consumer: GROUP/TOPIC, or relay/NAME
        #[arg(long)]
        consumer: Option<String>,
        /// Only messages that wait for an operator
        #[arg(long)]
        dead: bool,
        /// Counts them by consumer, type and reason
        #[arg(long)]
        group: bool,
        #[command(flatten)]
        at: At,
    },
    /// Shows a message with its envelope, its data and its history.
    Show {
        /// The id, as `ls` lists it
        id: LetterId,
        #[command(flatten)]
        at: At,
    },
    /// Lets messages be tried again now, and those behind them after them.
    Redrive {
        /// The ids; without any, all dead letters
        ids: Vec<LetterId>,
        /// Only those of this consumer
        #[arg(long, conflicts_with = "ids")]
        consumer: Option<String>,
        /// Also if there are more than 100
        #[arg(long)]
        all: bool,
        /// Why, for the record
        #[arg(long, default_value = "")]
        note: String,
        #[command(flatten)]
        at: At,
    },
    /// Replaces the data of a message and lets it be tried again now. It gets a new id.
    Edit {
        /// The id, as `ls` lists it
        id: LetterId,
        /// A file with the new data, or - for standard input
        #[arg(long, value_name = "FILE")]
        data: PathBuf,
        /// Why, for the record
        #[arg(long)]
        note: String,
        #[command(flatten)]
        at: At,
    },
    /// Removes a message for good; those behind it go on. It is kept with the note for 30 days.
    Discard {
        /// The id, as `ls` lists it
        id: LetterId,
        /// Why, for the record
        #[arg(long)]
        note: String,
        #[command(flatten)]
        at: At,
    },
}

pub(crate) async fn run(task: &Task) -> Result<(), Failure> {
    match task {
        Task::Ls { consumer, dead, group, at } => list(consumer.as_deref(), *dead, *group, at).await,
        Task::Show { id, at } => show(id, at).await,
        Task::Redrive { ids, consumer, all, note, at } => redrive(ids, consumer.as_deref(), *all, note, at).await,
        Task::Edit { id, data, note, at } => {
            let data = read(data)?;
            open(at).await?.edit(id, data, note).await.map_err(refused)?;
            done(at, "edited", id)
        }
        Task::Discard { id, note, at } => {
            open(at).await?.discard(id, note).await.map_err(refused)?;
            done(at, "discarded", id)
        }
    }
}

async fn open(at: &At) -> Result<DeadLetters, Failure> {
    Ok(DeadLetters::new(at.place().await?.store))
}

fn read(path: &PathBuf) -> Result<Vec<u8>, Failure> {
    let mut data = Vec::new();
    if path.as_os_str() == "-" {
        std::io::stdin().lock().read_to_end(&mut data)?;
        return Ok(data);
    }
    std::fs::read(path).map_err(|error| Failure::Unable(format!("{} can't be read: {error}", path.display())))
}

fn done(at: &At, what: &str, id: &LetterId) -> Result<(), Failure> {
    at.print(&json!({"v": VERSION, what: id.to_string()}), &format!("{id} is {what}\n"))
}

fn refused(error: LetterError) -> Failure {
    match error {
        LetterError::Unknown { .. } | LetterError::NotFirst { .. } | LetterError::Malformed { .. } => {
            Failure::No(error.to_string())
        }
        error => Failure::from_error(&error),
    }
}

async fn list(consumer: Option<&str>, dead: bool, group: bool, at: &At) -> Result<(), Failure> {
    let mut letters = open(at).await?.list(consumer).await.map_err(refused)?;
    letters.retain(|letter| !dead || letter.state == LetterState::Dead);
    if group {
        return grouped(&letters, at);
    }
    let rows = letters.iter().map(|letter| {
        let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let (id, attempts) = (letter.id.to_string(), letter.attempts.to_string());
        vec![
            id,
            state(letter.state),
            or_none(&letter.message_type),
            or_none(&letter.key),
            attempts,
            short(&letter.reason),
        ]
    });
    let text = columns(&["ID", "STATE", "TYPE", "KEY", "ATTEMPTS", "REASON"], rows.collect());
    at.print(&json!({"v": VERSION, "letters": letters}), &text)
}

fn grouped(letters: &[LetterSummary], at: &At) -> Result<(), Failure> {
    let mut groups: Vec<(&str, &str, String, usize)> = Vec::new();
    for letter in letters {
        let message_type = letter.message_type.as_deref().unwrap_or("-");
        let reason = short(&letter.reason);
        let same = groups.iter_mut().find(|(consumer, of_type, because, _)| {
            *consumer == letter.consumer && *of_type == message_type && *because == reason
        });
        match same {
            Some((.., count)) => *count += 1,
            None => groups.push((&letter.consumer, message_type, reason, 1)),
        }
    }
    groups.sort_by_key(|(.., count)| std::cmp::Reverse(*count));
    let json: Vec<Value> = groups
        .iter()
        .map(|(consumer, of_type, reason, count)| {
            json!({"consumer": consumer, "message_type": of_type, "reason": reason, "count": count})
        })
        .collect();
    let rows = groups.iter().map(|(consumer, of_type, reason, count)| {
        vec![count.to_string(), (*consumer).to_owned(), (*of_type).to_owned(), reason.clone()]
    });
    at.print(&json!({"v": VERSION, "groups": json}), &columns(&["COUNT", "CONSUMER", "TYPE", "REASON"], rows.collect()))
}

fn state(state: LetterState) -> String {
    match state {
        LetterState::Dead => "dead".to_owned(),
        LetterState::Waiting { due } => format!("retry at {due}"),
        LetterState::Queued => "behind it".to_owned(),
    }
}

/// The start of a text, on one line.
fn short(text: &str) -> String {
    let line = text.replace(|c: char| c.is_control(), " ");
    if line.chars().count() <= SHOWN { line } else { line.chars().take(SHOWN).chain(['…']).collect() }
}

async fn show(id: &LetterId, at: &At) -> Result<(), Failure> {
    let (summary, letter) = open(at).await?.show(id).await.map_err(refused)?;
    let json = json!({"v": VERSION, "letter": summary, "content": content(&letter), "origin": &*letter.origin,
                      "history": letter.history});
    let mut text = format!("{id} is {}\n", state(summary.state));
    let mut line = |name: &str, value: &str| text.push_str(&format!("{name:<10} {value}\n"));
    line("reason", &summary.reason);
    line("attempts", &summary.attempts.to_string());
    line("origin", &letter.origin);
    line("since", &summary.parked_at.to_string());
    for note in &letter.history {
        line(&note.order, &format!("{} {}", note.at, note.note));
    }
    match &letter.content {
        Content::Message(message) => {
            line("message", &format!("{} {} version {}", message.id, message.message_type, message.schema_version));
            line("source", &message.source);
            line("key", message.key.as_deref().unwrap_or("-"));
            line("data", &String::from_utf8_lossy(&message.data));
        }
        Content::Malformed(raw) => {
            raw.headers.iter().for_each(|(name, value)| line(name, &String::from_utf8_lossy(value)));
            line("body", &String::from_utf8_lossy(&raw.body));
        }
    }
    at.print(&json, &text)
}

/// The message as its envelope writes it; a malformed one by its parts.
fn content(letter: &Letter) -> Value {
    match &letter.content {
        Content::Message(message) => {
            let json = recount::messaging::envelope::to_json(message).ok();
            json.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default()
        }
        Content::Malformed(raw) => {
            let headers = raw.headers.iter().map(|(name, value)| json!([name, String::from_utf8_lossy(value)]));
            json!({"headers": headers.collect::<Vec<_>>(), "body": String::from_utf8_lossy(&raw.body)})
        }
    }
}

async fn redrive(ids: &[LetterId], consumer: Option<&str>, all: bool, note: &str, at: &At) -> Result<(), Failure> {
    let letters = open(at).await?;
    let count = if ids.is_empty() {
        let mut dead = letters.list(consumer).await.map_err(refused)?;
        dead.retain(|letter| letter.state == LetterState::Dead);
        if dead.len() > MOST && !all {
            return Err(Failure::No(format!("there are {} dead letters: add --all to redrive them", dead.len())));
        }
        letters.redrive_all(consumer, note).await.map_err(refused)?
    } else {
        for id in ids {
            letters.redrive(id, note).await.map_err(refused)?;
        }
        ids.len()
    };
    at.print(
        &json!({"v": VERSION, "redriven": count}),
        &format!("{count} messages are tried again by the next runner\n"),
    )
}
