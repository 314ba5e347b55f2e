//! The shop as six services, each with a store of its own, which talk through a broker.

mod archive;
mod books;
mod broker;
mod chaos;
mod clerk;
mod compare;
mod conductor;
mod copies;
mod crew;
mod entry;
mod feed;
mod manifests;
mod member;
mod parts;
mod single;
mod stores;
mod story;
mod supervised;
mod tables;
mod topology;
mod watch;

pub use conductor::{ServicesOptions, run as conduct};
pub use manifests::manifests;
pub use single::{ServiceOptions, run as serve};
