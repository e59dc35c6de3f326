//! Reads what Wolverine keeps of a message that is to be sent: headers and data, as its
//! `EnvelopeSerializer` writes them. It knows no table.

/// Headers that a message is read with at most; Wolverine writes a dozen.
const HEADERS_MAX: i32 = 10_000;

/// What an envelope holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unwrapped {
    /// Its headers, in order.
    pub headers: Vec<(String, String)>,
    /// The data.
    pub data: Vec<u8>,
}

/// Bytes that are read from their beginning.
struct Reader<'a>(&'a [u8]);

/// Opens a serialised envelope; `None` where the bytes are none.
///
/// It is the moment it was sent, how many headers there are, their names and values, how many bytes
/// of data there are, and these; numbers are little-endian, and a text has its length before it,
/// in groups of seven bits (source: Wolverine's `EnvelopeSerializer`, .NET's `BinaryWriter`).
pub fn unwrap(bytes: &[u8]) -> Option<Unwrapped> {
    let mut reader = Reader(bytes);
    reader.take(8)?;
    let count = reader.number().filter(|count| (0..=HEADERS_MAX).contains(count))?;
    let mut headers = Vec::new();
    for _ in 0..count {
        headers.push((reader.text()?, reader.text()?));
    }
    let length = usize::try_from(reader.number()?).ok()?;
    let data = reader.take(length)?.to_vec();
    reader.0.is_empty().then_some(Unwrapped { headers, data })
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<i32> {
        Some(i32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn text(&mut self) -> Option<String> {
        let mut length = 0_usize;
        for shift in [0, 7, 14, 21, 28] {
            let byte = *self.take(1)?.first()?;
            length |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return String::from_utf8(self.take(length)?.to_vec()).ok();
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(headers: &[(&str, &str)], data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![1; 8];
        bytes.extend(i32::try_from(headers.len()).unwrap().to_le_bytes());
        for text in headers.iter().flat_map(|(name, value)| [name, value]) {
            assert!(text.len() < 300);
            if text.len() > 127 {
                bytes.extend([
                    u8::try_from(text.len() & 0x7f).unwrap() | 0x80,
                    1 + u8::from(text.len() > 255),
                ]);
            } else {
                bytes.push(u8::try_from(text.len()).unwrap());
            }
            bytes.extend(text.bytes());
        }
        bytes.extend(i32::try_from(data.len()).unwrap().to_le_bytes());
        bytes.extend(data);
        bytes
    }

    #[test]
    fn an_envelope_is_headers_and_data() {
        let long = "x".repeat(200);
        let headers = [("message-type", "CashierCreated"), ("long", long.as_str())];
        let read = unwrap(&written(&headers, b"{}")).unwrap();
        assert_eq!(read.headers[1], ("long".to_owned(), long.clone()));
        assert_eq!((read.headers.len(), read.data.as_slice()), (2, &b"{}"[..]));
    }

    #[test]
    fn what_is_no_envelope_is_none() {
        let whole = written(&[("a", "b")], b"data");
        for cut in 0..whole.len() {
            assert_eq!(unwrap(&whole[..cut]), None, "{cut} bytes");
        }
        let mut longer = whole.clone();
        longer.push(0);
        assert_eq!(unwrap(&longer), None);
        assert_eq!(unwrap(b"{\"json\": true, \"and\": \"long\"}"), None);
    }
}
