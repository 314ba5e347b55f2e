//! Valid store addresses, the errors of invalid ones, and the absence of secrets in these errors.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]
#![cfg(all(feature = "memory", feature = "sqlite"))]

use std::error::Error;
use std::path::Path;

use recount::{Address, connect};

fn chain(error: &(dyn Error + 'static)) -> String {
    let all = std::iter::successors(Some(error), |&error| error.source());
    all.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

async fn refused(url: &str) -> String {
    let error = connect(url).await.unwrap_err();
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    chain(&error)
}

#[tokio::test]
async fn a_path_is_percent_decoded_and_creates_exactly_that_file() {
    let directory = tempfile::TempDir::new().unwrap();
    let at = |name: &str| directory.path().join(name);
    for (written, file) in [
        ("plain.db", "plain.db"),
        ("two%20words.db", "two words.db"),
        ("two words.db", "two words.db"),
        ("what%3F%23.db", "what?#.db"),
        ("100%25.db", "100%.db"),
        ("caf%C3%A9.db", "café.db"),
        ("mode.db?mode=rwc", "mode.db"),
    ] {
        let recount = connect(&format!("sqlite://{}/{written}", directory.path().display())).await.unwrap();
        recount.close().await;
        assert!(at(file).is_file(), "{written}");
    }
    let mut files: Vec<_> =
        std::fs::read_dir(directory.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, ["100%.db", "café.db", "mode.db", "plain.db", "two words.db", "what?#.db"]);
}

#[tokio::test]
async fn a_parameter_is_obeyed_or_refused_and_never_part_of_the_name() {
    let directory = tempfile::TempDir::new().unwrap();
    let url = |rest: &str| format!("sqlite://{}/{rest}", directory.path().display());
    let missing = refused(&url("shop.db?mode=rw")).await;
    assert!(missing.contains("shop.db"), "{missing}");
    for (rest, said) in [
        ("shop.db?mode=ro", "mode=rw"),
        ("shop.db?mode=memory", "memory://"),
        ("shop.db?mode=RWC", "rwc"),
        ("shop.db?cache=shared", "\"cache\""),
        ("shop.db?journal_mode=off&mode=rwc", "\"journal_mode\""),
        ("shop.db#x", "%23"),
        ("shop%2.db", "%25"),
        ("shop%00.db", "NUL"),
        ("shop%FF.db", "UTF-8"),
    ] {
        let text = refused(&url(rest)).await;
        assert!(text.contains(said), "{rest}: {text}");
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "no file was made");
    connect(&url("shop.db")).await.unwrap().close().await;
    connect(&url("shop.db?mode=rw")).await.unwrap().close().await;
}

#[tokio::test]
async fn an_invalid_address_is_refused_with_the_cure() {
    for (url, said) in [
        ("sqlite://", "names no file"),
        ("sqlite://:memory:", "memory://"),
        ("sqlite::memory:", "memory://"),
        ("sqlite:shop.db", "sqlite://FILE"),
        ("shop.db", "no scheme"),
        ("memory://shop", "has no name"),
        ("mysql://app:hunter2@db/shop", "no store has this scheme"),
        ("sqlite://shop.db\n", "control character"),
        ("", "no scheme"),
        ("app:hunter2@db", "no scheme"),
        ("host=db password=hunter2", "no scheme"),
        ("sqlite://shop.db?hunter2", "NAME=VALUE"),
        ("sqlite://shop.db?mode=rwc&mode=rw", "twice"),
        ("sqlite://shop.db ", "%20"),
        (" memory://", "%20"),
    ] {
        let text = refused(url).await;
        assert!(text.contains(said) && !text.contains("hunter2"), "{url}: {text}");
    }
}

#[tokio::test]
async fn a_path_that_cannot_be_opened_is_named_once_with_the_reason() {
    let directory = tempfile::TempDir::new().unwrap();
    let at = |name: &str| directory.path().join(name);
    std::fs::write(at("notes.txt"), "no database, and longer than a header").unwrap();
    std::fs::create_dir(at("folder")).unwrap();
    for (path, said) in [
        (at("missing/shop.db"), "there is no directory"),
        (at("folder"), "is a directory"),
        (at("notes.txt"), "not a SQLite database"),
        (Path::new("/proc/shop.db").to_owned(), "unable to open database file"),
    ] {
        let text = refused(&format!("sqlite://{}", path.display())).await;
        assert!(text.contains(&path.display().to_string()) && text.contains(said), "{text}");
        assert_eq!(text.matches(said).count(), 1, "{text}");
    }
}

#[test]
fn an_address_shows_no_secret() {
    let address: Address = "postgres://app:hunter2@db/bank?password=hunter2".parse().unwrap();
    assert_eq!(address.to_string(), "postgres://***@db/bank?password=***");
    assert!(!format!("{address:?} {address:#?}").contains("hunter2"));
}
