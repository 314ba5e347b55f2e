//! recount-testing
