//! Makes events of one version into events of another, as its configuration says: an upcaster
//! where that is the newer one, a downcaster where it is the older. Everything else of the event
//! stays, its key included.
//!
//! Its configuration: `to`, the topic of what it makes; `version`, its version; `type`, its type,
//! unless it is the event's. What changes is named by JSON pointers, and done in this order:
//! `move.POINTER`, where the field goes; `set.POINTER`, JSON for a field that is not there;
//! `remove.POINTER`, a field that goes.

use gristmill_plugin::{Emission, Event, Host, OrFail, Outcome, export, reject};
use serde_json::Value;

export!(handle);

fn handle(event: &Event, host: &mut Host) -> Outcome {
    let mut data: Value = event.json()?;
    let (to, version): (String, String) =
        (host.config().require("to")?, host.config().require("version")?);
    let kind = host.config().get("type")?.unwrap_or_else(|| event.event_type.clone());
    let said = host.config().all()?;
    for (from, to) in pointers(&said, "move.") {
        if let Some(value) = take(&mut data, from) {
            put(&mut data, to, value)?;
        }
    }
    for (place, json) in pointers(&said, "set.") {
        if data.pointer(place).is_none() {
            put(&mut data, place, serde_json::from_str(json).or_reject("config")?)?;
        }
    }
    for (place, _) in pointers(&said, "remove.") {
        take(&mut data, place);
    }
    let mut emission = Emission::json(to, kind, &data)?.version(version);
    emission.subject = event.subject.clone();
    host.emit(emission)?;
    Ok(())
}

/// Keys of the configuration that begin so, without it, and their values.
fn pointers<'a>(
    said: &'a [(String, String)],
    begin: &'static str,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    said.iter().filter_map(move |(key, value)| Some((key.strip_prefix(begin)?, value.as_str())))
}

/// Takes out the field at a pointer, if it is there.
fn take(data: &mut Value, pointer: &str) -> Option<Value> {
    let (parent, name) = pointer.rsplit_once('/')?;
    data.pointer_mut(parent)?.as_object_mut()?.remove(&unescaped(name))
}

/// Puts a field where a pointer says; objects on the way are made.
fn put(data: &mut Value, pointer: &str, value: Value) -> Outcome {
    let names = pointer.strip_prefix('/').or_reject("config")?;
    let mut place = data;
    for name in names.split('/') {
        if place.is_null() {
            *place = Value::Object(serde_json::Map::new());
        }
        let Some(object) = place.as_object_mut() else {
            return Err(reject("shape", format!("{pointer} leads through what is no object")));
        };
        place = object.entry(unescaped(name)).or_insert(Value::Null);
    }
    *place = value;
    Ok(())
}

/// A name as a pointer spells it (source: RFC 6901, section 4).
fn unescaped(name: &str) -> String {
    name.replace("~1", "/").replace("~0", "~")
}

#[cfg(test)]
mod tests {
    use gristmill_plugin::testing::{TestHost, event};

    use super::*;

    fn host() -> TestHost {
        TestHost::new().with_config("to", "orders-2").with_config("version", "2")
    }

    fn upcast(host: TestHost, data: &str) -> Result<String, String> {
        let mut host = host;
        let old = event("orders", data).with_key("k");
        host.handle(handle, &old).map_err(|failure| failure.to_string())?;
        let [emission] = host.emissions() else { panic!("{:?}", host.emissions()) };
        let said = (&*emission.topic, emission.version.as_deref(), &*emission.event_type);
        assert_eq!(said, ("orders-2", Some("2"), &*old.event_type));
        assert_eq!(emission.key, None, "the event's own");
        Ok(String::from_utf8(emission.payload.clone()).unwrap())
    }

    #[test]
    fn fields_move_appear_and_go() {
        let host = host()
            .with_config("move./cost", "/price/amount")
            .with_config("set./price/currency", "\"EUR\"")
            .with_config("remove./note", "");
        let made = upcast(host, r#"{"id":"a","cost":5,"note":"x"}"#).unwrap();
        let made: Value = serde_json::from_str(&made).unwrap();
        let expected =
            serde_json::json!({ "id": "a", "price": { "amount": 5, "currency": "EUR" } });
        assert_eq!(made, expected);
    }

    #[test]
    fn what_is_there_stays_and_what_is_not_does_not_move() {
        let host = host().with_config("move./a~1b", "/c").with_config("set./d", "1");
        assert_eq!(upcast(host, r#"{"d":2}"#).unwrap(), r#"{"d":2}"#);
    }

    #[test]
    fn what_cannot_be_is_rejected() {
        let host = || host().with_config("set./a/b", "1");
        assert!(upcast(host(), r#"{"a":3}"#).unwrap_err().contains("(shape)"));
        assert!(upcast(host(), "{").unwrap_err().contains("(payload)"));
        let broken = host().with_config("set./c", "{");
        assert!(upcast(broken, "{}").unwrap_err().contains("(config)"));
    }
}
