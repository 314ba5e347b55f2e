//! The changes.

/// A change of the crates in `mutated/`.
pub(crate) struct Mutation {
    /// What is done, for people.
    pub(crate) name: &'static str,
    /// Whether something stored can't be read after it, or is lost.
    pub(crate) breaking: bool,
    /// What the error has to name.
    pub(crate) field: &'static str,
    /// File, text, and what takes its place.
    pub(crate) edits: &'static [(&'static str, &'static str, &'static str)],
}

pub(crate) const SALES: &str = "sales/src/lib.rs";
pub(crate) const VALUES: &str = "values/src/lib.rs";
pub(crate) const LOCK: &str = "sales/schemas/lock.json";

type Edits = &'static [(&'static str, &'static str, &'static str)];

const fn breaks(name: &'static str, field: &'static str, edits: Edits) -> Mutation {
    Mutation { name, breaking: true, field, edits }
}

const fn reads(name: &'static str, edits: Edits) -> Mutation {
    Mutation { name, breaking: false, field: "", edits }
}

/// All of them.
pub(crate) const MUTATIONS: &[Mutation] = &[
    // Fields of the event.
    breaks("a field is renamed", "order", &[(SALES, "order: OrderId,", "order_no: OrderId,")]),
    breaks("a field is removed", "order", &[(SALES, "        order: OrderId,\n", "")]),
    breaks(
        "a field is skipped",
        "order",
        &[(SALES, "        order: OrderId,", "        #[serde(skip)]\n        order: String,")],
    ),
    breaks(
        "a required field is added",
        "customer",
        &[(SALES, "order: OrderId,", "order: OrderId,\n        customer: String,")],
    ),
    breaks(
        "a required field is added to an event without fields",
        "why",
        &[(SALES, "Returned {}", "Returned { why: String }")],
    ),
    breaks("a field is retyped", "gift", &[(SALES, "gift: bool", "gift: u8")]),
    breaks("an optional field becomes required", "note", &[(SALES, "note: Option<String>", "note: String")]),
    breaks("a default is taken away", "gift", &[(SALES, "        #[serde(default)]\n", "")]),
    breaks("an alias is taken away", "color", &[(SALES, "        #[serde(alias = \"colour\")]\n", "")]),
    breaks(
        "`serde(rename)` is put on a field",
        "order",
        &[(SALES, "order: OrderId,", "#[serde(rename = \"id\")]\n        order: OrderId,")],
    ),
    breaks(
        "`serde(rename_all)` is put on the variant",
        "sent_to",
        &[(SALES, "    Placed {", "    #[serde(rename_all = \"camelCase\")]\n    Placed {")],
    ),
    breaks(
        "`serde(rename_all_fields)` is put on the enum",
        "sent_to",
        &[(
            SALES,
            "#[event(name = \"order\")]",
            "#[event(name = \"order\")]\n#[serde(rename_all_fields = \"UPPERCASE\")]",
        )],
    ),
    breaks(
        "`serde(flatten)` is put on a field",
        "sent_to",
        &[(SALES, "        sent_to: Address,", "        #[serde(flatten)]\n        sent_to: Address,")],
    ),
    breaks("`serde(flatten)` is taken away", "source", &[(SALES, "        #[serde(flatten)]\n", "")]),
    breaks(
        "`serde(with)` is put on a field",
        "gift",
        &[
            (
                SALES,
                "        #[serde(default)]\n        gift",
                "        #[serde(default, with = \"as_text\")]\n        #[schemars(with = \"String\")]\n        gift",
            ),
            (
                SALES,
                "#[derive(Shape",
                "mod as_text {\n    pub fn serialize<S: serde::Serializer>(v: &bool, s: S) -> Result<S::Ok, S::Error> { s.collect_str(v) }\n    pub fn deserialize<'a, D: serde::Deserializer<'a>>(d: D) -> Result<bool, D::Error> { serde::Deserialize::deserialize(d) }\n}\n\n#[derive(Shape",
            ),
        ],
    ),
    breaks("a list becomes a single value", "lines", &[(SALES, "lines: Vec<Line>", "lines: Line")]),
    breaks("a list becomes a map", "lines", &[(SALES, "lines: Vec<Line>", "lines: BTreeMap<String, Line>")]),
    breaks("a map becomes a list", "labels", &[(SALES, "labels: BTreeMap<String, String>", "labels: Vec<String>")]),
    breaks(
        "a map's values are retyped",
        "labels",
        &[(SALES, "labels: BTreeMap<String, String>", "labels: BTreeMap<String, u32>")],
    ),
    breaks("a tuple grows", "cell", &[(SALES, "cell: (i32, String)", "cell: (i32, String, u8)")]),
    breaks("a tuple's parts are swapped", "cell", &[(SALES, "cell: (i32, String)", "cell: (String, i32)")]),
    breaks("a tuple becomes a struct", "cell", &[(SALES, "cell: (i32, String)", "cell: Line")]),
    breaks(
        "a struct becomes a tuple",
        "sent_to",
        &[(SALES, "sent_to: Address", "sent_to: (String, Option<String>, Place)")],
    ),
    breaks("an array gets shorter", "color", &[(SALES, "color: [u8; 3]", "color: [u8; 2]")]),
    breaks(
        "a field's type is one of unknown form",
        "note",
        &[(SALES, "note: Option<String>", "note: Option<std::time::SystemTime>")],
    ),
    // Variants of the event.
    breaks("a variant is renamed", "order.returned", &[(SALES, "Returned {}", "SentBack {}")]),
    breaks("a variant is removed", "order.returned", &[(SALES, "    Returned {},\n", "")]),
    breaks("a variant's value is retyped", "order.packed", &[(SALES, "Packed(Parcel)", "Packed(Line)")]),
    breaks("an unnamed field is retyped", "1", &[(SALES, "Moved(u32, u32)", "Moved(u32, String)")]),
    breaks("an unnamed field is added", "Moved", &[(SALES, "Moved(u32, u32)", "Moved(u32, u32, u32)")]),
    breaks("unnamed fields get names", "Moved", &[(SALES, "Moved(u32, u32)", "Moved { from: u32, to: u32 }")]),
    breaks(
        "a version is taken back",
        "order.cancelled",
        &[(SALES, "    #[event(version = 2, upcast(cancelled_v1))]\n", "")],
    ),
    // Types within the event.
    breaks("a nested field is renamed", "lines", &[(SALES, "sku: String", "article: String")]),
    breaks("a nested field is removed", "lines", &[(SALES, "    sku: String,\n", "")]),
    breaks("a required nested field is added", "lines", &[(SALES, "sku: String,", "sku: String,\n    price: u32,")]),
    breaks("a nested field is retyped", "lines", &[(SALES, "sku: String", "sku: u64")]),
    breaks("a nested integer gets narrower", "lines", &[(SALES, "count: u32", "count: u16")]),
    breaks("a nested optional field becomes required", "sent_to", &[(SALES, "zip: Option<String>", "zip: String")]),
    breaks(
        "`serde(rename_all)` is put on a nested struct",
        "sent_to",
        &[(SALES, "pub struct Address", "#[serde(rename_all = \"kebab-case\")]\npub struct Address")],
    ),
    breaks("a nested enum's variant is removed", "paid", &[(SALES, "    Cash,\n", "")]),
    breaks("a nested enum's variant is renamed", "paid", &[(SALES, "    Cash,\n", "    Coins,\n")]),
    breaks("a nested enum's variant gets content", "paid", &[(SALES, "    Cash,\n", "    Cash(u32),\n")]),
    breaks(
        "a nested enum's variant gets a required field",
        "paid",
        &[(SALES, "Card { number: String }", "Card { number: String, holder: String }")],
    ),
    breaks(
        "`serde(tag)` is put on a nested enum",
        "paid",
        &[(SALES, "pub enum Payment", "#[serde(tag = \"by\", content = \"with\")]\npub enum Payment")],
    ),
    breaks(
        "`serde(untagged)` is put on a nested enum",
        "paid",
        &[(SALES, "pub enum Payment", "#[serde(untagged)]\npub enum Payment")],
    ),
    breaks(
        "`serde(rename_all)` is put on a nested enum",
        "paid",
        &[(SALES, "pub enum Payment", "#[serde(rename_all = \"snake_case\")]\npub enum Payment")],
    ),
    breaks("a field three levels down is renamed", "sent_to", &[(SALES, "lat: f64", "latitude: f64")]),
    breaks("a field three levels down is retyped", "sent_to", &[(SALES, "lon: f64", "lon: String")]),
    breaks("a field of a flattened struct is renamed", "source", &[(SALES, "channel: String", "via: String")]),
    breaks(
        "a nested tuple struct gets names",
        "order.packed",
        &[(SALES, "pub struct Parcel(u32, String);", "pub struct Parcel { weight: u32, label: String }")],
    ),
    breaks(
        "a nested type loses its `Shape`",
        "lines",
        &[(
            SALES,
            "#[derive(Shape, Serialize, Deserialize, JsonSchema)]\npub struct Line",
            "#[derive(Serialize, Deserialize, JsonSchema)]\npub struct Line",
        )],
    ),
    breaks("a field is renamed in another crate", "total", &[(VALUES, "cents: i64", "amount: i64")]),
    breaks("an integer loses its sign in another crate", "total", &[(VALUES, "cents: i64", "cents: u64")]),
    breaks("a variant is removed in another crate", "total", &[(VALUES, "    Eur,\n", "")]),
    // What harms nothing.
    reads("comments change", &[(SALES, "/// Somebody ordered.", "/// Something was ordered by somebody.")]),
    reads(
        "fields are reordered",
        &[(
            SALES,
            "        order: OrderId,\n        lines: Vec<Line>,\n",
            "        lines: Vec<Line>,\n        order: OrderId,\n",
        )],
    ),
    reads(
        "variants are reordered",
        &[(SALES, "    Packed(Parcel),\n    Moved(u32, u32),\n", "    Moved(u32, u32),\n    Packed(Parcel),\n")],
    ),
    reads(
        "an optional field is added",
        &[(SALES, "order: OrderId,", "order: OrderId,\n        customer: Option<String>,")],
    ),
    reads(
        "a field with a default is added",
        &[(SALES, "order: OrderId,", "order: OrderId,\n        #[serde(default)]\n        customer: String,")],
    ),
    reads("a field may be missing from now on", &[(SALES, "gift: bool", "gift: Option<bool>")]),
    reads(
        "a field is renamed in Rust alone",
        &[(SALES, "order: OrderId,", "#[serde(rename = \"order\")]\n        order_no: OrderId,")],
    ),
    reads(
        "a field is renamed, the old name is still read",
        &[(SALES, "order: OrderId,", "#[serde(alias = \"order\")]\n        order_no: OrderId,")],
    ),
    reads("an integer gets wider", &[(SALES, "Moved(u32, u32)", "Moved(u64, u32)")]),
    reads("an array becomes a list", &[(SALES, "color: [u8; 3]", "color: Vec<u8>")]),
    reads("a list becomes another kind of list", &[(SALES, "lines: Vec<Line>", "lines: VecDeque<Line>")]),
    reads("a value is boxed", &[(SALES, "sent_to: Address", "sent_to: Box<Address>")]),
    reads("a text becomes an id", &[(SALES, "note: Option<String>", "note: Option<OrderId>")]),
    reads(
        "the event type is renamed",
        &[
            (SALES, "pub enum OrderEvent", "pub enum SaleEvent"),
            (SALES, "-> OrderEvent", "-> SaleEvent"),
            (SALES, "OrderEvent::Cancelled {", "SaleEvent::Cancelled {"),
        ],
    ),
    reads("a variant is added", &[(SALES, "    Returned {},", "    Returned {},\n    Refunded { cents: i64 },")]),
    reads(
        "a variant is renamed with an alias",
        &[(SALES, "    Returned {},", "    #[event(alias = \"order.returned\")]\n    SentBack {},")],
    ),
    reads("a variant is retired", &[(SALES, "    Returned {},", "    #[event(retired)]\n    Returned {},")]),
    reads(
        "a variant is removed and erased in the lock",
        &[
            (SALES, "    Returned {},\n", ""),
            (LOCK, "\"order.returned\": {", "\"order.returned\": {\n      \"erased\": true,"),
        ],
    ),
    reads(
        "a new version with an upcaster",
        &[
            (
                SALES,
                "    Moved(u32, u32),",
                "    #[event(version = 2, upcast(moved_v1))]\n    Moved { from: u32, to: u32 },",
            ),
            (
                SALES,
                "#[derive(Shape",
                "pub fn moved_v1((from, to): (u32, u32)) -> OrderEvent {\n    OrderEvent::Moved { from, to }\n}\n\n#[derive(Shape",
            ),
        ],
    ),
    reads(
        "nested fields are reordered",
        &[(SALES, "    sku: String,\n    count: u32,\n", "    count: u32,\n    sku: String,\n")],
    ),
    reads("a nested optional field is added", &[(SALES, "sku: String,", "sku: String,\n    color: Option<String>,")]),
    reads(
        "a nested enum's variants are reordered",
        &[(SALES, "    Cash,\n    Card { number: String },\n", "    Card { number: String },\n    Cash,\n")],
    ),
    reads("a nested enum's variant is added", &[(SALES, "    Cash,\n", "    Cash,\n    Voucher,\n")]),
    reads(
        "a nested enum's variant is renamed, the old name is still read",
        &[(SALES, "    Cash,\n", "    #[serde(alias = \"Cash\")]\n    Coins,\n")],
    ),
    reads(
        "a nested type is renamed",
        &[(SALES, "Vec<Line>", "Vec<Position>"), (SALES, "pub struct Line", "pub struct Position")],
    ),
    reads("a variant is added in another crate", &[(VALUES, "    Eur,\n", "    Eur,\n    Gbp,\n")]),
    reads(
        "a field is added with a default in another crate",
        &[(VALUES, "pub cents: i64,", "pub cents: i64,\n    #[serde(default)]\n    pub exact: bool,")],
    ),
];
