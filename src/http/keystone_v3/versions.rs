//! Version discovery.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::Keystone;
use crate::identity::local::Endpoint;

/// `GET /v3`: what keystoneauth asks before logging in.
pub(super) async fn show(State(keystone): State<Keystone>, headers: HeaderMap) -> Json<Value> {
    Json(json!({"version": version(&keystone.endpoint(&headers))}))
}

/// `GET /identity`: the list that Keystone has at its root. Ours belongs to the images.
pub(super) async fn list(State(keystone): State<Keystone>, headers: HeaderMap) -> (StatusCode, Json<Value>) {
    let versions = json!({"versions": {"values": [version(&keystone.endpoint(&headers))]}});
    (StatusCode::MULTIPLE_CHOICES, Json(versions))
}

/// Keystone's own answer since Ussuri.
fn version(endpoint: &Endpoint) -> Value {
    json!({
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": format!("{endpoint}/v3/")}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
    })
}
