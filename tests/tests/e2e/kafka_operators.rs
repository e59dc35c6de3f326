//! What operators do with consumer groups and topics of a real Kafka: they see what Kafka's own
//! tools show, and a reset or a growth does what it says and nothing else.

mod expressions;
mod growth;
mod resets;
mod scene;
mod shown;
mod spread;
