//! The address of servers: `pulsar://TOKEN@HOST:PORT/TENANT/NAMESPACE?NAME=VALUE`.

use std::time::Duration;

use recount_core::redacted;
use recount_messaging::BrokerError;
use recount_messaging::address::{decoded, parameters, server, split, web};

use crate::PulsarOptions;

/// The parameters of an address.
const PARAMETERS: &str = "admin, ca, max_age, max_message, prefetch, timeout, token";
/// The ports of the admin interface unless the address names one.
const ADMIN_PORTS: [u16; 2] = [8080, 8443];

/// Where the admin interface is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Admin {
    pub(crate) tls: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Admin {
    /// Reads `http://HOST:PORT` or `https://HOST:PORT`.
    pub(crate) fn read(url: &str) -> Option<Self> {
        let address = web(url).filter(|address| address.path.is_empty())?;
        Some(Self { tls: address.tls, host: address.host.to_owned(), port: address.port })
    }
}

/// Reads an address into the options.
///
/// # Errors
/// [`BrokerError::Invalid`] names the problem and its cure; it shows no values.
pub(crate) fn read(url: &str, options: PulsarOptions) -> Result<PulsarOptions, BrokerError> {
    parse(url, options).map_err(|cure| BrokerError::Invalid { kind: "address of Pulsar", value: redacted(url), cure })
}

fn parse(url: &str, mut options: PulsarOptions) -> Result<PulsarOptions, String> {
    let parts = split(url, &["pulsar", "pulsar+ssl"], "the token")?;
    options.tls = parts.scheme == "pulsar+ssl";
    if let Some(token) = parts.login {
        if token.contains(':') {
            return Err("write a token before the `@`, without `:`".to_owned());
        }
        options.token = Some(decoded(token)?);
    }
    let (place, path) = parts.place.split_once('/').unwrap_or((parts.place, ""));
    let (name, _) = server(place).ok_or("write one server as HOST or HOST:PORT")?;
    options.host = place.to_owned();
    let port = ADMIN_PORTS[usize::from(options.tls)];
    options.admin = Admin { tls: options.tls, host: name.to_owned(), port };
    if !path.is_empty() {
        let wrong = || "write /TENANT/NAMESPACE behind the server, of letters, digits, `-`, `_`, `=`, `:` and `.`";
        let (tenant, namespace) = path.strip_suffix('/').unwrap_or(path).split_once('/').ok_or_else(wrong)?;
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_=:.".contains(c);
        if [tenant, namespace].iter().any(|part| part.is_empty() || !part.chars().all(fits)) {
            return Err(wrong().to_owned());
        }
        (options.tenant, options.namespace) = (tenant.to_owned(), namespace.to_owned());
    }
    for parameter in parameters(parts.parameters) {
        let (name, value) = parameter?;
        options = set(options, name, &value)?;
    }
    Ok(options)
}

fn set(mut options: PulsarOptions, name: &str, value: &str) -> Result<PulsarOptions, String> {
    let number = |least: u32, most: u32| match value.parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(format!("{name} is a number from {least} to {most}")),
    };
    let seconds = || Ok::<_, String>(Duration::from_secs(number(1, u32::MAX)?.into()));
    Ok(match name {
        "admin" => {
            options.admin = Admin::read(value).ok_or("admin is http://HOST:PORT or https://HOST:PORT")?;
            options
        }
        "ca" => options.root_certificates(value),
        "max_age" => options.max_age(seconds()?),
        "max_message" => options.max_message(usize::try_from(number(1, u32::MAX)?).unwrap_or(usize::MAX)),
        "prefetch" => options.prefetch(number(4, 100_000)?),
        "timeout" => options.call_timeout(seconds()?),
        "token" => options.token(value),
        // An unknown name may be a part of a secret.
        _ => return Err(format!("it has an unknown parameter; known are {PARAMETERS}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        let options = PulsarOptions::new(
            "pulsar+ssl://to%40ken@a.example:7/acme/orders?admin=https://b:9&timeout=2&max_age=60&ca=/x.pem",
        )
        .unwrap();
        assert_eq!((options.host.as_str(), options.tls), ("a.example:7", true));
        assert_eq!((options.tenant.as_str(), options.namespace.as_str()), ("acme", "orders"));
        assert_eq!(options.admin, Admin { tls: true, host: "b".to_owned(), port: 9 });
        assert_eq!((options.token.as_deref(), options.call_timeout), (Some("to@ken"), Duration::from_secs(2)));
        let short = PulsarOptions::new("pulsar://[::1]:6650?token=x").unwrap();
        assert_eq!((short.tenant.as_str(), short.namespace.as_str()), ("public", "default"));
        assert_eq!(short.admin, Admin { tls: false, host: "[::1]".to_owned(), port: 8080 });
        assert_eq!(short.token.as_deref(), Some("x"));
    }

    #[test]
    fn no_error_and_no_debug_shows_a_secret() {
        for url in [
            "pulsar://hunter2@db:99999",
            "pulsar://hunter2@db:0",
            "pulsar://hunter2@-db",
            "pulsar://hunter2@db?admin=http://db:0",
            "pulsar://hunt#er2@db",
            "pulsar://hunt/er2@db",
            "pulsar://hunt?er2@db",
            "pulsar://app:hunter2@db",
            "pulsar://hunter2@db?password=hunter2",
            "pulsar://db?hunter2",
            "pulsar://db?prefetch=hunter2",
            "pulsar://db?token=hunter2&timeout=0",
            "amqp://hunter2@db",
            "pulsar://hunter2@",
            "pulsar://%FFhunter2@db",
            "pulsar://hunter2@db/one",
            "pulsar://hunter2@db?admin=ftp://x",
        ] {
            let text = format!("{0} {0:?}", PulsarOptions::new(url).unwrap_err());
            assert!(!text.contains("hunt") && !text.contains("er2"), "{url}: {text}");
        }
        let options = PulsarOptions::new("pulsar://hunter2@db").unwrap();
        assert!(!format!("{options:?}").contains("hunter2"), "{options:?}");
    }
}
