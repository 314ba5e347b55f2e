//! The derives of processes: `Process`, `Route` and `Timer`.

pub(crate) mod definition;
pub(crate) mod route;
pub(crate) mod timer;
