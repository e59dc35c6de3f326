//! Decides which addresses a pattern of outgoing HTTP covers. It resolves no name.

use std::fmt;

/// Where a plugin may call: a scheme, a host and a port, such as `https://api.example.com`,
/// `http://10.0.0.7:8080`, `https://*.example.com` or `https://*:*`. Paths are not told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpOrigin {
    text: String,
    /// Whether it is `https` and not `http`.
    pub https: bool,
    /// Hosts.
    pub host: HttpHost,
    /// Port; `None` for any.
    pub port: Option<u16>,
}

/// Hosts of an [`HttpOrigin`], in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpHost {
    /// This one: a name, or an address without brackets.
    Exactly(String),
    /// Those that end like this, which begins with a dot: `*.example.com`.
    Below(String),
    /// All.
    Any,
}

impl HttpOrigin {
    /// The pattern of that text, if it is one.
    pub fn new(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let https = match scheme {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let (host, port) = split(rest)?;
        let port = match port {
            None => Some(if https { 443 } else { 80 }),
            Some("*") => None,
            Some(port) => Some(port.parse().ok().filter(|port| *port > 0)?),
        };
        Some(Self { text: text.to_owned(), https, host: HttpHost::new(host)?, port })
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it covers every address that `other` covers.
    pub fn covers(&self, other: &Self) -> bool {
        let host = match (&self.host, &other.host) {
            (HttpHost::Any, _) => true,
            (HttpHost::Exactly(one), HttpHost::Exactly(two)) => one == two,
            (HttpHost::Below(end), HttpHost::Exactly(host) | HttpHost::Below(host)) => {
                host.ends_with(end.as_str())
            }
            (HttpHost::Exactly(_) | HttpHost::Below(_), _) => false,
        };
        host && self.https == other.https && (self.port.is_none() || self.port == other.port)
    }
}

/// Host and port of an authority; a numeric host with colons is in brackets.
fn split(authority: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        host.parse::<std::net::Ipv6Addr>().ok()?;
        return match port.strip_prefix(':') {
            Some(port) => Some((host, Some(port))),
            None => port.is_empty().then_some((host, None)),
        };
    }
    Some(match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    })
}

impl HttpHost {
    fn new(text: &str) -> Option<Self> {
        let is_name = |text: &str| {
            let part = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
            !text.is_empty() && text.len() <= 253 && text.bytes().all(part)
        };
        let text = text.to_ascii_lowercase();
        match text.strip_prefix('*') {
            Some("") => Some(Self::Any),
            Some(end) => (end.len() > 1 && end.starts_with('.') && is_name(end))
                .then(|| Self::Below(end.to_owned())),
            None => is_name(&text).then_some(Self::Exactly(text)),
        }
    }
}

impl fmt::Display for HttpOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> HttpOrigin {
        HttpOrigin::new(text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn an_origin_is_a_scheme_a_host_and_a_port() {
        let read = origin("https://API.example.com");
        assert_eq!(read.host, HttpHost::Exactly("api.example.com".to_owned()));
        assert_eq!((read.https, read.port), (true, Some(443)));
        assert_eq!(origin("http://*").port, Some(80));
        assert_eq!(origin("http://*:*").port, None);
        assert_eq!(origin("http://[::1]:9").host, HttpHost::Exactly("::1".to_owned()));
        assert_eq!(origin("https://*.a.b").host, HttpHost::Below(".a.b".to_owned()));
        for wrong in [
            "",
            "api.example.com",
            "ftp://a",
            "https://",
            "https://a/",
            "https://a/path",
            "https://a:0",
            "https://a:65536",
            "https://a:x",
            "https://u@a",
            "https://*a",
            "https://a.*",
            "https://*.",
            "https://[::1",
            "https://[a]",
            "https://a b",
        ] {
            assert_eq!(HttpOrigin::new(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_ceiling_covers_what_is_within_it() {
        for (ceiling, grant, covers) in [
            ("https://*:*", "https://a:8443", true),
            ("https://*:*", "http://a", false),
            ("https://*", "https://a:8443", false),
            ("https://*.b.c", "https://a.b.c", true),
            ("https://*.b.c", "https://*.a.b.c", true),
            ("https://*.b.c", "https://b.c", false),
            ("https://*.b.c", "https://*", false),
            ("https://a", "https://a", true),
            ("https://a", "https://*", false),
            ("https://a:*", "https://a:9", true),
            ("https://a:9", "https://a:*", false),
        ] {
            assert_eq!(origin(ceiling).covers(&origin(grant)), covers, "{ceiling} {grant}");
        }
    }
}
