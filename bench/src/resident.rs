//! How much memory of this process is resident.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};

/// Resident memory now, in MB.
pub fn resident() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status").context("resident memory is only known on Linux")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS is missing")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024.0 / 1e6)
}

/// Samples resident memory beside what is measured.
pub struct Watch {
    over: Arc<AtomicBool>,
    samples: JoinHandle<Result<f64>>,
}

impl Watch {
    pub fn start() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&over);
        let samples = std::thread::spawn(move || {
            let mut peak = resident()?;
            while !until.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(5));
                peak = resident()?.max(peak);
            }
            Ok(peak)
        });
        Self { over, samples }
    }

    /// The most that there was, in MB.
    pub fn peak(self) -> Result<f64> {
        self.over.store(true, Ordering::Relaxed);
        self.samples.join().map_err(|_| anyhow!("the sampler panicked"))?
    }
}
