//! `recount process …`

use clap::{Args, Subcommand};
use recount::{
    BoxError, InstanceState, InstanceStatus, OrderError, ProcessSummary, Processes, RequestId, RequestStatus,
    TimelineEntry,
};
use serde_json::{Value, json};

use crate::Failure;
use crate::model::Place;
use crate::report::{self, VERSION, columns};

/// How many instances are redriven without `--all` at most.
const MOST: usize = 100;

#[derive(Subcommand)]
pub(crate) enum Task {
    /// Lists the processes of a store, or the instances of one.
    Ls {
        /// The process; without it, all processes with their numbers of instances
        name: Option<String>,
        /// Only instances in this state: held, running, waiting, compensating, stuck, parked, ended, compensated
        #[arg(long, requires = "name")]
        state: Option<InstanceState>,
        /// How many instances at most
        #[arg(long, default_value_t = 100)]
        limit: usize,
        #[command(flatten)]
        at: At,
    },
    /// Shows an instance and its timeline: its inputs, its decisions, its commands and their outcomes.
    Show {
        /// The process
        name: String,
        /// The id of the instance
        id: String,
        #[command(flatten)]
        at: At,
    },
    /// Lists the timers that are set, the next due first.
    Timers {
        /// The process
        name: String,
        /// How many timers at most
        #[arg(long, default_value_t = 100)]
        limit: usize,
        /// Writes the index of timers anew from the events first, such as after the state of the store was lost
        #[arg(long)]
        rebuild: bool,
        #[command(flatten)]
        at: At,
    },
    /// Orders instances that are parked or stuck to try again. A runner of the process carries the order out.
    Redrive {
        /// The process
        name: String,
        /// The ids of the instances; without any, all that are parked or stuck
        ids: Vec<String>,
        /// Also if there are more than 100
        #[arg(long)]
        all: bool,
        /// The name of the operator, for the record
        #[arg(long, default_value = "an operator")]
        by: String,
        #[command(flatten)]
        at: At,
    },
    /// Declares that nothing is left to undo for a request of a stuck instance, which then goes on.
    Resolve {
        /// The process
        name: String,
        /// The id of the instance
        id: String,
        /// The request, as `show` lists it, such as 3/0
        request: RequestId,
        /// Why, for the record
        #[arg(long)]
        note: String,
        /// The name of the operator, for the record
        #[arg(long, default_value = "an operator")]
        by: String,
        #[command(flatten)]
        at: At,
    },
}

/// Where the processes or messages are.
#[derive(Args)]
pub(crate) struct At {
    /// The store: sqlite://FILE or postgres://HOST/DATABASE
    #[arg(long, value_name = "URL")]
    store: String,
    /// Prints JSON instead of text
    #[arg(long)]
    json: bool,
}

impl At {
    async fn open(&self) -> Result<Processes, Failure> {
        Ok(Processes::new(self.place().await?.store))
    }

    pub(crate) async fn place(&self) -> Result<Place, Failure> {
        Place::open(&self.store, None).await
    }

    pub(crate) fn print(&self, json: &Value, text: &str) -> Result<(), Failure> {
        Ok(report::print(self.json, json, text)?)
    }
}

pub(crate) async fn run(task: &Task) -> Result<(), Failure> {
    match task {
        Task::Ls { name: None, at, .. } => processes(at).await,
        Task::Ls { name: Some(name), state, limit, at } => instances(name, *state, *limit, at).await,
        Task::Show { name, id, at } => show(name, id, at).await,
        Task::Timers { name, limit, rebuild, at } => timers(name, *limit, *rebuild, at).await,
        Task::Redrive { name, ids, all, by, at } => redrive(name, ids, *all, by, at).await,
        Task::Resolve { name, id, request, note, by, at } => {
            at.open().await?.resolve(name, id, *request, by, note).await.map_err(refused)?;
            let text = format!("request {request} of {name}/{id} is resolved\n");
            at.print(&json!({"v": VERSION, "process": name, "id": id, "resolved": request.to_string()}), &text)
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it maps errors")]
fn failed(error: BoxError) -> Failure {
    Failure::from_error(&*error)
}

fn refused(error: OrderError) -> Failure {
    match error {
        OrderError::Unknown { .. } | OrderError::NothingToDo { .. } => Failure::No(error.to_string()),
        error => Failure::from_error(&error),
    }
}

fn unknown(name: &str, id: &str) -> Failure {
    Failure::No(format!("process {name} has no instance {id:?}: `recount process ls {name}` lists its instances"))
}

async fn known(processes: &Processes, name: &str) -> Result<(), Failure> {
    let names = processes.names().await?;
    if names.iter().any(|known| known == name) {
        return Ok(());
    }
    let list = if names.is_empty() { "none was started".to_owned() } else { names.join(", ") };
    Err(Failure::No(format!("the store has no process {name:?}; its processes: {list}")))
}

async fn processes(at: &At) -> Result<(), Failure> {
    let processes = at.open().await?;
    let (mut all, mut rows) = (Vec::new(), Vec::new());
    for name in processes.names().await? {
        let summary = processes.summary(&name).await.map_err(failed)?;
        let ProcessSummary { held, running, waiting, compensating, stuck, parked, ended, compensated } = summary;
        let mut row = vec![name.clone()];
        row.extend([running, waiting, compensating, stuck, parked, held, ended, compensated].map(|n| n.to_string()));
        rows.push(row);
        all.push(json!({"name": name, "instances": summary}));
    }
    let head = ["PROCESS", "RUNNING", "WAITING", "COMPENSATING", "STUCK", "PARKED", "HELD", "ENDED", "COMPENSATED"];
    at.print(&json!({"v": VERSION, "processes": all}), &columns(&head, rows))
}

async fn instances(name: &str, state: Option<InstanceState>, limit: usize, at: &At) -> Result<(), Failure> {
    let processes = at.open().await?;
    known(&processes, name).await?;
    let mut instances = processes.instances(name).await.map_err(failed)?;
    instances.retain(|instance| state.is_none_or(|state| instance.state == state));
    let found = instances.len();
    instances.truncate(limit);
    let rows = instances.iter().map(|instance| {
        vec![instance.id.clone(), instance.state.to_string(), instance.version.to_string(), waits_for(instance)]
    });
    let mut text = columns(&["INSTANCE", "STATE", "VERSION", "WAITS FOR"], rows.collect());
    if found > limit {
        text.push_str(&format!("{} more: raise --limit\n", found - limit));
    }
    at.print(&json!({"v": VERSION, "process": name, "found": found, "instances": instances}), &text)
}

fn waits_for(instance: &InstanceStatus) -> String {
    if let Some(trouble) = &instance.trouble {
        return format!("an operator: {}", trouble.error);
    }
    let timers: Vec<_> = instance.timers.iter().map(|timer| format!("{} at {}", timer.timer, timer.due)).collect();
    match instance.state {
        InstanceState::Held => format!("its start; {} inputs are held", instance.held.len()),
        _ if !timers.is_empty() => timers.join(", "),
        InstanceState::Running => "inputs".to_owned(),
        InstanceState::Compensating => "its commands to be undone".to_owned(),
        _ => "-".to_owned(),
    }
}

async fn show(name: &str, id: &str, at: &At) -> Result<(), Failure> {
    let processes = at.open().await?;
    known(&processes, name).await?;
    let Some(instance) = processes.instance(name, id).await.map_err(failed)? else { return Err(unknown(name, id)) };
    let timeline = processes.timeline(name, id).await.map_err(failed)?.unwrap_or_default();
    let mut text = format!("{name}/{id} is {}, waits for {}\n", instance.state, waits_for(&instance));
    timeline.iter().for_each(|entry| describe(entry, &mut text));
    at.print(&json!({"v": VERSION, "process": name, "instance": instance, "timeline": timeline}), &text)
}

/// An entry in lines.
fn describe(entry: &TimelineEntry, text: &mut String) {
    text.push_str(&format!("{:>5}  {}  {}  {}\n", entry.version, entry.at, entry.kind, entry.cause));
    let mut line = |what: String| text.push_str(&format!("       {what}\n"));
    entry.facts.iter().for_each(|fact| line(format!("fact     {fact}")));
    entry.requests.iter().for_each(|request| line(request_line(request)));
    entry.timers.iter().for_each(|timer| line(format!("timer    {} at {}", timer.timer, timer.due)));
    entry.cancelled.iter().for_each(|timer| line(format!("cancels  {timer}")));
    entry.dropped.iter().for_each(|command| line(format!("dropped  {command}")));
    entry.next.iter().for_each(|next| line(format!("then     {next}")));
}

fn request_line(request: &RequestStatus) -> String {
    let RequestStatus { id, command, undo, outcome, undone } = request;
    let outcome = serde_json::to_value(outcome).ok().and_then(|name| name.as_str().map(|name| name.replace('_', " ")));
    let outcome = outcome.unwrap_or_default();
    let undo = match undo {
        Some(undo) if *undone => format!(", undone by {undo} or not needed"),
        Some(undo) => format!(", undo {undo}"),
        None => String::new(),
    };
    match command {
        Some(command) => format!("command  {id} {command}: {outcome}{undo}"),
        None => format!("command  {id}{undo}"),
    }
}

async fn timers(name: &str, limit: usize, rebuild: bool, at: &At) -> Result<(), Failure> {
    let processes = at.open().await?;
    known(&processes, name).await?;
    if rebuild {
        let count = processes.rebuild_timers(name).await.map_err(failed)?;
        if !at.json {
            println!("{count} timers are set and in the index");
        }
    }
    let timers = processes.timers(name, limit).await.map_err(failed)?;
    let rows = timers.iter().map(|(id, timer)| vec![timer.due.to_string(), id.clone(), timer.timer.clone()]);
    let text = columns(&["DUE", "INSTANCE", "TIMER"], rows.collect());
    let all: Vec<_> = timers.iter().map(|(id, set)| json!({"id": id, "timer": set.timer, "due": set.due})).collect();
    at.print(&json!({"v": VERSION, "process": name, "timers": all}), &text)
}

async fn redrive(name: &str, ids: &[String], all: bool, by: &str, at: &At) -> Result<(), Failure> {
    let processes = at.open().await?;
    known(&processes, name).await?;
    let ids = if ids.is_empty() { troubled(&processes, name).await? } else { ids.to_vec() };
    if ids.len() > MOST && !all {
        let count = ids.len();
        return Err(Failure::No(format!("{count} instances of {name} are parked or stuck: add --all to redrive them")));
    }
    for id in &ids {
        processes.redrive(name, id, by).await.map_err(refused)?;
    }
    let text = format!("{} instances of {name} are redriven by the next runner\n", ids.len());
    at.print(&json!({"v": VERSION, "process": name, "redriven": ids}), &text)
}

async fn troubled(processes: &Processes, name: &str) -> Result<Vec<String>, Failure> {
    let instances = processes.instances(name).await.map_err(failed)?;
    let waits = |instance: &InstanceStatus| instance.trouble.is_some();
    Ok(instances.into_iter().filter(waits).map(|instance| instance.id).collect())
}
