//! The stores of the services: each has one of its own.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use recount::redacted;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::topology::Part;

/// The name of the store of the broker in this process, beside those of the services.
const BROKER: &str = "broker";

/// Where the stores are.
#[derive(Clone)]
pub enum Stores {
    /// A SQLite file each.
    Directory(PathBuf),
    /// A database each, beside the one that the URL names.
    Postgres(String),
}

impl Stores {
    pub fn new(place: &str) -> Result<Self> {
        match place.split_once("://") {
            Some(("postgres" | "postgresql", _)) => Ok(Self::Postgres(place.to_owned())),
            Some(_) => bail!("--stores {}: write a directory, or postgres://HOST/DATABASE", redacted(place)),
            None => Ok(Self::Directory(place.into())),
        }
    }

    /// Makes the directory, or the databases that are missing.
    pub async fn make(&self) -> Result<()> {
        match self {
            Self::Directory(directory) => std::fs::create_dir_all(directory)
                .with_context(|| format!("can't make the directory {}", directory.display())),
            Self::Postgres(url) => {
                let context = || format!("can't make the databases at {}", redacted(url));
                make_databases(url).await.with_context(context)
            }
        }
    }

    /// The address of the store of a service.
    pub fn of(&self, part: Part) -> String {
        self.named(part.name())
    }

    /// The address of the store of the broker in this process.
    pub fn of_broker(&self) -> String {
        self.named(BROKER)
    }

    fn named(&self, name: &str) -> String {
        match self {
            Self::Directory(directory) => format!("sqlite://{}", directory.join(format!("{name}.db")).display()),
            Self::Postgres(url) => {
                let (base, database, options) = split(url);
                let options = options.map(|options| format!("?{options}")).unwrap_or_default();
                format!("{base}/{}{options}", database_of(database, name))
            }
        }
    }

    /// The file of a service, if that is its store.
    pub fn file(&self, part: Part) -> Option<PathBuf> {
        match self {
            Self::Directory(directory) => Some(directory.join(format!("{part}.db"))),
            Self::Postgres(_) => None,
        }
    }
}

/// The server, the database, and the options of a URL.
fn split(url: &str) -> (&str, &str, Option<&str>) {
    let (path, options) = url.split_once('?').map_or((url, None), |(path, options)| (path, Some(options)));
    let (base, database) = match path.rsplit_once('/') {
        Some((base, database)) if !base.ends_with('/') && !database.is_empty() => (base, database),
        _ => (path.trim_end_matches('/'), "postgres"),
    };
    (base, database, options)
}

fn database_of(database: &str, name: &str) -> String {
    format!("{database}_{name}")
}

async fn make_databases(url: &str) -> Result<()> {
    let (_, database, _) = split(url);
    let mut connection = PgConnection::connect(url).await?;
    for name in Part::ALL.iter().map(|part| part.name()).chain([BROKER]) {
        let name = database_of(database, name);
        let known: Option<(String,)> = sqlx::query_as("SELECT datname::text FROM pg_database WHERE datname = $1")
            .bind(&name)
            .fetch_optional(&mut connection)
            .await?;
        if known.is_none() {
            let create = format!("CREATE DATABASE \"{}\"", name.replace('"', "\"\""));
            sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut connection).await?;
        }
    }
    connection.close().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_service_has_a_store_of_its_own() {
        let files = Stores::new("/tmp/shop").unwrap();
        assert_eq!(files.of(Part::User), "sqlite:///tmp/shop/user.db");
        let databases = Stores::new("postgres://ada@localhost:5432/shop?host=/run").unwrap();
        assert_eq!(databases.of(Part::Order), "postgres://ada@localhost:5432/shop_order?host=/run");
        let unnamed = Stores::new("postgres://localhost").unwrap();
        assert_eq!(unnamed.of(Part::Order), "postgres://localhost/postgres_order");
        assert!(Stores::new("mysql://localhost/shop").is_err());
    }
}
