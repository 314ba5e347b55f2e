//! One private server that speaks the protocols of SQS, or of SQS and SNS. It ends with the value that stands for it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::http;
use crate::jars::Jars;
use crate::java::Java;
use crate::node::Node;
use crate::process::{Launch, Process, free_ports, place};

/// `ElasticMQ`, the most faithful one in order, leases and limits.
const ELASTICMQ: Jars = Jars {
    name: "elasticmq-server-1.7.1",
    pom: "<dependencies><dependency><groupId>org.elasticmq</groupId><artifactId>elasticmq-server_2.13</artifactId>\
          <version>1.7.1</version></dependency></dependencies>",
};
/// A server with SNS.
const FAUXQS: &str = "fauxqs@2.4.1";
/// The program that starts [`FAUXQS`].
const SCRIPT: &str = include_str!("fauxqs.mjs");
/// How long starting may take.
const START: Duration = Duration::from_secs(60);

/// The servers that stand in for AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AwsKind {
    /// `ElasticMQ`: SQS alone, in memory.
    ElasticMq,
    /// fauxqs: SQS and SNS. It keeps stored messages when it is killed, but forgets the ids of messages.
    Fauxqs,
    /// fauxqs in memory, which is quicker.
    FauxqsInMemory,
}

/// A private server of SQS, or of SQS and SNS.
#[derive(Debug)]
pub struct Aws {
    kind: AwsKind,
    process: Process,
    port: u16,
}

impl Aws {
    /// Starts a server, in a directory of its own.
    pub fn start(kind: AwsKind) -> Result<Self> {
        Self::start_in(&place(), kind)
    }

    /// Starts a server in a new directory of this one.
    pub fn start_in(place: &Path, kind: AwsKind) -> Result<Self> {
        Self { kind, process: Process::new("aws", place, START)?, port: 0 }.started(|this| {
            [this.port] = free_ports()?;
            Ok(())
        })
    }

    /// The port that it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address for programs of recount.
    #[must_use]
    pub fn url(&self) -> String {
        let fanout = if self.kind == AwsKind::ElasticMq { "&fanout=sqs" } else { "" };
        format!("sqs://key:secret@us-east-1?endpoint=http://127.0.0.1:{}{fanout}", self.port)
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

    /// Kills the server if it runs, and starts it again on the same data and port.
    pub fn restart(&mut self) -> Result<()> {
        self.kill();
        self.launch_again()
    }

    /// The server's log since it was last started.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }
}

impl Launch for Aws {
    fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    fn launch(&mut self) -> Result<bool> {
        let (directory, port) = (&self.process.directory, self.port);
        let command = match self.kind {
            AwsKind::ElasticMq => elasticmq(directory, port)?,
            AwsKind::Fauxqs => fauxqs(directory, port, true)?,
            AwsKind::FauxqsInMemory => fauxqs(directory, port, false)?,
        };
        // Any status will do.
        self.process.launch(command, |_| http::request(port, "GET", "/health", "", "").is_ok())
    }
}

fn elasticmq(directory: &Path, port: u16) -> Result<Command> {
    let settings = directory.join("elasticmq.conf");
    let lines = [
        "include classpath(\"application.conf\")".to_owned(),
        format!("rest-sqs {{ bind-hostname = \"127.0.0.1\", bind-port = {port}, sqs-limits = strict }}"),
        format!("node-address {{ protocol = http, host = \"127.0.0.1\", port = {port}, context-path = \"\" }}"),
        "rest-stats.enabled = false".to_owned(),
    ];
    fs::write(&settings, lines.join("\n"))?;
    let mut command = Java::find()?.command();
    command.arg("-Xmx256m").arg(format!("-Dconfig.file={}", settings.display()));
    command.arg("-cp").arg(ELASTICMQ.class_path()?).arg("org.elasticmq.server.Main");
    Ok(command)
}

fn fauxqs(directory: &Path, port: u16, keeps: bool) -> Result<Command> {
    let script = directory.join("fauxqs.mjs");
    fs::write(&script, SCRIPT)?;
    let node = Node::find()?;
    let package = node.package(FAUXQS)?;
    let mut command = node.command();
    command.arg(script).arg(package).arg(port.to_string());
    if keeps {
        command.arg(directory.join("data"));
    }
    Ok(command)
}
