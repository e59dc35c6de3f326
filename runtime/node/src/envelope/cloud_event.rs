//! Reads CloudEvents 1.0: attributes from headers, and the structured JSON format. It knows no
//! topic and changes no event.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use gristmill_engine::Instant;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::pointers::scalar;
use super::{Invalid, base64, time};

/// Extension that carries the version of the type: the specification has no attribute for it.
pub(super) const VERSION: &str = "eventversion";
/// Its header in binary mode.
pub(crate) const VERSION_HEADER: &str = "ce_eventversion";

/// One CloudEvent. Texts are borrowed from where they were read where they can be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct CloudEvent<'a> {
    /// `id`, not empty.
    pub(crate) id: Cow<'a, str>,
    /// `source`, not empty.
    pub(crate) source: Cow<'a, str>,
    /// `type`, not empty.
    pub(crate) kind: Cow<'a, str>,
    /// Extension `eventversion`.
    pub(crate) version: Option<Cow<'a, str>>,
    /// `subject`.
    pub(crate) subject: Option<Cow<'a, str>>,
    /// `time`.
    pub(crate) time: Option<Instant>,
    /// `datacontenttype`, or the header `content-type` in binary mode.
    pub(crate) content_type: Option<Cow<'a, str>>,
    /// Extension `correlationid`.
    pub(crate) correlation_id: Option<Cow<'a, str>>,
    /// Extension `causationid`.
    pub(crate) causation_id: Option<Cow<'a, str>>,
    /// Extension `traceparent`.
    pub(crate) trace_parent: Option<Cow<'a, str>>,
    /// Extension `partitionkey`.
    pub(crate) partition_key: Option<Cow<'a, str>>,
    /// Every attribute but `datacontenttype`, as it was written and in its order; only where
    /// [`Reading::keeping`] asked for them.
    pub(crate) attributes: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

/// A CloudEvent being read, attribute by attribute.
#[derive(Debug, Default)]
pub(crate) struct Reading<'a> {
    event: CloudEvent<'a>,
    spec_version: Option<Cow<'a, str>>,
    keeps_attributes: bool,
    /// What is wrong with it so far.
    pub(crate) violations: Vec<String>,
}

impl<'a> Reading<'a> {
    /// A reading that keeps all attributes, to write them again.
    pub(crate) fn keeping() -> Self {
        Self { keeps_attributes: true, ..Self::default() }
    }

    /// Takes one attribute. Of a repeated one the last holds.
    pub(crate) fn attribute(&mut self, name: Cow<'a, str>, value: Cow<'a, str>) {
        let kept = self.keeps_attributes.then(|| value.clone());
        let event = &mut self.event;
        match &*name {
            "id" => event.id = value,
            "source" => event.source = value,
            "type" => event.kind = value,
            "specversion" => self.spec_version = Some(value),
            "subject" => event.subject = Some(value),
            "correlationid" => event.correlation_id = Some(value),
            "causationid" => event.causation_id = Some(value),
            "traceparent" => event.trace_parent = Some(value),
            "partitionkey" => event.partition_key = Some(value),
            VERSION => event.version = Some(value),
            "time" => match time::parse(&value) {
                Some(moment) => event.time = Some(moment),
                None => self.violations.push(format!("time \"{value}\" is not RFC 3339")),
            },
            _ => {}
        }
        if let Some(value) = kept {
            self.keep(name, value);
        }
    }

    /// Takes the media type of the data.
    pub(crate) fn content_type(&mut self, value: Cow<'a, str>) {
        self.event.content_type = Some(value);
    }

    /// The event, if it is one.
    pub(crate) fn finish(mut self) -> Result<CloudEvent<'a>, Invalid> {
        match self.spec_version.as_deref() {
            Some("1.0") => {}
            None => self.violations.push("attribute \"specversion\" is missing".to_owned()),
            Some(other) => {
                self.violations.push(format!("specversion \"{other}\" is not understood, 1.0 is"));
            }
        }
        let required =
            [("id", &self.event.id), ("source", &self.event.source), ("type", &self.event.kind)];
        for (name, value) in required {
            if value.is_empty() {
                self.violations.push(format!("attribute \"{name}\" is missing or empty"));
            }
        }
        if self.violations.is_empty() {
            return Ok(self.event);
        }
        Err(Invalid { code: Invalid::CLOUD_EVENT, violations: self.violations })
    }

    fn keep(&mut self, name: Cow<'a, str>, value: Cow<'a, str>) {
        if !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
            self.violations.push(format!("attribute name \"{name}\" may only hold a-z and 0-9"));
        }
        self.event.attributes.retain(|(other, _)| *other != name);
        self.event.attributes.push((name, value));
    }
}

/// Whether a media type is JSON: `application/json`, `text/json` or any `…+json`.
pub(crate) fn is_json(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.ends_with("/json") || essence.ends_with("+json")
}

/// Reads a CloudEvent in structured JSON format, and its data.
///
/// JSON data comes out as it is written, a string under a media type that is not JSON without its
/// quotes, `data_base64` as its bytes.
///
/// # Errors
///
/// [`Invalid`] with everything that is wrong.
pub(crate) fn structured<'a>(
    json: &'a Bytes,
    mut reading: Reading<'a>,
) -> Result<(CloudEvent<'a>, Option<Bytes>), Invalid> {
    let members = serde_json::from_slice::<Members<'a>>(json).map_err(|error| {
        Invalid::one(Invalid::CLOUD_EVENT, format!("structured CloudEvent is not JSON: {error}"))
    })?;
    let (mut data, mut base64) = (None, None);
    for (name, raw) in members.0 {
        match (&*name, scalar(raw)) {
            _ if raw == "null" => {}
            ("data", _) => data = Some(raw),
            ("data_base64", text) => base64 = text,
            ("datacontenttype", Some(text)) => reading.content_type(text),
            (_, Some(text)) => reading.attribute(name, text),
            (_, None) => {
                reading.violations.push(format!("attribute \"{name}\" is an object or array"));
            }
        }
    }
    let data = match (data, base64) {
        (Some(_), Some(_)) => {
            reading.violations.push("it has both \"data\" and \"data_base64\"".to_owned());
            None
        }
        (Some(raw), None) => Some(unquoted(json, raw, reading.event.content_type.as_deref())),
        (None, Some(text)) => {
            let bytes = base64::decode(&text);
            if bytes.is_none() {
                reading.violations.push("\"data_base64\" is not base64".to_owned());
            }
            bytes.map(Bytes::from)
        }
        (None, None) => None,
    };
    Ok((reading.finish()?, data))
}

fn unquoted(json: &Bytes, raw: &str, content_type: Option<&str>) -> Bytes {
    if !content_type.is_none_or(is_json) && raw.starts_with('"') {
        match scalar(raw) {
            Some(Cow::Borrowed(text)) => return json.slice_ref(text.as_bytes()),
            Some(Cow::Owned(text)) => return Bytes::from(text),
            None => {}
        }
    }
    json.slice_ref(raw.as_bytes())
}

/// Members of a JSON object in their order, values unread.
struct Members<'a>(Vec<(Cow<'a, str>, &'a str)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_map(MembersVisitor).map(Members)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Vec<(Cow<'de, str>, &'de str)>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::with_capacity(12);
        while let Some((Text(name), value)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
            members.push((name, value.get()));
        }
        Ok(members)
    }
}

/// A string, borrowed where it holds no escapes; serde's own `Cow` always copies.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_str(TextVisitor).map(Text)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Cow<'de, str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}
