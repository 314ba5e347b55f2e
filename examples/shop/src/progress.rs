//! Progress, for a user at a terminal: how far the import is, and how far the parts are that follow it.

use std::io::IsTerminal;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{HumanCount, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use recount::Position;

/// How often the bars are drawn anew.
pub const EVERY: Duration = Duration::from_millis(100);

/// A number of imported orders, or of handled events. Those of an earlier run count here, but not in the rate of this run.
#[derive(Default)]
pub struct Count {
    begun: OnceLock<(u64, Instant)>,
    now: AtomicU64,
}

impl Count {
    /// So many are done.
    pub fn set(&self, done: u64) {
        self.begun.get_or_init(|| (done, Instant::now()));
        self.now.store(done, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    /// So many a second, since this run began; none if it had nothing to do yet.
    fn rate(&self) -> Option<f64> {
        let (skipped, start) = self.begun.get()?;
        let done = self.get() - skipped;
        (done > 0).then(|| done as f64 / start.elapsed().as_secs_f64())
    }
}

/// One bar for the orders, and one for each part that follows the events.
pub struct Bars {
    bars: MultiProgress,
    orders: ProgressBar,
    parts: Vec<(ProgressBar, Count)>,
}

impl Bars {
    /// Shows them if there is a terminal to show them on.
    pub fn new(orders: usize, parts: &[&'static str]) -> Result<Self> {
        let terminal = std::io::stderr().is_terminal();
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let style = ProgressStyle::with_template("{spinner} {prefix:11} {bar:28} {msg}")?.tick_chars("◐◓◑◒✓");
        let bars = MultiProgress::with_draw_target(target);
        let bar = |name: &'static str, length| {
            let bar = bars.add(ProgressBar::new(length).with_style(style.clone()).with_prefix(name));
            if terminal {
                bar.enable_steady_tick(EVERY);
            }
            bar
        };
        let orders = bar("orders", orders as u64);
        let parts = parts.iter().map(|part| (bar(part, 0), Count::default())).collect();
        Ok(Self { bars, orders, parts })
    }

    /// Draws them: the orders that are in, and how far the parts are in a log that ends at `head`.
    pub fn show(&self, count: &Count, parts: &[Position], head: Position) {
        if !self.orders.is_finished() {
            self.orders.set_position(count.get());
            self.orders.set_message(self.orders_text(count));
        }
        for ((bar, done), position) in self.parts.iter().zip(parts).filter(|((bar, _), _)| !bar.is_finished()) {
            // Before the part has found its checkpoint, its position is the start.
            if *position > Position::START {
                done.set(position.get());
            }
            bar.set_length(head.get());
            bar.set_position(position.get().min(head.get()));
            let mut text = format!("{}/{} events", HumanCount(position.get()), HumanCount(head.get()));
            if let Some(rate) = done.rate() {
                text += &format!(", {}/s", HumanCount(rate.round() as u64));
            }
            bar.set_message(text);
        }
    }

    /// All orders are in.
    pub fn orders_done(&self, count: &Count) {
        self.orders.set_position(count.get());
        self.orders.finish_with_message(self.orders_text(count));
    }

    /// The part has done all that follows from them.
    pub fn part_done(&self, part: usize, head: Position) {
        if let Some((bar, _)) = self.parts.get(part) {
            bar.set_length(head.get());
            bar.finish_with_message(format!("{} events", HumanCount(head.get())));
        }
    }

    /// Takes them away.
    pub fn clear(&self) {
        for bar in self.parts.iter().map(|(bar, _)| bar).chain([&self.orders]) {
            bar.disable_steady_tick();
        }
        // A terminal that can't be drawn to needs no tidying.
        let _ = self.bars.clear();
        self.bars.set_draw_target(ProgressDrawTarget::hidden());
    }

    fn orders_text(&self, count: &Count) -> String {
        let (done, all) = (count.get(), self.orders.length().unwrap_or(0));
        let mut text = format!("{}/{}", HumanCount(done), HumanCount(all));
        match count.rate() {
            Some(rate) => {
                text += &format!(", {}/s", HumanCount(rate.round() as u64));
                if done < all {
                    text += &format!(", {:.0} s left", ((all - done) as f64 / rate).ceil());
                }
            }
            None if done == all => text += ", were all in",
            None => {}
        }
        text
    }
}
