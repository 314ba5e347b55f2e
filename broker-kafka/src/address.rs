//! The address of servers: `kafka://USER:PASSWORD@HOST:PORT,HOST:PORT?NAME=VALUE`.

use std::time::Duration;

use recount_core::redacted;
use recount_messaging::BrokerError;
use recount_messaging::address::{decoded, parameters, server, split};

use crate::KafkaOptions;
use crate::options::{Login, Mechanism};

/// The parameters of an address.
const PARAMETERS: &str =
    "ca, cert, key, max_age, max_gap, max_message, max_poll, replicas, sasl, session_timeout, timeout, tls";
/// The port unless the address has one.
const PORT: u16 = 9092;

/// Reads an address into the options.
///
/// # Errors
/// [`BrokerError::Invalid`] names the problem and its cure; it shows no values.
pub(crate) fn read(url: &str, options: KafkaOptions) -> Result<KafkaOptions, BrokerError> {
    parse(url, options).map_err(|cure| BrokerError::Invalid { kind: "address of Kafka", value: redacted(url), cure })
}

fn parse(url: &str, mut options: KafkaOptions) -> Result<KafkaOptions, String> {
    let parts = split(url, &["kafka"], "the user's name or the password")?;
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

fn set(mut options: KafkaOptions, name: &str, value: &str) -> Result<KafkaOptions, String> {
    let number = || match value.parse::<u32>() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!("{name} is a number, from 1")),
    };
    let seconds = || number().map(|seconds| Duration::from_secs(seconds.into()));
    let count = || number().map(|number| usize::try_from(number).unwrap_or(usize::MAX));
    Ok(match (name, value) {
        ("tls", "true") => options.tls(),
        ("tls", "false") if !options.tls => options,
        ("tls", _) => return Err("tls is true or false".to_owned()),
        ("ca", file) => options.root_certificates(file),
        ("cert" | "key", file) => {
            let (mut certificate, mut key) = options.client_certificate.take().unwrap_or_default();
            let place = if name == "cert" { &mut certificate } else { &mut key };
            *place = file.into();
            options.client_certificate(certificate, key)
        }
        ("sasl", "PLAIN") => options.mechanism(Mechanism::Plain),
        ("sasl", "SCRAM-SHA-256") => options.mechanism(Mechanism::ScramSha256),
        ("sasl", "SCRAM-SHA-512") => options.mechanism(Mechanism::ScramSha512),
        ("sasl", _) => return Err("sasl is PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512".to_owned()),
        ("replicas", _) => options.replicas(u16::try_from(number()?).map_err(|_| "replicas is too great")?),
        ("max_age", _) => options.max_age(seconds()?),
        ("max_gap", _) => options.max_gap(number()?),
        ("max_message", _) => options.max_message(count()?),
        ("max_poll", _) => options.max_poll(seconds()?),
        ("session_timeout", _) => options.session_timeout(seconds()?),
        ("timeout", _) => options.call_timeout(seconds()?),
        // An unknown name may be a part of a secret.
        _ => return Err(format!("it has an unknown parameter; known are {PARAMETERS}")),
    })
}

fn read_login(login: &str) -> Result<Login, String> {
    let (user, password) = login.split_once(':').ok_or("write the login as USER:PASSWORD")?;
    Ok(Login { user: decoded(user)?, password: decoded(password)? })
}

/// Checks `HOST` or `HOST:PORT`, and adds the port.
fn host(host: &str) -> Result<String, String> {
    let (name, port) = server(host).ok_or("write servers as HOST or HOST:PORT, joined by `,`")?;
    Ok(format!("{name}:{}", port.unwrap_or(PORT)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        let url = "kafka://app:s3%40cret@a.example:7,[::1]:8,b?replicas=3&timeout=2&ca=/x.pem&sasl=SCRAM-SHA-512";
        let options = KafkaOptions::new(url).unwrap();
        assert_eq!(options.hosts, ["a.example:7", "[::1]:8", "b:9092"]);
        assert!(matches!(&options.login, Some(login) if login.user == "app" && login.password == "s3@cret"));
        assert_eq!((options.tls, options.replicas, options.call_timeout), (true, Some(3), Duration::from_secs(2)));
    }

    #[test]
    fn no_error_and_no_debug_shows_a_secret() {
        for url in [
            "kafka://app:hunter2@db:99999",
            "kafka://app:hunter2@db:0",
            "kafka://app:hunter2@a,-db",
            "kafka://app:hunt#er2@db",
            "kafka://app:hunt/er2@db",
            "kafka://app:hunt?er2@db",
            "kafka://app:hunter2@db?password=hunter2",
            "kafka://db?hunter2",
            "kafka://hunter2@db",
            "kafka://db?replicas=hunter2",
            "kafka://db?sasl=hunter2",
            "amqp://app:hunter2@db",
            "kafka://app:hunter2@",
            "kafka://app:%FFhunter2@db",
            "kafka://app:hunter2@db?cert=x",
        ] {
            let text = format!("{0} {0:?}", KafkaOptions::new(url).unwrap_err());
            assert!(!text.contains("hunt") && !text.contains("er2"), "{url}: {text}");
        }
        let options = KafkaOptions::new("kafka://app:hunter2@db").unwrap();
        assert!(!format!("{options:?}").contains("hunter2"), "{options:?}");
    }
}
