//! Where the catalog says that tokens are validated, and that images are.

use serde::Deserialize;
use url::Url;

use super::Interface;

/// A service of a catalog; the rest of it does not matter here.
#[derive(Debug, Deserialize)]
pub(super) struct Service {
    #[serde(default, rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    endpoints: Vec<Endpoint>,
}

#[derive(Debug, Deserialize)]
struct Endpoint {
    #[serde(default)]
    interface: Option<String>,
    #[serde(default)]
    region_id: Option<String>,
    #[serde(default)]
    region: Option<String>,
    #[serde(default)]
    url: Option<String>,
}

/// Why there is nowhere to validate tokens.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoEndpoint {
    #[error(
        "the catalog of the service user has no endpoint of service type identity with interface {interface}{}: \
         check interface and region_name, or the catalog",
        region.as_ref().map(|region| format!(" in region {region:?}")).unwrap_or_default()
    )]
    Missing {
        interface: &'static str,
        region: Option<String>,
    },
    #[error("the identity endpoint {url:?} in the catalog cannot be used: {source}")]
    Unusable {
        url: String,
        #[source]
        source: BadUrl,
    },
}

/// The URL where tokens are validated: the first endpoint that fits, as keystoneauth chooses.
pub(super) fn tokens_url(
    catalog: &[Service],
    interface: Interface,
    region: Option<&str>,
) -> Result<Url, NoEndpoint> {
    let interface = match interface {
        Interface::Public => "public",
        Interface::Internal => "internal",
        Interface::Admin => "admin",
    };
    let fits = |endpoint: &&Endpoint| {
        let in_region = endpoint
            .region_id
            .as_deref()
            .filter(|id| !id.is_empty())
            .or(endpoint.region.as_deref());
        endpoint.interface.as_deref() == Some(interface) && (region.is_none() || in_region == region)
    };
    let url = catalog
        .iter()
        .filter(|service| service.kind == "identity")
        .flat_map(|service| &service.endpoints)
        .filter(fits)
        .find_map(|endpoint| endpoint.url.as_deref().filter(|url| !url.is_empty()))
        .ok_or_else(|| NoEndpoint::Missing {
            interface,
            region: region.map(str::to_owned),
        })?;
    tokens_url_below(url).map_err(|source| NoEndpoint::Unusable {
        url: url.chars().take(200).collect(),
        source,
    })
}

/// The token of an answer, of which only the catalog matters here.
#[derive(Deserialize)]
struct Answer {
    token: WithCatalog,
}

#[derive(Deserialize)]
struct WithCatalog {
    #[serde(default)]
    catalog: Option<Vec<Service>>,
}

/// Where services are, by what Keystone says of a token; as keystonemiddleware hands it to Glance, by the endpoints' names of
/// their regions.
pub(super) fn endpoints(answer: &[u8]) -> Option<Vec<super::super::CatalogEndpoint>> {
    let answer: Answer = serde_json::from_slice(answer).ok()?;
    let services = answer.token.catalog?.into_iter();
    let endpoints = services.flat_map(|service| {
        let kind = service.kind;
        let endpoints = service.endpoints.into_iter();
        endpoints.map(move |endpoint| (kind.clone(), endpoint))
    });
    let known = endpoints.filter_map(|(service_type, endpoint)| {
        Some(super::super::CatalogEndpoint {
            service_type,
            region: endpoint.region.or(endpoint.region_id),
            interface: endpoint.interface?.to_lowercase(),
            url: endpoint.url?,
        })
    });
    Some(known.collect())
}

/// Why a URL is none of Keystone's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// It does not parse, or is relative.
    #[error("it is no absolute URL")]
    Malformed,
    /// Another scheme, or no host.
    #[error("it is neither http:// nor https:// with a host")]
    NotHttp,
    /// `user:password@`.
    #[error("it holds a user or password")]
    Userinfo,
}

/// `{url}/v3/auth/tokens`, whether the URL ends in a version, a slash, both or neither.
pub(super) fn tokens_url_below(url: &str) -> Result<Url, BadUrl> {
    let mut url = Url::parse(url.trim()).map_err(|_| BadUrl::Malformed)?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(BadUrl::NotHttp);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(BadUrl::Userinfo);
    }
    url.set_query(None);
    url.set_fragment(None);
    let path = url.path().trim_end_matches('/');
    let base = path
        .strip_suffix("/v3")
        .or_else(|| path.strip_suffix("/v2.0"))
        .unwrap_or(path)
        .trim_end_matches('/');
    let path = format!("{base}/v3/auth/tokens");
    url.set_path(&path);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog(endpoints: &str) -> Vec<Service> {
        let text = format!(
            r#"[{{"type":"image","name":"glance","endpoints":[
                    {{"interface":"internal","region_id":"R1","url":"http://glance"}}]}},
                {{"type":"identity","name":"keystone","id":"x","endpoints":[{endpoints}]}}]"#
        );
        serde_json::from_str(&text).unwrap()
    }

    const TWO_REGIONS: &str = r#"
        {"interface":"public","region_id":"R1","region":"R1","url":"http://pub1:5000"},
        {"interface":"internal","region_id":"R1","region":"R1","url":"http://int1:5000/v3/"},
        {"interface":"internal","region_id":null,"region":"R2","url":"http://int2/identity"}"#;

    #[test]
    fn chooses_by_interface_and_region() {
        let catalog = catalog(TWO_REGIONS);
        for (interface, region, url) in [
            (Interface::Internal, None, "http://int1:5000/v3/auth/tokens"),
            (
                Interface::Internal,
                Some("R2"),
                "http://int2/identity/v3/auth/tokens",
            ),
            (Interface::Public, Some("R1"), "http://pub1:5000/v3/auth/tokens"),
        ] {
            assert_eq!(tokens_url(&catalog, interface, region).unwrap().as_str(), url);
        }
    }

    #[test]
    fn a_missing_endpoint_is_told_with_interface_and_region() {
        let catalog = catalog(TWO_REGIONS);
        let error = tokens_url(&catalog, Interface::Admin, Some("R2")).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("interface admin in region \"R2\""), "{text}");
        assert!(matches!(
            tokens_url(&[], Interface::Internal, None),
            Err(NoEndpoint::Missing { .. })
        ));
    }

    #[test]
    fn image_services_are_found_by_region_and_interface() {
        let answer = br#"{"token": {"catalog": [
            {"type": "identity", "endpoints": [{"interface": "public", "region": "R1", "url": "http://keystone"}]},
            {"type": "image", "endpoints": [
                {"interface": "Public", "region": "R1", "region_id": "r-1", "url": "http://one"},
                {"interface": "admin", "region_id": "R2", "url": "http://two"},
                {"interface": "public", "url": "http://nowhere"}, {"region": "R3"}]}]}}"#;
        let found = endpoints(answer).unwrap();
        let found: Vec<_> = found
            .iter()
            .filter(|endpoint| endpoint.service_type == "image")
            .map(|endpoint| {
                (
                    endpoint.region.as_deref().unwrap_or(""),
                    &*endpoint.interface,
                    &*endpoint.url,
                )
            })
            .collect();
        assert_eq!(
            found,
            [
                ("R1", "public", "http://one"),
                ("R2", "admin", "http://two"),
                ("", "public", "http://nowhere")
            ]
        );
        for answer in [
            &b"{}"[..],
            br#"{"token": {}}"#,
            br#"{"token": {"catalog": null}}"#,
            b"<",
        ] {
            assert_eq!(endpoints(answer), None);
        }
    }

    #[test]
    fn refuses_endpoints_that_are_no_http_urls() {
        for url in [
            "/identity",
            "identity:5000",
            "file:///etc/passwd",
            "ftp://keystone/",
            "http://",
        ] {
            let catalog = catalog(&format!(r#"{{"interface":"internal","url":"{url}"}}"#));
            assert!(
                matches!(
                    tokens_url(&catalog, Interface::Internal, None),
                    Err(NoEndpoint::Unusable { .. })
                ),
                "{url}"
            );
        }
    }

    #[test]
    fn finds_the_tokens_below_every_spelling_of_a_url() {
        for (url, tokens) in [
            ("http://k:5000", "http://k:5000/v3/auth/tokens"),
            ("http://k:5000/", "http://k:5000/v3/auth/tokens"),
            ("http://k:5000/v3", "http://k:5000/v3/auth/tokens"),
            ("http://k:5000/v3/", "http://k:5000/v3/auth/tokens"),
            ("http://k/identity", "http://k/identity/v3/auth/tokens"),
            ("http://k/identity//v3//", "http://k/identity/v3/auth/tokens"),
            ("http://k/identity/v2.0", "http://k/identity/v3/auth/tokens"),
            ("https://[::1]:35357/v3?x#y", "https://[::1]:35357/v3/auth/tokens"),
        ] {
            assert_eq!(tokens_url_below(url).unwrap().as_str(), tokens, "{url}");
        }
        assert_eq!(tokens_url_below("http://u:p@k/"), Err(BadUrl::Userinfo));
        assert_eq!(tokens_url_below("keystone/v3"), Err(BadUrl::Malformed));
    }
}
