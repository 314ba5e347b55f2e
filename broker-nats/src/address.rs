//! The address of servers: `nats://USER:PASSWORD@HOST:PORT,HOST:PORT?NAME=VALUE`.

use std::time::Duration;

use recount_core::redacted;
use recount_messaging::BrokerError;
use recount_messaging::address::{decoded, parameters, server, split};

use crate::NatsOptions;
use crate::options::Login;

/// The parameters of an address.
const PARAMETERS: &str = "ca, cert, key, duplicate_window, max_age, replicas, timeout, tls";

/// Reads an address into the options.
///
/// # Errors
/// [`BrokerError::Invalid`] names the problem and its cure; it shows no values.
pub(crate) fn read(url: &str, options: NatsOptions) -> Result<NatsOptions, BrokerError> {
    parse(url, options).map_err(|cure| BrokerError::Invalid { kind: "address of NATS", value: redacted(url), cure })
}

fn parse(url: &str, mut options: NatsOptions) -> Result<NatsOptions, String> {
    let parts = split(url, &["nats", "tls"], "the user's name, the password or the token")?;
    options.tls |= parts.scheme == "tls";
    options.login = parts.login.map(read_login).transpose()?.or(options.login);
    let hosts = parts.place.strip_suffix('/').unwrap_or(parts.place);
    options.hosts = hosts.split(',').map(host).collect::<Result<_, _>>()?;
    for parameter in parameters(parts.parameters) {
        let (name, value) = parameter?;
        options = set(options, name, &value)?;
    }
    match &options.client_certificate {
        Some((file, key)) if file.as_os_str().is_empty() || key.as_os_str().is_empty() => {
            Err("cert and key need each other".to_owned())
        }
        _ => Ok(options),
    }
}

fn set(mut options: NatsOptions, name: &str, value: &str) -> Result<NatsOptions, String> {
    let seconds = || match value.parse() {
        Ok(seconds) if seconds > 0 => Ok(Duration::from_secs(seconds)),
        _ => Err(format!("{name} is a number of seconds, from 1")),
    };
    Ok(match (name, value) {
        ("tls", "true") => options.tls(),
        ("tls", "false") if !options.tls => options,
        ("tls", _) => return Err("tls is true or false, and true for tls://".to_owned()),
        ("ca", file) => options.root_certificates(file),
        ("cert" | "key", file) => {
            let (mut certificate, mut key) = options.client_certificate.take().unwrap_or_default();
            let place = if name == "cert" { &mut certificate } else { &mut key };
            *place = file.into();
            options.client_certificate(certificate, key)
        }
        ("replicas", number) => match number.parse() {
            Ok(replicas @ 1..=5) => options.replicas(replicas),
            _ => return Err("replicas is a number from 1 to 5".to_owned()),
        },
        ("duplicate_window", _) => options.duplicate_window(seconds()?),
        ("max_age", _) => options.max_age(seconds()?),
        ("timeout", _) => options.call_timeout(seconds()?),
        // An unknown name may be a part of a secret.
        _ => return Err(format!("it has an unknown parameter; known are {PARAMETERS}")),
    })
}

fn read_login(login: &str) -> Result<Login, String> {
    Ok(match login.split_once(':') {
        Some((user, password)) => Login::Password { user: decoded(user)?, password: decoded(password)? },
        None => Login::Token(decoded(login)?),
    })
}

/// Checks `HOST` or `HOST:PORT`.
fn host(host: &str) -> Result<String, String> {
    server(host).ok_or("write servers as HOST or HOST:PORT, joined by `,`")?;
    Ok(host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        let options =
            NatsOptions::new("tls://app:s3%40cret@a.example:7,[::1]:8,b?replicas=3&timeout=2&ca=/x.pem").unwrap();
        assert_eq!(options.hosts, ["a.example:7", "[::1]:8", "b"]);
        assert!(
            matches!(&options.login, Some(Login::Password { user, password }) if user == "app" && password == "s3@cret")
        );
        assert_eq!((options.tls, options.replicas, options.call_timeout), (true, 3, Duration::from_secs(2)));
        let token = NatsOptions::new("nats://token@host").unwrap();
        assert!(matches!(token.login, Some(Login::Token(token)) if token == "token"));
    }

    #[test]
    fn no_error_and_no_debug_shows_a_secret() {
        for url in [
            "nats://app:hunter2@db:99999",
            "nats://app:hunter2@db:0",
            "nats://app:hunter2@a,-db",
            "nats://app:hunt#er2@db",
            "nats://app:hunt/er2@db",
            "nats://app:hunt?er2@db",
            "nats://app:hunter2@db?password=hunter2",
            "nats://db?hunter2",
            "nats://db?replicas=hunter2",
            "amqp://app:hunter2@db",
            "nats://app:hunter2@",
            "nats://app:%FFhunter2@db",
            "nats://app:hunter2@db?cert=x",
        ] {
            let text = format!("{0} {0:?}", NatsOptions::new(url).unwrap_err());
            assert!(!text.contains("hunt") && !text.contains("er2"), "{url}: {text}");
        }
        let options = NatsOptions::new("nats://app:hunter2@db").unwrap();
        assert!(!format!("{options:?}").contains("hunter2"), "{options:?}");
    }
}
