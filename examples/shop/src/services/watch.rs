//! The view of the services from outside, while they run: how many orders are how far.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::HumanCount;
use tokio::sync::watch;

use super::archive::Archive;
use super::crew::Crew;
use super::feed::Tally;
use super::stores::Stores;
use super::topology::Part;

/// How often the stores are looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How often the view is printed where it is no terminal.
const PRINT: Duration = Duration::from_secs(5);

/// The progress that the stores show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Orders in the order service.
    pub recorded: u64,
    /// Orders with a payment.
    pub paid: u64,
    /// Customers that were told.
    pub told: u64,
    /// Orders with an outcome in analytics.
    pub known: u64,
}

impl Seen {
    /// Looks into the stores. A store that can't be read at this moment counts as before.
    async fn look(self, stores: &Stores) -> Self {
        let streams = |category: &str| format!("SELECT count(*) FROM recount.streams WHERE category = '{category}'");
        let outcomes = "SELECT count(outcome) FROM shop.orders".to_owned();
        Self {
            recorded: count(stores, Part::Order, &streams("order")).await.unwrap_or(self.recorded),
            paid: count(stores, Part::Payment, &streams("payment")).await.unwrap_or(self.paid),
            told: count(stores, Part::Notification, &streams("notification")).await.unwrap_or(self.told),
            known: count(stores, Part::Analytics, &outcomes).await.unwrap_or(self.known),
        }
    }
}

/// One number from a store; an error if it is not there yet.
async fn count(stores: &Stores, part: Part, sql: &str) -> Result<u64> {
    let Some(mut archive) = Archive::open(stores, part).await? else { return Ok(0) };
    let rows: Vec<(i64,)> = archive.rows(sql).await?;
    archive.close().await?;
    Ok(rows.first().map_or(0, |(count,)| count.unsigned_abs()))
}

/// Looks at the stores until it is dropped, and shows the progress.
pub async fn follow(stores: &Stores, crew: &Crew, tally: &Tally, known: &watch::Sender<u64>, is_shown: bool) {
    let (mut seen, started) = (Seen::default(), Instant::now());
    let terminal = std::io::stderr().is_terminal();
    let mut printed = Instant::now();
    loop {
        seen = seen.look(stores).await;
        known.send_replace(seen.known);
        if is_shown && (terminal || printed.elapsed() >= PRINT) {
            show(&seen, crew, tally, started.elapsed(), terminal);
            printed = Instant::now();
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn show(seen: &Seen, crew: &Crew, tally: &Tally, elapsed: Duration, terminal: bool) {
    let down: Vec<&str> = {
        let up = crew.up();
        Part::ALL.into_iter().filter(|part| !up.contains(part)).map(Part::name).collect()
    };
    let Seen { recorded, paid, told, known } = *seen;
    let [accepted, recorded, paid, told, known] = [tally.accepted(), recorded, paid, told, known].map(HumanCount);
    let mut text = format!(
        "{:>5.1} s  accepted {accepted}  recorded {recorded}  paid {paid}  told {told}  known {known}  restarts {}",
        elapsed.as_secs_f64(),
        crew.restarts()
    );
    if !down.is_empty() {
        text += &format!("  down: {}", down.join(" "));
    }
    let mut err = std::io::stderr().lock();
    // A terminal that can't be drawn to needs no view.
    let _ = if terminal { write!(err, "\r\x1b[K{text}").and_then(|()| err.flush()) } else { writeln!(err, "{text}") };
}
