//! Where clients reach the daemon.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// How clients talk to the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain.
    Http,
    /// TLS.
    Https,
}

impl Scheme {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Http => "http://",
            Self::Https => "https://",
        }
    }
}

/// An absolute URL without the slash at its end, of characters that need no quoting in YAML, shell, headers or JSON.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint(String);

/// A text that is no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an endpoint is http://HOST[:PORT][/PATH] or the same with https")]
pub struct BadEndpoint;

impl Endpoint {
    const MAX_BYTES: usize = 512;

    /// Checks a configured URL.
    ///
    /// # Errors
    /// [`BadEndpoint`] for anything but a plain http or https URL.
    pub fn parse(text: &str) -> Result<Self, BadEndpoint> {
        let rest = text
            .strip_prefix("http://")
            .or_else(|| text.strip_prefix("https://"))
            .ok_or(BadEndpoint)?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/[]%".contains(&byte);
        let hosted = rest
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'[');
        if text.len() > Self::MAX_BYTES || !hosted || !rest.bytes().all(plain) {
            return Err(BadEndpoint);
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }

    /// What a client that sent this `Host` header calls the daemon.
    ///
    /// # Errors
    /// [`BadEndpoint`] when the header is not a host with an optional port.
    pub fn of_host(scheme: Scheme, host: &str) -> Result<Self, BadEndpoint> {
        if host.contains(['/', '%']) {
            return Err(BadEndpoint);
        }
        Self::parse(&format!("{}{host}", scheme.prefix()))
    }

    /// What a client on this machine calls a daemon that listens on `address`.
    pub fn of_listener(scheme: Scheme, address: SocketAddr) -> Self {
        let ip = match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip => ip,
        };
        Self(format!(
            "{}{}",
            scheme.prefix(),
            SocketAddr::new(ip, address.port())
        ))
    }

    /// The URL, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_would_need_quoting() {
        for bad in [
            "",
            "http://",
            "ftp://a",
            "http://a b",
            "http://a'b",
            "http:///x",
            "http://a\"",
            "http://a?b",
        ] {
            assert_eq!(Endpoint::parse(bad), Err(BadEndpoint), "{bad:?}");
        }
        assert_eq!(
            Endpoint::parse("https://images.example:9292/x/")
                .unwrap()
                .as_str(),
            "https://images.example:9292/x"
        );
    }

    #[test]
    fn builds_urls_from_host_headers_and_listeners() {
        let host = |host| Endpoint::of_host(Scheme::Http, host).map(|endpoint| endpoint.0);
        assert_eq!(host("[::1]:9292").as_deref(), Ok("http://[::1]:9292"));
        assert_eq!(host("evil/path"), Err(BadEndpoint));
        assert_eq!(host("a@b"), Err(BadEndpoint));
        let listener = |address: &str| Endpoint::of_listener(Scheme::Https, address.parse().unwrap()).0;
        assert_eq!(listener("0.0.0.0:9292"), "https://127.0.0.1:9292");
        assert_eq!(listener("[::]:1"), "https://[::1]:1");
    }
}
