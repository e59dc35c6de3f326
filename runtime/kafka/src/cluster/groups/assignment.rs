//! Reads the partitions a group dealt to a member, in the form of Kafka's consumer protocol
//! (source: `ConsumerProtocolAssignment.json` of Apache Kafka, versions 0 to 3). Knows no group.

/// The partitions of an assignment, by topic and number; `None` when it is not in that form.
pub(super) fn read(bytes: &[u8]) -> Option<Vec<(String, u32)>> {
    if bytes.is_empty() {
        return Some(Vec::new());
    }
    let mut rest = Rest(bytes);
    // All versions begin alike.
    let _version = rest.take::<2>()?;
    let mut partitions = Vec::new();
    for _topic in 0..rest.count()? {
        let length = usize::from(u16::from_be_bytes(rest.take()?));
        let name = std::str::from_utf8(rest.bytes(length)?).ok()?;
        for _partition in 0..rest.count()? {
            partitions.push((name.to_owned(), u32::from_be_bytes(rest.take()?)));
        }
    }
    partitions.sort();
    Some(partitions)
}

/// What is still to be read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn count(&mut self) -> Option<u32> {
        // A null array has the count -1, which reads as none.
        let count = i32::from_be_bytes(self.take()?);
        Some(u32::try_from(count).unwrap_or(0))
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn assignments_are_read_or_refused() {
        let two = b"\0\x01\0\0\0\x02\0\x01b\0\0\0\x01\0\0\0\x03\0\x01a\0\0\0\x02\0\0\0\0\0\0\0\x07";
        let all = [("a".to_owned(), 0), ("a".to_owned(), 7), ("b".to_owned(), 3)];
        assert_eq!(read(two).as_deref(), Some(&all[..]));
        assert_eq!(read(b""), Some(Vec::new()));
        assert_eq!(read(b"\0\0\xff\xff\xff\xff"), Some(Vec::new()));
        for cut in 1..two.len() {
            assert_eq!(read(&two[..cut]), None, "{cut}");
        }
    }
}
