//! The faults of the server, and the operator.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::world::{Part, World};
use super::{Scale, Server, say};

/// How often it is looked how far the messages are.
const LOOK: Duration = Duration::from_millis(50);
/// How long nothing more may come at the end: longer than the lease.
const QUIET: Duration = Duration::from_secs(4);

/// Runs the worlds on the server, and checks the effects of their messages.
pub(super) async fn drive(server: &dyn Server, scale: Scale, worlds: &[Arc<World>]) {
    let (end, ended) = watch::channel(false);
    let mut tasks = JoinSet::new();
    for world in worlds {
        for part in [Part::Relay, Part::Inbox] {
            let (world, ended) = (Arc::clone(world), ended.clone());
            tasks.spawn(async move { world.keep_running(part, ended).await });
        }
        let world = Arc::clone(world);
        tasks.spawn(async move { world.place().await });
    }
    let mut redriven = vec![0; worlds.len()];
    let complete = async {
        tokio::join!(hurt(server, scale, worlds), redrive(scale, worlds, &mut redriven));
        sleep(QUIET).await;
    };
    let in_time = tokio::select! {
        complete = timeout(scale.limit, complete) => complete.is_ok(),
        failed = failed(&mut tasks) => panic!("{failed}"),
    };
    if !in_time {
        panic!("the messages are not handled within {:?}: {}", scale.limit, state(worlds).await);
    }
    end.send_replace(true);
    while let Some(task) = tasks.join_next().await {
        task.expect("a program ends in order");
    }
    for (world, redriven) in worlds.iter().zip(redriven) {
        say(&world.summary(redriven));
        let defects = world.defects().await;
        assert!(defects.is_empty(), "seed {}: {defects:#?}", world.seed);
        world.assert_faults(redriven);
    }
}

/// Waits until a task has panicked. A task that ended in order doesn't count.
async fn failed(tasks: &mut JoinSet<()>) -> String {
    loop {
        match tasks.join_next().await {
            Some(Err(error)) => return error.to_string(),
            Some(Ok(())) => {}
            None => std::future::pending().await,
        }
    }
}

/// Kills the server at a third and at the half of the messages, and freezes it at two thirds.
async fn hurt(server: &dyn Server, scale: Scale, worlds: &[Arc<World>]) {
    let all = u64::from(scale.messages) * worlds.len() as u64;
    for (share, freezes) in [(all / 3, false), (all / 2, false), (all * 2 / 3, true)] {
        while entered(worlds).await < share {
            sleep(LOOK).await;
        }
        let started = Instant::now();
        if freezes {
            server.freeze().await;
            sleep(scale.freeze).await;
            server.thaw().await;
        } else {
            server.kill().await;
            sleep(scale.down).await;
            server.start().await;
        }
        let fault = if freezes { "frozen" } else { "killed and started again" };
        say(&format!("at {share} of {all} messages: {fault}, {} ms", started.elapsed().as_millis()));
    }
}

/// Redrives dead letters until all messages have taken effect and none waits.
async fn redrive(scale: Scale, worlds: &[Arc<World>], redriven: &mut [usize]) {
    let mut complete = false;
    while !complete {
        sleep(LOOK * 5).await;
        complete = true;
        for (world, redriven) in worlds.iter().zip(&mut *redriven) {
            let letters = world.dead_letters();
            *redriven += letters.redrive_all(None, "the campaign").await.expect("dead letters are redriven");
            complete &= world.entered().await >= u64::from(scale.messages)
                && letters.list(None).await.expect("the store answers").is_empty();
        }
    }
}

async fn entered(worlds: &[Arc<World>]) -> u64 {
    let mut sum = 0;
    for world in worlds {
        sum += world.entered().await;
    }
    sum
}

/// The messages that are still missing, for a campaign that does not end.
async fn state(worlds: &[Arc<World>]) -> String {
    let mut text = String::new();
    for world in worlds {
        let letters = world.dead_letters().list(None).await.expect("the store answers");
        let defects = world.defects().await;
        text.push_str(&format!("\nseed {}: {defects:#?}\nparked: {letters:#?}", world.seed));
    }
    text
}
