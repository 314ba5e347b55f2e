//! Removes secrets from addresses in errors and logs.

/// The greatest length of a part of a host's name between two dots.
const MAX_LABEL: usize = 63;
/// The greatest length of a parameter's name that is shown.
const MAX_NAME: usize = 40;
/// The replacement of everything that may be a secret.
const HIDDEN: &str = "***";

/// The URL without its secrets: user, password and the values of its parameters are replaced by `***`.
///
/// It works on malformed URLs too, and shows no part that may be a secret in the wrong place: a scheme, hosts and a path are
/// shown only if they can't be anything else, and of a URL with an `@` behind its hosts only the scheme is.
///
/// ```
/// use recount_core::redacted;
///
/// assert_eq!(redacted("postgres://app:s3cret@db/bank?sslmode=require"), "postgres://***@db/bank?sslmode=***");
/// assert_eq!(redacted("postgres://app:s3c/r?t@1@db/bank"), "postgres://***");
/// assert_eq!(redacted("kafka://app:s3cret"), "kafka://***");
/// assert_eq!(redacted("sqlite://bank.db"), "sqlite://bank.db");
/// ```
#[must_use]
pub fn redacted(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        if is_file(url) {
            return url.to_owned();
        }
        let file = url.strip_prefix("sqlite:").filter(|file| !file.contains('@'));
        return file.map_or_else(|| HIDDEN.to_owned(), |file| format!("sqlite:{}", file_and_parameters(file)));
    };
    let shown = match scheme {
        "inprocess" if rest.contains("://") => Some(redacted(rest)),
        "sqlite" => Some(rest).filter(|rest| !rest.contains('@')).map(file_and_parameters),
        _ if !is_scheme(scheme) => return HIDDEN.to_owned(),
        _ => after_scheme(rest),
    };
    format!("{scheme}://{}", shown.as_deref().unwrap_or(HIDDEN))
}

/// The text behind the scheme. `None` if it may begin with a secret.
fn after_scheme(rest: &str) -> Option<String> {
    let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (credentials, hosts) = authority.rsplit_once('@').map_or(("", authority), |(_, hosts)| ("***@", hosts));
    if rest.contains('@') || !(hosts.is_empty() || hosts.split(',').all(is_server)) {
        return None;
    }
    let (path, rest) = rest.split_at(rest.find(['?', '#']).unwrap_or(rest.len()));
    let path = if path.bytes().all(|b| is_word(b) || b"./~%".contains(&b)) { path } else { "/***" };
    Some(format!("{credentials}{hosts}{path}{}", parameters(rest)))
}

/// A path, which holds no secret, and the parameters behind it.
fn file_and_parameters(rest: &str) -> String {
    let (path, rest) = rest.split_at(rest.find(['?', '#']).unwrap_or(rest.len()));
    // `host=db password=…` is how other programs write it, and `/bank&password=…` how it is mistyped.
    let path = path.split_once('=').map_or_else(|| path.to_owned(), |(name, _)| format!("{name}={HIDDEN}"));
    path + &parameters(rest)
}

/// The parameters behind a `?` without their values, and the fragment as `#***`.
fn parameters(rest: &str) -> String {
    let (rest, fragment) = rest.split_once('#').map_or((rest, ""), |(rest, _)| (rest, "#***"));
    let Some(all) = rest.strip_prefix('?') else { return fragment.to_owned() };
    let shown = all.split('&').map(|parameter| match parameter.split_once('=') {
        // Base64 ends with `=`: without a value, the name may be a secret.
        Some((name, value)) if is_name(name) && !value.trim_matches('=').is_empty() => format!("{name}={HIDDEN}"),
        _ => HIDDEN.to_owned(),
    });
    format!("?{}{fragment}", shown.collect::<Vec<_>>().join("&"))
}

/// Whether the text is the name of a database's file without its scheme.
fn is_file(text: &str) -> bool {
    (text.ends_with(".db") || text.ends_with(".sqlite")) && text.bytes().all(|b| is_word(b) || b"./".contains(&b))
}

fn is_scheme(scheme: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"+-.".contains(&b);
    scheme.starts_with(|first: char| first.is_ascii_alphabetic()) && scheme.bytes().all(fits)
}

fn is_name(name: &str) -> bool {
    name.len() <= MAX_NAME && name.bytes().all(|b| is_word(b) || b == b'.')
}

/// Whether the text is `HOST` or `HOST:PORT`, and nothing else.
fn is_server(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (text, "0"),
    };
    if !port.bytes().all(|b| b.is_ascii_digit()) || port.parse::<u16>().is_err() {
        return false;
    }
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(number) => number.parse::<std::net::Ipv6Addr>().is_ok(),
        None => is_host(host),
    }
}

fn is_host(name: &str) -> bool {
    let fits = |label: &str| (1..=MAX_LABEL).contains(&label.len()) && label.bytes().all(is_word);
    // A JSON Web Token has the form of a host's name. It begins with `{"` in Base64.
    !name.starts_with("eyJ") && name.strip_suffix('.').unwrap_or(name).split('.').all(fits)
}

fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-_".contains(&b)
}

#[cfg(test)]
mod tests {
    use super::redacted;

    #[test]
    fn no_part_of_a_password_is_shown() {
        for url in [
            "postgres://app:hunter2@db/bank",
            "postgres://app:hunter2@db:99999/bank",
            "postgres://app:hunt@er2@db/bank",
            "postgres://app:hunter2/@db/bank?x=y",
            "postgres://db/bank?user=app&password=hunter2",
            "postgres://db/bank?hunter2",
            "postgres:app:hunter2@db",
            "app:hunter2@db/bank",
            "nats://hunter2@localhost",
            "host=localhost password=hunter2",
            "password=hunter2 host=localhost:5432",
            "postgres://db/bank&password=hunter2",
            "postgres://db/bank?password=a#hunter2",
            "postgres://db/bank#hunter2",
            "sqlite://bank.db&password=hunter2",
            "sqlite://bank.db?key=hunter2",
            "sqlite://app:hunter2@er2/bank.db",
            "sqlite:app:hunter2@db",
            "inprocess://postgres://app:hunter2@db/bank",
            "hunter2",
            "app:hunter2@er2.db",
        ] {
            let shown = redacted(url);
            assert!(!shown.contains("hunt") && !shown.contains("er2"), "{url}: {shown}");
        }
    }

    #[test]
    fn a_secret_in_the_wrong_place_is_hidden() {
        let token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZG1pbiJ9.yNk3Vw0AX0tzzbv0xVJmFjnGuPq1zWUG3mXJkZl6Kx0";
        let long = "a".repeat(64);
        for (url, shown) in [
            ("sqs://AKIA7:wJalrXUtn", "sqs://***"),
            ("sqs://AKIA7:wJalr/XUtn/FEMI", "sqs://***"),
            ("kafka://app:hunter2", "kafka://***"),
            ("kafka://app:hunter2,other:9092", "kafka://***"),
            ("kafka://app:99999", "kafka://***"),
            ("kafka://app:", "kafka://***"),
            (&*format!("pulsar://{token}"), "pulsar://***"),
            (&*format!("pulsar://{token}@broker:6650"), "pulsar://***@broker:6650"),
            (&*format!("pulsar://{long}"), "pulsar://***"),
            (&*format!("pulsar://broker.{long}/tenant"), "pulsar://***"),
            ("app:hunter2@kafka://h", "***"),
            ("app hunter2://h", "***"),
            ("://hunter2", "***"),
            ("1s://h", "***"),
            ("sqs://eu-central-1/123456789012?session_token=@SECRET", "sqs://***"),
            ("pubsub://project?token=QxZ@vWk", "pubsub://***"),
            ("amqp://app:x@host/vhost#a@b", "amqp://***"),
            ("amqp://app:x@[hunter2]/", "amqp://***"),
            ("amqp://app:x@ho st/", "amqp://***"),
            ("amqp://host/v host", "amqp://host/***"),
            ("nats://host?QxZvWk==&timeout=2&a b=3&", "nats://host?***&timeout=***&***&***"),
        ] {
            assert_eq!(redacted(url), shown, "{url}");
        }
    }

    #[test]
    fn places_are_shown() {
        for (url, shown) in [
            ("memory://", "memory://"),
            ("sqlite:///home/ada/my shop.db", "sqlite:///home/ada/my shop.db"),
            ("sqlite://shop.db?mode=rw", "sqlite://shop.db?mode=***"),
            ("sqlite:shop.db", "sqlite:shop.db"),
            ("stores/shop.db", "stores/shop.db"),
            ("sqlite::memory:", "sqlite::memory:"),
            ("inprocess://", "inprocess://"),
            ("inprocess://sqlite://broker.db", "inprocess://sqlite://broker.db"),
            ("postgres:///bank?host=/run", "postgres:///bank?host=***"),
            ("postgresql://ada@[::1]:5432/bank", "postgresql://***@[::1]:5432/bank"),
            ("kafka+tls://a_1.example.,b-2:9093", "kafka+tls://a_1.example.,b-2:9093"),
            ("amqps://app:hunter2@127.0.0.1/%2F", "amqps://***@127.0.0.1/%2F"),
            ("sqs://AKIA7:x@eu-central-1/123456789012", "sqs://***@eu-central-1/123456789012"),
            ("http://localhost:8085/v1", "http://localhost:8085/v1"),
        ] {
            assert_eq!(redacted(url), shown, "{url}");
        }
    }
}
