//! The private RabbitMQ of tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

use std::io::Read;
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use recount_servers::RabbitMq;

fn process_exists(id: &str) -> bool {
    Path::new("/proc").join(id).join("cmdline").exists()
}

/// The ids of the processes whose command line or environment names this directory or node.
fn processes_of(port: u16) -> Vec<String> {
    let mine = format!("RABBITMQ_NODENAME=recount-{port}@localhost");
    let named = |id: &String| {
        let mut environment = Vec::new();
        let file = std::fs::File::open(Path::new("/proc").join(id).join("environ"));
        file.is_ok_and(|mut file| file.read_to_end(&mut environment).is_ok())
            && environment.split(|byte| *byte == 0).any(|variable| variable == mine.as_bytes())
    };
    let processes = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.file_name().into_string().unwrap());
    processes.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())).filter(named).collect()
}

#[test]
fn a_server_comes_back_on_its_port_after_a_kill_and_leaves_no_process() {
    let mut server = RabbitMq::start().unwrap();
    let port = server.port();
    let before = server.control(&["eval", "os:getpid()."]).unwrap();
    server.kill();
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    server.restart().unwrap();
    let after = server.control(&["eval", "os:getpid()."]).unwrap();
    assert_ne!(before, after);
    assert_eq!(server.port(), port);
    assert!(!processes_of(port).is_empty());
    drop(server);
    // The helpers of the server's process notice its end.
    for _ in 0..50 {
        if processes_of(port).is_empty() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let left = processes_of(port);
    assert!(!left.iter().any(|id| process_exists(id)), "{left:?} are still there");
}
