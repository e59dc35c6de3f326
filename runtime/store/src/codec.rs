//! Decides how numbers, texts and options become bytes and back. It knows no record.

use bytes::Bytes;
use bytestring::ByteString;

use crate::Error;

/// Appends values to a buffer. Lengths are variable (7 bits a byte), fixed numbers big-endian.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    bytes: Vec<u8>,
}

impl Encoder {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity) }
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.bytes
    }

    pub(crate) fn u8(&mut self, value: u8) -> &mut Self {
        self.bytes.push(value);
        self
    }

    pub(crate) fn u32(&mut self, value: u32) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub(crate) fn u64(&mut self, value: u64) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub(crate) fn u128(&mut self, value: u128) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub(crate) fn length(&mut self, value: usize) -> &mut Self {
        let mut rest = value;
        while rest >= 0x80 {
            self.bytes.push(u8::try_from(rest & 0x7f).unwrap_or(0) | 0x80);
            rest >>= 7;
        }
        self.u8(u8::try_from(rest).unwrap_or(0))
    }

    /// Bytes as they are, without their length.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// Bytes after their length.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.length(bytes.len()).raw(bytes)
    }

    /// A number that may be absent.
    pub(crate) fn option_u64(&mut self, value: Option<u64>) -> &mut Self {
        match value {
            None => self.u8(0),
            Some(value) => self.u8(1).u64(value),
        }
    }

    /// A number that may be absent.
    pub(crate) fn option_u128(&mut self, value: Option<u128>) -> &mut Self {
        match value {
            None => self.u8(0),
            Some(value) => self.u8(1).u128(value),
        }
    }
}

/// Takes values off the front of a buffer; byte strings share its memory.
#[derive(Debug)]
pub(crate) struct Decoder {
    bytes: Bytes,
    at: usize,
    what: &'static str,
}

impl Decoder {
    /// `what` names the record in errors.
    pub(crate) fn new(what: &'static str, bytes: Bytes) -> Self {
        Self { bytes, at: 0, what }
    }

    /// A decoder over what the storage engine returned, without copying it.
    pub(crate) fn of(what: &'static str, slice: fjall::Slice) -> Self {
        Self::new(what, Bytes::from_owner(slice))
    }

    pub(crate) fn corrupt(&self, reason: &'static str) -> Error {
        Error::Corrupt { what: self.what, reason }
    }

    fn range(&mut self, length: usize) -> Result<std::ops::Range<usize>, Error> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or_else(|| self.corrupt("it ends early"))?;
        let range = self.at..end;
        self.at = end;
        Ok(range)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let range = self.range(N)?;
        let slice = self.bytes.get(range).and_then(|slice| slice.first_chunk::<N>());
        slice.copied().ok_or_else(|| self.corrupt("it ends early"))
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Error> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Error> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Error> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    pub(crate) fn u128(&mut self) -> Result<u128, Error> {
        Ok(u128::from_be_bytes(self.array()?))
    }

    pub(crate) fn length(&mut self) -> Result<usize, Error> {
        let mut value = 0_usize;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.u8()?;
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.corrupt("a length is too long"))
    }

    pub(crate) fn bytes(&mut self) -> Result<Bytes, Error> {
        let length = self.length()?;
        let range = self.range(length)?;
        Ok(self.bytes.slice(range))
    }

    pub(crate) fn text(&mut self) -> Result<String, Error> {
        let length = self.length()?;
        let range = self.range(length)?;
        let text = self.bytes.get(range).and_then(|bytes| std::str::from_utf8(bytes).ok());
        text.map(str::to_owned).ok_or_else(|| self.corrupt("a text is not UTF-8"))
    }

    /// A text that shares the buffer's memory.
    pub(crate) fn shared_text(&mut self) -> Result<ByteString, Error> {
        let bytes = self.bytes()?;
        ByteString::try_from(bytes).map_err(|_not_utf8| self.corrupt("a text is not UTF-8"))
    }

    /// Everything that is left.
    pub(crate) fn rest(&mut self) -> Bytes {
        let rest = self.bytes.slice(self.at..);
        self.at = self.bytes.len();
        rest
    }

    /// Checks that nothing is left.
    pub(crate) fn end(&self) -> Result<(), Error> {
        if self.at == self.bytes.len() {
            Ok(())
        } else {
            Err(self.corrupt("it goes on after its end"))
        }
    }

    pub(crate) fn option_u64(&mut self) -> Result<Option<u64>, Error> {
        Ok(if self.flag()? { Some(self.u64()?) } else { None })
    }

    pub(crate) fn option_u128(&mut self) -> Result<Option<u128>, Error> {
        Ok(if self.flag()? { Some(self.u128()?) } else { None })
    }

    pub(crate) fn flag(&mut self) -> Result<bool, Error> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.corrupt("a flag is neither 0 nor 1")),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{Decoder, Encoder};

    #[test]
    fn lengths_survive_at_every_width() {
        for length in [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, u32::MAX as usize] {
            let mut encoder = Encoder::default();
            encoder.length(length);
            let mut decoder = Decoder::new("length", Bytes::from(encoder.finish()));
            assert_eq!(decoder.length().expect("decodes"), length);
            assert!(decoder.rest().is_empty());
        }
    }

    #[test]
    fn a_cut_at_any_byte_is_an_error_and_never_a_panic() {
        let mut encoder = Encoder::default();
        encoder.u8(7).u32(8).u64(9).u128(10).bytes(b"eleven").option_u64(Some(12));
        let whole = Bytes::from(encoder.finish());
        let decode = |bytes: Bytes| {
            let mut decoder = Decoder::new("test", bytes);
            decoder.u8()?;
            decoder.u32()?;
            decoder.u64()?;
            decoder.u128()?;
            decoder.text()?;
            decoder.option_u64()
        };
        assert_eq!(decode(whole.clone()).expect("decodes"), Some(12));
        for end in 0..whole.len() {
            assert_eq!(decode(whole.slice(..end)).expect_err("cut").code(), "E0208", "at {end}");
        }
    }
}
