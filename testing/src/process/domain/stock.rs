//! Stock.

use std::sync::atomic::Ordering;

use recount_core::{Aggregate, Apply, Command, Event, Handle};
use serde::{Deserialize, Serialize};

use super::{BROKEN, FRAGILE, JAMMED};

/// The stock of one order: a shelf of its own, filled by [`Fill`].
#[derive(Clone, Debug, PartialEq, Event)]
#[event(name = "suite_stock", unlocked)]
pub enum StockEvent {
    Filled { order: u64, pieces: u32 },
    Reserved { order: u64, pieces: u32 },
    Released { order: u64, pieces: u32 },
}

#[derive(Clone, Debug, Command)]
#[command(aggregate = Stock)]
pub struct Fill {
    #[command(id)]
    pub order: u64,
    pub pieces: u32,
}

#[derive(Clone, Debug, Command)]
#[command(aggregate = Stock)]
pub struct Reserve {
    #[command(id)]
    pub order: u64,
    pub pieces: u32,
}

#[derive(Clone, Debug, Command)]
#[command(aggregate = Stock)]
pub struct Release {
    #[command(id)]
    pub order: u64,
    pub pieces: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum StockError {
    TooFew { left: u32 },
    Jammed,
}

impl std::fmt::Display for StockError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooFew { left } => write!(f, "only {left} are left"),
            Self::Jammed => f.write_str("the shelf is jammed"),
        }
    }
}

impl std::error::Error for StockError {}

#[derive(Clone, Debug, Default, Aggregate)]
#[aggregate(name = "suite_stock", id = u64, event = StockEvent, error = StockError, commands(Fill, Reserve, Release))]
pub struct Stock {
    left: u32,
    unjammed: bool,
}

impl Apply for Stock {
    fn apply(&mut self, event: &StockEvent) {
        match event {
            StockEvent::Filled { pieces, .. } => {
                self.left += pieces;
                self.unjammed |= *pieces == 0;
            }
            StockEvent::Reserved { pieces, .. } => self.left -= pieces,
            StockEvent::Released { pieces, .. } => self.left += pieces,
        }
    }
}

impl Handle<Fill> for Stock {
    fn handle(&self, command: Fill) -> Result<Vec<StockEvent>, StockError> {
        Ok(vec![StockEvent::Filled { order: command.order, pieces: command.pieces }])
    }
}

impl Handle<Reserve> for Stock {
    fn handle(&self, command: Reserve) -> Result<Vec<StockEvent>, StockError> {
        assert!(command.order != FRAGILE || !BROKEN.load(Ordering::SeqCst), "the shelf is broken");
        if self.left < command.pieces {
            return Err(StockError::TooFew { left: self.left });
        }
        Ok(vec![StockEvent::Reserved { order: command.order, pieces: command.pieces }])
    }
}

impl Handle<Release> for Stock {
    fn handle(&self, command: Release) -> Result<Vec<StockEvent>, StockError> {
        if command.pieces == JAMMED && !self.unjammed {
            return Err(StockError::Jammed);
        }
        Ok(vec![StockEvent::Released { order: command.order, pieces: command.pieces }])
    }
}
