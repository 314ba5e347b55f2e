//! One private Postgres, which ends with the value that stands for it.

use std::fs::{self, File};
use std::net::TcpStream;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Result;

use crate::process::{Launch, Process, free_ports, place};
use crate::{Programs, run};

/// How long starting may take, with the recovery from a crash.
const START: Duration = Duration::from_secs(60);
/// How long the server may take to end.
const END: Duration = Duration::from_secs(10);

/// A private server. Its durability settings are those of production.
#[derive(Debug)]
pub struct Postgres {
    process: Process,
    programs: Programs,
    user: Option<(u32, u32)>,
    settings: Vec<String>,
    port: u16,
}

impl Postgres {
    /// Starts a server of the version that is found first, in a directory of its own. Settings are written as `name=value`.
    pub fn start(settings: &[&str]) -> Result<Self> {
        Self::start_in(&place(), Programs::find, settings)
    }

    /// Starts a server of the version that these programs are of, in a new directory of this one.
    pub fn start_in(place: &Path, programs: impl FnOnce(&Path) -> Result<Programs>, settings: &[&str]) -> Result<Self> {
        let mut this = Self {
            process: Process::new("postgres", place, START)?,
            programs: Programs { directory: PathBuf::new() },
            // Postgres refuses to run as root.
            user: if run::id(&["-u"])? == 0 { Some(unprivileged()?) } else { None },
            settings: settings.iter().map(|&setting| setting.to_owned()).collect(),
            port: 0,
        };
        if let Some((uid, gid)) = this.user {
            chown(&this.process.directory, Some(uid), Some(gid))?;
        }
        this.programs = programs(&this.process.directory)?;
        let options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-instructions"];
        run::output(this.command("initdb").arg("--pgdata").arg(this.data()).args(options))?;
        this.started(|this| {
            [this.port] = free_ports()?;
            Ok(())
        })
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
        self.process.directory.join("data")
    }

    /// Its programs.
    #[must_use]
    pub fn programs(&self) -> &Programs {
        &self.programs
    }

    /// Ends the server at once, as `pg_ctl stop -m immediate` does: it recovers when it starts again.
    pub fn kill(&mut self) {
        self.process.end("-QUIT", END);
    }

    /// Ends the server in order, without waiting for its clients, as `pg_ctl stop -m fast` does.
    pub fn stop(&mut self) {
        self.process.end("-INT", END);
    }

    /// Starts the server again, on the same data and port.
    pub fn start_again(&mut self) -> Result<()> {
        self.kill();
        self.launch_again()
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
        self.process.directory.join("copy")
    }

    /// The server's log since it was last started.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.directory.join(program));
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command.current_dir(&self.process.directory).stdin(Stdio::null());
        command
    }

    /// The command of the server.
    fn server(&self) -> Command {
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data()).args(["-h", "127.0.0.1", "-p", &self.port.to_string()]);
        let sockets = format!("unix_socket_directories={}", self.process.directory.display());
        // After a crash all files are flushed: in one go, where that can be had.
        let quick: &[&str] = if cfg!(target_os = "linux") { &["recovery_init_sync_method=syncfs"] } else { &[] };
        let always = [&sockets, "max_connections=300"];
        for setting in always.iter().chain(quick).copied().chain(self.settings.iter().map(String::as_str)) {
            command.args(["-c", setting]);
        }
        command
    }
}

impl Launch for Postgres {
    fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    fn launch(&mut self) -> Result<bool> {
        let (command, port) = (self.server(), self.port);
        let answers = |process: &Process| {
            process.log().contains("ready to accept") && TcpStream::connect(("127.0.0.1", port)).is_ok()
        };
        self.process.launch(command, answers)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Nothing is to be kept, so nothing needs to be flushed.
        self.kill();
    }
}

/// The user and group that the server runs as, if we are root.
fn unprivileged() -> Result<(u32, u32)> {
    let of = |user: &str| Ok((run::id(&["-u", user])?, run::id(&["-g", user])?));
    of("postgres").or_else(|_: anyhow::Error| of("nobody"))
}
