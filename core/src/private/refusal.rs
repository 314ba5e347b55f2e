//! JSON of refusals: `(&RefusalJson(error)).json()` finds [`Serialized`] if the error implements `Serialize`, else
//! [`Unserialized`].

use serde::Serialize;
use serde_json::Value;

pub struct RefusalJson<'a, E>(pub &'a E);

pub trait Serialized {
    fn json(&self) -> Option<Value>;
}

impl<E: Serialize> Serialized for RefusalJson<'_, E> {
    fn json(&self) -> Option<Value> {
        serde_json::to_value(self.0).ok()
    }
}

pub trait Unserialized {
    fn json(&self) -> Option<Value>;
}

impl<E> Unserialized for &RefusalJson<'_, E> {
    fn json(&self) -> Option<Value> {
        None
    }
}
