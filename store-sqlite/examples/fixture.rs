//! Writes the file that `tests/files.rs` reads as a file of the schema version of this program:
//! `cargo run -p recount-store-sqlite --example fixture NEW_FILE`. Committed once for each schema version.

use std::sync::Arc;

use recount_core::{
    Append, BoxError, EventData, EventStore, EventType, ExpectedRevision, ExpectedVersion, IdempotencyKey, Namespace,
    StateStore, StreamId, Tag,
};
use recount_store_sqlite::SqliteStore;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let store = SqliteStore::open(std::env::args().nth(1).ok_or("which file?")?).await?;
    let opened = EventData::new(EventType::new("account.opened")?, r#"{"owner":"Ada"}"#);
    let mut deposited = EventData::new(EventType::new("account.deposited")?, r#"{"cents":100}"#);
    deposited.schema_version = 2;
    deposited.tags.push(Tag::pair("customer", "ada")?);
    deposited.metadata.actor = Some(Arc::from("ada"));
    deposited.metadata.headers.insert("source".into(), "web".into());
    let id = |id: &str| StreamId::new("account", id);
    store.append(Append::to(id("1")?, ExpectedVersion::NoStream, vec![opened.clone(), deposited.clone()])).await?;
    for other in ["archived", "erased"] {
        let again = EventData::new(opened.event_type.clone(), opened.payload.clone());
        store.append(Append::to(id(other)?, ExpectedVersion::Any, vec![again])).await?;
    }
    store.archive(&id("archived")?).await?;
    store.erase(&id("erased")?).await?;
    let again = EventData { id: recount_core::EventId::new(), ..deposited };
    let named = Append::to(id("1")?, ExpectedVersion::Any, vec![again.clone()]);
    store.append(named.idempotency_key(IdempotencyKey::new("transfer-1")?)).await?;
    let orders =
        vec![EventData { id: recount_core::EventId::new(), ..again.clone() }, EventData::new(again.event_type, "\0")];
    store.append(Append::to(StreamId::new("order", "ü/1")?, ExpectedVersion::Any, orders)).await?;
    let key = Namespace::SNAPSHOT.key("account/1")?;
    store.put(&key, "snapshot".into(), ExpectedRevision::Any, None).await?;
    store.close().await;
    Ok(())
}
