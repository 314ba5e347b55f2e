//! The names of the attributes, plain and with the prefix of each protocol binding.

/// Declares the attributes, and their names with each prefix.
macro_rules! attributes {
    ($($(#[$doc:meta])* $attribute:ident = $name:literal,)+) => {
        /// An attribute of the envelope.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Attribute {
            $($(#[$doc])* $attribute,)+
        }

        /// How many there are.
        pub(super) const COUNT: usize = [$($name),+].len();
        /// All of them.
        pub(super) const ALL: [Attribute; COUNT] = [$(Attribute::$attribute),+];
        const PLAIN: Names = [$($name),+];
        pub(super) static NATS: Names = [$(concat!("ce-", $name)),+];
        pub(super) static AMQP: Names = [$(concat!("cloudEvents:", $name)),+];
        pub(super) static KAFKA: Names = [$(concat!("ce_", $name)),+];
    };
}

/// The names of all attributes, in the order of [`Attribute`].
pub(super) type Names = [&'static str; COUNT];

attributes! {
    SpecVersion = "specversion",
    Id = "id",
    Source = "source",
    Type = "type",
    SchemaVersion = "schemaversion",
    Subject = "subject",
    Time = "time",
    DataSchema = "dataschema",
    /// The media type of the data.
    DataContentType = "datacontenttype",
    PartitionKey = "partitionkey",
    CorrelationId = "correlationid",
    CausationId = "causationid",
    Actor = "actor",
    TraceParent = "traceparent",
    IdempotencyKey = "idempotencykey",
    ReplyTo = "replyto",
    ExpiryTime = "expirytime",
}

impl Attribute {
    /// Its name.
    pub(super) fn name(self) -> &'static str {
        self.name_in(&PLAIN)
    }

    /// Its name among these.
    pub(super) fn name_in(self, names: &Names) -> &'static str {
        names[self as usize]
    }

    /// The attribute with this name.
    pub(super) fn find(name: &str) -> Option<Self> {
        ALL.into_iter().find(|attribute| attribute.name() == name)
    }

    /// The attribute with exactly this name among these, looked for from a place on: writers keep to an order.
    pub(super) fn find_from(place: usize, name: &str, names: &Names) -> Option<Self> {
        let is = |attribute: &Self| attribute.name_in(names) == name;
        let (before, behind) = ALL.split_at(place.min(COUNT));
        behind.iter().chain(before).copied().find(is)
    }
}
