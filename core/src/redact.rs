//! Removes secrets from addresses in errors and logs.

/// The URL without its secrets: user, password and the values of its parameters are replaced by `***`.
///
/// It works on malformed URLs too: everything between the scheme and the last `@` is taken for credentials, so a
/// password that contains unescaped `@`, `/`, `?` or `#` is hidden as a whole.
///
/// ```
/// use recount_core::redacted;
///
/// assert_eq!(redacted("postgres://app:s3cret@db/bank?sslmode=require"), "postgres://***@db/bank?sslmode=***");
/// assert_eq!(redacted("postgres://app:s3c/r?t@1@db/bank"), "postgres://***@db/bank");
/// assert_eq!(redacted("sqlite://bank.db"), "sqlite://bank.db");
/// ```
#[must_use]
pub fn redacted(url: &str) -> String {
    let (scheme, rest) = split_scheme(url);
    let (credentials, rest) = rest.rsplit_once('@').map_or(("", rest), |(_, rest)| ("***@", rest));
    let (rest, fragment) = rest.split_once('#').map_or((rest, ""), |(rest, _)| (rest, "#***"));
    let (place, parameters) = rest.split_once('?').map_or((rest, None), |(place, rest)| (place, Some(rest)));
    // `host=db password=…` is how other programs write it, and `/bank&password=…` how it is mistyped.
    let mut shown = format!("{scheme}{credentials}{}", named(place).unwrap_or_else(|| place.to_owned()));
    for (at, parameter) in parameters.iter().flat_map(|all| all.split('&')).enumerate() {
        shown.push(if at == 0 { '?' } else { '&' });
        shown.push_str(&named(parameter).unwrap_or_else(|| "***".to_owned()));
    }
    shown + fragment
}

/// The scheme with its delimiter, and the rest.
fn split_scheme(url: &str) -> (&str, &str) {
    let end = url.find("://").map(|at| at + 3).or_else(|| url.find(':').map(|at| at + 1)).unwrap_or(0);
    let (scheme, rest) = url.split_at(end);
    let of_scheme = |letter: char| letter.is_ascii_alphanumeric() || "+-.:/".contains(letter);
    if scheme.chars().all(of_scheme) { (scheme, rest) } else { ("", url) }
}

/// `NAME=VALUE` without the value.
fn named(parameter: &str) -> Option<String> {
    parameter.split_once('=').map(|(name, _)| format!("{name}=***"))
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
        ] {
            let shown = redacted(url);
            assert!(!shown.contains("hunt") && !shown.contains("er2"), "{url}: {shown}");
        }
    }
}
