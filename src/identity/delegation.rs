//! Work elsewhere in a caller's name.

use serde::Deserialize;

use super::Secret;

/// A caller's token, and where the caller's catalog says that images are.
///
/// `Debug` shows no token.
#[derive(Debug, Clone)]
pub struct Delegation {
    token: Secret,
    endpoints: Vec<ImageEndpoint>,
}

/// One address of an image service in a catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageEndpoint {
    /// The region.
    pub region: String,
    /// `public`, `internal` or `admin`.
    pub interface: String,
    /// The address, as the catalog has it.
    pub url: String,
}

impl Delegation {
    /// From both.
    pub fn new(token: Secret, endpoints: Vec<ImageEndpoint>) -> Self {
        Self { token, endpoints }
    }

    /// What proves the caller.
    pub fn token(&self) -> &Secret {
        &self.token
    }

    /// The address of the image service in a region; as in Glance, whatever the case of the region's name
    /// (`async_/utils.py`, `get_glance_endpoint`).
    pub fn image_endpoint(&self, region: &str, interface: &str) -> Option<&str> {
        let region = region.to_lowercase();
        let fits = |endpoint: &&ImageEndpoint| {
            endpoint.interface == interface && endpoint.region.to_lowercase() == region
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

/// The image services of `X-Service-Catalog`; `None` when it makes no sense.
pub(super) fn of_header(text: &str) -> Option<Vec<ImageEndpoint>> {
    let services: Vec<Service> = serde_json::from_str(text).ok()?;
    let images = services.into_iter().filter(|service| service.kind == "image");
    let regions = images.flat_map(|service| service.endpoints);
    let endpoints = regions.flat_map(|region| {
        let name = region.region.unwrap_or_default();
        [
            ("public", region.public),
            ("internal", region.internal),
            ("admin", region.admin),
        ]
        .into_iter()
        .filter_map(move |(interface, url)| {
            Some(ImageEndpoint {
                region: name.clone(),
                interface: interface.to_owned(),
                url: url?,
            })
        })
    });
    Some(endpoints.filter(|endpoint| !endpoint.region.is_empty()).collect())
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
        assert!(!format!("{delegation:?}").contains("s3cret"));
        for text in ["", "{}", r#"[{"endpoints": []}]"#, r#"[{"type": 1}]"#] {
            assert_eq!(of_header(text), None, "{text}");
        }
    }
}
