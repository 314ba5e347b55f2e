//! The addresses of brokers, `SCHEME://LOGIN@PLACE?NAME=VALUE`, for adapters.
//!
//! An address may hold secrets, so an error tells the cure and shows no part of it.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use percent_encoding::percent_decode_str;

/// The parts of an address. None is decoded yet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AddressParts<'u> {
    /// The scheme.
    pub scheme: &'u str,
    /// The text before the `@`.
    pub login: Option<&'u str>,
    /// The text between the login and the parameters, such as servers.
    pub place: &'u str,
    /// The text behind the `?`, for [`parameters`].
    pub parameters: &'u str,
}

/// Takes an address apart. `secrets` names the parts of the login, for errors: `the user's name or the password`.
///
/// # Errors
/// The cure, if the scheme is another one, or a character of the login must be escaped.
///
/// ```
/// use recount_messaging::address::split;
///
/// let parts = split("nats://app:s3%40cret@a,b:7?timeout=2", &["nats", "tls"], "the password")?;
/// assert_eq!((parts.login, parts.place, parts.parameters), (Some("app:s3%40cret"), "a,b:7", "timeout=2"));
/// assert!(split("nats://app:s3/cret@a", &["nats"], "the password").is_err());
/// # Ok::<(), String>(())
/// ```
pub fn split<'u>(url: &'u str, schemes: &[&str], secrets: &str) -> Result<AddressParts<'u>, String> {
    let begin = || {
        let schemes: Vec<String> = schemes.iter().map(|scheme| format!("{scheme}://")).collect();
        format!("it must begin with {}", schemes.join(" or "))
    };
    let escape = |character: char, escaped: &str| format!("write `{character}` in {secrets} as {escaped}");
    let (scheme, rest) = url.split_once("://").filter(|(scheme, _)| schemes.contains(scheme)).ok_or_else(begin)?;
    if rest.contains('#') {
        return Err(escape('#', "%23"));
    }
    let (place, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    if parameters.contains('@') {
        return Err(format!("{}, and `@` in a parameter as %40", escape('?', "%3F")));
    }
    let (login, place) = place.rsplit_once('@').map_or((None, place), |(login, place)| (Some(login), place));
    if login.is_some_and(|login| login.contains('/')) {
        return Err(escape('/', "%2F"));
    }
    Ok(AddressParts { scheme, login, place, parameters })
}

/// The parameters `NAME=VALUE`, joined by `&`, with decoded values.
///
/// Each item is an error with the cure if it is no parameter.
pub fn parameters(text: &str) -> impl Iterator<Item = Result<(&str, String), String>> {
    text.split('&').filter(|parameter| !parameter.is_empty()).map(|parameter| {
        let (name, value) = parameter.split_once('=').ok_or("write parameters as NAME=VALUE, joined by `&`")?;
        Ok((name, decoded(value)?))
    })
}

/// The greatest length of the name of a host, and of its parts between dots.
const MAX_HOST: usize = 253;
const MAX_LABEL: usize = 63;

/// The host and the port of `HOST` or `HOST:PORT`; an address of IP version 6 stands in brackets. The parts of a name between
/// its dots have letters, digits, `_` and, within, `-`. A port is 1 to 65535.
///
/// ```
/// use recount_messaging::address::server;
///
/// assert_eq!(server("[::1]:7"), Some(("[::1]", Some(7))));
/// assert_eq!(server("a.example"), Some(("a.example", None)));
/// assert_eq!(server("a:b"), None);
/// assert_eq!(server("a..b:7").or(server("a:0")), None);
/// ```
#[must_use]
pub fn server(text: &str) -> Option<(&str, Option<u16>)> {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => {
            (name, Some(port.parse().ok().filter(|number| *number > 0 && !port.starts_with('+'))?))
        }
        _ => (text, None),
    };
    let fits = match name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(number) => number.parse::<Ipv6Addr>().is_ok(),
        None => is_host(name),
    };
    fits.then_some((name, port))
}

/// Whether a text is the name of a host or an address of IP version 4. A dot at the end is that of the root.
fn is_host(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let fits = |label: &str| {
        (1..=MAX_LABEL).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    name.len() <= MAX_HOST && name.split('.').all(fits)
}

/// The parts of `http://HOST:PORT/PATH` or `https://HOST/PATH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebAddress<'u> {
    /// Whether it is `https`.
    pub tls: bool,
    /// The host; an address of IP version 6 is in brackets.
    pub host: &'u str,
    /// The port: 80 or 443 unless named.
    pub port: u16,
    /// The text behind the first `/` after the host.
    pub path: &'u str,
}

/// Takes a web address apart. Its path has ASCII letters, digits, `-`, `.`, `_` and `/`.
///
/// ```
/// use recount_messaging::address::web;
///
/// let address = web("https://[::1]/a").unwrap();
/// assert_eq!((address.tls, address.host, address.port, address.path), (true, "[::1]", 443, "a"));
/// assert_eq!(web("http://a:70000"), None);
/// ```
#[must_use]
pub fn web(text: &str) -> Option<WebAddress<'_>> {
    let (tls, rest) = match text.split_once("://")? {
        ("http", rest) => (false, rest),
        ("https", rest) => (true, rest),
        _ => return None,
    };
    let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, port) = server(place)?;
    let fits = path.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._/".contains(&b));
    fits.then(|| WebAddress { tls, host, port: port.unwrap_or(if tls { 443 } else { 80 }), path })
}

/// The text without percent-encoding.
///
/// # Errors
/// The cure, if it does not decode to UTF-8.
pub fn decoded(text: &str) -> Result<String, String> {
    let text = percent_decode_str(text).decode_utf8();
    text.map(Cow::into_owned).map_err(|_| "a part of it does not decode to UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_hosts_and_addresses_of_ip_are_servers() {
        let long = ["a".repeat(63).as_str(); 3].join(".");
        for host in
            ["a", "localhost", "a-b.example", "a.example.", "my_broker_1", "_a", "1a", "127.0.0.1", "[::1]", &*long]
        {
            assert_eq!(server(host), Some((host, None)), "{host}");
            let (with_port, url) = (format!("{host}:65535"), format!("https://{host}:1/a"));
            assert_eq!(server(&with_port), Some((host, Some(65535))), "{host}");
            assert_eq!(web(&url).map(|address| (address.host, address.port)), Some((host, 1)), "{host}");
        }
    }

    #[test]
    fn what_no_server_has_is_refused() {
        let (label, name) = ("a".repeat(64), ["a"; 128].join("."));
        for place in [
            "",
            ".",
            "..",
            "-",
            "-a",
            "a-",
            "a.-b",
            "a..b",
            ".a",
            "a..",
            "a b",
            "[]",
            "[a]",
            "[::1",
            "::1",
            "a:0",
            "a:00",
            "127.0.0.1:0",
            "[::1]:0",
            "a:+1",
            "a:65536",
            "a:",
            &*label,
            &*name,
        ] {
            assert_eq!(server(place), None, "{place}");
            assert_eq!(web(&format!("http://{place}")), None, "{place}");
        }
    }
}
