//! One private Kafka, which ends with the value that stands for it.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::jars::Jars;
use crate::java::Java;
use crate::process::{Launch, Process, free_ports, place};
use crate::run;

/// The server's jars. Without a logger it says nothing.
const JARS: Jars = Jars {
    name: "kafka-4.4.0",
    pom: "<dependencies>\
          <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>4.4.0</version></dependency>\
          <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.25.2</version></dependency>\
          <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-core</artifactId><version>2.25.2</version></dependency>\
          </dependencies>",
};
/// How long starting may take, with the recovery from a crash. It takes 5 seconds on an idle machine.
const START: Duration = Duration::from_secs(120);
/// A cluster's id: 16 bytes in Base64.
const CLUSTER: &str = "cmVjb3VudC10ZXN0cy0wMQ";
/// The mechanisms by which users log in.
const MECHANISMS: &str = "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512";
/// A request for the versions of the protocol, with its length before it.
const GREETING: &[u8] = &[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff];
const LOGGING: &str = r#"<Configuration status="ERROR"><Appenders><Console name="out"><PatternLayout pattern="%d %p %c{1}: %m%n"/></Console></Appenders>
<Loggers><Root level="WARN"><AppenderRef ref="out"/></Root></Loggers></Configuration>
"#;

/// The settings of a private server. It always takes plain connections without a login.
#[derive(Clone, Debug, Default)]
pub struct KafkaSettings {
    /// The PEM files of a certificate and its key, for a port with encrypted connections.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// A user and a password, for a port with logins, and an encrypted one if there is a certificate.
    pub login: Option<(String, String)>,
    /// More lines for the configuration file.
    pub lines: Vec<String>,
}

/// A private server of one node, which is its own controller.
#[derive(Debug)]
pub struct Kafka {
    process: Process,
    java: Java,
    class_path: String,
    settings: KafkaSettings,
    /// The ports for plain connections, for the controller, for encrypted connections, for logins, and for both.
    ports: [u16; 5],
}

impl Kafka {
    /// Starts a server in a directory of its own.
    pub fn start() -> Result<Self> {
        Self::start_with(KafkaSettings::default())
    }

    /// Starts a server with these settings, in a directory of its own.
    pub fn start_with(settings: KafkaSettings) -> Result<Self> {
        Self::start_in(&place(), settings)
    }

    /// Starts a server in a new directory of this one.
    pub fn start_in(place: &Path, settings: KafkaSettings) -> Result<Self> {
        let (java, class_path) = (Java::find()?, JARS.class_path()?);
        let process = Process::new("kafka", place, START)?;
        fs::write(process.directory.join("log4j2.xml"), LOGGING)?;
        Self { process, java, class_path, settings, ports: [0; 5] }.started(|this| {
            this.ports = free_ports()?;
            this.format()
        })
    }

    /// The address for plain connections without a login.
    #[must_use]
    pub fn url(&self) -> String {
        format!("kafka://127.0.0.1:{}", self.ports[0])
    }

    /// The address for encrypted connections, under the name `localhost`, if there is a certificate.
    #[must_use]
    pub fn tls_url(&self) -> Option<String> {
        self.settings.certificate.as_ref().map(|_| format!("kafka://localhost:{}?tls=true", self.ports[2]))
    }

    /// The address with the login, if there is one.
    #[must_use]
    pub fn login_url(&self) -> Option<String> {
        let (user, password) = self.settings.login.as_ref()?;
        Some(format!("kafka://{user}:{password}@127.0.0.1:{}", self.ports[3]))
    }

    /// The address with the login for encrypted connections, if there are a login and a certificate.
    #[must_use]
    pub fn tls_login_url(&self) -> Option<String> {
        let ((user, password), _) = self.settings.login.as_ref().zip(self.settings.certificate.as_ref())?;
        Some(format!("kafka://{user}:{password}@localhost:{}?tls=true", self.ports[4]))
    }

    /// The port for plain connections.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.ports[0]
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

    /// Kills the server if it runs, and starts it again on the same data and ports.
    pub fn restart(&mut self) -> Result<()> {
        self.kill();
        self.launch_again()
    }

    /// The server's output since it was last started.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    fn command(&self, main: &str) -> Command {
        let mut command = self.java.command();
        command.current_dir(&self.process.directory);
        // Small and quick to start, rather than fast.
        command.args(["-Xms64m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
        command.args(["-Dlog4j2.configurationFile=log4j2.xml", "-cp", &self.class_path, main]);
        command
    }

    /// Writes the configuration, and creates the data directory.
    fn format(&self) -> Result<()> {
        let _ = fs::remove_dir_all(self.process.directory.join("data"));
        fs::write(self.process.directory.join("server.properties"), self.configuration()?)?;
        let mut command = self.command("kafka.tools.StorageTool");
        command.args(["format", "-t", CLUSTER, "-c", "server.properties", "--standalone"]);
        if let Some((user, password)) = &self.settings.login {
            for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
                command.args(["--add-scram", &format!("{mechanism}=[name={user},password={password}]")]);
            }
        }
        run::output(&mut command).map(drop)
    }

    fn configuration(&self) -> Result<String> {
        let [plain, controller, tls, login, both] = self.ports;
        let mut listeners = vec![("PLAINTEXT", "127.0.0.1", plain), ("CONTROLLER", "127.0.0.1", controller)];
        let settings = &self.settings;
        if settings.certificate.is_some() {
            listeners.push(("SSL", "localhost", tls));
        }
        if settings.login.is_some() {
            listeners.push(("SASL_PLAINTEXT", "127.0.0.1", login));
        }
        if settings.login.is_some() && settings.certificate.is_some() {
            listeners.push(("SASL_SSL", "localhost", both));
        }
        let listed = |host: fn(&str) -> &str| {
            let listed =
                listeners.iter().map(|(name, advertised, port)| format!("{name}://{}:{port}", host(advertised)));
            listed.collect::<Vec<_>>().join(",")
        };
        let mut text = format!(
            "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.bootstrap.servers=127.0.0.1:{controller}\n\
             listeners={}\nadvertised.listeners={}\ncontroller.listener.names=CONTROLLER\n\
             listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL\n\
             log.dirs={}\ngroup.initial.rebalance.delay.ms=0\n\
             log.retention.check.interval.ms=500\nlog.initial.task.delay.ms=500\nlog.segment.delete.delay.ms=500\n",
            listed(|_| "127.0.0.1"),
            listed(|host| host),
            self.process.directory.join("data").display(),
        );
        for of in ["offsets.topic", "transaction.state.log", "share.coordinator.state.topic"] {
            writeln!(text, "{of}.replication.factor=1\n{of}.num.partitions=1\n{of}.min.isr=1")?;
        }
        if let Some((certificate, key)) = &settings.certificate {
            let store = self.process.directory.join("certificate.pem");
            fs::write(&store, fs::read_to_string(key)? + &fs::read_to_string(certificate)?)?;
            writeln!(text, "ssl.keystore.type=PEM\nssl.keystore.location={}", store.display())?;
        }
        if let Some((user, password)) = &settings.login {
            let modules = "org.apache.kafka.common.security";
            for listener in ["sasl_plaintext", "sasl_ssl"] {
                let name = format!("listener.name.{listener}");
                writeln!(text, "{name}.sasl.enabled.mechanisms={MECHANISMS}")?;
                writeln!(
                    text,
                    "{name}.plain.sasl.jaas.config={modules}.plain.PlainLoginModule required user_{user}=\"{password}\";"
                )?;
                for mechanism in ["scram-sha-256", "scram-sha-512"] {
                    writeln!(text, "{name}.{mechanism}.sasl.jaas.config={modules}.scram.ScramLoginModule required;")?;
                }
            }
        }
        settings.lines.iter().try_for_each(|line| writeln!(text, "{line}"))?;
        Ok(text)
    }
}

impl Launch for Kafka {
    fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    fn launch(&mut self) -> Result<bool> {
        let mut command = self.command("kafka.Kafka");
        command.arg("server.properties");
        let port = self.port();
        self.process.launch(command, |_| greets(port))
    }
}

/// Whether the server answers a request.
fn greets(port: u16) -> bool {
    let greet = || -> std::io::Result<()> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(GREETING)?;
        stream.read_exact(&mut [0; 8])
    };
    greet().is_ok()
}
