//! Decides which records have been where, by one header, and so which are copied. It knows no
//! cluster but by its name.

use bytes::Bytes;
use bytestring::ByteString;

/// Names of the clusters that a record has been in, the first first, with commas between.
pub(super) const HEADER: &str = "gristmill-provenance";

/// Between which clusters is copied, and what of it.
#[derive(Debug)]
pub(super) struct Way {
    /// Name of the cluster that records come from.
    pub(super) cluster: String,
    /// Name of the other.
    pub(super) to_cluster: String,
    /// Whether what came from elsewhere goes on.
    pub(super) relay: bool,
}

impl Way {
    /// The headers of a record as it is copied; `None` when it is not: it has been over there, or
    /// has come back here.
    pub(super) fn headers(
        &self,
        headers: &[(ByteString, Bytes)],
    ) -> Option<Vec<(ByteString, Bytes)>> {
        let been = headers.iter().filter(|(name, _)| *name == HEADER);
        let been: Vec<String> = been.flat_map(|(_, value)| clusters(value)).collect();
        let is_known = |cluster: &String| *cluster == self.to_cluster || *cluster == self.cluster;
        if been.iter().any(is_known) || (!self.relay && !been.is_empty()) {
            return None;
        }
        let mut copied: Vec<_> =
            headers.iter().filter(|(name, _)| *name != HEADER).cloned().collect();
        let all = been.iter().map(String::as_str).chain([&*self.cluster]);
        let all = all.collect::<Vec<_>>().join(",");
        copied.push((HEADER.into(), all.into()));
        Some(copied)
    }
}

fn clusters(value: &Bytes) -> Vec<String> {
    let text = String::from_utf8_lossy(value);
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(relay: bool, been: &[&'static str], expected: Option<&str>) {
        let way = Way { cluster: "east".to_owned(), to_cluster: "west".to_owned(), relay };
        let mut headers = vec![(ByteString::from("a"), Bytes::from_static(b"1"))];
        headers.extend(been.iter().map(|it| (HEADER.into(), Bytes::from_static(it.as_bytes()))));
        headers.push((ByteString::from("a"), Bytes::new()));
        let copied = way.headers(&headers);
        let expected = expected.map(|all| {
            vec![
                (ByteString::from("a"), Bytes::from_static(b"1")),
                (ByteString::from("a"), Bytes::new()),
                (HEADER.into(), Bytes::copy_from_slice(all.as_bytes())),
            ]
        });
        assert_eq!(copied, expected, "{been:?}");
    }

    #[test]
    fn what_has_been_there_or_comes_back_is_not_copied() {
        for (been, expected) in [
            (&[][..], Some("east")),
            (&["south"][..], Some("south,east")),
            (&["south, north"][..], Some("south,north,east")),
            (&["south", "north"][..], Some("south,north,east")),
            (&["west"][..], None),
            (&["south,west"][..], None),
            (&["east"][..], None),
            (&["west-2"][..], Some("west-2,east")),
            (&[""][..], Some("east")),
        ] {
            check(true, been, expected);
        }
    }

    #[test]
    fn what_came_from_elsewhere_stays_where_nothing_is_relayed() {
        check(false, &[], Some("east"));
        check(false, &["south"], None);
    }
}
