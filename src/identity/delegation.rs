//! Work elsewhere in a caller's name.

use serde::Deserialize;

use super::Secret;

/// The type of services such as this.
pub(super) const IMAGE: &str = "image";

/// A caller's token, and where the caller's catalog says that services are.
///
/// `Debug` shows no token.
#[derive(Debug, Clone)]
pub struct Delegation {
    token: Secret,
    endpoints: Vec<CatalogEndpoint>,
}

/// One address of a service in a catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogEndpoint {
    /// The type of the service, such as `image`.
    pub service_type: String,
    /// The region, if the catalog says one.
    pub region: Option<String>,
    /// `public`, `internal` or `admin`.
    pub interface: String,
    /// The address, as the catalog has it.
    pub url: String,
}

impl Delegation {
    /// From both.
    pub fn new(token: Secret, endpoints: Vec<CatalogEndpoint>) -> Self {
        Self { token, endpoints }
    }

    /// What proves the caller.
    pub fn token(&self) -> &Secret {
        &self.token
    }

    /// Where services are, in the catalog's order.
    pub fn endpoints(&self) -> &[CatalogEndpoint] {
        &self.endpoints
    }

    /// The address of the image service in a region; as in Glance, whatever the case of the region's name
    /// (`async_/utils.py`, `get_glance_endpoint`).
    pub fn image_endpoint(&self, region: &str, interface: &str) -> Option<&str> {
        let region = region.to_lowercase();
        let fits = |endpoint: &&CatalogEndpoint| {
            let there = endpoint.region.as_deref().filter(|there| !there.is_empty());
            endpoint.service_type == IMAGE
                && endpoint.interface == interface
                && there.is_some_and(|there| there.to_lowercase() == region)
        };
        Some(self.endpoints.iter().find(fits)?.url.as_str())
    }
}

/// A service as keystonemiddleware writes it into `X-Service-Catalog`: the addresses of a region beside each other.
#[derive(Debug, Deserialize)]
struct Service {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    endpoints: Vec<Region>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Region {
    region: Option<String>,
    #[serde(rename = "publicURL")]
    public: Option<String>,
    #[serde(rename = "internalURL")]
    internal: Option<String>,
    #[serde(rename = "adminURL")]
    admin: Option<String>,
}

/// The services of `X-Service-Catalog`; `None` when it makes no sense.
pub(super) fn of_header(text: &str) -> Option<Vec<CatalogEndpoint>> {
    let services: Vec<Service> = serde_json::from_str(text).ok()?;
    let regions = services.into_iter().flat_map(|service| {
        let kind = service.kind;
        service
            .endpoints
            .into_iter()
            .map(move |region| (kind.clone(), region))
    });
    let endpoints = regions.flat_map(|(kind, region)| {
        let name = region.region;
        [
            ("public", region.public),
            ("internal", region.internal),
            ("admin", region.admin),
        ]
        .into_iter()
        .filter_map(move |(interface, url)| {
            Some(CatalogEndpoint {
                service_type: kind.clone(),
                region: name.clone(),
                interface: interface.to_owned(),
                url: url?,
            })
        })
    });
    Some(endpoints.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_address_of_a_region_in_any_case_and_of_one_interface() {
        let text = r#"[{"type": "identity", "endpoints": [{"region": "One", "publicURL": "http://keystone"}]},
            {"type": "image", "name": "glance", "endpoints": [
                {"region": "One", "publicURL": "http://one", "internalURL": "http://inner", "id": "x"},
                {"region": "Two", "adminURL": "http://two"}, {"publicURL": "http://nowhere"}]}]"#;
        let delegation = Delegation::new(Secret::new("s3cret".into()), of_header(text).unwrap());
        assert_eq!(delegation.image_endpoint("oNE", "public"), Some("http://one"));
        assert_eq!(delegation.image_endpoint("One", "internal"), Some("http://inner"));
        assert_eq!(delegation.image_endpoint("Two", "public"), None);
        assert_eq!(delegation.image_endpoint("Two", "Admin"), None);
        assert_eq!(delegation.image_endpoint("", "public"), None);
        assert_eq!(delegation.endpoints().len(), 5);
        assert_eq!(delegation.endpoints()[0].service_type, "identity");
        assert!(!format!("{delegation:?}").contains("s3cret"));
        for text in ["", "{}", r#"[{"endpoints": []}]"#, r#"[{"type": 1}]"#] {
            assert_eq!(of_header(text), None, "{text}");
        }
    }
}
