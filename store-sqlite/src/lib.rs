//! recount-store-sqlite
