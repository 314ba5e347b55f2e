//! What the derives' expansions refer to. Not part of the public interface: it changes without notice.

pub use {schemars, serde, serde_json, smol_str};
