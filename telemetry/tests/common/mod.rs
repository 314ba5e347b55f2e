//! A till with a limit, and the requests of a plain HTTP client.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

pub mod following;
pub mod process;

use std::net::SocketAddr;

use recount_core::{Aggregate, Apply, Command, Context, Decision, Event, Handle, NameError, Query};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "till")]
pub enum TillEvent {
    Sold { cents: u64 },
}

#[derive(Command, Clone, Debug)]
#[command(aggregate = Till)]
pub struct Sell {
    #[command(id)]
    pub till: String,
    pub cents: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too much for this till")]
pub struct TooMuch;

#[derive(Aggregate, Clone, Debug, Default, PartialEq)]
#[aggregate(name = "till", id = String, event = TillEvent, error = TooMuch, commands(Sell), snapshot(every = 5, version = 1))]
pub struct Till {
    pub cents: u64,
}

impl Apply for Till {
    fn apply(&mut self, TillEvent::Sold { cents }: &TillEvent) {
        self.cents += cents;
    }
}

/// Nothing for zero cents, and a refusal for more than 1000.
impl Handle<Sell> for Till {
    fn handle(&self, Sell { cents, .. }: Sell) -> Result<Vec<TillEvent>, TooMuch> {
        match cents {
            0 => Ok(vec![]),
            1..=1000 => Ok(vec![TillEvent::Sold { cents }]),
            _ => Err(TooMuch),
        }
    }
}

pub fn sell(till: &str, cents: u64) -> Sell {
    Sell { till: till.to_owned(), cents }
}

/// Closes the books at an even sum: a decision over all tills.
pub struct Round;

impl Decision for Round {
    type Event = TillEvent;
    type State = u64;
    type Error = TooMuch;

    fn boundary(&self) -> Result<Query, NameError> {
        Ok(TillEvent::query())
    }

    fn apply(&self, sum: &mut u64, TillEvent::Sold { cents }: &TillEvent) {
        *sum += cents;
    }

    fn decide(&self, sum: &u64, _: &Context<'_>) -> Result<Vec<TillEvent>, TooMuch> {
        Ok(vec![TillEvent::Sold { cents: 100 - sum % 100 }])
    }
}

/// The status and body of a request.
pub async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut connection = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}
