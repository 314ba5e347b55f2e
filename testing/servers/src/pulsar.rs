//! One private Pulsar, a standalone, which ends with the value that stands for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::http;
use crate::jars::Jars;
use crate::java::Java;
use crate::process::{Launch, Process, free_ports, place};

/// The broker. Without the pins it dies at the start with a missing method.
const JARS: Jars = Jars {
    name: "pulsar-4.2.4",
    pom: "<dependencyManagement><dependencies>\
          <dependency><groupId>io.opentelemetry</groupId><artifactId>opentelemetry-bom</artifactId>\
          <version>1.62.0</version><type>pom</type><scope>import</scope></dependency>\
          <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-bom</artifactId>\
          <version>2.25.4</version><type>pom</type><scope>import</scope></dependency>\
          </dependencies></dependencyManagement>\
          <dependencies><dependency><groupId>org.apache.pulsar</groupId><artifactId>pulsar-broker</artifactId>\
          <version>4.2.4</version></dependency></dependencies>",
};
/// How long starting may take, with the recovery from a crash. It takes 6 seconds on an idle machine.
const START: Duration = Duration::from_secs(180);
/// The parts of the runtime that the program reaches into.
const OPENED: [&str; 6] = [
    "java.base/java.nio",
    "java.base/jdk.internal.misc",
    "java.base/java.io",
    "java.base/java.util.zip",
    "java.base/sun.net",
    "java.management/sun.management",
];
const LOGGING: &str = r#"<Configuration status="warn"><Appenders><Console name="out"><PatternLayout pattern="%d %p %c{1} %m%n"/></Console></Appenders><Loggers><Root level="warn"><AppenderRef ref="out"/></Root></Loggers></Configuration>
"#;

/// The settings of a private server.
#[derive(Clone, Debug, Default)]
pub struct PulsarSettings {
    /// Recognises messages that a producer sends twice.
    pub deduplication: bool,
    /// Writes acknowledgements before anything else happens, and not once a second, as servers do by default.
    pub eager_acknowledgements: bool,
    /// The secret key of JSON web tokens, in base64: the server then takes connections with tokens only.
    /// [`admin_token`](Self::admin_token) is one of the superuser `admin`.
    pub secret_key: Option<String>,
    /// The token by which the server itself and its superuser connect. Needed with a secret key.
    pub admin_token: Option<String>,
    /// The PEM files of a certificate and its key, of the form PKCS#8: the server then takes encrypted connections as well.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// A private server of one process: broker, bookie and metadata.
#[derive(Debug)]
pub struct Pulsar {
    process: Process,
    java: Java,
    jars: String,
    settings: PulsarSettings,
    ports: Ports,
}

#[derive(Clone, Copy, Debug, Default)]
struct Ports {
    service: u16,
    web: u16,
    service_tls: u16,
    web_tls: u16,
}

impl Pulsar {
    /// Starts a server in a directory of its own.
    pub fn start() -> Result<Self> {
        Self::start_with(PulsarSettings::default())
    }

    /// Starts a server with these settings, in a directory of its own.
    pub fn start_with(settings: PulsarSettings) -> Result<Self> {
        Self::start_in(&place(), settings)
    }

    /// Starts a server in a new directory of this one.
    pub fn start_in(place: &Path, settings: PulsarSettings) -> Result<Self> {
        let (java, jars) = (Java::find()?, JARS.class_path()?);
        let process = Process::new("pulsar", place, START)?;
        fs::write(process.directory.join("log4j2.xml"), LOGGING)?;
        Self { process, java, jars, settings, ports: Ports::default() }.started(|this| {
            let [service, web, service_tls, web_tls] = free_ports()?;
            this.ports = Ports { service, web, service_tls, web_tls };
            Ok(fs::write(this.process.directory.join("standalone.conf"), this.configuration())?)
        })
    }

    /// The address with that of the admin interface.
    #[must_use]
    pub fn url(&self) -> String {
        format!("pulsar://127.0.0.1:{}?admin=http://127.0.0.1:{}", self.ports.service, self.ports.web)
    }

    /// The address for encrypted connections, under the name `localhost`.
    #[must_use]
    pub fn tls_url(&self) -> Option<String> {
        self.settings.certificate.as_ref()?;
        Some(format!(
            "pulsar+ssl://localhost:{}?admin=https://localhost:{}",
            self.ports.service_tls, self.ports.web_tls
        ))
    }

    /// The port for clients.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.ports.service
    }

    /// The port of the admin interface.
    #[must_use]
    pub fn admin_port(&self) -> u16 {
        self.ports.web
    }

    /// Lets a role produce and consume in the namespace `public/default`. Needs the superuser's token.
    pub fn grant(&self, role: &str) -> Result<()> {
        let path = format!("/admin/v2/namespaces/public/default/permissions/{role}");
        let token = self.settings.admin_token.as_deref().unwrap_or_default();
        let headers = format!("Authorization: Bearer {token}\r\nContent-Type: application/json\r\n");
        let answer = http::request(self.ports.web, "POST", &path, &headers, r#"["produce", "consume"]"#)?;
        ensure!(answer.status < 300, "granting rights: {} {}", answer.status, answer.body);
        Ok(())
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

    fn command(&self) -> Command {
        let mut command = self.java.command();
        command.args(["-Xmx512m", "-XX:MaxDirectMemorySize=512m", "-XX:+UseSerialGC"]);
        for opened in OPENED {
            command.arg("--add-opens").arg(format!("{opened}=ALL-UNNAMED"));
        }
        for (role, driver) in [("bookie", "PulsarMetadataBookieDriver"), ("client", "PulsarMetadataClientDriver")] {
            command.arg(format!("-Dbookkeeper.metadata.{role}.drivers=org.apache.pulsar.metadata.bookkeeper.{driver}"));
        }
        command.args(["-Dio.netty.tryReflectionSetAccessible=true", "-Dlog4j2.configurationFile=log4j2.xml"]);
        command.args(["-cp", &self.jars, "org.apache.pulsar.PulsarStandaloneStarter", "--config", "standalone.conf"]);
        command.args(["--no-functions-worker", "--no-stream-storage", "--num-bookies", "1"]);
        command.args([
            "--metadata-dir",
            "metadata",
            "--bookkeeper-dir",
            "ledgers",
            "--advertised-address",
            "127.0.0.1",
        ]);
        command
    }

    fn configuration(&self) -> String {
        let Ports { service, web, service_tls, web_tls } = self.ports;
        let limit = if self.settings.eager_acknowledgements { "0" } else { "1.0" };
        let mut lines = vec![
            format!("brokerServicePort={service}"),
            format!("webServicePort={web}"),
            "bindAddress=127.0.0.1".to_owned(),
            "advertisedAddress=127.0.0.1".to_owned(),
            "clusterName=standalone".to_owned(),
            "managedLedgerDefaultEnsembleSize=1".to_owned(),
            "managedLedgerDefaultWriteQuorum=1".to_owned(),
            "managedLedgerDefaultAckQuorum=1".to_owned(),
            format!("managedLedgerDefaultMarkDeleteRateLimit={limit}"),
            "acknowledgmentAtBatchIndexLevelEnabled=true".to_owned(),
            "loadBalancerEnabled=false".to_owned(),
            // Without it a message near the limit makes the broker loop for ever and fills the disk.
            "nettyMaxFrameSizeBytes=5253120".to_owned(),
            // It keeps the disk busy until it is nearly full, also a disk that others have filled.
            "diskUsageThreshold=0.99".to_owned(),
            "diskUsageWarnThreshold=0.99".to_owned(),
            format!("brokerDeduplicationEnabled={}", self.settings.deduplication),
            // Fewer threads than the many that it starts by default.
            "numIOThreads=2".to_owned(),
            "numHttpServerThreads=8".to_owned(),
        ];
        if let Some((certificate, key)) = &self.settings.certificate {
            lines.push(format!("brokerServicePortTls={service_tls}"));
            lines.push(format!("webServicePortTls={web_tls}"));
            lines.push(format!("tlsCertificateFilePath={}", certificate.display()));
            lines.push(format!("tlsKeyFilePath={}", key.display()));
            lines.push(format!("brokerClientTrustCertsFilePath={}", certificate.display()));
        }
        if let (Some(key), Some(token)) = (&self.settings.secret_key, &self.settings.admin_token) {
            lines.push("authenticationEnabled=true".to_owned());
            lines.push("authorizationEnabled=true".to_owned());
            lines.push("superUserRoles=admin".to_owned());
            lines.push(
                "authenticationProviders=org.apache.pulsar.broker.authentication.AuthenticationProviderToken"
                    .to_owned(),
            );
            lines.push(format!("tokenSecretKey=data:;base64,{key}"));
            lines.push(
                "brokerClientAuthenticationPlugin=org.apache.pulsar.client.impl.auth.AuthenticationToken".to_owned(),
            );
            lines.push(format!("brokerClientAuthenticationParameters=token:{token}"));
        }
        lines.join("\n") + "\n"
    }
}

impl Launch for Pulsar {
    fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    fn launch(&mut self) -> Result<bool> {
        let (command, web) = (self.command(), self.ports.web);
        let login = match &self.settings.admin_token {
            Some(token) => format!(
                "Authorization: Bearer {token}
"
            ),
            None => String::new(),
        };
        self.process.launch(command, |_| http::is_healthy(web, "/admin/v2/brokers/health", &login))
    }
}
