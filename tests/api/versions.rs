use crate::harness::{Body, Daemon};
use serde_json::Value;

#[test]
fn every_first_segment_that_is_no_version_answers_with_the_versions() {
    let daemon = Daemon::fresh();
    let api = daemon.anonymous();
    for (path, status) in [
        ("/", 300),
        ("/versions", 200),
        ("/v1/images", 300),
        ("/v10", 300),
        ("/nothing", 300),
    ] {
        let document = api.get(path).expect_status(status).json();
        let versions = document["versions"].as_array().unwrap();
        let current: Vec<&Value> = versions
            .iter()
            .filter(|version| version["status"] == "CURRENT")
            .collect();
        assert_eq!(current.len(), 1, "{document}");
        let ids: Vec<&str> = versions
            .iter()
            .map(|version| version["id"].as_str().unwrap())
            .collect();
        assert!(ids.contains(&"v2.0") && ids.contains(&"v2.9"), "{ids:?}");
        let href = versions[0]["links"][0]["href"].as_str().unwrap();
        assert_eq!(href, format!("http://{}/v2/", daemon.address()));
    }
}

#[test]
fn the_host_of_a_proxy_is_in_the_links() {
    let daemon = Daemon::fresh();
    let headers = [("Host", "images.example:8443")];
    let document = daemon
        .anonymous()
        .request("GET", "/versions", &headers, Body::None)
        .json();
    assert_eq!(
        document["versions"][0]["links"][0]["href"],
        "http://images.example:8443/v2/"
    );
}

#[test]
fn a_minor_version_in_the_path_means_v2() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let id = admin.queued("one");
    for version in ["v2", "v2.0", "v2.7", "v2.9"] {
        assert_eq!(
            admin
                .get(&format!("/{version}/images/{id}"))
                .expect_status(200)
                .json()["id"],
            id.as_str()
        );
    }
    admin.get(&format!("/v2.99/images/{id}")).expect_status(300);
}
