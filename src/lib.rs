//! recount
pub use recount_core::*;
#[cfg(feature = "memory")]
pub use recount_store_memory as memory;
#[cfg(feature = "sqlite")]
pub use recount_store_sqlite as sqlite;
