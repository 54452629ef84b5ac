//! `http_proxy_information`: the proxies that the operator names. Those of the environment are not used.

use std::{collections::BTreeMap, fmt};

use url::Url;

/// The proxy for each scheme, if there is one.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    http: Option<Url>,
    https: Option<Url>,
}

/// An entry of `http_proxy_information` that cannot be used. Never repeats the proxy, which may have a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProxy {
    /// Not for a whole scheme.
    #[error("proxies are for http, https or all, not for {0:?}")]
    Scheme(String),
    /// Not the address of a proxy.
    #[error("the proxy for {0} is not host:port, http://host:port or https://host:port")]
    Address(String),
}

impl Proxies {
    /// From Glance's option: `http:10.0.0.1:3128` has the key `http` and the value `10.0.0.1:3128`. A value without a
    /// scheme is spoken to in http; `all` is for what has no proxy of its own (both as Python's requests has it).
    ///
    /// # Errors
    /// The first entry that cannot be used.
    pub fn parse<'a>(entries: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, InvalidProxy> {
        let entries: BTreeMap<_, _> = entries.into_iter().collect();
        let mut proxies = Self::default();
        let mut all = None;
        for (scheme, value) in entries {
            let proxy = match scheme.trim() {
                "http" => &mut proxies.http,
                "https" => &mut proxies.https,
                "all" => &mut all,
                _ => return Err(InvalidProxy::Scheme(scheme.to_owned())),
            };
            *proxy = Some(parse(value.trim()).ok_or_else(|| InvalidProxy::Address(scheme.to_owned()))?);
        }
        proxies.http = proxies.http.or_else(|| all.clone());
        proxies.https = proxies.https.or(all);
        Ok(proxies)
    }

    pub(crate) fn http(&self) -> Option<&Url> {
        self.http.as_ref()
    }

    pub(crate) fn https(&self) -> Option<&Url> {
        self.https.as_ref()
    }
}

fn parse(value: &str) -> Option<Url> {
    let text = if value.contains("://") {
        value.to_owned()
    } else {
        // requests takes `//host` for one without a scheme, too.
        format!("http://{}", value.trim_start_matches('/'))
    };
    let url = Url::parse(&text).ok()?;
    let usable =
        matches!(url.scheme(), "http" | "https") && url.host_str().is_some_and(|host| !host.is_empty());
    usable.then_some(url)
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = |url: &Option<Url>| url.as_ref().map(|url| url.host_str().unwrap_or("?").to_owned());
        f.debug_struct("Proxies")
            .field("http", &host(&self.http))
            .field("https", &host(&self.https))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(url: Option<&Url>) -> &str {
        url.map_or("", Url::as_str)
    }

    #[test]
    fn entries_are_those_of_requests() {
        let proxies =
            Proxies::parse([("http", "10.0.0.1:3128"), ("https", "https://p.example:1080")]).unwrap();
        assert_eq!(text(proxies.http()), "http://10.0.0.1:3128/");
        assert_eq!(text(proxies.https()), "https://p.example:1080/");
        let proxies = Proxies::parse([("all", "//p:1"), ("http", "q:2")]).unwrap();
        assert_eq!(text(proxies.http()), "http://q:2/");
        assert_eq!(text(proxies.https()), "http://p:1/");
    }

    #[test]
    fn what_is_no_proxy_is_refused_without_repeating_it() {
        for value in [
            "",
            "socks5://user:secret@h:1",
            "http://",
            "user:secret@:80",
            "h:port",
        ] {
            let error = Proxies::parse([("http", value)]).unwrap_err();
            assert_eq!(error, InvalidProxy::Address("http".to_owned()), "{value}");
        }
        assert!(Proxies::parse([("http://h", "p:1")]).is_err());
        let proxies = Proxies::parse([("http", "http://user:secret@h:1")]).unwrap();
        assert_eq!(
            format!("{proxies:?}"),
            "Proxies { http: Some(\"h\"), https: None }"
        );
    }
}
