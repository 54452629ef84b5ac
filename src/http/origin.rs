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
    let prefix = proxied.prefix.unwrap_or_default().trim_matches('/');
    let slash = if prefix.is_empty() { "" } else { "/" };
    match host {
        Some(host) => format!("{scheme}://{}{slash}{prefix}", without_default_port(scheme, host)),
        None => format!("{scheme}://{}{slash}{prefix}", settings.bind),
    }
}

/// As webob writes URLs.
fn without_default_port<'h>(scheme: &str, host: &'h str) -> &'h str {
    let port = if scheme == "https" { ":443" } else { ":80" };
    // The colons of an IPv6 address are within brackets.
    match host.strip_suffix(port) {
        Some(bare) if !bare.contains(':') || bare.ends_with(']') => bare,
        _ => host,
    }
}

/// What a proxy in front says of the request (oslo.middleware 8, `http_proxy_to_wsgi.py`). `X-Forwarded-For` and `for=`
/// are not read: nothing depends on the address of a client, nor is it logged.
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
                scheme: first(headers, "x-forwarded-proto"),
                host: first(headers, "x-forwarded-host"),
                prefix: None,
            },
        };
        proxied.prefix = header(headers, "x-forwarded-prefix");
        // Anything else would make links that nobody can follow.
        proxied.scheme = proxied.scheme.and_then(|scheme| {
            ["http", "https"]
                .into_iter()
                .find(|known| scheme.eq_ignore_ascii_case(known))
        });
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
            let value = Some(value).filter(|value| !value.is_empty());
            match name.trim().to_ascii_lowercase().as_str() {
                "proto" => proxied.scheme = value,
                "host" => proxied.host = value,
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

/// What the proxy nearest to the client said, where each added its own.
fn first<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let first = header(headers, name)?.split(',').next()?.trim();
    Some(first).filter(|value| !value.is_empty())
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
        let forwarded = [("host", "inner"), ("forwarded", "proto=https;host=outer")];
        assert_eq!(of(&forwarded, false), "http://inner");
    }

    #[test]
    fn what_a_proxy_says_is_read_as_oslo_middleware_reads_it() {
        const PROTO: &str = "x-forwarded-proto";
        const HOST: &str = "x-forwarded-host";
        const PREFIX: &str = "x-forwarded-prefix";
        const FORWARDED: &str = "forwarded";
        type Case = (&'static [(&'static str, &'static str)], &'static str);
        let cases: &[Case] = &[
            (&[], "http://inner:9292"),
            (&[(PROTO, "https")], "https://inner:9292"),
            (&[(PROTO, "HTTPS")], "https://inner:9292"),
            (&[(PROTO, "gopher")], "http://inner:9292"),
            (&[(PROTO, "https, http")], "https://inner:9292"),
            (&[(HOST, "outer:8443"), (PROTO, "https")], "https://outer:8443"),
            (&[(HOST, "outer, middle")], "http://outer"),
            (&[(HOST, "outer:443"), (PROTO, "https")], "https://outer"),
            (&[(HOST, "outer:443")], "http://outer:443"),
            (&[(HOST, "outer:80")], "http://outer"),
            (&[(HOST, "[2001:db8::80]")], "http://[2001:db8::80]"),
            (&[(HOST, "[2001:db8::1]:80")], "http://[2001:db8::1]"),
            (&[(HOST, "")], "http://inner:9292"),
            (&[(PREFIX, "/image")], "http://inner:9292/image"),
            (&[(PREFIX, "/image/")], "http://inner:9292/image"),
            (&[(PREFIX, "image")], "http://inner:9292/image"),
            (&[(PREFIX, "/")], "http://inner:9292"),
            (&[("x-forwarded-for", "192.0.2.1")], "http://inner:9292"),
            (
                &[(FORWARDED, "for=1.2.3.4;proto=https;host=\"outer:8443\", host=x")],
                "https://outer:8443",
            ),
            (
                &[(FORWARDED, "For=1.2.3.4 ; Proto = https ; HOST=outer")],
                "https://outer",
            ),
            (
                &[(FORWARDED, "for=1.2.3.4, proto=https;host=x")],
                "http://inner:9292",
            ),
            // One `Forwarded` silences the headers of the world before it, but for the prefix.
            (
                &[
                    (FORWARDED, "proto=https"),
                    (HOST, "x"),
                    (PROTO, "http"),
                    (PREFIX, "/image"),
                ],
                "https://inner:9292/image",
            ),
            (&[(FORWARDED, ""), (HOST, "outer")], "http://outer"),
            (&[(FORWARDED, "host="), (HOST, "x")], "http://inner:9292"),
            (&[(FORWARDED, "nonsense")], "http://inner:9292"),
        ];
        for (headers, expected) in cases {
            let mut all = vec![("host", "inner:9292")];
            all.extend_from_slice(headers);
            assert_eq!(of(&all, true), *expected, "{headers:?}");
        }
    }
}
