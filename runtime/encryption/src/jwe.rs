//! Reads and writes sealed values: JSON Web Encryption in compact form, `dir` with `A256GCM`
//! (source: RFC 7516, section 7.1; RFC 7518, sections 4.5 and 5.3), so that any library for it
//! opens them.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use ring::aead::{Aad, NONCE_LEN, Nonce};
use ring::rand::SecureRandom;
use serde::{Deserialize, Serialize};

use crate::Keys;

/// Length of what proves that nothing was changed, in bytes.
const TAG_BYTES: usize = 16;

/// A sealed value, not opened yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sealed {
    /// Id of its key.
    pub(crate) key: String,
    /// Whether it holds JSON, and not a text as it is.
    pub(crate) is_json: bool,
    /// What is protected beside it.
    header: String,
    nonce: [u8; NONCE_LEN],
    /// The value and the tag.
    text: Vec<u8>,
}

/// Why a value cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shut {
    /// Its key is not there.
    UnknownKey,
    /// It was changed, or its key is another one.
    Damaged,
}

#[derive(Debug, Serialize, Deserialize)]
struct Header<'a> {
    alg: &'a str,
    enc: &'a str,
    kid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cty: Option<&'a str>,
}

impl Sealed {
    /// Reads a JSON value; `None` where it is not sealed.
    pub(crate) fn read(json: &str) -> Option<Self> {
        let text = json.strip_prefix('"')?.strip_suffix('"')?;
        let mut parts = text.split('.');
        let mut part = || parts.next();
        let (header, key, nonce, value, tag) = (part()?, part()?, part()?, part()?, part()?);
        if !key.is_empty() || parts.next().is_some() {
            return None;
        }
        let known = decoded(header)?;
        let known: Header<'_> = serde_json::from_slice(&known).ok()?;
        if known.alg != "dir" || known.enc != "A256GCM" {
            return None;
        }
        let mut text = decoded(value)?;
        let tag = decoded(tag).filter(|tag| tag.len() == TAG_BYTES)?;
        text.extend_from_slice(&tag);
        Some(Self {
            is_json: known.cty == Some("json"),
            key: known.kid,
            header: header.to_owned(),
            nonce: decoded(nonce)?.try_into().ok()?,
            text,
        })
    }
}

impl Keys {
    /// Seals a JSON value under the current key.
    #[expect(
        clippy::expect_used,
        reason = "the current key is there, a value is shorter than 64 GiB, and a system without \
                  random numbers must not go on as if there were any"
    )]
    pub(crate) fn seal(&self, json: &[u8]) -> String {
        let (kid, cty) = (self.current.clone(), Some("json"));
        let header = Header { alg: "dir", enc: "A256GCM", kid, cty };
        let header = encoded(&serde_json::to_vec(&header).unwrap_or_default());
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).expect("random numbers");
        let key = self.by_id.get(&self.current).expect("the current key");
        let mut text = json.to_vec();
        let tag = key
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(header.as_bytes()),
                &mut text,
            )
            .expect("a value of that length");
        format!("{header}..{}.{}.{}", encoded(&nonce), encoded(&text), encoded(tag.as_ref()))
    }

    /// Opens a value.
    pub(crate) fn open(&self, sealed: &Sealed) -> Result<Vec<u8>, Shut> {
        let key = self.by_id.get(&sealed.key).ok_or(Shut::UnknownKey)?;
        let mut text = sealed.text.clone();
        let nonce = Nonce::assume_unique_for_key(sealed.nonce);
        let opened = key.open_in_place(nonce, Aad::from(sealed.header.as_bytes()), &mut text);
        opened.map(|value| value.to_vec()).map_err(|_unspecified| Shut::Damaged)
    }
}

fn encoded(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_sealed_this_way_is_taken_for_sealed() {
        let header = |json: &str| encoded(json.as_bytes());
        let good = header(r#"{"alg":"dir","enc":"A256GCM","kid":"k"}"#);
        let (nonce, tag) = (encoded(&[1; NONCE_LEN]), encoded(&[2; TAG_BYTES]));
        let sealed = Sealed::read(&format!("\"{good}..{nonce}.AAAA.{tag}\"")).unwrap();
        assert_eq!((sealed.key.as_str(), sealed.is_json), ("k", false));
        for other in [
            "17".to_owned(),
            "\"a@b.c\"".to_owned(),
            "\"1.2.3.4.5\"".to_owned(),
            format!("\"{good}.AAAA.{nonce}.AAAA.{tag}\""),
            format!("\"{good}..{nonce}.AAAA.{tag}.x\""),
            format!("\"{good}..AAAA.AAAA.{tag}\""),
            format!("\"{good}..{nonce}.AAAA.AAAA\""),
            format!("\"{good}..{nonce}.A!.{tag}\""),
            format!("\"{}..{nonce}.AAAA.{tag}\"", header(r#"{"alg":"dir","enc":"A256GCM"}"#)),
            format!(
                "\"{}..{nonce}.AAAA.{tag}\"",
                header(r#"{"alg":"RSA-OAEP","enc":"A256GCM","kid":"k"}"#)
            ),
        ] {
            assert_eq!(Sealed::read(&other), None, "{other}");
        }
    }
}
