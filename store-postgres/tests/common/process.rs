//! The test program once more, as another process with a part of its own.

use std::io::Write;
use std::process::{Child, Command, Stdio};

const PART: &str = "RECOUNT_TEST_PART";

/// Starts this test program as a process that runs only the test `child`, with its part and what else it is to know.
/// Talk to it by its standard input and output.
pub fn spawn(part: &str, variables: &[(&str, String)]) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--nocapture", "--test-threads=1"])
        .env(PART, part)
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The part of this process; none in an ordinary run.
pub fn part() -> Option<String> {
    std::env::var(PART).ok()
}

/// What the parent tells by this variable.
pub fn told(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set"))
}

/// Tells the parent.
pub fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // A parent that is gone has killed this process or is about to.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// A child that does not outlive the test.
pub struct Killed(pub Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Random numbers whose seed is printed if the test fails. Set `RECOUNT_SEED` to repeat a run.
pub fn seed() -> u64 {
    let given = std::env::var("RECOUNT_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    println!("seed: RECOUNT_SEED={seed}");
    seed
}
