//! What the shop shows of itself while it runs.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed")]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Place, SAMPLE, sample, text, totals};

fn get(address: &str, path: &str) -> String {
    let mut connection = TcpStream::connect(address).unwrap();
    write!(connection, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn metrics_and_health_are_served_while_it_runs() {
    let place = Place::new();
    let mut command = place.shop();
    command.args(["--metrics", "127.0.0.1:0"]).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut shop = command.spawn().unwrap();
    let mut line = String::new();
    let mut errors = BufReader::new(shop.stderr.take().unwrap());
    errors.read_line(&mut line).unwrap();
    let address = line.strip_prefix("metrics on http://").unwrap().split('/').next().unwrap().to_owned();
    let deadline = Instant::now() + Duration::from_secs(60);
    let placed = "recount_commands_total{aggregate=\"order\"";
    loop {
        let metrics = get(&address, "/metrics");
        assert!(metrics.starts_with("HTTP/1.1 200"), "{metrics}");
        if metrics.lines().any(|line| line.starts_with(placed) && line.contains("accepted") && !line.ends_with(" 0")) {
            break;
        }
        assert!(Instant::now() < deadline, "no order was counted in\n{metrics}");
        std::thread::sleep(Duration::from_millis(20));
    }
    let health = get(&address, "/health/ready");
    assert!(health.starts_with("HTTP/1.1 200") && health.contains(r#""name":"store","status":"ok""#), "{health}");
    for consumer in ["process:fulfilment", "process:fulfilment/send", "reaction:customers", "projection:sales"] {
        assert!(health.contains(&format!(r#""name":"{consumer}","status":"ok""#)), "{health}");
    }
    let metrics = get(&address, "/metrics");
    for labels in [r#"kind="process",projection="fulfilment""#, r#"kind="projection",projection="sales""#] {
        assert!(metrics.contains(&format!("recount_projection_position{{{labels}}}")), "{labels} in {metrics}");
    }
    assert!(Command::new("kill").arg(shop.id().to_string()).status().unwrap().success());
    let started = Instant::now();
    assert_eq!(shop.wait().unwrap().code(), Some(143));
    assert!(started.elapsed() < Duration::from_secs(10));
    TcpStream::connect(&address).unwrap_err();
}

#[test]
fn an_address_that_others_could_reach_is_refused_before_anything_is_done() {
    let place = Place::new();
    let output = place.run(&["--metrics", "0.0.0.0:0"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&output.stderr).contains("--metrics: 0.0.0.0:0 can be reached from other hosts"), "{output:?}");
    assert!(output.stdout.is_empty());
}

#[test]
fn an_endpoint_for_traces_that_is_down_costs_nothing_but_the_traces() {
    let place = Place::new();
    let report = place.report(&["--orders", &sample(), "--otlp", "http://127.0.0.1:1"]);
    assert_eq!(totals(&report), SAMPLE);
    let output = place.run(&["--otlp", "https://collector"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&output.stderr).contains("--otlp: the OTLP endpoint is wrong: https is not supported"), "{output:?}");
}
