//! recount
#[cfg(any(feature = "memory", feature = "sqlite"))]
mod connect;
pub mod prelude;

#[cfg(any(feature = "memory", feature = "sqlite"))]
pub use connect::{ConnectError, connect};
#[doc(hidden)]
pub use recount_core::__private;
pub use recount_core::*;
#[cfg(feature = "memory")]
pub use recount_store_memory as memory;
#[cfg(feature = "sqlite")]
pub use recount_store_sqlite as sqlite;
