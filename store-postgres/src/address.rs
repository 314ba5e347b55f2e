//! The address of a database: `postgres://USER:PASSWORD@HOST:PORT/DATABASE?NAME=VALUE`.

use std::fmt;

use percent_encoding::percent_decode_str;
use recount_core::{StoreError, redacted};
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;

use crate::error::During;

const OPERATION: &str = "reading the address of the database";
/// The parameters that the driver knows, beside `options[…]`. It would ignore any other one and log its value.
const PARAMETERS: &[&str] = &[
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];
const SSL_MODES: &[&str] = &["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];
/// The parameter that names the store's schema. It is recount's own; the driver does not know it.
const SCHEMA: &str = "schema";

/// An address with a `Debug` that shows no secrets.
#[derive(Clone)]
pub(crate) struct Address(String);

impl Address {
    pub(crate) fn new(url: &str) -> Self {
        Self(url.to_owned())
    }

    /// Parses the address into the driver's options, and the schema if the address names one.
    ///
    /// # Errors
    /// [`StoreError::Backend`] names the problem of the address and its cure; it shows no values.
    pub(crate) fn options(&self) -> Result<(PgConnectOptions, Option<String>), StoreError> {
        let (url, schema) = self.check().map_err(|problem| StoreError::Backend {
            operation: OPERATION,
            source: format!("{self:?}: {problem}").into(),
        })?;
        let options: PgConnectOptions = url.parse().during(OPERATION)?;
        let named = options.get_application_name().is_some();
        // The driver takes the brackets around an IPv6 address for a part of the host's name.
        let number = options.get_host().strip_prefix('[').and_then(|host| host.strip_suffix(']')).map(str::to_owned);
        let options = if let Some(host) = number { options.host(&host) } else { options };
        let options = options.disable_statement_logging();
        Ok((if named { options } else { options.application_name("recount") }, schema))
    }

    /// Splits the address into the driver's part and the schema.
    fn check(&self) -> Result<(String, Option<String>), String> {
        let url = &self.0;
        let Some(("postgres" | "postgresql", rest)) = url.split_once("://") else {
            return Err("it must begin with postgres://".to_owned());
        };
        if url.contains('#') {
            return Err(escape('#', "%23"));
        }
        let (place, parameters) = url.split_once('?').unwrap_or((url, ""));
        if parameters.contains('@') {
            return Err(escape('?', "%3F") + ", and `@` in the value of a parameter as %40");
        }
        let path = rest.split('?').next().and_then(|place| place.split_once('/')).map_or("", |(_, path)| path);
        if path.contains('@') {
            return Err(escape('/', "%2F"));
        }
        if path.contains(['&', '=']) {
            return Err("parameters begin with `?`; write `&` and `=` in the database's name as %26 and %3D".to_owned());
        }
        let (mut known, mut schema) = (Vec::new(), None);
        for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').ok_or("write parameters as NAME=VALUE, joined by `&`")?;
            if ["sslmode", "ssl-mode"].contains(&name) && !SSL_MODES.contains(&value) {
                // The driver's error would show the value.
                return Err(format!("{name} is one of {}", SSL_MODES.join(", ")));
            }
            if name == SCHEMA {
                let value = percent_decode_str(value).decode_utf8();
                schema = Some(value.map_err(|_| "the schema's name is no UTF-8".to_owned())?.into_owned());
            } else if PARAMETERS.contains(&name) || name.starts_with("options[") {
                known.push(parameter);
            } else {
                return Err(format!("there is no parameter {name:?}; known are {SCHEMA}, {}", PARAMETERS.join(", ")));
            }
        }
        let separator = if known.is_empty() { "" } else { "?" };
        Ok((format!("{place}{separator}{}", known.join("&")), schema))
    }
}

fn escape(character: char, escaped: &str) -> String {
    format!("write `{character}` in the user's name, the password or the database's name as {escaped}")
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redacted(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(error: &StoreError) -> String {
        let first: Option<&(dyn std::error::Error + 'static)> = Some(error);
        let all = std::iter::successors(first, |error| error.source());
        all.map(|error| format!("{error} {error:?}")).collect::<Vec<_>>().join(": ")
    }

    #[test]
    fn an_address_is_taken_apart() {
        let url =
            "postgresql://app:s3%40cret@db.example.com:7/bank?schema=my-store&application_name=till&sslmode=require";
        let (options, schema) = Address::new(url).options().unwrap();
        assert_eq!(
            (options.get_host(), options.get_port(), options.get_database()),
            ("db.example.com", 7, Some("bank"))
        );
        assert_eq!((options.get_username(), options.get_application_name()), ("app", Some("till")));
        assert_eq!(schema.as_deref(), Some("my-store"));
        let (options, schema) = Address::new("postgres://db/bank?schema=x").options().unwrap();
        assert_eq!((options.get_application_name(), schema.as_deref()), (Some("recount"), Some("x")));
    }

    #[test]
    fn a_host_may_be_a_number() {
        for (url, host) in [("postgres://app@[::1]:7/bank", "::1"), ("postgres://app@127.0.0.1/bank", "127.0.0.1")] {
            assert_eq!(Address::new(url).options().unwrap().0.get_host(), host);
        }
    }

    #[test]
    fn a_builder_shows_no_secret() {
        let builder = crate::PostgresStore::builder("postgres://app:hunter2@db/bank?password=hunter2");
        assert!(!format!("{builder:?}").contains("hunter2"), "{builder:?}");
    }

    #[test]
    fn no_error_shows_a_secret_or_ignores_a_parameter() {
        for url in [
            "postgres://app:hunter2@db:99999/bank",
            "postgres://app:hunter2@[/bank",
            "postgres://app:hunt#er2@db/bank",
            "postgres://app:1/hunter2@db/bank",
            "postgres://app:1?hunter2@db/bank",
            "postgres://app:hunter2@db/bank?sslmode=never",
            "postgres://db/bank?sslmode=hunter2",
            "postgres://db/bank?hunter2",
            "postgres://db/bank?password%3Dhunter2",
            "postgres://db/bank&password=hunter2",
            "postgres://db/bank?passwort=hunter2",
            "postgres://db/bank?password=hunter2&port=x",
            "mysql://app:hunter2@db/bank",
        ] {
            let text = chain(&Address::new(url).options().unwrap_err());
            assert!(!text.contains("hunt") && !text.contains("er2"), "{url}: {text}");
        }
    }
}
