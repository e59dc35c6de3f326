//! Decides what a record says: who it is, of what type, and which bytes are its data. Recognises
//! CloudEvents (binary and structured), JSON envelopes and raw payloads, and writes emissions and
//! dead letters. It performs no I/O, reads no clock and keeps nothing.

mod base64;
mod cloud_event;
mod dead_letter;
mod decode;
mod emission;
mod hash;
mod invalid;
mod pointers;
mod slices;
pub(crate) mod time;

pub(crate) use self::base64::{decode as base64_decode, encode as base64_encode};
pub(crate) use self::cloud_event::{CloudEvent, Reading, VERSION_HEADER, is_json, structured};
pub(crate) use self::dead_letter::{
    DeadLetter, DeadLetterView, Origin, OriginBuf, TimerOrigin, class_name, original_headers,
    redrive_headers, unwrapped, wrapped,
};
pub(crate) use self::decode::{Decoded, EnvelopeRules, Record, decode, identify, kind_of, usual};
pub(crate) use self::emission::{Cause, Emitter};
pub(crate) use self::hash::Hasher128;
pub(crate) use self::invalid::Invalid;
pub(crate) use self::slices::Slices;

/// Headers as the store keeps them: in order, names may repeat.
pub(crate) type Headers = [gristmill_store::Header];

/// The last header of a name, as Kafka's clients read a repeated one. Names are compared without
/// regard to ASCII case: producers of `Content-Type` and `content-type` mean the same.
pub(crate) fn header<'a>(headers: &'a Headers, name: &str) -> Option<&'a bytes::Bytes> {
    headers.iter().rev().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

#[cfg(test)]
mod tests;
