//! The address of a project: `pubsub://PROJECT?NAME=VALUE`.

use std::time::Duration;

use recount_core::redacted;
use recount_messaging::BrokerError;
use recount_messaging::address::{parameters, web};

use crate::GoogleOptions;

/// The parameters of an address.
const PARAMETERS: &str = "admin, credentials, endpoint, outstanding, retention, timeout";

/// Reads an address into the options.
///
/// # Errors
/// [`BrokerError::Invalid`] names the problem and its cure; it shows no values.
pub(crate) fn read(url: &str, options: GoogleOptions) -> Result<GoogleOptions, BrokerError> {
    parse(url, options).map_err(|cure| BrokerError::Invalid { kind: "address of Pub/Sub", value: redacted(url), cure })
}

fn parse(url: &str, mut options: GoogleOptions) -> Result<GoogleOptions, String> {
    let rest = url.strip_prefix("pubsub://").ok_or("it must begin with pubsub://")?;
    let (project, values) = rest.split_once('?').unwrap_or((rest, ""));
    let project = project.strip_suffix('/').unwrap_or(project);
    if project.contains('@') {
        return Err("a login can't be part of it: name the file of the credentials as `credentials=FILE`".to_owned());
    }
    // A project of an organisation with a domain has the form `example.com:name`. The name of a project begins with a
    // letter; a digit begins a port or an IP address.
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-.:".contains(&b);
    let name = project.rsplit(':').next().unwrap_or_default();
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) || !project.bytes().all(allowed) {
        let cure = "write the id of the project as pubsub://PROJECT, and a server as ?endpoint=http://HOST:PORT";
        return Err(cure.to_owned());
    }
    project.clone_into(&mut options.project);
    for parameter in parameters(values) {
        let (name, value) = parameter?;
        options = set(options, name, &value)?;
    }
    check_places(&options)?;
    Ok(options)
}

/// Checks the places of the options, which their setters take as they are.
///
/// # Errors
/// [`BrokerError::Invalid`] names the problem and its cure; it shows no login.
pub(crate) fn check(options: &GoogleOptions) -> Result<(), BrokerError> {
    let shown = |place: &Option<String>| place.as_deref().map(redacted).unwrap_or_default();
    check_places(options).map_err(|cure| BrokerError::Invalid {
        kind: "address of Pub/Sub",
        value: format!("{} {}", shown(&options.endpoint), shown(&options.admin)).trim().to_owned(),
        cure,
    })
}

fn check_places(options: &GoogleOptions) -> Result<(), String> {
    for (name, place) in [("endpoint", &options.endpoint), ("admin", &options.admin)] {
        place.as_ref().map_or(Ok(()), |place| check_web_address(name, place))?;
    }
    if options.admin.is_some() && options.endpoint.is_none() {
        Err("admin needs an endpoint".to_owned())
    } else {
        Ok(())
    }
}

fn set(options: GoogleOptions, name: &str, value: &str) -> Result<GoogleOptions, String> {
    let seconds = |from: u64, to: u64| match value.parse() {
        Ok(seconds) if (from..=to).contains(&seconds) => Ok(Duration::from_secs(seconds)),
        _ => Err(format!("{name} is a number of seconds, from {from} to {to}")),
    };
    Ok(match name {
        "endpoint" => options.endpoint(value),
        "admin" => options.admin_endpoint(value),
        "credentials" if value.is_empty() => return Err("credentials is the name of a file".to_owned()),
        "credentials" => options.credentials(value),
        "outstanding" => match value.parse() {
            Ok(messages @ 1..) => options.outstanding(messages),
            _ => return Err("outstanding is a number of messages, from 1 to 65535".to_owned()),
        },
        "retention" => options.retention(seconds(600, 31 * 24 * 60 * 60)?),
        "timeout" => options.call_timeout(seconds(1, 3600)?),
        // An unknown name may be a part of a secret.
        _ => return Err(format!("it has an unknown parameter; known are {PARAMETERS}")),
    })
}

/// Checks `http://HOST:PORT` or `https://HOST`.
fn check_web_address(name: &str, value: &str) -> Result<(), String> {
    let fits = web(value).is_some_and(|address| address.path.is_empty());
    fits.then_some(()).ok_or_else(|| format!("{name} is https://HOST or http://HOST:PORT"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        let options = GoogleOptions::new(
            "pubsub://my-project?endpoint=http://127.0.0.1:8085&admin=http://[::1]:8086&credentials=/a%20key.json&timeout=3&outstanding=7",
        );
        let options = options.unwrap();
        assert_eq!(options.project, "my-project");
        assert_eq!(options.endpoint.as_deref(), Some("http://127.0.0.1:8085"));
        assert_eq!(options.admin.as_deref(), Some("http://[::1]:8086"));
        assert_eq!(options.credentials.as_deref(), Some("/a key.json".as_ref()));
        assert_eq!((options.call_timeout, options.outstanding), (Duration::from_secs(3), 7));
    }

    #[test]
    fn a_wrong_address_is_refused_without_its_secrets() {
        for url in [
            "pubsub://",
            "pubsub://ada:hunter2@project",
            "pubsub://project/other",
            "pubsub://localhost:8085",
            "pubsub://127.0.0.1",
            "pubsub://project?hunter2",
            "pubsub://project?other=hunter2",
            "pubsub://project?endpoint=hunter2",
            "pubsub://project?endpoint=http://ada:hunter2@host",
            "pubsub://project?admin=http://host",
            "pubsub://project?endpoint=http://host:0",
            "pubsub://project?endpoint=http://..",
            "pubsub://project?credentials=",
            "pubsub://project?timeout=hunter2",
            "pubsub://project?retention=60",
            "pubsub://project?outstanding=0",
            "nats://ada:hunter2@host",
        ] {
            let text = format!("{0} {0:?}", GoogleOptions::new(url).unwrap_err());
            assert!(!text.contains("hunter2"), "{url}: {text}");
        }
    }
}
