//! The operations of a store.

#[cfg(doc)]
use recount_core::{EventStore, StateStore};

/// The operations of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// [`EventStore::append`].
    Append,
    /// [`EventStore::read_stream`] and [`EventStore::fold_stream`].
    ReadStream,
    /// [`EventStore::read_all`].
    ReadAll,
    /// [`EventStore::find_append`].
    FindAppend,
    /// [`EventStore::forget_keys`].
    ForgetKeys,
    /// [`EventStore::head`].
    Head,
    /// [`EventStore::event_at`].
    EventAt,
    /// [`EventStore::archive`].
    Archive,
    /// [`EventStore::erase`].
    Erase,
    /// [`EventStore::health`].
    Health,
    /// [`StateStore::now`].
    Now,
    /// [`StateStore::get`].
    Get,
    /// [`StateStore::put`].
    Put,
    /// [`StateStore::delete`].
    Delete,
    /// [`StateStore::put_many`].
    PutMany,
    /// [`StateStore::delete_many`].
    DeleteMany,
    /// [`StateStore::list`].
    List,
}

impl Operation {
    /// Whether a lost answer leaves the outcome open.
    pub(super) const fn writes(self) -> bool {
        matches!(
            self,
            Self::Append
                | Self::ForgetKeys
                | Self::Archive
                | Self::Erase
                | Self::Put
                | Self::Delete
                | Self::PutMany
                | Self::DeleteMany
        )
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::ReadStream => "read stream",
            Self::ReadAll => "read all",
            Self::FindAppend => "find append",
            Self::ForgetKeys => "forget keys",
            Self::Head => "head",
            Self::EventAt => "event at",
            Self::Archive => "archive",
            Self::Erase => "erase",
            Self::Health => "health",
            Self::Now => "now",
            Self::Get => "get",
            Self::Put => "put",
            Self::Delete => "delete",
            Self::PutMany => "put many",
            Self::DeleteMany => "delete many",
            Self::List => "list",
        }
    }
}
