//! The derives of recount.
