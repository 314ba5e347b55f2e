//! The attributes, described for programs in other languages.

use serde_json::{Map, Value, json};

use super::attribute::{ALL, Attribute};

/// The JSON Schema of an envelope's attributes, by their plain names. All are texts.
///
/// ```
/// let schema = recount_messaging::envelope::attributes_schema();
/// assert_eq!(schema["required"], serde_json::json!(["specversion", "id", "source", "type"]));
/// assert_eq!(schema["properties"]["time"]["format"], "date-time");
/// ```
#[must_use]
pub fn attributes_schema() -> Value {
    let properties: Map<String, Value> =
        ALL.into_iter().map(|attribute| (attribute.name().to_owned(), describe(attribute))).collect();
    let required = [Attribute::SpecVersion, Attribute::Id, Attribute::Source, Attribute::Type].map(Attribute::name);
    json!({
        "description": "The attributes of CloudEvents 1.0. Each broker's protocol binding puts its prefix before the names: \
                        `ce-` at NATS, `ce_` at Kafka, `cloudEvents:` at AMQP. In structured mode they stand in the body.",
        "type": "object",
        "properties": properties,
        "required": required,
    })
}

fn describe(attribute: Attribute) -> Value {
    let (description, format) = match attribute {
        Attribute::SpecVersion => ("The version of CloudEvents: 1.0.", None),
        Attribute::Id => ("Identifies the message, together with its source. The same message may come twice.", None),
        Attribute::Source => ("The service that sent the message.", Some("uri-reference")),
        Attribute::Type => ("The type of message: the name of an event or of a command.", None),
        Attribute::SchemaVersion => ("The version of the data's shape, a number from 1.", None),
        Attribute::Subject => ("What the message is about.", None),
        Attribute::Time => ("When the event was recorded.", Some("date-time")),
        Attribute::DataSchema => ("Where the schema of the data is.", Some("uri")),
        Attribute::DataContentType => ("The media type of the data.", None),
        Attribute::PartitionKey => ("The key: messages of one key keep their order.", None),
        Attribute::CorrelationId => ("Shared by all that follows from one cause.", None),
        Attribute::CausationId => ("The id of the event or message that caused this one.", None),
        Attribute::Actor => ("Who caused it.", None),
        Attribute::TraceParent => ("The trace, as W3C Trace Context writes it.", None),
        Attribute::IdempotencyKey => ("The key of a command: it takes effect once for each key.", None),
        Attribute::ReplyTo => ("The address for the reply.", None),
        Attribute::ExpiryTime => ("After this time the message has no effect.", Some("date-time")),
    };
    match format {
        Some(format) => json!({ "type": "string", "format": format, "description": description }),
        None => json!({ "type": "string", "description": description }),
    }
}
