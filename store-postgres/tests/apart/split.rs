//! A store that writes in another process and reads in this one.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use recount_core::{
    Append, AppendError, Appended, EventStore, ExpectedRevision, InvalidState, MAX_STATE_VALUE, Revision, StateError,
    StateKey, Store, StoreError, StreamId,
};
use recount_store_postgres::PostgresStore;
use recount_testing::StoreWrapper;
use tokio::net::TcpStream;

use crate::wire::{Answer, Ask, Blobs, Failure, read, write};

pub struct Split {
    near: PostgresStore,
    address: SocketAddr,
    /// Which of the other process's stores is this one's other half.
    number: usize,
    /// Connections that nothing is asked on.
    idle: Mutex<Vec<TcpStream>>,
}

impl Split {
    pub async fn open(address: SocketAddr, near: PostgresStore) -> Self {
        let mut this = Self { near, address, number: 0, idle: Mutex::default() };
        match this.ask(Ask::Open, Blobs::default()).await {
            (Answer::Opened(number), _) => this.number = number,
            _ => panic!("the other process opens no store"),
        }
        // That connection ends with the runtime that opened the store.
        this.idle.lock().unwrap().clear();
        this
    }

    /// Dropped on the way, it hangs up, and the other process drops what it does.
    async fn ask(&self, ask: Ask, blobs: Blobs) -> (Answer, Blobs) {
        let idle = self.idle.lock().unwrap().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => TcpStream::connect(self.address).await.unwrap(),
        };
        write(&mut connection, &(self.number, ask), &blobs).await.unwrap();
        let answer = read(&mut connection).await.expect("the other process lives");
        self.idle.lock().unwrap().push(connection);
        answer
    }

    async fn ask_for_nothing(&self, ask: Ask) -> Result<(), Failure> {
        match self.ask(ask, Blobs::default()).await {
            (Answer::Done, _) => Ok(()),
            (Answer::Failed(failure), _) => Err(failure),
            _ => panic!("another answer"),
        }
    }
}

#[async_trait]
impl StoreWrapper for Split {
    fn inner(&self) -> &dyn Store {
        &self.near
    }
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        append.validate()?;
        let mut blobs = Blobs::default();
        let ask = Ask::append(&append, &mut blobs);
        drop(append);
        match self.ask(ask, blobs).await {
            (Answer::Appended(appended), _) => Ok(appended.into()),
            (Answer::Refused(refusal), blobs) => Err(refusal.into_error(&blobs)),
            _ => panic!("another answer"),
        }
    }
    async fn archive(&self, stream: &StreamId) -> Result<(), StoreError> {
        self.ask_for_nothing(Ask::Archive(stream.into())).await.map_err(Into::into)
    }
    async fn erase(&self, stream: &StreamId) -> Result<(), StoreError> {
        self.ask_for_nothing(Ask::Erase(stream.into())).await.map_err(Into::into)
    }
    async fn close(&self) {
        self.ask_for_nothing(Ask::Close).await.unwrap();
        self.near.close().await;
    }
    async fn put(
        &self,
        key: &StateKey,
        value: Bytes,
        expected: ExpectedRevision,
        time_to_live: Option<Duration>,
    ) -> Result<Revision, StateError> {
        let ask = Ask::Put { key: key.to_string(), expected: expected.into(), time_to_live };
        match self.ask(ask, Blobs(vec![value])).await {
            (Answer::Put(revision), _) => Ok(Revision(revision)),
            (Answer::Mismatch(actual), _) => {
                Err(StateError::Mismatch { key: key.clone(), expected, actual: actual.map(Revision) })
            }
            (Answer::TooLarge(size), _) => {
                let (key, limit) = (key.clone(), MAX_STATE_VALUE);
                Err(InvalidState::ValueTooLarge { key, size, limit }.into())
            }
            (Answer::Failed(failure), _) => Err(StoreError::from(failure).into()),
            _ => panic!("another answer"),
        }
    }
    async fn delete(&self, key: &StateKey, expected: ExpectedRevision) -> Result<(), StateError> {
        match self.ask(Ask::Delete { key: key.to_string(), expected: expected.into() }, Blobs::default()).await {
            (Answer::Done, _) => Ok(()),
            (Answer::Mismatch(actual), _) => {
                Err(StateError::Mismatch { key: key.clone(), expected, actual: actual.map(Revision) })
            }
            (Answer::Failed(failure), _) => Err(StoreError::from(failure).into()),
            _ => panic!("another answer"),
        }
    }
}
