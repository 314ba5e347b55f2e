//! The server, and the databases of those who are measured.

use anyhow::{Context, Result};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection, Row};

/// Where the server is.
const VARIABLE: &str = "RECOUNT_TEST_POSTGRES";
/// Set if the server is there for this run only, and may be told what suits it.
const DISPOSABLE: &str = "RECOUNT_TEST_POSTGRES_DISPOSABLE";

/// 256 files of 16 MB.
const FILL_LOG: &str = "DO $$ BEGIN
    FOR file IN 1 .. 256 LOOP
        PERFORM pg_logical_emit_message(false, 'bench', '');
        PERFORM pg_switch_wal();
    END LOOP;
END $$";

pub struct Server {
    url: String,
    /// What it says of itself.
    pub version: String,
}

impl Server {
    pub async fn find() -> Result<Self> {
        let url = std::env::var(VARIABLE).with_context(|| {
            format!("{VARIABLE} is not set: run `cargo xtask bench postgres`, which starts a server")
        })?;
        let mut server = Self { url, version: String::new() };
        if std::env::var_os(DISPOSABLE).is_some() {
            // No checkpoint in the middle of somebody's turn; durability stays on.
            let settings = [
                "max_wal_size = '16GB'",
                "min_wal_size = '8GB'",
                "checkpoint_timeout = '1h'",
                "maintenance_work_mem = '1GB'",
            ];
            for setting in settings {
                server.run("postgres", &format!("ALTER SYSTEM SET {setting}")).await?;
            }
            server.run("postgres", "SELECT pg_reload_conf()").await?;
            // As on a server that has run for a while, the files of the log are there and are used again: whoever needs
            // a new one waits while it is filled with zeros.
            server.run("postgres", FILL_LOG).await?;
            server.checkpoint().await?;
        }
        let mut connection = server.connect("postgres").await?;
        let settings = "SELECT current_setting('server_version') || '; fsync ' || current_setting('fsync')
            || ', synchronous_commit ' || current_setting('synchronous_commit') || ', full_page_writes '
            || current_setting('full_page_writes') || ', shared_buffers ' || current_setting('shared_buffers')
            || ', max_wal_size ' || current_setting('max_wal_size')";
        server.version = sqlx::query(settings).fetch_one(&mut connection).await?.try_get(0)?;
        Ok(server)
    }

    /// The address of a database of this run.
    pub fn url(&self, database: &str) -> Result<String> {
        Ok(self.options(database)?.to_url_lossy().to_string())
    }

    fn options(&self, database: &str) -> Result<PgConnectOptions> {
        let options: PgConnectOptions = self.url.parse()?;
        Ok(options.database(database).disable_statement_logging())
    }

    pub async fn connect(&self, database: &str) -> Result<PgConnection> {
        Ok(self.options(database)?.connect().await?)
    }

    /// Runs statements of this program's.
    pub async fn run(&self, database: &str, sql: &str) -> Result<()> {
        let mut connection = self.connect(database).await?;
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
        Ok(())
    }

    /// Makes the database anew.
    pub async fn create(&self, database: &str) -> Result<()> {
        self.drop(database).await?;
        self.run("postgres", &format!("CREATE DATABASE {database}")).await
    }

    pub async fn drop(&self, database: &str) -> Result<()> {
        self.run("postgres", &format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)")).await
    }

    /// What was written goes to its place now, not while somebody is measured.
    pub async fn checkpoint(&self) -> Result<()> {
        self.run("postgres", "CHECKPOINT").await
    }
}
