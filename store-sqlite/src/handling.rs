//! Detects handlers that write to the file that their own transaction has locked, and would deadlock.

use std::path::PathBuf;
use std::sync::Arc;

use recount_core::StoreError;

use crate::place::Place;

tokio::task_local! {
    static HANDLING: Arc<Handling>;
}

/// A handler that the current task is inside of, and the handlers around it.
struct Handling {
    place: Arc<Place>,
    projection: Arc<str>,
    outer: Option<Arc<Handling>>,
}

/// A handler writes to the file that its own transaction has locked.
#[derive(Debug, thiserror::Error)]
#[error(
    "the handler of projection {projection} runs inside a transaction on {}, and a write from it to the same file would \
     wait for itself: write once the handler has returned, for example from a subscription, or give the projection a read \
     model in a file of its own", .path.display()
)]
struct WaitsForItself {
    projection: Arc<str>,
    path: PathBuf,
}

/// Runs handlers of a projection in a transaction that holds the write lock of this file.
pub(crate) async fn handling<F: Future>(place: Arc<Place>, projection: &str, handlers: F) -> F::Output {
    let outer = HANDLING.try_with(Arc::clone).ok();
    HANDLING.scope(Arc::new(Handling { place, projection: projection.into(), outer }), handlers).await
}

/// Fails if the current task is inside a handler with a transaction that holds the write lock of this file.
pub(crate) fn refuse_inside(place: &Place, operation: &'static str) -> Result<(), StoreError> {
    let found = HANDLING.try_with(|innermost| {
        let mut next = Some(innermost);
        std::iter::from_fn(|| {
            let handling = next?;
            next = handling.outer.as_ref();
            Some(handling)
        })
        .find(|handling| handling.place.is_same_file(place))
        .map(|handling| Arc::clone(&handling.projection))
    });
    match found {
        Ok(Some(projection)) => {
            let source = Box::new(WaitsForItself { projection, path: place.path() });
            Err(StoreError::Backend { operation, source })
        }
        _ => Ok(()),
    }
}
