//! One service as a process of its own: `shop service NAME`.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::broker::connect;
use super::member::{Member, Start};
use super::parts::Fulfilling;
use super::topology::{Names, Part};
use crate::stop::Stop;
use crate::telemetry::Telemetry;

/// How long the broker has to take the last messages.
const PATIENCE: Duration = Duration::from_secs(3);

/// The options of one service.
#[derive(Args)]
pub struct ServiceOptions {
    /// user, order, payment, inventory, notification or analytics
    pub part: Part,
    /// The broker, as for `services`
    #[arg(long, value_name = "URL", env = "SHOP_BROKER", hide_env_values = true)]
    pub broker: String,
    /// Its store: sqlite://FILE or postgres://HOST/DATABASE
    #[arg(long, value_name = "URL", env = "SHOP_STORE", hide_env_values = true)]
    pub store: String,
    /// The name of the shop: services with other names don't hear of these
    #[arg(long, value_name = "NAME", default_value = "shop")]
    pub name: String,
    /// Serve /metrics and /health on this loopback address, such as 127.0.0.1:9464
    #[arg(long, value_name = "ADDR")]
    pub metrics: Option<String>,
    /// Send traces to this OTLP endpoint, such as http://localhost:4318
    #[arg(long, value_name = "URL")]
    pub otlp: Option<String>,
    /// Fulfil orders by requests before they are accepted, to compare
    #[arg(long, hide = true)]
    pub by_requests: bool,
    /// End when standard input ends: the process that started this one is gone then
    #[arg(long, hide = true)]
    pub conducted: bool,
}

impl ServiceOptions {
    /// The name of the service among those of all shops.
    pub fn full_name(&self) -> String {
        format!("{}-{}", self.name, self.part)
    }
}

/// The line that a service prints when it has started.
#[derive(Debug, Serialize, Deserialize)]
pub struct Ready {
    pub ready: String,
    /// Where it takes orders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<SocketAddr>,
}

/// Runs the service until it is asked to stop.
pub async fn run(options: &ServiceOptions, telemetry: &mut Telemetry) -> Result<ExitCode> {
    let mut stop = Stop::listen()?;
    let names = Names::new(&options.name)?;
    let started = async {
        let broker = connect(&options.broker).await?;
        let fulfilling = if options.by_requests { Fulfilling::ByRequests } else { Fulfilling::ByEvents };
        let start = Start { part: options.part, names: &names, store: &options.store, fulfilling };
        let member = Member::start(start, broker.clone()).await?;
        anyhow::Ok((broker, member))
    };
    let gone = orphaned(options.conducted);
    tokio::pin!(gone);
    let (broker, member) = tokio::select! {
        started = started => started?,
        code = stop.asked() => return Ok(code),
        () = &mut gone => return Ok(ExitCode::SUCCESS),
    };
    let outcome = tokio::select! {
        outcome = serve(&member, telemetry) => outcome,
        code = stop.asked() => Ok(code),
        () = &mut gone => Ok(ExitCode::SUCCESS),
    };
    let closing = async {
        member.stop().await;
        broker.close(PATIENCE).await;
    };
    tokio::select! {
        () = closing => outcome,
        code = stop.asked() => Ok(code),
    }
}

/// Says that it has started, and runs until a part of it fails.
async fn serve(member: &Member, telemetry: &mut Telemetry) -> Result<ExitCode> {
    telemetry.serve(member.recount()).await?;
    let ready = Ready { ready: member.part().to_string(), address: member.address() };
    let mut out = io::stdout().lock();
    // The reader may be gone; the service runs all the same.
    let _ = writeln!(out, "{}", serde_json::to_string(&ready)?).and_then(|()| out.flush());
    drop(out);
    Err(member.failed().await)
}

/// Waits until the process that started this one is gone.
async fn orphaned(conducted: bool) {
    if !conducted {
        return std::future::pending().await;
    }
    let (ended, end) = oneshot::channel();
    // Not a task of the runtime, which would wait for the read at its own end: the program has to end before its input does.
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        let _ = ended.send(());
    });
    let _ = end.await;
}
