//! Owns how a payload names its schema in a registry: a zero byte, the schema's id in four bytes,
//! big endian, then the data (source: Confluent's documentation, "Wire format").

/// Bytes before the data.
const FRAME: usize = 5;

/// `data` with the id of its schema before it.
pub fn framed(id: u32, data: &[u8]) -> Vec<u8> {
    let mut whole = Vec::with_capacity(FRAME.saturating_add(data.len()));
    whole.push(0);
    whole.extend_from_slice(&id.to_be_bytes());
    whole.extend_from_slice(data);
    whole
}

/// Id of the schema and data of a payload that names one. No JSON begins like that.
pub fn unframed(payload: &[u8]) -> Option<(u32, &[u8])> {
    let (frame, data) = payload.split_first_chunk::<FRAME>()?;
    let [0, a, b, c, d] = *frame else { return None };
    Some((u32::from_be_bytes([a, b, c, d]), data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_taken_off_as_it_was_put_on() {
        assert_eq!(framed(258, b"x"), [0, 0, 0, 1, 2, b'x']);
        assert_eq!(unframed(&framed(u32::MAX, b"")), Some((u32::MAX, &b""[..])));
        for other in [&b""[..], b"\0\0\0\0", b"{}   ", b"\x01\0\0\0\x01x"] {
            assert_eq!(unframed(other), None, "{other:?}");
        }
    }
}
