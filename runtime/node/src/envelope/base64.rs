//! Turns bytes into base64 text and back (RFC 4648, section 4). It accepts padding or none, and
//! nothing else that is loose.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// `bytes` as base64 with padding.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let at = |place: usize| u32::from(group.get(place).copied().unwrap_or(0));
        let word = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4_usize {
            if place > group.len() {
                text.push('=');
            } else {
                let sextet = (word >> (18 - 6 * place)) & 0x3f;
                text.push(char::from(ALPHABET[sextet as usize]));
            }
        }
    }
    text
}

/// The bytes that `text` stands for, unless it is not base64.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let padded = text.as_bytes();
    let body = match padded {
        [body @ .., b'=', b'='] | [body @ .., b'='] if padded.len().is_multiple_of(4) => body,
        body => body,
    };
    if body.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(body.len() / 4 * 3 + 2);
    for group in body.chunks(4) {
        let mut word = 0_u32;
        for place in 0..4 {
            let sextet = group.get(place).map_or(Some(0), |byte| sextet(*byte))?;
            word = word << 6 | sextet;
        }
        let [_, first, second, third] = word.to_be_bytes();
        let kept = [first, second, third];
        let (kept, spare) = kept.split_at(group.len() - 1);
        // Bits beyond the last whole byte must be zero: one value has one spelling.
        if spare.iter().any(|byte| *byte != 0) {
            return None;
        }
        bytes.extend_from_slice(kept);
    }
    Some(bytes)
}

fn sextet(byte: u8) -> Option<u32> {
    ALPHABET.iter().position(|letter| *letter == byte).and_then(|place| u32::try_from(place).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_vectors_of_rfc_4648() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode(bytes.as_bytes()), text);
            assert_eq!(decode(text).as_deref(), Some(bytes.as_bytes()));
            assert_eq!(decode(text.trim_end_matches('=')).as_deref(), Some(bytes.as_bytes()));
        }
    }

    #[test]
    fn returns_every_byte() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(decode(&encode(&bytes)), Some(bytes));
    }

    #[test]
    fn refuses_what_is_not_base64() {
        for text in
            ["Z", "Zg=", "Zg===", "Zm9v=", "Zm 9v", "Zm9-", "Zh==", "=", "====", "Zm=v", "ü"]
        {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
