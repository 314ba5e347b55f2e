//! The six services, as child processes, or as tasks of this process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use recount::messaging::Broker;
use tokio::process::Command;
use tokio::sync::watch;

use super::broker::{IN_PROCESS, check, connect};
use super::member::{Member, Start};
use super::parts::Fulfilling;
use super::stores::Stores;
use super::supervised::{Launch, Supervised, piped};
use super::topology::{Names, Part};

/// How often the children are looked at.
const LOOK: Duration = Duration::from_millis(200);

/// The settings of all services.
#[derive(Clone)]
pub struct Settings {
    pub broker: String,
    pub stores: Stores,
    pub names: Names,
    pub fulfilling: Fulfilling,
    pub otlp: Option<String>,
}

/// The services.
pub enum Crew {
    Processes { services: Vec<Supervised>, entry: watch::Receiver<Option<SocketAddr>> },
    Tasks { members: Vec<Member>, broker: Arc<dyn Broker>, entry: watch::Receiver<Option<SocketAddr>> },
}

impl Crew {
    /// Starts them: tasks if the broker is in this process.
    pub async fn start(settings: &Settings) -> Result<Self> {
        if settings.broker.starts_with(IN_PROCESS) {
            settings.stores.make().await?;
            return Self::tasks(settings).await;
        }
        // Once here, instead of by each service in each of its attempts to start.
        check(&settings.broker).await?;
        settings.stores.make().await?;
        Self::processes(settings)
    }

    fn processes(settings: &Settings) -> Result<Self> {
        let program = std::env::current_exe().context("can't find the program of the services")?;
        let (announced, entry) = watch::channel(None);
        let announced = Arc::new(announced);
        let launch: Arc<Launch> = launch(program, settings.clone()).into();
        let start = |part| {
            let announced = (part == Part::Order).then(|| Arc::clone(&announced));
            Supervised::start(part, Arc::clone(&launch), announced)
        };
        Ok(Self::Processes { services: Part::ALL.map(start).into(), entry })
    }

    async fn tasks(settings: &Settings) -> Result<Self> {
        let address = match settings.broker.strip_prefix(IN_PROCESS) {
            // With its messages beside the stores, a shop that was killed goes on where it was.
            Some("") => format!("{IN_PROCESS}{}", settings.stores.of_broker()),
            _ => settings.broker.clone(),
        };
        let broker = connect(&address).await?;
        let (mut members, mut address) = (Vec::new(), None);
        for part in Part::ALL {
            let store = settings.stores.of(part);
            let start = Start { part, names: &settings.names, store: &store, fulfilling: settings.fulfilling };
            let member = Member::start(start, Arc::clone(&broker)).await?;
            address = address.or(member.address());
            members.push(member);
        }
        let (_, entry) = watch::channel(address);
        Ok(Self::Tasks { members, broker, entry })
    }

    /// Where orders are taken at present.
    pub fn entry(&self) -> watch::Receiver<Option<SocketAddr>> {
        match self {
            Self::Processes { entry, .. } | Self::Tasks { entry, .. } => entry.clone(),
        }
    }

    /// Kills a service, which is then started again. Returns whether it was running.
    pub fn kill(&self, part: Part) -> bool {
        match self {
            Self::Processes { services, .. } => services.iter().any(|service| service.part() == part && service.kill()),
            Self::Tasks { .. } => false,
        }
    }

    /// The services that are running.
    pub fn up(&self) -> Vec<Part> {
        match self {
            Self::Processes { services, .. } => {
                services.iter().filter(|service| service.is_up()).map(Supervised::part).collect()
            }
            Self::Tasks { members, .. } => members.iter().map(Member::part).collect(),
        }
    }

    /// How often services were started again.
    pub fn restarts(&self) -> u64 {
        match self {
            Self::Processes { services, .. } => services.iter().map(Supervised::restarts).sum(),
            Self::Tasks { .. } => 0,
        }
    }

    /// Waits until a service can't go on.
    pub async fn failed(&self) -> anyhow::Error {
        match self {
            Self::Processes { services, .. } => loop {
                if let Some(service) = services.iter().find(|service| service.has_failed()) {
                    return anyhow::anyhow!("service {} can't be started; see its messages above", service.part());
                }
                tokio::time::sleep(LOOK).await;
            },
            Self::Tasks { members, .. } => {
                let failures: Vec<_> = members.iter().map(|member| Box::pin(member.failed())).collect();
                futures_util::future::select_all(failures).await.0
            }
        }
    }

    /// Ends them all at once, and waits until they have ended.
    pub async fn stop(self) -> Result<()> {
        match self {
            Self::Processes { services, .. } => {
                let ends = services.into_iter().map(Supervised::stop);
                futures_util::future::join_all(ends).await.into_iter().collect()
            }
            Self::Tasks { members, broker, .. } => {
                futures_util::future::join_all(members.into_iter().map(Member::stop)).await;
                broker.close(Duration::from_secs(3)).await;
                Ok(())
            }
        }
    }
}

/// The command for a service. Addresses may have passwords: they are not among the arguments, which all users can see.
fn launch(program: PathBuf, settings: Settings) -> Box<Launch> {
    Box::new(move |part| {
        let mut command = Command::new(&program);
        command.args(["service", part.name(), "--conducted", "--name", settings.names.shop()]);
        command.env("SHOP_BROKER", &settings.broker).env("SHOP_STORE", settings.stores.of(part));
        if std::env::var_os("RUST_LOG").is_none() {
            // A service that was killed is followed by warnings of the services that call it. They would hide the view.
            command.env("RUST_LOG", "error");
        }
        if let Some(otlp) = &settings.otlp {
            command.args(["--otlp", otlp]);
        }
        if settings.fulfilling == Fulfilling::ByRequests {
            command.arg("--by-requests");
        }
        piped(command)
    })
}
