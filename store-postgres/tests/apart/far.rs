//! The other process: stores that write what they are asked to.

use std::sync::{Arc, Mutex};

use recount_core::{EventStore, InvalidState, StateError, StateKey, StateStore};
use recount_store_postgres::PostgresStore;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

use crate::common::process;
use crate::wire::{Answer, Ask, Blobs, Failure, Refusal, read, write};

type Stores = Arc<Mutex<Vec<PostgresStore>>>;

/// Serves until the process is killed.
pub async fn serve(url: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    process::say(&format!("listening {}", listener.local_addr().unwrap()));
    let (stores, url): (Stores, Arc<str>) = (Stores::default(), url.into());
    loop {
        let (connection, _) = listener.accept().await.unwrap();
        tokio::spawn(answer(connection, stores.clone(), url.clone()));
    }
}

async fn answer(mut connection: TcpStream, stores: Stores, url: Arc<str>) {
    let (mut reading, mut writing) = connection.split();
    while let Ok(((store, ask), blobs)) = read(&mut reading).await {
        let mut more = Blobs::default();
        let answer = tokio::select! {
            answer = perform(&stores, &url, store, ask, blobs, &mut more) => answer,
            // Whoever asked has hung up.
            _ = reading.read_u8() => return,
        };
        if write(&mut writing, &answer, &more).await.is_err() {
            return;
        }
    }
}

async fn perform(stores: &Stores, url: &str, store: usize, ask: Ask, blobs: Blobs, more: &mut Blobs) -> Answer {
    if let Ask::Open = ask {
        let store = PostgresStore::open(url).await.unwrap();
        let mut all = stores.lock().unwrap();
        all.push(store);
        return Answer::Opened(all.len() - 1);
    }
    let store = stores.lock().unwrap()[store].clone();
    match ask {
        Ask::Open => unreachable!(),
        Ask::Append(_) => match store.append(ask.into_append(&blobs)).await {
            Ok(appended) => Answer::Appended(appended.into()),
            Err(error) => Answer::Refused(Refusal::of(&error, more)),
        },
        Ask::Archive(stream) => done(store.archive(&stream.into()).await),
        Ask::Erase(stream) => done(store.erase(&stream.into()).await),
        Ask::Put { key, expected, time_to_live } => {
            let put = store
                .put(&StateKey::from_stored(key).unwrap(), blobs.0[0].clone(), expected.into(), time_to_live)
                .await;
            put.map_or_else(failed, |revision| Answer::Put(revision.0))
        }
        Ask::Delete { key, expected } => {
            let deleted = store.delete(&StateKey::from_stored(key).unwrap(), expected.into()).await;
            deleted.map_or_else(failed, |()| Answer::Done)
        }
        Ask::Close => {
            store.close().await;
            Answer::Done
        }
    }
}

fn done(outcome: Result<(), recount_core::StoreError>) -> Answer {
    outcome.map_or_else(|error| Answer::Failed(Failure::of(&error)), |()| Answer::Done)
}

fn failed(error: StateError) -> Answer {
    match error {
        StateError::Mismatch { actual, .. } => Answer::Mismatch(actual.map(|revision| revision.0)),
        StateError::Invalid(InvalidState::ValueTooLarge { size, .. }) => Answer::TooLarge(size),
        StateError::Store(error) => Answer::Failed(Failure::of(&error)),
        other => panic!("{other:?}"),
    }
}
