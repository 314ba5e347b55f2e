//! One private fake of Google Cloud Pub/Sub, which ends with the value that stands for it.
//!
//! The fake is Google's own, `pstest`; the program around it is in `pubsub/`. The docs of the
//! broker's crate name the claims that it can't show: limits, retry policies, and that a real server hands out several messages of a key
//! at once.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::go::Go;
use crate::process::{Launch, Process, free_ports, place};
use crate::{http, wheel};

/// The sources of the program, by which a build of it is known.
const SOURCES: [&str; 4] = [
    include_str!("../pubsub/main.go"),
    include_str!("../pubsub/gateway.go"),
    include_str!("../pubsub/faults.go"),
    include_str!("../pubsub/go.sum"),
];
/// How long starting may take.
const START: Duration = Duration::from_secs(30);

/// A fault that happens to the next calls of a method.
#[derive(Clone, Debug)]
pub struct PubSubFault {
    /// The method of the API, such as `Publish` or `StreamingPull`.
    pub method: &'static str,
    /// How many calls it happens to.
    pub count: u32,
    /// The code of the error, by its number in gRPC: 14 is UNAVAILABLE. 0: no error.
    pub code: u32,
    /// Whether the call takes effect before its answer is lost.
    pub done: bool,
    /// How long the call waits first.
    pub delay: Duration,
    /// Only calls that publish to this ordering key.
    pub key: String,
}

/// A private fake of Pub/Sub. Its data is in memory: a [kill](Self::kill) loses all of it.
#[derive(Debug)]
pub struct PubSub {
    process: Process,
    program: PathBuf,
    calls: u16,
    admin: u16,
}

impl PubSub {
    /// Starts a server in a directory of its own.
    pub fn start() -> Result<Self> {
        Self::start_in(&place())
    }

    /// Starts a server in a new directory of this one.
    pub fn start_in(place: &Path) -> Result<Self> {
        let program = program()?;
        let process = Process::new("pubsub", place, START)?;
        Self { process, program, calls: 0, admin: 0 }.started(|this| {
            [this.calls, this.admin] = free_ports()?;
            Ok(())
        })
    }

    /// The address of a project for programs of recount.
    #[must_use]
    pub fn url(&self, project: &str) -> String {
        format!("pubsub://{project}?endpoint=http://127.0.0.1:{}&admin=http://127.0.0.1:{}", self.calls, self.admin)
    }

    /// The port that serves gRPC: publishing and pulling.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.calls
    }

    /// The port that serves HTTP: topics and subscriptions.
    #[must_use]
    pub fn admin_port(&self) -> u16 {
        self.admin
    }

    /// Lets a fault happen.
    pub fn fault(&self, fault: &PubSubFault) -> Result<()> {
        let PubSubFault { method, count, code, done, delay, key } = fault;
        let body = format!(
            "{{\"method\":{method:?},\"count\":{count},\"code\":{code},\"done\":{done},\"delay_ms\":{},\"key\":{key:?}}}",
            delay.as_millis()
        );
        self.http("POST", "/faults", &body)
    }

    /// Forgets the faults to come.
    pub fn clear_faults(&self) -> Result<()> {
        self.http("DELETE", "/faults", "")
    }

    /// Ends the server by SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Stops the process by SIGSTOP: connections stay open, and nothing is answered until [`resume`](Self::resume).
    pub fn freeze(&self) {
        self.process.freeze();
    }

    /// Lets a frozen server run again.
    pub fn resume(&self) {
        self.process.resume();
    }

    /// Kills the server if it runs, and starts it again on the same ports, without data.
    pub fn restart(&mut self) -> Result<()> {
        self.kill();
        self.launch_again()
    }

    /// The server's log since it was last started.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    fn http(&self, method: &str, path: &str, body: &str) -> Result<()> {
        let answer = http::request(self.admin, method, path, "", body)?;
        ensure!(answer.status == 200, "{method} {path}: {} {}", answer.status, answer.body);
        Ok(())
    }
}

impl Launch for PubSub {
    fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    fn launch(&mut self) -> Result<bool> {
        let admin = self.admin;
        let mut command = Command::new(&self.program);
        command.arg(format!("-calls=127.0.0.1:{}", self.calls)).arg(format!("-admin=127.0.0.1:{admin}"));
        self.process.launch(command, |_| http::is_healthy(admin, "/health", ""))
    }
}

/// The program, which is built once for its sources.
fn program() -> Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    SOURCES.hash(&mut hasher);
    let built = wheel::kept(&format!("pubsub-{:016x}", hasher.finish()), |new| {
        println!("building the fake of Pub/Sub");
        fs::create_dir_all(new)?;
        let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("pubsub");
        Go::find()?.build(&module, &new.join("pubsub"))
    })?;
    Ok(built.join("pubsub"))
}
