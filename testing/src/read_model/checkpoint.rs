//! The checkpoint moves with the written rows, and only from where it was left.

use std::sync::Arc;

use recount_core::{Checkpoint, CheckpointError, EventId, Filter, Position, ReadModel, StoreId};

use super::Harness;

type Connection<'c, H> = &'c mut <<H as Harness>::Model as ReadModel>::Connection;

/// Moves a checkpoint in a transaction that writes its position.
async fn advance<H: Harness>(
    h: &Arc<H>,
    model: &H::Model,
    from: Checkpoint,
    to: Checkpoint,
) -> Result<(), CheckpointError> {
    let (mut transaction, _) = model.begin("p").await?;
    if H::Model::UNDOES {
        let connection: Connection<'_, H> = H::Model::connection(&mut transaction);
        h.prepare(connection).await.unwrap();
        h.write(connection, to.position.get()).await.unwrap();
    }
    model.commit(transaction, "p", from, to).await
}

async fn stored<H: Harness>(model: &H::Model) -> Checkpoint {
    model.begin("p").await.unwrap().1
}

fn at(position: u64) -> Checkpoint {
    Position::new(position).into()
}

/// A commit from anywhere but the stored checkpoint fails, and writes nothing.
pub async fn a_checkpoint_never_moves_back<H: Harness>(h: &Arc<H>) {
    let model = h.open().await;
    assert_eq!(stored::<H>(&model).await, Checkpoint::START);
    advance(h, &model, at(0), at(10)).await.unwrap();
    advance(h, &model, at(10), at(20)).await.unwrap();
    for (from, to) in [(0, 5), (10, 30), (10, 15), (30, 40)] {
        let outcome = advance(h, &model, at(from), at(to)).await;
        let Err(CheckpointError::Moved { projection, expected, actual }) = outcome else { panic!("{outcome:?}") };
        assert_eq!((&*projection, expected.get(), actual.get()), ("p", from, 20));
    }
    assert_eq!(stored::<H>(&model).await, at(20));
    let written = h.written().await;
    assert_eq!(written, if H::Model::UNDOES { vec![10, 20] } else { vec![] });
}

/// Position, store, event and filter are read as they were stored, and a commit from another one of them fails.
pub async fn every_part_of_a_checkpoint_is_kept_and_compared<H: Harness>(h: &Arc<H>) {
    let model = h.open().await;
    let filter = Filter::entries(["a", "b"]);
    let full = Checkpoint {
        position: Position::new(3),
        store: Some(StoreId::new()),
        event: Some(EventId::new()),
        filter: Some(filter.id()),
    };
    advance(h, &model, Checkpoint::START, full).await.unwrap();
    assert_eq!(stored::<H>(&model).await, full);
    for other in [
        Checkpoint { position: Position::new(4), ..full },
        Checkpoint { store: Some(StoreId::new()), ..full },
        Checkpoint { store: None, ..full },
        Checkpoint { event: Some(EventId::new()), ..full },
        Checkpoint { event: None, ..full },
        Checkpoint { filter: Some(Filter::everything().id()), ..full },
        Checkpoint { filter: None, ..full },
    ] {
        let outcome = advance(h, &model, other, at(9)).await;
        assert!(matches!(outcome, Err(CheckpointError::Moved { .. })), "{other:?}: {outcome:?}");
    }
    assert_eq!(stored::<H>(&h.open().await).await, full);
    // The text of the filter commits with the rest, and moves nothing.
    let (mut transaction, _) = model.begin("p").await.unwrap();
    assert_eq!(model.filter(&mut transaction, "p").await.unwrap(), None);
    model.remember_filter(&mut transaction, "p", &filter).await.unwrap();
    model.commit(transaction, "p", full, full).await.unwrap();
    let (mut transaction, checkpoint) = model.begin("p").await.unwrap();
    assert_eq!((model.filter(&mut transaction, "p").await.unwrap(), checkpoint), (Some(filter), full));
}

/// A transaction that is dropped writes nothing, and holds up no other.
pub async fn a_dropped_transaction_leaves_nothing<H: Harness>(h: &Arc<H>) {
    let model = h.open().await;
    advance(h, &model, at(0), at(1)).await.unwrap();
    for _ in 0..10 {
        let (mut transaction, _) = model.begin("p").await.unwrap();
        if H::Model::UNDOES {
            h.write(H::Model::connection(&mut transaction), 7).await.unwrap();
        }
        drop(transaction);
        drop(model.begin("p").await.unwrap());
    }
    advance(h, &model, at(1), at(2)).await.unwrap();
    assert!(!h.written().await.contains(&7));
}
