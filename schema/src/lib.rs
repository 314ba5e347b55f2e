//! The lock of event schemas: a file beside the code with the stored form of every released version of an event.
//!
//! `#[derive(Event)]` reads it while it compiles the events, so that a change that makes stored events unreadable is an error
//! there. Tests that the derive writes keep it up to date and decode the samples in it. This crate is the file: its model and
//! format ([`Lock`]), the forms in it ([`Form`]), the samples ([`draws`], [`choose`]), and the changes
//! between two locks ([`changes`]).
//!
//! ```
//! use recount_schema::Lock;
//!
//! let lock = Lock::parse(r#"{
//!     "format": 1,
//!     "events": {
//!         "account.opened": {
//!             "type": "AccountEvent",
//!             "versions": {
//!                 "1": { "hash": "00", "form": { "object": { "owner": "string" } }, "schema": {}, "samples": ["{\"owner\":\"\"}"] }
//!             }
//!         }
//!     }
//! }"#)?;
//! assert_eq!(lock.events["account.opened"].newest().map(|(version, _)| version), Some(1));
//! # Ok::<(), recount_schema::LockError>(())
//! ```

mod declaration;
mod diff;
mod form;
mod lock;
mod sample;
mod sarif;

pub use diff::{Change, Compatibility, changes, version_changes};
pub use form::{Field, Form, FormError, Tagging, WIDER, widens};
pub use lock::{FORMAT, Lock, LockError, LockedEvent, LockedVersion, PATH, add_line};
pub use sample::{SAMPLES, choose, draws};
pub use sarif::sarif;
