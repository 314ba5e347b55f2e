//! recount-store-memory
