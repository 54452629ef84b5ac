//! Where the bucket is, and what its objects are called: in requests and in locations. Pure.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use saccade_store_contract::{Attempt, BlobName, Error, ErrorKind, Handle, Location, Operation};
use url::{Host, Url};
use uuid::Uuid;

use crate::config::{BucketUrlFormat, OpenError, S3StoreConfig};

/// What the keys of marks begin with, and no blob's.
pub(crate) const RESERVED: &str = ".saccade.";

/// Version of the handle's form.
const HANDLE_FORM: &str = "s3:1";

/// Everything but what RFC 3986 leaves as it is, as signatures want it.
const STRICT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// A bucket at a server.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    /// The URL of the bucket, with a slash at the end.
    base: Url,
    /// As glance_store writes it: the host as it is configured, without scheme and slashes at the ends.
    host_text: String,
    /// The same, to compare.
    host_key: String,
    pub(crate) is_https: bool,
    pub(crate) bucket: String,
    pub(crate) region: String,
    /// The region, where the server is to be told.
    pub(crate) constraint: Option<String>,
}

/// The names of one attempt.
#[derive(Debug, Clone)]
pub(crate) struct AttemptNames {
    pub(crate) blob: BlobName,
    pub(crate) attempt: Attempt,
    /// The key that it publishes.
    pub(crate) key: String,
    /// The key of its mark: while that is there, what the attempt has published can be undone.
    pub(crate) mark: String,
}

impl Endpoint {
    pub(crate) fn new(config: &S3StoreConfig) -> Result<Self, OpenError> {
        let bad = |option, reason| OpenError::Option {
            id: config.id.clone(),
            option,
            reason,
        };
        let bad_host = |reason| bad("s3_store_host", reason);
        let configured = config.s3_store_host.trim();
        let (is_https, text) = match (
            configured.strip_prefix("https://"),
            configured.strip_prefix("http://"),
        ) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => (false, configured),
        };
        let host_text = text.trim_matches('/').to_owned();
        let scheme = if is_https { "https" } else { "http" };
        let mut base = Url::parse(&format!("{scheme}://{host_text}"))
            .map_err(|_| bad_host("is not a host and port, with http:// or https:// before it"))?;
        if host_text.contains(['@', '?', '#']) || !base.username().is_empty() {
            return Err(bad_host("holds more than a host, a port and a path"));
        }
        let bucket = config.s3_store_bucket.clone();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if bucket.len() < 3 || !bucket.chars().all(plain) || !bucket.starts_with(char::is_alphanumeric) {
            return Err(bad(
                "s3_store_bucket",
                "is not a bucket's name: at least 3 letters, digits, '-', '_', '.'",
            ));
        }
        let domain = match base.host() {
            Some(Host::Domain(name)) => Some(name.to_ascii_lowercase()),
            Some(_) => None,
            None => return Err(bad_host("is empty")),
        };
        let amazon = domain.as_deref().and_then(amazon_region);
        let is_virtual = match config.s3_store_bucket_url_format {
            BucketUrlFormat::Path => false,
            BucketUrlFormat::Virtual => domain.is_some(),
            // A dot in the name would not match the certificate.
            BucketUrlFormat::Auto => amazon.is_some() && !bucket.contains('.'),
        };
        let prefix = base.path().trim_end_matches('/').to_owned();
        if is_virtual {
            let host = format!("{bucket}.{}", domain.as_deref().unwrap_or_default());
            base.set_host(Some(&host))
                .map_err(|_| bad("s3_store_bucket", "cannot be a part of a host's name"))?;
            base.set_path(&format!("{prefix}/"));
        } else {
            base.set_path(&format!("{prefix}/{bucket}/"));
        }
        let configured_region = config.s3_store_region_name.trim();
        let constraint = match configured_region {
            "" => amazon.clone(),
            region => Some(region.to_owned()),
        }
        .filter(|region| region != "us-east-1");
        let region = match configured_region {
            "" => amazon.unwrap_or_else(|| "us-east-1".to_owned()),
            region => region.to_owned(),
        };
        Ok(Self {
            base,
            host_key: comparable(&host_text, is_https),
            host_text,
            is_https,
            bucket,
            region,
            constraint,
        })
    }

    /// Where a request goes: to a key, or to the bucket.
    pub(crate) fn url(&self, key: Option<&str>, query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        if let Some(key) = key {
            url.set_path(&format!(
                "{}{}",
                self.base.path(),
                utf8_percent_encode(key, STRICT)
            ));
        } else {
            // Of the bucket itself; a virtual one is the root.
            let path = self.base.path().trim_end_matches('/').to_owned();
            url.set_path(if path.is_empty() { "/" } else { &path });
        }
        if !query.is_empty() {
            let encode = |text| utf8_percent_encode(text, STRICT);
            let pairs: Vec<_> = query
                .iter()
                .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
                .collect();
            url.set_query(Some(&pairs.join("&")));
        }
        url
    }

    /// The address of a blob, as glance_store writes it.
    pub(crate) fn location(&self, key: &str) -> Location {
        let scheme = if self.is_https { "s3+https" } else { "s3" };
        Location::new(format!("{scheme}://{}/{}/{key}", self.host_text, self.bucket))
    }

    /// The key that a location names, if it is in this bucket at this host. Credentials in it are passed over, and its
    /// scheme: requests go to the configured endpoint and nowhere else.
    pub(crate) fn resolve(&self, location: &Location, operation: Operation) -> Result<String, Error> {
        let invalid = |reason: &'static str| {
            Error::new(ErrorKind::Invalid, operation, "a location of the s3 store").caused_by(reason)
        };
        let (scheme, rest) = location
            .as_str()
            .split_once("://")
            .ok_or_else(|| invalid("it is not a URI"))?;
        let is_https = match scheme {
            "s3" | "s3+http" => false,
            "s3+https" => true,
            _ => return Err(invalid("its scheme is not s3, s3+http or s3+https")),
        };
        if rest.contains("://") {
            return Err(invalid("it has more than one scheme"));
        }
        // From the end: an unescaped secret may hold slashes.
        let mut parts = rest.rsplitn(3, '/');
        let (Some(key), Some(bucket), Some(place)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(invalid("it is not host/bucket/key"));
        };
        let host = place.rsplit_once('@').map_or(place, |(_, host)| host);
        if comparable(host, is_https) != self.host_key {
            return Err(invalid("it is at another host than s3_store_host"));
        }
        if bucket != self.bucket {
            return Err(invalid("it is in another bucket than s3_store_bucket"));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~');
        let is_blob = !key.is_empty() && key.len() <= 255 && key.chars().all(plain);
        if !is_blob || matches!(key, "." | "..") || key.starts_with(RESERVED) {
            return Err(invalid("its key is not an image's"));
        }
        Ok(key.to_owned())
    }

    pub(crate) fn handle(&self, names: &AttemptNames) -> Result<Handle, Error> {
        let text = format!("{HANDLE_FORM}:{}:{}:{}", self.bucket, names.blob, names.attempt);
        Handle::new(text).map_err(|source| {
            Error::new(ErrorKind::Invalid, Operation::Create, names.key.clone()).caused_by(source)
        })
    }

    pub(crate) fn parse_handle(&self, handle: &Handle, operation: Operation) -> Result<AttemptNames, Error> {
        let invalid =
            |reason: &'static str| Error::new(ErrorKind::Invalid, operation, "a handle").caused_by(reason);
        let rest = handle
            .as_str()
            .strip_prefix(HANDLE_FORM)
            .and_then(|rest| rest.strip_prefix(':'))
            .ok_or_else(|| invalid("it is not one of an s3 store"))?;
        let parts: Vec<_> = rest.split(':').collect();
        let [bucket, blob, attempt] = parts.as_slice() else {
            return Err(invalid("it is incomplete"));
        };
        if *bucket != self.bucket {
            return Err(invalid("it is of another bucket than s3_store_bucket"));
        }
        let id = |text: &str| {
            Uuid::try_parse(text)
                .ok()
                .filter(|id| id.as_hyphenated().to_string() == text)
                .ok_or_else(|| invalid("it holds something else than ids"))
        };
        Ok(AttemptNames::new(BlobName(id(blob)?), Attempt(id(attempt)?)))
    }
}

impl AttemptNames {
    pub(crate) fn new(blob: BlobName, attempt: Attempt) -> Self {
        Self {
            blob,
            attempt,
            key: blob.to_string(),
            mark: format!("{RESERVED}{blob}.{attempt}"),
        }
    }
}

/// Hosts are the same in any case, and with or without the scheme's own port.
fn comparable(host: &str, is_https: bool) -> String {
    let text = host.trim_matches('/').to_ascii_lowercase();
    let (authority, path) = match text.split_once('/') {
        Some((authority, path)) => (authority, format!("/{path}")),
        None => (text.as_str(), String::new()),
    };
    let port = if is_https { ":443" } else { ":80" };
    let authority = authority.strip_suffix(port).unwrap_or(authority);
    format!("{authority}{path}")
}

/// The region in one of Amazon's host names: `s3.REGION.amazonaws.com`, `s3-REGION.amazonaws.com`.
fn amazon_region(host: &str) -> Option<String> {
    let name = host
        .strip_suffix(".amazonaws.com")
        .or_else(|| host.strip_suffix(".amazonaws.com.cn"))?;
    let name = name.strip_prefix("s3")?;
    let region = name.trim_start_matches(['.', '-']);
    let region = region.strip_prefix("dualstack.").unwrap_or(region);
    Some(if region.is_empty() { "us-east-1" } else { region }.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;
    use proptest::prelude::*;

    const ID: &str = "6c9f0a51-6b0c-4a2e-8d6e-0f2d9f5b7a10";

    fn endpoint(host: &str, change: impl FnOnce(&mut S3StoreConfig)) -> Result<Endpoint, OpenError> {
        let mut config = S3StoreConfig::new("s", host, Secret::new("AK"), Secret::new("SK"), "glance");
        change(&mut config);
        Endpoint::new(&config)
    }

    fn at(host: &str) -> Endpoint {
        endpoint(host, |_| {}).unwrap()
    }

    fn resolved(endpoint: &Endpoint, uri: &str) -> Option<String> {
        endpoint.resolve(&Location::new(uri), Operation::Read).ok()
    }

    #[test]
    fn locations_are_those_of_glance_store() {
        for (host, expected) in [
            ("http://h:7480", "s3://h:7480/glance/"),
            ("h", "s3://h/glance/"),
            ("https://S3.Example.org/", "s3+https://S3.Example.org/glance/"),
            ("https://h/s3/", "s3+https://h/s3/glance/"),
        ] {
            let endpoint = at(host);
            let location = endpoint.location(ID);
            assert_eq!(location.as_str(), format!("{expected}{ID}"));
            assert_eq!(resolved(&endpoint, location.as_str()).as_deref(), Some(ID));
        }
    }

    #[test]
    fn old_locations_with_credentials_are_read() {
        let endpoint = at("https://h:443");
        for place in ["AK:S/K+/x=@h", "AK:s@/:e@H:443", "h"] {
            let uri = format!("s3+https://{place}/glance/{ID}");
            assert_eq!(resolved(&endpoint, &uri).as_deref(), Some(ID), "{place}");
        }
        // Written before the store spoke TLS.
        assert!(resolved(&endpoint, &format!("s3://h/glance/{ID}")).is_some());
        assert!(resolved(&endpoint, &format!("s3+http://h:80/glance/{ID}")).is_some());
    }

    #[test]
    fn locations_elsewhere_are_not_this_stores() {
        let endpoint = at("http://h");
        for uri in [
            "",
            "s3://",
            "s3://h",
            "s3://h/glance",
            "s3://h/glance/",
            "s3://h/glance/.",
            "s3://h/glance/..",
            "s3://h/glance/a?b",
            "s3://h/glance/%2e%2e",
            "s3://h/glance/.saccade.a.b",
            "s3://h/other/a",
            "s3://other/glance/a",
            "s3://h:81/glance/a",
            "s3://h@other/glance/a",
            "s3://https://h/glance/a",
            "s3+ftp://h/glance/a",
            "S3://h/glance/a",
            "file:///glance/a",
        ] {
            assert_eq!(resolved(&endpoint, uri), None, "{uri}");
        }
    }

    #[test]
    fn errors_never_show_what_was_in_a_location() {
        let uri = Location::new("s3://AK:verysecret@elsewhere/glance/a");
        let error = at("http://h").resolve(&uri, Operation::Read).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("verysecret"));
    }

    #[test]
    fn buckets_are_addressed_as_boto_does() {
        use BucketUrlFormat::{Auto, Path, Virtual};
        for (host, format, expected) in [
            ("http://10.0.0.1:7480", Virtual, "http://10.0.0.1:7480/glance/k"),
            ("https://o.example.org", Auto, "https://o.example.org/glance/k"),
            ("https://o.example.org", Virtual, "https://glance.o.example.org/k"),
            (
                "https://s3.eu-west-1.amazonaws.com",
                Auto,
                "https://glance.s3.eu-west-1.amazonaws.com/k",
            ),
            (
                "https://s3.amazonaws.com",
                Path,
                "https://s3.amazonaws.com/glance/k",
            ),
            ("https://h/s3", Path, "https://h/s3/glance/k"),
        ] {
            let endpoint = endpoint(host, |config| config.s3_store_bucket_url_format = format).unwrap();
            assert_eq!(endpoint.url(Some("k"), &[]).as_str(), expected);
        }
        assert_eq!(at("http://h").url(None, &[]).as_str(), "http://h/glance");
        let url = at("http://h").url(Some("k"), &[("uploadId", "2~a/b+c"), ("x", "")]);
        assert_eq!(url.as_str(), "http://h/glance/k?uploadId=2~a%2Fb%2Bc&x=");
    }

    #[test]
    fn the_region_is_configured_or_amazons_or_the_first() {
        assert_eq!(at("h").region, "us-east-1");
        assert_eq!(at("h").constraint, None);
        assert_eq!(at("https://s3-eu-north-1.amazonaws.com").region, "eu-north-1");
        let garage = endpoint("h", |config| config.s3_store_region_name = "garage".into()).unwrap();
        assert_eq!(
            (garage.region.as_str(), garage.constraint.as_deref()),
            ("garage", Some("garage"))
        );
    }

    #[test]
    fn what_is_no_host_or_bucket_is_refused() {
        for host in ["", "http://", "https://?x", "http://u:p@h", "h:port", "h?x"] {
            assert!(endpoint(host, |_| {}).is_err(), "{host}");
        }
        for bucket in ["", "ab", "a/b", "../x", "bücket", ".abc"] {
            assert!(endpoint("h", |config| config.s3_store_bucket = bucket.into()).is_err());
        }
    }

    proptest! {
        #[test]
        fn any_location_is_refused_or_names_a_plain_key(text in "(s3|s3\\+https)://[a-z:@/.%h]{0,30}/glance/\\PC{0,20}") {
            if let Some(key) = resolved(&at("http://h"), &text) {
                prop_assert!(!key.contains(['/', '?', '#', '%']) && !key.starts_with(RESERVED));
            }
        }

        #[test]
        fn any_handle_is_refused_or_read_back(text in "s3:1:(glance)?:?\\PC{0,80}") {
            let endpoint = at("h");
            let handle = Handle::new(text.clone()).unwrap();
            if let Ok(names) = endpoint.parse_handle(&handle, Operation::Discard) {
                let again = endpoint.handle(&names).unwrap();
                prop_assert_eq!(again.as_str(), text);
            }
        }
    }
}
