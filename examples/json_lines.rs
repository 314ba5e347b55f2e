//! A sink of your own: every event as a line of JSON in a file, each one once.
//!
//! The consumer repeats the last events after a crash, so the sink looks up which event the file ends with.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use recount::{BoxError, RecordedEvent, Sink};
use serde_json::{Value, json};

/// A file of JSON lines.
pub struct JsonLines(Mutex<Lines>);

struct Lines {
    file: File,
    /// The position of the last event in the file.
    last: u64,
}

impl JsonLines {
    /// Opens the file, and creates it if it isn't there.
    pub fn open(path: &Path) -> Result<Self, BoxError> {
        let file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
        Ok(Self(Mutex::new(Lines { file, last: 0 })))
    }
}

impl Lines {
    /// Cuts off a line that a crash has left unfinished, and finds the last event.
    fn recover(&mut self) -> Result<(), BoxError> {
        let mut text = String::new();
        self.file.seek(SeekFrom::Start(0))?;
        self.file.read_to_string(&mut text)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        self.file.set_len(whole as u64)?;
        if let Some(line) = text[..whole].lines().last() {
            self.last = serde_json::from_str::<Value>(line)?["position"].as_u64().ok_or("a line has no position")?;
        }
        Ok(())
    }

    fn write(&mut self, event: &RecordedEvent) -> Result<(), BoxError> {
        let payload: Value = serde_json::from_slice(&event.data.payload)?;
        let line = json!({
            "position": event.position.get(),
            "stream": event.stream.to_string(),
            "type": event.data.event_type.as_str(),
            "payload": payload,
        });
        self.file.write_all(format!("{line}\n").as_bytes())?;
        self.last = event.position.get();
        Ok(())
    }
}

impl Sink for JsonLines {
    type Item = RecordedEvent;

    /// One at a time, in the order of the store.
    const AT_ONCE: usize = 1;

    async fn setup(&self) -> Result<(), BoxError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).recover()
    }

    async fn take(&self, event: &RecordedEvent) -> Result<(), BoxError> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if event.position.get() > lines.last { lines.write(event) } else { Ok(()) }
    }
}

/// Writes all events of a store, such as `sqlite://shop.db`, and each new one.
#[allow(dead_code, reason = "the tests have a main function of their own")]
#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let mut arguments = std::env::args().skip(1);
    let (Some(store), Some(file)) = (arguments.next(), arguments.next()) else {
        return Err("usage: json_lines STORE FILE".into());
    };
    let recount = recount::connect(&store).await?;
    let events = recount.source("export", recount::Query::all());
    let running = recount.consumers().consumer("export", events, JsonLines::open(Path::new(&file))?).start();
    running.wait_for(recount.store().head().await?).await.map_err(|late| format!("{late:?}"))?;
    running.shutdown().await;
    recount.close().await;
    Ok(())
}
