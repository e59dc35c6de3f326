//! Decides what a request is addressed to, and which addresses are nobody's but this machine's and
//! its network's.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Uri;

use super::HttpOrigin;

/// The name of this machine to itself.
const LOCALHOST: &str = "localhost";

/// What a request is addressed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) https: bool,
    /// A name in lower case, or an address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

impl Target {
    /// That of a whole URI.
    pub(super) fn of(uri: &Uri) -> Option<Self> {
        let https = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let host = uri.host()?.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
        (!host.is_empty()).then_some(Self { https, host, port })
    }

    pub(super) fn is_within(&self, origin: &HttpOrigin) -> bool {
        let host = match origin.host.as_str() {
            "*" => true,
            end if end.starts_with('.') => self.host.ends_with(end),
            host => self.host == host,
        };
        host && self.https == origin.https && origin.port.is_none_or(|port| port == self.port)
    }

    /// Whether whoever granted it wrote down which machine it is.
    pub(super) fn is_explicit(&self, origin: &HttpOrigin) -> bool {
        let is_address = self.host.parse::<IpAddr>().is_ok() || self.host == LOCALHOST;
        is_address && origin.host == self.host
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        let usual = if self.https { 443 } else { 80 };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]", self.host)?;
        } else {
            write!(f, "{scheme}://{}", self.host)?;
        }
        if self.port == usual { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

/// Whether an address is not one of the public internet (source: the IANA registries of
/// special-purpose addresses).
pub(super) fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_private_v4(address),
        IpAddr::V6(address) => match embedded(address) {
            Some(address) => is_private_v4(address),
            None => is_private_v6(address),
        },
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || address.is_documentation()
        || first == 0
        || first >= 240
        || (first == 100 && (64..128).contains(&second))
        || (first == 192 && second == 0 && third == 0)
        || (first == 198 && (18..20).contains(&second))
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || first & 0xfe00 == 0xfc00
        || first & 0xffc0 == 0xfe80
        || first & 0xffc0 == 0xfec0
        || (first == 0x0100 && second == 0)
        || (first == 0x2001 && second == 0x0db8)
}

/// The address of the older protocol within one of the newer: mapped, or translated.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [first, second, .., high, low] = address.segments();
    let is_translated = first == 0x0064 && second == 0xff9b;
    let [a, b] = high.to_be_bytes();
    let [c, d] = low.to_be_bytes();
    address.to_ipv4_mapped().or(is_translated.then_some(Ipv4Addr::new(a, b, c, d)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(uri: &str) -> Target {
        Target::of(&uri.parse().unwrap()).unwrap()
    }

    fn origin(https: bool, host: &str, port: Option<u16>) -> HttpOrigin {
        HttpOrigin { https, host: host.to_owned(), port }
    }

    #[test]
    fn a_request_goes_where_it_is_granted_and_nowhere_else() {
        let all = origin(true, "*", None);
        for (uri, granted, is_within) in [
            ("https://a.b/x?y", all.clone(), true),
            ("http://a.b/x", all, false),
            ("https://A.b/", origin(true, "a.b", Some(443)), true),
            ("https://a.b:8443/", origin(true, "a.b", Some(443)), false),
            ("https://x.a.b/", origin(true, ".a.b", Some(443)), true),
            ("https://a.b/", origin(true, ".a.b", Some(443)), false),
            ("https://evil-a.b/", origin(true, ".a.b", Some(443)), false),
            ("http://[::1]:9/", origin(false, "::1", Some(9)), true),
        ] {
            assert_eq!(target(uri).is_within(&granted), is_within, "{uri} {granted:?}");
        }
    }

    #[test]
    fn who_writes_an_address_down_means_it() {
        for (uri, host, is_explicit) in [
            ("http://127.0.0.1/", "127.0.0.1", true),
            ("http://localhost/", "localhost", true),
            ("http://[::1]/", "::1", true),
            ("http://127.0.0.1/", "*", false),
            ("http://intern/", "intern", false),
        ] {
            let granted = origin(false, host, None);
            assert_eq!(target(uri).is_explicit(&granted), is_explicit, "{uri} {host}");
        }
    }

    #[test]
    fn a_target_reads_as_it_would_be_granted() {
        for uri in ["https://a.b", "http://a.b:8080", "http://[::1]:9", "https://[::1]"] {
            assert_eq!(target(uri).to_string(), uri);
        }
        assert!(Target::of(&"/path".parse().unwrap()).is_none());
        assert!(Target::of(&"ftp://a/".parse().unwrap()).is_none());
    }

    #[test]
    fn private_addresses_are_known() {
        for (address, private) in [
            ("8.8.8.8", false),
            ("2606:4700::1", false),
            ("127.0.0.1", true),
            ("10.1.2.3", true),
            ("172.31.0.1", true),
            ("172.32.0.1", false),
            ("192.168.1.1", true),
            ("169.254.169.254", true),
            ("100.64.0.1", true),
            ("100.128.0.1", false),
            ("0.0.0.0", true),
            ("224.0.0.1", true),
            ("255.255.255.255", true),
            ("198.18.0.1", true),
            ("::", true),
            ("::1", true),
            ("fe80::1", true),
            ("fd00::1", true),
            ("::ffff:10.0.0.1", true),
            ("::ffff:8.8.8.8", false),
            ("64:ff9b::a00:1", true),
            ("64:ff9b::808:808", false),
        ] {
            assert_eq!(is_private(address.parse().unwrap()), private, "{address}");
        }
    }
}
