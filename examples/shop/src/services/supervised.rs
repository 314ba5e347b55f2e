//! A service as a child process, which is started again when it ends.

use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::single::Ready;
use super::topology::Part;

/// How long a service has to end before it is killed.
const PATIENCE: Duration = Duration::from_secs(20);
/// A service that ends so often without having started can't be started.
const ATTEMPTS: u32 = 10;
/// The pause before such a service is started again; it grows with each attempt.
const PAUSE: Duration = Duration::from_millis(200);

/// Makes the command that starts a service.
pub type Launch = dyn Fn(Part) -> Command + Send + Sync;

/// A service as a child process.
pub struct Supervised {
    part: Part,
    kill: mpsc::Sender<()>,
    stop: watch::Sender<bool>,
    record: Arc<Record>,
    task: JoinHandle<Result<()>>,
}

/// The life of a service so far.
#[derive(Default)]
struct Record {
    up: AtomicBool,
    restarts: AtomicU64,
}

/// How a child ended.
enum End {
    Stopped,
    Killed,
    ByItself(ExitStatus),
}

struct Supervisor {
    part: Part,
    launch: Arc<Launch>,
    killed: mpsc::Receiver<()>,
    stopped: watch::Receiver<bool>,
    record: Arc<Record>,
    /// Where the service takes orders, if it does.
    entry: Option<Arc<watch::Sender<Option<SocketAddr>>>>,
}

impl Supervised {
    /// Starts the service. `entry` is told the address at which it takes orders.
    pub fn start(part: Part, launch: Arc<Launch>, entry: Option<Arc<watch::Sender<Option<SocketAddr>>>>) -> Self {
        let (kill, killed) = mpsc::channel(1);
        let (stop, stopped) = watch::channel(false);
        let record = Arc::<Record>::default();
        let supervisor = Supervisor { part, launch, killed, stopped, record: Arc::clone(&record), entry };
        let task = tokio::spawn(supervisor.run());
        Self { part, kill, stop, record, task }
    }

    pub fn part(&self) -> Part {
        self.part
    }

    pub fn is_up(&self) -> bool {
        self.record.up.load(Ordering::Relaxed)
    }

    /// How often it was started again.
    pub fn restarts(&self) -> u64 {
        self.record.restarts.load(Ordering::Relaxed)
    }

    /// Kills the process, which is then started again. Returns whether it was running.
    pub fn kill(&self) -> bool {
        self.is_up() && self.kill.try_send(()).is_ok()
    }

    /// Whether the service can't be started: then its supervisor has ended.
    pub fn has_failed(&self) -> bool {
        self.task.is_finished()
    }

    /// Asks the process to end, and waits until it has.
    pub async fn stop(self) -> Result<()> {
        self.stop.send_replace(true);
        self.task.await.context("the supervisor of a service panicked")?
    }
}

impl Supervisor {
    async fn run(mut self) -> Result<()> {
        let mut failures = 0;
        while !*self.stopped.borrow() {
            let mut child = (self.launch)(self.part).spawn().with_context(|| format!("can't start {}", self.part))?;
            let started = Instant::now();
            let (end, was_up) = self.accompany(&mut child).await?;
            self.record.up.store(false, Ordering::Relaxed);
            if let Some(entry) = &self.entry {
                entry.send_replace(None);
            }
            match end {
                End::Stopped => break,
                End::Killed => failures = 0,
                End::ByItself(status) => {
                    eprintln!("service {} ended after {:.1?} with {status}", self.part, started.elapsed());
                    failures = if was_up { 0 } else { failures + 1 };
                }
            }
            if failures >= ATTEMPTS {
                bail!("service {} can't be started: it ended {failures} times; see its messages above", self.part);
            }
            self.record.restarts.fetch_add(1, Ordering::Relaxed);
            let mut stopped = self.stopped.clone();
            tokio::select! {
                () = tokio::time::sleep(PAUSE * failures) => {}
                () = asked(&mut stopped) => {}
            }
        }
        Ok(())
    }

    /// Looks after a child until it has ended. Returns also whether it had started.
    async fn accompany(&mut self, child: &mut Child) -> Result<(End, bool)> {
        // Held here: waiting for a child closes its input.
        let input = child.stdin.take();
        let mut lines = child.stdout.take().map(|out| BufReader::new(out).lines());
        let mut up = false;
        loop {
            tokio::select! {
                () = asked(&mut self.stopped) => {
                    end(child, input).await?;
                    return Ok((End::Stopped, up));
                }
                _ = self.killed.recv() => {
                    child.kill().await?;
                    return Ok((End::Killed, up));
                }
                status = child.wait() => return Ok((End::ByItself(status?), up)),
                line = next(&mut lines) => {
                    if let Some(ready) = line.as_deref().and_then(|line| serde_json::from_str::<Ready>(line).ok()) {
                        up = true;
                        self.record.up.store(true, Ordering::Relaxed);
                        if let Some(entry) = &self.entry {
                            entry.send_replace(ready.address);
                        }
                    }
                }
            }
        }
    }
}

/// Waits until the service is asked to end.
async fn asked(stopped: &mut watch::Receiver<bool>) {
    // Without its sender the conductor is gone.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// The next line of the output; none ever after its end.
async fn next(lines: &mut Option<Lines<BufReader<ChildStdout>>>) -> Option<String> {
    let Some(open) = lines else { return std::future::pending().await };
    let line = open.next_line().await.ok().flatten();
    if line.is_none() {
        *lines = None;
    }
    line
}

/// Asks a child to end, and kills it if it doesn't in time.
async fn end(child: &mut Child, input: Option<ChildStdin>) -> Result<()> {
    // One request only: a second one ends the child at once. Without signals the end of its input tells it.
    #[cfg(unix)]
    terminate(child);
    #[cfg(not(unix))]
    drop(input);
    if tokio::time::timeout(PATIENCE, child.wait()).await.is_err() {
        child.kill().await?;
    }
    #[cfg(unix)]
    drop(input);
    Ok(())
}

/// Sends SIGTERM. A child that was waited for has no id any more.
#[cfg(unix)]
fn terminate(child: &Child) {
    let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    if let Some(id) = id
        && let Err(error) = rustix::process::kill_process(id, rustix::process::Signal::TERM)
    {
        tracing::debug!(%error, "the child has ended already");
    }
}

/// Sets the streams of a child: its output is read, its error stream is this program's, and its input ends with this program.
pub fn piped(mut command: Command) -> Command {
    // Ctrl-C is for this program, which then ends the child.
    #[cfg(unix)]
    command.process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
    command
}
