//! The address: `sqs://ACCESS_KEY:SECRET@REGION/ACCOUNT?NAME=VALUE`.

use std::time::Duration;

use recount_core::redacted;
use recount_messaging::address::{decoded, parameters, split, web};
use recount_messaging::{BrokerError, MAX_CALL_TIMEOUT};

use crate::options::Keys;
use crate::{AwsOptions, Fanout};

/// The parameters of an address.
const PARAMETERS: &str = "ca, endpoint, fanout, session_token, sns_endpoint, timeout, wait";
/// The account of servers that stand in for AWS.
const STAND_IN: &str = "000000000000";

/// Reads an address into the options.
///
/// # Errors
/// [`BrokerError::Invalid`] names the problem and its cure; it shows no values.
pub(crate) fn read(url: &str) -> Result<AwsOptions, BrokerError> {
    parse(url).map_err(|cure| BrokerError::Invalid { kind: "address of SQS", value: redacted(url), cure })
}

fn parse(url: &str) -> Result<AwsOptions, String> {
    let parts = split(url, &["sqs"], "the access key or the secret")?;
    let place = parts.place;
    let (region, account) = place.strip_suffix('/').unwrap_or(place).split_once('/').unwrap_or((place, ""));
    let region = region.strip_suffix('/').unwrap_or(region);
    if region.is_empty() || !region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        return Err("write the region behind sqs:// or the login, such as eu-central-1".to_owned());
    }
    let mut options = AwsOptions::of_region(region);
    options.keys = parts.login.map(read_login).transpose()?;
    for parameter in parameters(parts.parameters) {
        let (name, value) = parameter?;
        options = set(options, name, value)?;
    }
    options.account = match account {
        "" if options.endpoint.is_some() => Some(STAND_IN.to_owned()),
        "" => None,
        _ if account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit()) => Some(account.to_owned()),
        _ => return Err("the account has 12 digits".to_owned()),
    };
    if options.account.is_none() && options.fanout == Fanout::Sns {
        return Err("write the account behind the region, such as sqs://eu-central-1/123456789012".to_owned());
    }
    Ok(options)
}

fn set(mut options: AwsOptions, name: &str, value: String) -> Result<AwsOptions, String> {
    let seconds = |most: u64| match value.parse() {
        Ok(seconds) if (1..=most).contains(&seconds) => Ok(Duration::from_secs(seconds)),
        _ => Err(format!("{name} is a number of seconds, from 1 to {most}")),
    };
    Ok(match name {
        "endpoint" => {
            check_endpoint(&value)?;
            options.endpoint(value)
        }
        "sns_endpoint" => {
            check_endpoint(&value)?;
            options.sns_endpoint(value)
        }
        "session_token" => {
            let keys = options.keys.as_mut().ok_or("session_token needs an access key and a secret")?;
            keys.session_token = Some(value);
            options
        }
        "fanout" => match &*value {
            "sns" => options.fanout(Fanout::Sns),
            "sqs" => options.fanout(Fanout::Sqs),
            _ => return Err("fanout is sns or sqs".to_owned()),
        },
        "timeout" => options.call_timeout(seconds(MAX_CALL_TIMEOUT.as_secs())?),
        "wait" => options.wait(seconds(20)?),
        "ca" => options.root_certificates(value),
        // An unknown name may be a part of a secret.
        _ => return Err(format!("it has an unknown parameter; known are {PARAMETERS}")),
    })
}

/// Checks `http://HOST:PORT` or `https://HOST:PORT`, with or without a path.
///
/// # Errors
/// The cure.
pub(crate) fn check_endpoint(url: &str) -> Result<(), String> {
    web(url).map(drop).ok_or_else(|| "write endpoints as http://HOST:PORT or https://HOST".to_owned())
}

fn read_login(login: &str) -> Result<Keys, String> {
    let (key, secret) = login.split_once(':').ok_or("write the login as ACCESS_KEY:SECRET")?;
    Ok(Keys { access_key: decoded(key)?, secret: decoded(secret)?, session_token: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        let options =
            read("sqs://AKIA:s3%2Fcret+@eu-central-1/123456789012?wait=20&timeout=2&session_token=t").unwrap();
        assert_eq!((&*options.region, options.account.as_deref()), ("eu-central-1", Some("123456789012")));
        let keys = options.keys.unwrap();
        assert_eq!((&*keys.access_key, &*keys.secret), ("AKIA", "s3/cret+"));
        assert_eq!(keys.session_token.as_deref(), Some("t"));
        assert_eq!((options.wait, options.call_timeout), (Duration::from_secs(20), Duration::from_secs(2)));
        let local = read("sqs://us-east-1/?endpoint=http://127.0.0.1:9324&fanout=sqs").unwrap();
        assert_eq!((local.account.as_deref(), local.fanout), (Some("000000000000"), Fanout::Sqs));
        assert_eq!(local.endpoint.as_deref(), Some("http://127.0.0.1:9324"));
        assert!(read("sqs://us-east-1?fanout=sqs").is_ok() && read("sqs://us-east-1").is_err());
    }

    #[test]
    fn no_error_and_no_debug_shows_a_secret() {
        for url in [
            "sqs://AKIA:hunter2@",
            "sqs://AKIA:hunt/er2@eu-central-1/123456789012",
            "sqs://AKIA:hunt#er2@eu-central-1/123456789012",
            "sqs://AKIA:hunt?er2@eu-central-1/123456789012",
            "sqs://AKIA:hunter2@EU/123456789012",
            "sqs://AKIA:hunter2@eu-central-1/12",
            "sqs://AKIA:hunter2@eu-central-1",
            "sqs://AKIA:hunter2@eu-central-1/123456789012?secret=hunter2",
            "sqs://eu-central-1/123456789012?session_token=hunter2",
            "sqs://eu-central-1/123456789012?endpoint=http://hunter2:hunter2%40x",
            "sqs://hunter2@eu-central-1/123456789012",
            "sqs://AKIA:%FFhunter2@eu-central-1/123456789012",
            "sns://AKIA:hunter2@eu-central-1/123456789012",
        ] {
            let text = format!("{0} {0:?}", read(url).unwrap_err());
            assert!(!text.contains("hunt") && !text.contains("er2"), "{url}: {text}");
        }
        let options = read("sqs://AKIA:hunter2@eu-central-1/123456789012?session_token=hunter2").unwrap();
        let options = options.endpoint("http://user:hunter2@127.0.0.1").sns_endpoint("https://:hunter2@127.0.0.1");
        assert!(!format!("{options:?}").contains("hunter2"), "{options:?}");
    }
}
