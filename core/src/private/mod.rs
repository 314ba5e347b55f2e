//! The items that the derives' expansions refer to. Not part of the public interface: it changes without notice.

mod command;
mod drawn;
mod event;
mod listed;
mod locked;
mod payload;
mod process;
mod refusal;
mod schema;
mod state;
mod upcast;

pub use crate::domain::shape::{Equality, NoEquality, Probe, Unknown};
pub use crate::domain::text::any_same;
pub use command::{
    assert_aggregate, assert_apply, assert_handler, command_from_json, command_to_json, state_from_json, state_to_json,
};
pub use event::{add_variants, decode, differs, encode, encode_only, find, is_published, push_tag, reads, variants};
pub use listed::{Listed, Part, contains, count, join, listed, must_read, overlaps};
pub use locked::check_schema;
pub use payload::Payload;
pub use process::{
    CommandNames, InstanceId, assert_process, command_names, instance_id, is_choice, is_repeated, timer_from_text,
    timer_parts, timer_to_text,
};
pub use refusal::{RefusalJson, Serialized, Unserialized};
pub use schema::{payload_schema, variant_schema};
pub use state::{Deserialized, NotDeserialized, StateShape};
pub use upcast::{IntoUpcast, Upcast, upcast_last, upcast_next, upcast_stored};
pub use {schemars, serde, serde_json, smol_str};
