//! The process of a private server, with a directory and a log of its own.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::run;

/// How long the threads of a process may take to stand still.
const FREEZE: Duration = Duration::from_secs(10);

/// A server's process, and its directory, which goes with this value. A failing test shows the end of the log.
#[derive(Debug)]
pub(crate) struct Process {
    name: &'static str,
    pub(crate) directory: PathBuf,
    /// How long starting may take, with the recovery from a crash.
    limit: Duration,
    starts: u32,
    child: Option<Child>,
}

impl Process {
    /// A server that is not started yet, with a new directory in this one.
    pub(crate) fn new(name: &'static str, place: &Path, limit: Duration) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = place.join(format!("recount-{name}-{}-{number}", std::process::id()));
        fs::create_dir(&directory).with_context(|| format!("creating {}", directory.display()))?;
        Ok(Self { name, directory, limit, starts: 0, child: None })
    }

    /// Starts the process and waits until the server is ready; false if it ended again.
    pub(crate) fn launch(&mut self, mut command: Command, is_ready: impl Fn(&Self) -> bool) -> Result<bool> {
        self.starts += 1;
        let log = File::create(self.log_file())?;
        command.current_dir(&self.directory).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.child = Some(command.spawn().with_context(|| format!("starting {}", self.name))?);
        let started = Instant::now();
        while !is_ready(self) {
            if self.child.as_mut().map(Child::try_wait).transpose()?.is_none_or(|ended| ended.is_some()) {
                return Ok(false);
            }
            ensure!(started.elapsed() < self.limit, "{} does not get ready: {}", self.name, self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(true)
    }

    /// Ends the process by SIGKILL, if it runs.
    pub(crate) fn kill(&mut self) {
        run::kill(&mut self.child);
    }

    /// Ends the process by this signal, or by SIGKILL if it takes longer than this.
    pub(crate) fn end(&mut self, signal: &str, within: Duration) {
        self.signal(signal);
        let started = Instant::now();
        let mut runs = || matches!(self.child.as_mut().map(Child::try_wait), Some(Ok(None)));
        while started.elapsed() < within && runs() {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.kill();
    }

    /// Stops the process by SIGSTOP, and waits until all of its threads stand still: on a busy machine some answer for a
    /// while after the signal.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
        let Some(child) = &self.child else { return };
        let started = Instant::now();
        while run::has_running_threads(child) && started.elapsed() < FREEZE {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Lets a frozen process run again.
    pub(crate) fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        run::signal(self.child.as_ref(), signal);
    }

    /// The output since the process was last started.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        self.directory.join(format!("log-{}", self.starts))
    }

    /// Says that the server did not start.
    fn failure(&self) -> String {
        format!("{} did not start: {}", self.name, self.log())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        run::show_failure(|| self.log());
        self.kill();
        run::remove(&self.directory);
    }
}

/// A server that is started by one process.
pub(crate) trait Launch: Sized {
    /// The process.
    fn process(&mut self) -> &mut Process;

    /// Starts the process and waits until the server is ready; false if it ended again.
    fn launch(&mut self) -> Result<bool>;

    /// Starts the server for the first time, after preparations with ports that were free just now.
    fn started(mut self, mut prepare: impl FnMut(&mut Self) -> Result<()>) -> Result<Self> {
        for _ in 0..5 {
            prepare(&mut self)?;
            if self.launch()? {
                return Ok(self);
            }
        }
        bail!(self.process().failure())
    }

    /// Starts the server again, on its data and ports, which may be taken for a moment.
    fn launch_again(&mut self) -> Result<()> {
        let started = Instant::now();
        while !self.launch()? {
            let process = self.process();
            ensure!(started.elapsed() < process.limit, process.failure());
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }
}

/// Where servers have their directories.
pub(crate) fn place() -> PathBuf {
    std::env::var_os(crate::PLACE).map_or_else(std::env::temp_dir, PathBuf::from)
}

/// Ports that were free just now. Another process may take them before they are used.
pub(crate) fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let listeners = (0..N).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<Vec<_>, _>>()?;
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_stopped_process_has_no_running_threads() {
        let mut busy = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        assert!(run::has_running_threads(&busy));
        run::signal(Some(&busy), "-STOP");
        let started = Instant::now();
        while run::has_running_threads(&busy) {
            assert!(started.elapsed() < FREEZE, "it runs on");
        }
        run::signal(Some(&busy), "-CONT");
        std::thread::sleep(Duration::from_millis(20));
        assert!(run::has_running_threads(&busy));
        busy.kill().unwrap();
        busy.wait().unwrap();
    }
}
