//! How loading, dispatching and deciding fail.

use std::error::Error;

use super::Refusal;
use crate::{
    AppendError, Conflict, DecodeError, EncodeError, IdempotencyKey, NameCollision, NameError, StoreError, StreamId,
    StreamVersion,
};

/// Why an aggregate can't be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// Nothing has happened to it yet.
    #[error("stream {stream} does not exist")]
    NotFound {
        /// The aggregate's stream.
        stream: StreamId,
    },
    /// One of its events can't be read.
    #[error("event {version} of stream {stream} can't be read")]
    Decode {
        /// The aggregate's stream.
        stream: StreamId,
        /// Which event.
        version: StreamVersion,
        /// Why.
        source: DecodeError,
    },
    /// Another type of the program has the same stored name.
    #[error(transparent)]
    NameCollision(#[from] NameCollision),
    /// Its id makes no stream name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a command or decision had no effect. The domain's own refusal is one variant, failures are others.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DispatchError<E: Error + 'static> {
    /// The domain refused it.
    #[error(transparent)]
    Rejected(E),
    /// The domain refused the first request under this idempotency key, and the refusal was
    /// [kept](crate::Dispatch::keep_refusal).
    #[error("{refusal} (refused by the first request under idempotency key {key})")]
    RefusedEarlier {
        /// The key.
        key: IdempotencyKey,
        /// The data of the domain's error.
        refusal: Box<Refusal>,
    },
    /// The request with this idempotency key was [withdrawn](crate::Recount::withdraw): it never takes effect.
    #[error("the request with idempotency key {key} was withdrawn and never takes effect")]
    Withdrawn {
        /// The key.
        key: IdempotencyKey,
    },
    /// The command creates an aggregate that is there already.
    #[error("stream {stream} exists already, at version {version}")]
    AlreadyExists {
        /// The aggregate's stream.
        stream: StreamId,
        /// The version it is at.
        version: StreamVersion,
    },
    /// Others were faster every time.
    #[error("gave up after {attempts} attempts that each met a conflict")]
    Contended {
        /// How often it was tried.
        attempts: usize,
        /// The last conflict.
        source: Conflict,
    },
    /// The state that it is about can't be loaded.
    // Not transparent, as `Append`: retry policies look for the failure among the sources of errors of unknown types.
    #[error("the state can't be loaded")]
    Load(#[from] LoadError),
    /// The events can't be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The command has no JSON form, or the JSON is no such command.
    #[error("command {command} is not well-formed")]
    Malformed {
        /// The command's name.
        command: String,
        /// The mistake in the JSON, and its place.
        source: serde_json::Error,
    },
    /// No registered aggregate has such a command.
    #[error("there is no command {command} of {aggregate}; known: {known}")]
    UnknownCommand {
        /// The aggregate's name.
        aggregate: String,
        /// The command's name.
        command: String,
        /// The registered commands.
        known: String,
    },
    /// The append failed.
    #[error("the append failed")]
    Append(#[from] AppendError),
}

impl<E: Error + 'static> DispatchError<E> {
    /// Whether the same call can succeed later without anybody changing it.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Contended { .. } => true,
            Self::Load(LoadError::Store(error)) | Self::Append(AppendError::Store(error)) => error.is_transient(),
            _ => false,
        }
    }

    /// Whether an attempt failed because of the loaded state, before it made an append.
    pub(crate) fn is_of_the_state(&self) -> bool {
        match self {
            Self::Rejected(_) | Self::AlreadyExists { .. } | Self::Encode(_) => true,
            Self::Load(error) => !matches!(error, LoadError::Store(error) if error.is_transient()),
            _ => false,
        }
    }

    /// The failure of each command of a failed group: the same failure if the store failed or others were faster.
    /// Otherwise the closure returns `None`: one of the commands may be to blame, and the others should go on.
    pub(super) fn for_each(self) -> Box<dyn Fn() -> Option<Self> + Send> {
        match self {
            Self::Contended { attempts, source } => {
                Box::new(move || Some(Self::Contended { attempts, source: source.clone() }))
            }
            Self::Append(AppendError::Store(error)) => match error.for_each() {
                Some(same) => Box::new(move || Some(AppendError::from(same()).into())),
                None => Box::new(|| None),
            },
            Self::Load(LoadError::Store(error)) => match error.for_each() {
                Some(same) => Box::new(move || Some(LoadError::from(same()).into())),
                None => Box::new(|| None),
            },
            _ => Box::new(|| None),
        }
    }

    /// The same failure with the domain's refusal turned into another type.
    pub(crate) fn map_rejection<F: Error + 'static>(self, map: impl FnOnce(E) -> F) -> DispatchError<F> {
        match self {
            Self::Rejected(error) => DispatchError::Rejected(map(error)),
            Self::RefusedEarlier { key, refusal } => DispatchError::RefusedEarlier { key, refusal },
            Self::Withdrawn { key } => DispatchError::Withdrawn { key },
            Self::AlreadyExists { stream, version } => DispatchError::AlreadyExists { stream, version },
            Self::Contended { attempts, source } => DispatchError::Contended { attempts, source },
            Self::Load(error) => DispatchError::Load(error),
            Self::Encode(error) => DispatchError::Encode(error),
            Self::Malformed { command, source } => DispatchError::Malformed { command, source },
            Self::UnknownCommand { aggregate, command, known } => {
                DispatchError::UnknownCommand { aggregate, command, known }
            }
            Self::Append(error) => DispatchError::Append(error),
        }
    }
}

impl DispatchError<Refusal> {
    /// The domain's refusal of a command by name, of this request or of the [first](Self::RefusedEarlier) under its key.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Rejected(refusal) => Some(refusal),
            Self::RefusedEarlier { refusal, .. } => Some(refusal),
            _ => None,
        }
    }
}
