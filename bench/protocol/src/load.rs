//! Clients that do one thing after the other until the time is over.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::turn::{Answer, Turn, go};

/// How long everybody runs before it counts: connections, statements and caches are warm then.
const WARM_UP: Duration = Duration::from_millis(300);

/// Has every client of the turn do this again and again: it gets the client and how often it was called before, and
/// answers how many units it did and how often it had to try again.
pub async fn load<W, F>(turn: &Turn, work: W) -> Result<Answer>
where
    W: Fn(u32, u32) -> F + Clone + Send + 'static,
    F: Future<Output = Result<(u64, u64)>> + Send + 'static,
{
    let starts = vec![0; turn.clients];
    let (warm, starts) = clients(WARM_UP, starts, &work).await?;
    drop(warm);
    go().await?;
    let (answer, _) = clients(Duration::from_secs_f64(turn.seconds), starts, &work).await?;
    Ok(answer)
}

/// Measures one thing, done once.
pub async fn once<F: Future<Output = Result<u64>>>(work: impl FnOnce() -> F) -> Result<Answer> {
    go().await?;
    let started = Instant::now();
    let units = work().await?;
    Ok(Answer { units, seconds: started.elapsed().as_secs_f64(), ..Answer::default() })
}

async fn clients<W, F>(time: Duration, starts: Vec<u32>, work: &W) -> Result<(Answer, Vec<u32>)>
where
    W: Fn(u32, u32) -> F + Clone + Send + 'static,
    F: Future<Output = Result<(u64, u64)>> + Send + 'static,
{
    let started = Instant::now();
    let tasks: Vec<_> = (0..)
        .zip(starts)
        .map(|(client, start)| {
            let work = work.clone();
            tokio::spawn(async move {
                let (mut number, mut units, mut conflicts, mut took) = (start, 0, 0, Vec::new());
                while started.elapsed() < time {
                    let before = Instant::now();
                    let (done, again) = work(client, number).await?;
                    took.push(before.elapsed().as_secs_f64() * 1e6);
                    number += 1;
                    units += done;
                    conflicts += again;
                }
                anyhow::Ok((number, units, conflicts, took))
            })
        })
        .collect();
    let (mut answer, mut numbers, mut took) = (Answer::default(), Vec::new(), Vec::new());
    for task in tasks {
        let (number, units, conflicts, times) = task.await??;
        numbers.push(number);
        answer.units += units;
        answer.conflicts += conflicts;
        took.extend(times);
    }
    answer.seconds = started.elapsed().as_secs_f64();
    took.sort_by(f64::total_cmp);
    answer.median_us = took.get(took.len() / 2).copied().unwrap_or_default();
    Ok((answer, numbers))
}
