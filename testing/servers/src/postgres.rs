//! One private Postgres, which ends with the value that stands for it.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::{Programs, run};

/// How long starting may take, with the recovery from a crash.
const START: Duration = Duration::from_secs(60);
/// How long the server may take to end.
const END: Duration = Duration::from_secs(10);

/// A private server. Its durability settings are those of production.
#[derive(Debug)]
pub struct Postgres {
    directory: PathBuf,
    programs: Programs,
    user: Option<(u32, u32)>,
    settings: Vec<String>,
    port: u16,
    starts: u32,
    server: Option<Child>,
}

impl Postgres {
    /// Starts a server of the version that is found first, in a directory of its own. Settings are written as `name=value`.
    pub fn start(settings: &[&str]) -> Result<Self> {
        let place = std::env::var_os(crate::PLACE).map_or_else(std::env::temp_dir, PathBuf::from);
        Self::start_in(&place, Programs::find, settings)
    }

    /// Starts a server of the version that these programs are of, in a new directory of this one.
    pub fn start_in(place: &Path, programs: impl FnOnce(&Path) -> Result<Programs>, settings: &[&str]) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = place.join(format!("recount-postgres-{}-{number}", std::process::id()));
        fs::create_dir(&directory).with_context(|| format!("creating {}", directory.display()))?;
        let mut this = Self {
            directory,
            programs: Programs { directory: PathBuf::new() },
            // Postgres refuses to run as root.
            user: if run::id(&["-u"])? == 0 { Some(unprivileged()?) } else { None },
            settings: settings.iter().map(|&setting| setting.to_owned()).collect(),
            port: 0,
            starts: 0,
            server: None,
        };
        if let Some((uid, gid)) = this.user {
            chown(&this.directory, Some(uid), Some(gid))?;
        }
        this.programs = programs(&this.directory)?;
        let options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-instructions"];
        run::output(this.command("initdb").arg("--pgdata").arg(this.data()).args(options))?;
        // Between looking for a free port and using it another may take it.
        for _ in 0..5 {
            this.port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
            if this.launch()? {
                return Ok(this);
            }
        }
        bail!("postgres did not start: {}", this.log())
    }

    /// Where the server is: a URL of its database `postgres`, for a role that may do everything.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// A URL of one of its databases.
    #[must_use]
    pub fn url_of(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// The port that it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its data directory.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// Its programs.
    #[must_use]
    pub fn programs(&self) -> &Programs {
        &self.programs
    }

    /// Ends the server at once, as `pg_ctl stop -m immediate` does: it recovers when it starts again.
    pub fn kill(&mut self) {
        self.end("-QUIT");
    }

    /// Ends the server in order, without waiting for its clients, as `pg_ctl stop -m fast` does.
    pub fn stop(&mut self) {
        self.end("-INT");
    }

    /// Starts the server again, on the same data and port.
    pub fn start_again(&mut self) -> Result<()> {
        self.end("-QUIT");
        let started = Instant::now();
        while !self.launch()? {
            if started.elapsed() > START {
                bail!("postgres did not start again: {}", self.log());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Shuts the server down, copies its data for [`restore`](Self::restore), and starts it again.
    pub fn back_up(&mut self) -> Result<()> {
        self.stop();
        run::output(Command::new("cp").arg("-a").arg(self.data()).arg(self.copy()))?;
        self.start_again()
    }

    /// Kills the server and starts it with the backup's data. This simulates a restore, or a replica that takes over
    /// without the last commits.
    pub fn restore(&mut self) -> Result<()> {
        self.kill();
        fs::remove_dir_all(self.data())?;
        run::output(Command::new("cp").arg("-a").arg(self.copy()).arg(self.data()))?;
        self.start_again()
    }

    /// Ends the server in order, and starts it as a replica, which takes no writes until `SELECT pg_promote()`.
    pub fn demote(&mut self) -> Result<()> {
        self.stop();
        File::create(self.data().join("standby.signal"))?;
        self.start_again()
    }

    fn copy(&self) -> PathBuf {
        self.directory.join("copy")
    }

    /// The server's log since it was last started.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        self.directory.join(format!("log-{}", self.starts))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.directory.join(program));
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command.current_dir(&self.directory).stdin(Stdio::null());
        command
    }

    /// Starts the server process and waits until it answers; false if it ended again.
    fn launch(&mut self) -> Result<bool> {
        self.starts += 1;
        let log = File::create(self.log_file())?;
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data()).args(["-h", "127.0.0.1", "-p", &self.port.to_string()]);
        let sockets = format!("unix_socket_directories={}", self.directory.display());
        // After a crash all files are flushed: in one go, where that can be had.
        let quick: &[&str] = if cfg!(target_os = "linux") { &["recovery_init_sync_method=syncfs"] } else { &[] };
        let always = [&sockets, "max_connections=300"];
        for setting in always.iter().chain(quick).copied().chain(self.settings.iter().map(String::as_str)) {
            command.args(["-c", setting]);
        }
        self.server = Some(command.stdout(log.try_clone()?).stderr(log).spawn().context("starting postgres")?);
        let started = Instant::now();
        while !(self.log().contains("ready to accept") && TcpStream::connect(("127.0.0.1", self.port)).is_ok()) {
            if self.server.as_mut().map(Child::try_wait).transpose()?.is_none_or(|ended| ended.is_some()) {
                return Ok(false);
            }
            if started.elapsed() > START {
                bail!("postgres does not get ready: {}", self.log());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(true)
    }

    fn end(&mut self, signal: &str) {
        let Some(mut server) = self.server.take() else { return };
        run::succeeds("kill", &[signal, &server.id().to_string()]);
        let started = Instant::now();
        while started.elapsed() < END && matches!(server.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(10));
        }
        if matches!(server.try_wait(), Ok(None)) {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        run::show_failure(|| self.log());
        // Nothing is to be kept, so nothing needs to be flushed.
        self.kill();
        run::remove(&self.directory);
    }
}

/// The user and group that the server runs as, if we are root.
fn unprivileged() -> Result<(u32, u32)> {
    let of = |user: &str| Ok((run::id(&["-u", user])?, run::id(&["-g", user])?));
    of("postgres").or_else(|_: anyhow::Error| of("nobody"))
}
