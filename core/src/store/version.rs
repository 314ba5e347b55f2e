//! Places: in a stream ([`StreamVersion`]) and in the whole store ([`Position`]).

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! place {
    ($(#[$doc:meta])* $type:ident, $start:ident, $start_doc:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $type(u64);

        impl $type {
            #[doc = $start_doc]
            pub const $start: Self = Self(0);
            /// The greatest place that a store can hold: SQL's largest integer.
            pub const MAX: Self = Self(i64::MAX as u64);

            /// The place with this number; a number beyond [`MAX`](Self::MAX) becomes `MAX`,
            /// beyond which there are no events either.
            #[must_use]
            pub const fn new(number: u64) -> Self {
                if number > Self::MAX.0 { Self::MAX } else { Self(number) }
            }

            /// The number of this place.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0
            }

            /// The number as SQL integers hold it; never negative.
            #[must_use]
            pub const fn as_i64(self) -> i64 {
                self.0.cast_signed()
            }

            /// The place `count` further on, or nothing if that lies beyond [`MAX`](Self::MAX).
            #[must_use]
            pub const fn checked_add(self, count: u64) -> Option<Self> {
                match self.0.checked_add(count) {
                    Some(number) if number <= Self::MAX.0 => Some(Self(number)),
                    _ => None,
                }
            }

            /// The next place; stays at [`MAX`](Self::MAX) when it is there.
            #[must_use]
            pub const fn next(self) -> Self {
                Self::new(self.0 + 1)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

place!(
    /// A 1-based place in one stream: the first event of a stream has version 1, without holes after it.
    StreamVersion, EMPTY, "The version of a stream that has no events."
);
place!(
    /// A place in the whole store. Positions increase in the order in which subscribers see events; they may
    /// have gaps. The first event's position is at least 1.
    Position, START, "The place before every event."
);
