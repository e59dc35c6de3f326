//! Turns Avro into JSON and back, by its schemas.

use apache_avro::schema_compatibility::SchemaCompatibility;
use apache_avro::types::Value as Avro;
use apache_avro::{Schema, from_avro_datum, to_avro_datum};
use serde_json::Value as Json;

use crate::{Error, told};

/// Most memory that a length in Avro data may ask for, in bytes: a topic's largest event.
const ALLOCATION_MAX: usize = 64 << 20;

pub(crate) fn schema(text: &str) -> Result<Schema, Error> {
    // The first call in a process counts.
    apache_avro::util::max_allocation_bytes(ALLOCATION_MAX);
    Schema::parse_str(text).map_err(|error| Error(format!("it is no Avro schema: {error}")))
}

/// The JSON of data that `writer` wrote, as `reader` sees it.
pub(crate) fn read(
    mut data: &[u8],
    writer: &Schema,
    reader: Option<&Schema>,
) -> Result<Vec<u8>, Vec<String>> {
    let broken = |why: String| told(std::iter::once(format!("/: it is not of its schema: {why}")));
    let value = from_avro_datum(writer, &mut data, reader).map_err(|it| broken(it.to_string()))?;
    if !data.is_empty() {
        return Err(broken(format!("{} bytes are left over", data.len())));
    }
    let json = Json::try_from(value).map_err(|error| broken(error.to_string()))?;
    serde_json::to_vec(&json).map_err(|error| broken(error.to_string()))
}

/// The Avro of JSON.
pub(crate) fn write(payload: &[u8], schema: &Schema) -> Result<Vec<u8>, Vec<String>> {
    let json: Json = serde_json::from_slice(payload)
        .map_err(|error| vec![format!("/: it is no JSON: {error}")])?;
    let mut lost = Vec::new();
    too_large(&json, "", &mut lost);
    if !lost.is_empty() {
        return Err(told(lost.into_iter()));
    }
    let misfit = |error: apache_avro::Error| told(std::iter::once(format!("/: {error}")));
    let value = Avro::from(json.clone()).resolve(schema).map_err(misfit)?;
    let kept = Json::try_from(value.clone()).map_err(misfit)?;
    left_out(&json, &kept, "", &mut lost);
    if !lost.is_empty() {
        return Err(told(lost.into_iter()));
    }
    to_avro_datum(schema, value).map_err(misfit)
}

/// Why `reader` cannot read what `writer` wrote.
pub(crate) fn refusals(reader: &Schema, writer: &Schema) -> Vec<String> {
    SchemaCompatibility::can_read(writer, reader)
        .err()
        .map(|error| error.to_string())
        .into_iter()
        .collect()
}

/// Whole numbers that Avro has no type for, which the library would make negative.
fn too_large(json: &Json, place: &str, found: &mut Vec<String>) {
    match json {
        Json::Number(number) => {
            if number.as_i64().is_none() && number.as_u64().is_some() {
                found.push(format!("{place}: {number} is more than a long holds"));
            }
        }
        Json::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                too_large(item, &format!("{place}/{index}"), found);
            }
        }
        Json::Object(fields) => {
            for (name, field) in fields {
                too_large(field, &format!("{place}/{name}"), found);
            }
        }
        Json::Null | Json::Bool(_) | Json::String(_) => {}
    }
}

/// Fields that the schema does not have, which the library would leave out.
fn left_out(json: &Json, kept: &Json, place: &str, found: &mut Vec<String>) {
    match (json, kept) {
        (Json::Object(fields), Json::Object(kept)) => {
            for (name, field) in fields {
                let place = format!("{place}/{name}");
                match kept.get(name) {
                    Some(kept) => left_out(field, kept, &place, found),
                    None => found.push(format!("{place}: the schema has no such field")),
                }
            }
        }
        (Json::Array(items), Json::Array(kept)) => {
            for (index, (item, kept)) in items.iter().zip(kept).enumerate() {
                left_out(item, kept, &format!("{place}/{index}"), found);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = r#"{"type":"record","name":"Shipment","fields":[
        {"name":"id","type":"string"},
        {"name":"weight","type":"long"},
        {"name":"note","type":["null","string"],"default":null},
        {"name":"stops","type":{"type":"array","items":"string"},"default":[]}]}"#;
    const SECOND: &str = r#"{"type":"record","name":"Shipment","fields":[
        {"name":"id","type":"string"},
        {"name":"weight","type":"long"},
        {"name":"speed","type":"string","default":"normal"}]}"#;

    fn violations(payload: &str) -> Vec<String> {
        write(payload.as_bytes(), &schema(FIRST).unwrap()).err().unwrap_or_default()
    }

    #[test]
    fn json_comes_back_as_it_was_written() {
        let own = schema(FIRST).unwrap();
        let payload =
            r#"{"id":"s-1","note":"fragile","stops":["a","b"],"weight":9007199254740993}"#;
        let data = write(payload.as_bytes(), &own).unwrap();
        let back: Json = serde_json::from_slice(&read(&data, &own, None).unwrap()).unwrap();
        assert_eq!(back, serde_json::from_str::<Json>(payload).unwrap());
    }

    #[test]
    fn a_later_schema_reads_what_an_earlier_one_wrote() {
        let (first, second) = (schema(FIRST).unwrap(), schema(SECOND).unwrap());
        let data = write(br#"{"id":"s-1","weight":2}"#, &first).unwrap();
        let read = read(&data, &first, Some(&second)).unwrap();
        let read: Json = serde_json::from_slice(&read).unwrap();
        assert_eq!(read, serde_json::json!({ "id": "s-1", "weight": 2, "speed": "normal" }));
    }

    #[test]
    fn what_would_be_lost_or_bent_is_a_violation() {
        assert!(violations(r#"{"id":"s","weight":9223372036854775807}"#).is_empty());
        assert_eq!(
            violations(r#"{"id":"s","weight":9223372036854775808}"#),
            ["/weight: 9223372036854775808 is more than a long holds"]
        );
        assert_eq!(
            violations(r#"{"id":"s","weight":1,"colour":"red","size":3}"#),
            ["/colour: the schema has no such field", "/size: the schema has no such field"]
        );
        assert_eq!(violations(r#"{"weight":1}"#).len(), 1);
        assert_eq!(violations(r#"{"id":7,"weight":1}"#).len(), 1);
    }

    #[test]
    fn bytes_that_are_not_of_the_schema_are_refused() {
        let own = schema(FIRST).unwrap();
        let mut data = write(br#"{"id":"s-1","weight":2}"#, &own).unwrap();
        assert!(read(&data[..3], &own, None).is_err());
        data.push(0);
        assert_eq!(
            read(&data, &own, None).unwrap_err(),
            ["/: it is not of its schema: 1 bytes are left over"]
        );
        assert!(read(&[0xff; 64], &own, None).is_err());
    }

    #[test]
    fn a_field_without_default_cannot_be_read_from_before() {
        let (first, second) = (schema(FIRST).unwrap(), schema(SECOND).unwrap());
        assert!(refusals(&second, &first).is_empty());
        let strict = SECOND.replace(r#","default":"normal""#, "");
        assert_eq!(refusals(&schema(&strict).unwrap(), &first).len(), 1);
    }
}
