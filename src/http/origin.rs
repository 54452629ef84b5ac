//! The address that a client reached us by.

use http::{HeaderMap, Uri, header::HOST};

use super::Settings;

/// `scheme://host[:port][/prefix]` of the request: from the proxy's headers where they are believed, the `Host` header, the
/// request line, or, where there is nothing (HTTP/1.0), the address we listen at.
pub(super) fn origin(uri: &Uri, headers: &HeaderMap, settings: &Settings) -> String {
    let proxied = if settings.believe_proxy {
        Proxied::of(headers)
    } else {
        Proxied::default()
    };
    let host = proxied
        .host
        .or_else(|| header(headers, HOST.as_str()))
        .or_else(|| uri.authority().map(http::uri::Authority::as_str))
        .filter(|host| is_host(host));
    let scheme = proxied.scheme.or_else(|| uri.scheme_str()).unwrap_or("http");
    let prefix = proxied.prefix.unwrap_or_default().trim_end_matches('/');
    match host {
        Some(host) => format!("{scheme}://{host}{prefix}"),
        None => format!("{scheme}://{}{prefix}", settings.bind),
    }
}

/// What a proxy in front says of the request (oslo.middleware, `http_proxy_to_wsgi.py`).
#[derive(Debug, Default)]
struct Proxied<'a> {
    scheme: Option<&'a str>,
    host: Option<&'a str>,
    prefix: Option<&'a str>,
}

impl<'a> Proxied<'a> {
    fn of(headers: &'a HeaderMap) -> Self {
        let mut proxied = match header(headers, "forwarded") {
            Some(forwarded) => Self::parse(forwarded),
            None => Self {
                scheme: header(headers, "x-forwarded-proto"),
                host: header(headers, "x-forwarded-host"),
                prefix: None,
            },
        };
        proxied.prefix = header(headers, "x-forwarded-prefix");
        proxied.scheme = proxied
            .scheme
            .filter(|scheme| matches!(*scheme, "http" | "https"));
        proxied
    }

    /// The first element: that of the proxy nearest to the client.
    fn parse(forwarded: &'a str) -> Self {
        let mut proxied = Self::default();
        let first = forwarded.split(',').next().unwrap_or_default();
        for pair in first.split(';') {
            let Some((name, value)) = pair.split_once('=') else {
                continue;
            };
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "proto" => proxied.scheme = Some(value),
                "host" => proxied.host = Some(value),
                _ => {}
            }
        }
        proxied
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get(name)?
        .to_str()
        .ok()
        .map(str::trim)
        .filter(|value| !value.is_empty())
}

/// Whether the text can stand in a URL as a host with or without port.
fn is_host(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::http::tests::settings;

    fn of(headers: &[(&'static str, &'static str)], believe_proxy: bool) -> String {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect();
        let settings = Settings {
            believe_proxy,
            ..settings()
        };
        origin(&Uri::from_static("/v2/images"), &headers, &settings)
    }

    #[test]
    fn the_host_header_says_who_we_are() {
        assert_eq!(
            of(&[("host", "glance.example:9292")], false),
            "http://glance.example:9292"
        );
        assert_eq!(of(&[("host", "[::1]:9292")], false), "http://[::1]:9292");
    }

    #[test]
    fn without_a_usable_host_we_are_where_we_listen() {
        assert_eq!(of(&[], false), "http://127.0.0.1:9292");
        assert_eq!(of(&[("host", "a\"><b")], false), "http://127.0.0.1:9292");
    }

    #[test]
    fn a_proxy_is_believed_only_where_the_operator_says_so() {
        let headers = [
            ("host", "inner"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "outer"),
            ("x-forwarded-prefix", "/image"),
        ];
        assert_eq!(of(&headers, false), "http://inner");
        assert_eq!(of(&headers, true), "https://outer/image");
        let forwarded = [
            ("host", "inner"),
            ("forwarded", "for=1.2.3.4;proto=https;host=\"outer:443\", host=x"),
        ];
        assert_eq!(of(&forwarded, true), "https://outer:443");
    }
}
