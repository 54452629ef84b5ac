//! URLs of others.

use std::fmt;

use percent_encoding::percent_decode_str;
use url::{Host, Url};

/// Longer ones no server takes.
const MAX_BYTES: usize = 8192;

/// A URL of a web server that means one thing only, credentials apart.
///
/// `Display` and `Debug` show neither the credentials nor the query, which may hold a signature.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// Without user, password and fragment.
    url: Url,
    credentials: Option<Credentials>,
    named_port: Option<u16>,
}

/// What a URL has before its `@`, decoded.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) user: String,
    pub(crate) password: String,
}

/// Why a text is no URL to ask. None of them repeats the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTarget {
    /// Neither http nor https.
    #[error("it does not begin with http:// or https://")]
    Scheme,
    /// Too long.
    #[error("it is longer than {MAX_BYTES} bytes")]
    Long,
    /// Control characters or backslashes, which readers of URLs take for different things.
    #[error("it holds a control character or a backslash")]
    Characters,
    /// No host, or what is none.
    #[error("it names no host")]
    Host,
    /// An IPv4 address as one number, in hexadecimal or octal, or short.
    #[error("an IPv4 address is written as four decimal numbers")]
    EncodedAddress,
    /// A port that is none.
    #[error("its port is not a number from 1 to 65535")]
    Port,
}

impl Target {
    /// Reads a URL. What Python's `urlparse` and a browser would read differently is refused.
    ///
    /// # Errors
    /// [`InvalidTarget`].
    pub fn parse(text: &str) -> Result<Self, InvalidTarget> {
        if text.len() > MAX_BYTES {
            return Err(InvalidTarget::Long);
        }
        if text.chars().any(|c| c.is_control() || c == '\\') {
            return Err(InvalidTarget::Characters);
        }
        let (scheme, rest) = text.split_once("://").ok_or(InvalidTarget::Scheme)?;
        let scheme = scheme.to_ascii_lowercase();
        if scheme != "http" && scheme != "https" {
            return Err(InvalidTarget::Scheme);
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, path) = match rest.find(['/', '?']) {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let (credentials, place) = match authority.rsplit_once('@') {
            Some((credentials, place)) => (Some(Credentials::parse(credentials)), place),
            None => (None, authority),
        };
        let (host, port) = split_port(place)?;
        if host.is_empty() || host.contains(|c: char| c == '%' || c.is_whitespace()) {
            return Err(InvalidTarget::Host);
        }
        let named_port = port.map(parse_port).transpose()?;
        let port = named_port.map_or(String::new(), |port| format!(":{port}"));
        let url = Url::parse(&format!("{scheme}://{host}{port}{path}")).map_err(|_| InvalidTarget::Host)?;
        match url.host() {
            Some(Host::Ipv4(address)) if address.to_string() != host => {
                return Err(InvalidTarget::EncodedAddress);
            }
            Some(_) => {}
            None => return Err(InvalidTarget::Host),
        }
        Ok(Self {
            url,
            credentials,
            named_port,
        })
    }

    /// Where a redirect from here leads to.
    pub(crate) fn redirected(&self, location: &str) -> Result<Self, InvalidTarget> {
        let location = location.trim_matches(' ');
        if location.len() > MAX_BYTES {
            return Err(InvalidTarget::Long);
        }
        if location.chars().any(|c| c.is_control() || c == '\\') {
            return Err(InvalidTarget::Characters);
        }
        let target = if let Some(rest) = location.strip_prefix("//") {
            Self::parse(&format!("{}://{rest}", self.url.scheme()))?
        } else if Url::parse(location).is_ok() {
            Self::parse(location)?
        } else {
            let joined = self.url.join(location).map_err(|_| InvalidTarget::Host)?;
            Self {
                named_port: self.named_port,
                ..Self::parse(joined.as_str())?
            }
        };
        Ok(if target.credentials.is_none() && target.is_same_origin(self) {
            Self {
                credentials: self.credentials.clone(),
                ..target
            }
        } else {
            target
        })
    }

    /// Whether both are the same scheme, host and port.
    pub(crate) fn is_same_origin(&self, other: &Self) -> bool {
        self.url.scheme() == other.url.scheme()
            && self.url.host() == other.url.host()
            && self.url.port_or_known_default() == other.url.port_or_known_default()
    }

    pub(crate) fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    /// The URL without its credentials; its query may be secret.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &str {
        self.url.scheme()
    }

    /// The port, if the text names one, be it the scheme's own.
    pub fn named_port(&self) -> Option<u16> {
        self.named_port
    }
}

impl Credentials {
    fn parse(text: &str) -> Self {
        let (user, password) = text.split_once(':').unwrap_or((text, ""));
        let decode = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
        Self {
            user: decode(user),
            password: decode(password),
        }
    }
}

/// `[::1]:80` in `[::1]` and `80`; a colon without a port after it names none, as urllib has it.
fn split_port(place: &str) -> Result<(&str, Option<&str>), InvalidTarget> {
    let end_of_host = if place.starts_with('[') {
        place
            .find(']')
            .and_then(|at| at.checked_add(1))
            .ok_or(InvalidTarget::Host)?
    } else {
        place.find(':').unwrap_or(place.len())
    };
    let (host, rest) = place.split_at(end_of_host);
    match rest.strip_prefix(':') {
        None if rest.is_empty() => Ok((host, None)),
        None => Err(InvalidTarget::Host),
        Some("") => Ok((host, None)),
        Some(port) => Ok((host, Some(port))),
    }
}

fn parse_port(text: &str) -> Result<u16, InvalidTarget> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(InvalidTarget::Port);
    }
    match text.parse() {
        Ok(0) | Err(_) => Err(InvalidTarget::Port),
        Ok(port) => Ok(port),
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.url.host_str().unwrap_or_default();
        write!(f, "{}://{host}", self.url.scheme())?;
        if let Some(port) = self.url.port() {
            write!(f, ":{port}")?;
        }
        f.write_str(self.url.path())?;
        if self.url.query().is_some() {
            f.write_str("?…")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn target(text: &str) -> Target {
        Target::parse(text).unwrap()
    }

    #[test]
    fn addresses_are_dotted_quads() {
        for text in [
            "http://2130706433/",
            "http://0x7f000001/",
            "http://017700000001/",
            "http://127.1/",
            "http://127.0x0.0.1/",
            "http://127.0.0.1./",
            "http://0127.0.0.1/",
            "http://0/",
            "http://user:pass@2130706433/",
            "http://\u{ff11}27.0.0.1/",
        ] {
            assert_eq!(Target::parse(text), Err(InvalidTarget::EncodedAddress), "{text}");
        }
        for text in [
            "http://127.0.0.1/",
            "http://[::1]/",
            "https://[::ffff:10.0.0.1]:8/",
        ] {
            assert!(Target::parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn what_is_read_in_two_ways_is_refused() {
        for (text, why) in [
            ("", InvalidTarget::Scheme),
            ("file:///etc/passwd", InvalidTarget::Scheme),
            ("ftp://h/", InvalidTarget::Scheme),
            ("http:/h/", InvalidTarget::Scheme),
            ("javascript:http://h/", InvalidTarget::Scheme),
            ("http://", InvalidTarget::Host),
            ("http:///x", InvalidTarget::Host),
            ("http://user@/", InvalidTarget::Host),
            ("http://127%2e0.0.1/", InvalidTarget::Host),
            ("http://a b/", InvalidTarget::Host),
            ("http://[::1/", InvalidTarget::Host),
            ("http://[::1]x/", InvalidTarget::Host),
            ("http://[fe80::1%25eth0]/", InvalidTarget::Host),
            ("http://1.2.3.4.5/", InvalidTarget::Host),
            ("http://h\\@evil/", InvalidTarget::Characters),
            ("http://h/\n", InvalidTarget::Characters),
            ("ht\ttp://h/", InvalidTarget::Characters),
            ("http://h:0/", InvalidTarget::Port),
            ("http://h:65536/", InvalidTarget::Port),
            ("http://h:+80/", InvalidTarget::Port),
            ("http://h:80:90/", InvalidTarget::Port),
            ("http://::1/", InvalidTarget::Host),
        ] {
            assert_eq!(Target::parse(text), Err(why), "{text}");
        }
        let long = format!("http://h/{}", "x".repeat(MAX_BYTES));
        assert_eq!(Target::parse(&long), Err(InvalidTarget::Long));
    }

    #[test]
    fn credentials_are_kept_apart_and_never_shown() {
        let target = target("HTTP://us%3Aer:pa%40ss:w@Example.ORG:80/a/b?signature=s3cret#part");
        let credentials = target.credentials().unwrap();
        assert_eq!((&*credentials.user, &*credentials.password), ("us:er", "pa@ss:w"));
        assert_eq!(target.url().as_str(), "http://example.org/a/b?signature=s3cret");
        assert_eq!(target.to_string(), "http://example.org/a/b?…");
        let shown = format!("{target:?} {credentials:?}");
        for secret in ["us", "pa@ss", "s3cret"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }

    #[test]
    fn a_port_counts_where_it_is_named() {
        assert_eq!(target("http://h/").named_port(), None);
        assert_eq!(target("http://h:/").named_port(), None);
        assert_eq!(target("http://h:80/").named_port(), Some(80));
        assert_eq!(target("https://[::1]:8443").named_port(), Some(8443));
    }

    #[test]
    fn redirects_keep_credentials_within_the_origin_alone() {
        let from = target("https://u:p@h:8443/a/b?c");
        let to = |location: &str| from.redirected(location).unwrap();
        for location in ["d", "/a/d", "?x", "https://h:8443/", "//h:8443/x"] {
            assert!(to(location).credentials().is_some(), "{location}");
            assert_eq!(to(location).named_port(), Some(8443));
        }
        for location in [
            "https://h/",
            "http://h:8443/",
            "https://x.h:8443/",
            "//other/x",
            "https://h:8444/",
        ] {
            assert!(to(location).credentials().is_none(), "{location}");
        }
        assert_eq!(to("d").url().as_str(), "https://h:8443/a/d");
        assert_eq!(to("http://v:w@other/").credentials().unwrap().user, "v");
        for location in [
            "ftp://h/",
            "file:///etc/passwd",
            "http://0x7f.1/",
            "//2130706433",
            "/\\evil",
        ] {
            assert!(from.redirected(location).is_err(), "{location}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_parser(text in "(https?://)?\\PC{0,60}", location in "\\PC{0,60}") {
            if let Ok(target) = Target::parse(&text) {
                let _ = target.redirected(&location);
                // What was read reads the same again.
                let again = Target::parse(target.url().as_str()).unwrap();
                prop_assert_eq!(again.url(), target.url());
            }
        }

        #[test]
        fn credentials_never_reach_the_url(user in "[A-Za-z]{12}", password in "[A-Za-z0-9]{12}") {
            let target = Target::parse(&format!("http://{user}:{password}@h/x")).unwrap();
            let shown = format!("{target} {target:?} {}", target.url());
            prop_assert!(!shown.contains(&user) && !shown.contains(&password));
        }
    }
}
