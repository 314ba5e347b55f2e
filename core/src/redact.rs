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
    let start = url.find("://").map_or_else(|| url.find(':').map_or(0, |colon| colon + 1), |colon| colon + 3);
    let (scheme, rest) = url.split_at(start);
    let mut shown = scheme.to_owned();
    let rest = match rest.rsplit_once('@') {
        Some((_, rest)) => {
            shown.push_str("***@");
            rest
        }
        None => rest,
    };
    let Some((place, parameters)) = rest.split_once('?') else { return shown + rest };
    shown.push_str(place);
    for (at, parameter) in parameters.split('&').enumerate() {
        shown.push(if at == 0 { '?' } else { '&' });
        shown.push_str(parameter.split_once('=').map_or("***", |(name, _)| name));
        if parameter.contains('=') {
            shown.push_str("=***");
        }
    }
    shown
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
        ] {
            let shown = redacted(url);
            assert!(!shown.contains("hunt") && !shown.contains("er2"), "{url}: {shown}");
        }
    }
}
