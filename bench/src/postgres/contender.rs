//! Who is measured, and how each is given its turn.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};

use anyhow::{Context, Result, ensure};
use protocol::{Answer, READY, Turn};

/// A program that is measured, with one way to set it up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contender {
    /// What it is called in results.
    pub name: &'static str,
    /// Which databases are its own.
    pub database: &'static str,
    pub program: PathBuf,
    /// What comes before the turn.
    pub arguments: Vec<&'static str>,
    pub snapshots: bool,
}

pub const RAW: &str = "raw SQL";
pub const OURS: &str = "recount";

/// Everybody: by hand, recount, and the peers.
pub fn contenders(peers: &Path) -> Result<Vec<Contender>> {
    let this = std::env::current_exe()?;
    let own = |name, database, side| Contender {
        name,
        database,
        program: this.clone(),
        arguments: vec!["side", side],
        snapshots: false,
    };
    let peer = |name, database, program, snapshots| Contender {
        name,
        database,
        program: peers.join(program),
        arguments: vec![],
        snapshots,
    };
    Ok(vec![
        own(RAW, "raw", "raw"),
        own(OURS, "recount", "ours"),
        peer("cqrs-es", "cqrs_es", "peer-cqrs-es", false),
        peer("cqrs-es, snapshots", "cqrs_es", "peer-cqrs-es", true),
        peer("disintegrate", "disintegrate", "peer-disintegrate", false),
        peer("disintegrate, snapshots", "disintegrate", "peer-disintegrate", true),
        peer("evento", "evento", "peer-evento", true),
    ])
}

impl Contender {
    pub fn is_peer(&self) -> bool {
        self.arguments.is_empty()
    }

    /// Gives it its turn. No answer: it has no way to do that.
    pub fn play(&self, turn: &Turn) -> Result<Option<Answer>> {
        self.start(turn)?.go()?.answer()
    }

    /// Starts its process, and waits until that is ready.
    pub fn start(&self, turn: &Turn) -> Result<Player> {
        let turn = Turn { snapshots: self.snapshots, ..turn.clone() };
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .arg(serde_json::to_string(&turn)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} can't be started", self.program.display()))?;
        let lines = BufReader::new(child.stderr.take().context("no pipe")?);
        let mut player = Player { name: self.name, scenario: format!("{:?}", turn.scenario), child, lines, last: None };
        player.last = player.next()?;
        Ok(player)
    }
}

/// A process that has its turn.
pub struct Player {
    name: &'static str,
    scenario: String,
    child: Child,
    lines: BufReader<ChildStderr>,
    /// What it said last.
    last: Option<String>,
}

impl Player {
    /// Lets it go; not if it has answered already.
    pub fn go(mut self) -> Result<Self> {
        if self.last.as_deref() == Some(READY) {
            self.child.stdin.take().context("no pipe")?.write_all(b"go\n")?;
            self.last = None;
        }
        Ok(self)
    }

    pub fn answer(mut self) -> Result<Option<Answer>> {
        let line = match self.last.take() {
            Some(line) => Some(line),
            None => self.next()?,
        };
        let status = self.child.wait()?;
        ensure!(status.success(), "{} failed at {}: {status}", self.name, self.scenario);
        let line = line.with_context(|| format!("{} did not answer", self.name))?;
        Ok(serde_json::from_str(&line)?)
    }

    /// The next line that is meant for us; others are complaints.
    fn next(&mut self) -> Result<Option<String>> {
        let mut line = String::new();
        while self.lines.read_line(&mut line)? > 0 {
            let text = line.trim();
            if text == READY || text == "null" || text.starts_with("{\"units\"") {
                return Ok(Some(text.to_owned()));
            }
            eprintln!("{} at {}: {text}", self.name, self.scenario);
            line.clear();
        }
        Ok(None)
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
