//! Decides whether an event from outside fits its topic, and what of it is written there: it is
//! judged by its schema, its fields are sealed, its key is made, its size is held against the
//! topic's. It publishes nothing; what becomes of a misfit is for whoever asks to say.

use bytes::Bytes;
use gristmill_config::{Envelope, Fields, Format, KeyTemplate, Pointer};
use gristmill_engine::{Instant, Offset};
use gristmill_store::{Append, Header, Stored};

use crate::encryption::Encryption;
use crate::envelope::{EnvelopeRules, Record, decode, header, usual};
use crate::schemas::{Broken, Judged, Published, Schemas};

/// Judges an event, and writes its payload as its schema says, with its fields sealed.
pub(crate) fn admit(
    (judging, encryption): (&Schemas, &Encryption),
    topic: &str,
    (headers, data): (&mut Vec<Header>, &mut Option<Bytes>),
) -> Result<(), Broken> {
    if !judging.judges(topic) && !encryption.is_of(topic) {
        return Ok(());
    }
    let Some(payload) = data.clone() else { return Ok(()) };
    let stored = stored(headers, Some(&payload));
    let (kind, version) = usual(topic, &stored);
    let judged = Judged { topic, kind: &kind, version: version.as_deref(), payload: &payload };
    let media = header(&stored.headers, "content-type");
    let media = media.and_then(|media| std::str::from_utf8(media).ok());
    judging.admit(judged, media, encryption)?;
    let payload = encryption.sealed(judged.kept(&payload))?.unwrap_or(payload.clone());
    let judged = Judged { payload: &payload, ..judged };
    *data = Some(payload.clone());
    if let Some(Published { payload, media }) = judging.publish(judged, media)? {
        *data = Some(payload);
        if let Some(media) = media {
            headers.retain(|(name, _)| !name.eq_ignore_ascii_case("content-type"));
            headers.push(("content-type".into(), Bytes::from_static(media.as_bytes())));
        }
    }
    Ok(())
}

/// The key that a rule makes of an event of a topic; where it finds nothing otherwise.
pub(crate) fn key_by<'a>(
    topic: &str,
    rule: &'a KeyTemplate,
    payload: Option<&Bytes>,
) -> Result<String, &'a Pointer> {
    rule.fill(|pointer| pointed(topic, pointer, payload))
}

/// Size of an event as limits count it: key, headers, payload.
pub(crate) fn size(append: &Append) -> u64 {
    let headers: usize =
        append.headers.iter().map(|(name, value)| name.len().saturating_add(value.len())).sum();
    let key = append.key.as_ref().map_or(0, Bytes::len);
    let payload = append.payload.as_ref().map_or(0, Bytes::len);
    u64::try_from(headers.saturating_add(key).saturating_add(payload)).unwrap_or(u64::MAX)
}

/// Text at `pointer` in an event's JSON, read exactly as handlers' rules read it.
fn pointed(topic: &str, pointer: &Pointer, payload: Option<&Bytes>) -> Option<String> {
    let fields = Fields { subject: vec![pointer.clone()], ..Fields::default() };
    let rules = EnvelopeRules::new(&Envelope { format: Format::Raw, fields, id_header: None });
    let stored = stored(&[], payload);
    let record = Record { topic, partition: 0, offset: 0, stored: &stored };
    decode(&rules, &record).ok()?.subject.map(std::borrow::Cow::into_owned)
}

/// An event as it would be read.
fn stored(headers: &[Header], payload: Option<&Bytes>) -> Stored {
    Stored {
        offset: Offset(0),
        timestamp: Instant(0),
        key: None,
        headers: headers.into(),
        payload: payload.cloned(),
    }
}
