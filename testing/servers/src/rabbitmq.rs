//! One private RabbitMQ, which ends with the value that stands for it.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::process::{Launch, Process, free_ports, place};
use crate::{apt, run};

/// How long starting may take, with the recovery from a crash. It takes 10 seconds on an idle machine.
const START: Duration = Duration::from_secs(120);
/// The plugins: none.
const PLUGINS: &str = "[].\n";
/// The start of every AMQP 0.9.1 connection.
const GREETING: &[u8] = b"AMQP\0\0\x09\x01";

/// A private server of one node, with users, ports and data of its own. Its user is `guest` with password `guest`.
#[derive(Debug)]
pub struct RabbitMq {
    process: Process,
    /// The directory of the server's scripts.
    scripts: PathBuf,
    port: u16,
    /// Certificate and key for TLS, and its port.
    tls: Option<(PathBuf, PathBuf, u16)>,
    /// The port of the name service of Erlang, and that of the connections between nodes.
    internal: (u16, u16),
    names: Option<Child>,
}

impl RabbitMq {
    /// Starts a server in a directory of its own.
    pub fn start() -> Result<Self> {
        Self::start_in(&place())
    }

    /// Starts a server that also takes encrypted connections, with this certificate and key as PEM.
    pub fn start_with_tls(certificate: &Path, key: &Path) -> Result<Self> {
        Self::launch_in(&place(), Some((certificate.to_owned(), key.to_owned())))
    }

    /// Starts a server in a new directory of this one.
    pub fn start_in(place: &Path) -> Result<Self> {
        Self::launch_in(place, None)
    }

    fn launch_in(place: &Path, tls: Option<(PathBuf, PathBuf)>) -> Result<Self> {
        let scripts = installed().map_or_else(install, Ok)?;
        let process = Process::new("rabbitmq", place, START)?;
        fs::write(process.directory.join("plugins"), PLUGINS)?;
        let tls = tls.map(|(certificate, key)| (certificate, key, 0));
        Self { process, scripts, port: 0, tls, internal: (0, 0), names: None }.started(|this| {
            let [port, names, nodes, tls] = free_ports()?;
            (this.port, this.internal) = (port, (names, nodes));
            this.configure(tls)
        })
    }

    /// Where the server is: a URL for a user that may do everything.
    #[must_use]
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port)
    }

    /// Where the server takes encrypted connections, under the name `localhost`.
    pub fn tls_url(&self) -> Option<String> {
        let (.., port) = self.tls.as_ref()?;
        Some(format!("amqps://guest:guest@localhost:{port}/%2f"))
    }

    /// Writes the configuration.
    fn configure(&mut self, tls_port: u16) -> Result<()> {
        let Some((certificate, key, port)) = &mut self.tls else { return Ok(()) };
        *port = tls_port;
        let (certificate, key) = (certificate.display(), key.display());
        let settings = format!(
            "listeners.ssl.default = 127.0.0.1:{port}\nssl_options.cacertfile = {certificate}\n\
             ssl_options.certfile = {certificate}\nssl_options.keyfile = {key}\nssl_options.verify = verify_none\n"
        );
        Ok(fs::write(self.process.directory.join("settings.conf"), settings)?)
    }

    /// The port that it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends the server's process with SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Stops the server's process with SIGSTOP: connections stay, and nothing is answered.
    pub fn freeze(&self) {
        self.process.freeze();
    }

    /// Continues a [frozen](Self::freeze) server.
    pub fn resume(&self) {
        self.process.resume();
    }

    /// Kills the server if it runs, and starts it again on the same data and port.
    pub fn restart(&mut self) -> Result<()> {
        self.kill();
        self.launch_again()
    }

    /// Runs `rabbitmqctl` against the server.
    pub fn control(&self, arguments: &[&str]) -> Result<String> {
        run::output(self.command("rabbitmqctl").args(["--quiet", "--node", &self.node()]).args(arguments))
    }

    /// The server's output since it was last started.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    fn node(&self) -> String {
        format!("recount-{}@localhost", self.port)
    }

    /// A script of the server, with the environment that makes the server a private one.
    fn command(&self, script: &str) -> Command {
        let (names, nodes) = self.internal;
        let mut command = Command::new(self.scripts.join(script));
        command
            .current_dir(&self.process.directory)
            .stdin(Stdio::null())
            // The home holds the cookie.
            .env("HOME", &self.process.directory)
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_CONFIG_FILE", self.process.directory.join("settings"))
            .env("RABBITMQ_NODENAME", self.node())
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODE_PORT", self.port.to_string())
            .env("RABBITMQ_DIST_PORT", nodes.to_string())
            .env("ERL_EPMD_PORT", names.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_MNESIA_BASE", self.process.directory.join("data"))
            .env("RABBITMQ_LOG_BASE", self.process.directory.join("logs"))
            .env("RABBITMQ_LOGS", "-")
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", self.process.directory.join("plugins"))
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none")
            // The script then becomes the server's process, so that its id is known.
            .env("RUNNING_UNDER_SYSTEMD", "true");
        command
    }

    /// Starts the name service, if it does not run. Otherwise the server would start one that outlives it.
    fn name_service(&mut self) -> Result<()> {
        if self.names.as_mut().is_some_and(|names| matches!(names.try_wait(), Ok(None))) {
            return Ok(());
        }
        let mut command = Command::new("epmd");
        command.args(["-address", "127.0.0.1", "-port", &self.internal.0.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.names = Some(command.spawn().context("starting epmd, the name service of Erlang")?);
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.internal.0)).is_err() {
            ensure!(started.elapsed() < Duration::from_secs(20), "epmd does not listen on port {}", self.internal.0);
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Launch for RabbitMq {
    fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    fn launch(&mut self) -> Result<bool> {
        self.name_service()?;
        let (command, port) = (self.command("rabbitmq-server"), self.port);
        self.process.launch(command, |_| greets(port))
    }
}

/// Whether the server answers the greeting of AMQP with a frame of a method.
fn greets(port: u16) -> bool {
    let greet = || -> std::io::Result<u8> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(GREETING)?;
        let mut first = [0];
        stream.read_exact(&mut first)?;
        Ok(first[0])
    };
    greet().is_ok_and(|first| first == 1)
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        self.kill();
        run::kill(&mut self.names);
    }
}

/// The scripts of the package, of its newest version: those on the PATH switch the user.
fn installed() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/rabbitmq/lib").ok()?.flatten().map(|version| version.path().join("sbin"));
    versions.filter(|scripts| scripts.join("rabbitmq-server").is_file()).max()
}

/// Installs the package.
fn install() -> Result<PathBuf> {
    let cure = "no RabbitMQ: install one, or set RECOUNT_TEST_AMQP to the URL of a server for tests";
    apt::install(&["rabbitmq-server"]).context(cure)?;
    installed().context("the package rabbitmq-server has no scripts in /usr/lib/rabbitmq/lib")
}
