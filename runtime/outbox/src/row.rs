//! Owns the shape of rows as they are claimed and shown. It reads no database.

/// A row as it is to be published.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Row {
    /// Which it is.
    pub id: String,
    /// What orders it beside others: its key, or its topic where it has none.
    pub aggregate: String,
    /// What its topic is made of.
    pub topic: Option<String>,
    /// Its key.
    pub key: Option<String>,
    /// Its type.
    pub kind: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// Its data.
    pub payload: Option<Vec<u8>>,
    /// Further headers, a JSON object.
    pub headers: Option<String>,
    /// Its source.
    pub source: Option<String>,
    /// When it happened, in milliseconds since 1970.
    pub time_ms: Option<u64>,
    /// Its correlation id.
    pub correlation: Option<String>,
    /// Its trace context.
    pub trace: Option<String>,
}

/// Rows of a shard that nobody else has, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claimed {
    /// Those that may be published.
    pub rows: Vec<Row>,
    /// Aggregates of others that may not: somebody has an earlier row of theirs locked, or it is
    /// parked.
    pub held: Vec<String>,
}

/// A row that cannot be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    /// Which it is.
    pub id: String,
    /// What waits behind it.
    pub aggregate: String,
    /// Why, as it was written down.
    pub reason: String,
}
