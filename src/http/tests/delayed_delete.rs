//! Deletions that can be undone for a time, over HTTP.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::{catalog, catalog::CatalogErrorKind, janitor::Scrubbing};

fn app() -> App {
    let rules = Rules {
        deferred_deletion: true,
        ..rules()
    };
    App::of(settings(), rules)
}

async fn active(app: &App) -> String {
    let body = json!({"disk_format": "raw", "container_format": "bare", "tags": ["t"], "p": "v"});
    let path = app.create(&body).await;
    let mut upload = request(Method::PUT, &format!("{path}/file"), MEMBER);
    upload
        .headers_mut()
        .insert("content-type", "application/octet-stream".parse().unwrap());
    *upload.body_mut() = Body::from("hello");
    assert_eq!(app.send(upload).await.status, 204);
    path
}

async fn restore(app: &App, path: &str) -> Result<(), CatalogErrorKind> {
    let id = path.strip_prefix("/v2/images/").unwrap();
    let restored = catalog::restore(&*app.fixture.metadata, id).await;
    restored.map(drop).map_err(|error| error.kind().clone())
}

/// Images in the store; what serves to undo an upload goes some time after it.
fn files(app: &App) -> usize {
    let names = std::fs::read_dir(app.fixture.datadir()).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name());
    names
        .filter(|name| !name.to_string_lossy().starts_with('.'))
        .count()
}

async fn scrub(app: &App, after: Duration) {
    let scrubbing = Scrubbing {
        after,
        side_by_side: 2,
    };
    app.fixture.janitor.scrub(scrubbing).await;
}

#[tokio::test]
async fn a_deleted_image_is_gone_for_clients_and_comes_back_whole_when_it_is_restored() {
    let app = app();
    let path = active(&app).await;
    let before = app.get(&path).await.json();
    assert_eq!(app.call(Method::DELETE, &path).await.status, 204);
    assert_eq!(app.get(&path).await.status, 404);
    assert_eq!(app.get(&format!("{path}/file")).await.status, 404);
    assert_eq!(app.call(Method::DELETE, &path).await.status, 404);
    let rename = json!([{"op": "replace", "path": "/name", "value": "n"}]);
    assert_eq!(app.patch(&path, ADMIN, &rename).await.status, 404);
    assert_eq!(app.get("/v2/images").await.json()["images"], json!([]));
    let pending = app.get("/v2/images?status=pending_delete").await.json();
    assert_eq!(pending["images"], json!([]));
    let again = json!({"id": before["id"]});
    assert_eq!(
        app.json(Method::POST, "/v2/images", MEMBER, &again).await.status,
        409
    );
    scrub(&app, Duration::from_secs(3600)).await;
    assert_eq!(files(&app), 1);

    restore(&app, &path).await.unwrap();
    let after = app.get(&path).await.json();
    for field in ["status", "checksum", "tags", "p", "owner", "size"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    assert_eq!(app.get(&format!("{path}/file")).await.text(), "hello");
    scrub(&app, Duration::ZERO).await;
    assert_eq!(app.get(&format!("{path}/file")).await.text(), "hello");
    let active = Err(CatalogErrorKind::NotPending {
        status: crate::image::Status::Active,
    });
    assert_eq!(restore(&app, &path).await, active);
}

#[tokio::test]
async fn a_deleted_image_is_scrubbed_when_its_time_has_come_and_then_for_good() {
    let app = app();
    let path = active(&app).await;
    assert_eq!(app.call(Method::DELETE, &path).await.status, 204);
    scrub(&app, Duration::ZERO).await;
    assert_eq!(files(&app), 0);
    let gone = Err(CatalogErrorKind::NotPending {
        status: crate::image::Status::Deleted,
    });
    assert_eq!(restore(&app, &path).await, gone);
}

#[tokio::test]
async fn a_deactivated_image_is_deactivated_when_it_is_restored() {
    let app = app();
    let path = active(&app).await;
    let deactivate = format!("{path}/actions/deactivate");
    assert_eq!(app.call(Method::POST, &deactivate).await.status, 204);
    assert_eq!(app.call(Method::DELETE, &path).await.status, 204);
    restore(&app, &path).await.unwrap();
    assert_eq!(app.get(&path).await.json()["status"], "deactivated");
}

#[tokio::test]
async fn an_image_without_data_is_deleted_at_once() {
    let app = app();
    let path = app.create(&json!({})).await;
    assert_eq!(app.call(Method::DELETE, &path).await.status, 204);
    assert!(matches!(
        restore(&app, &path).await,
        Err(CatalogErrorKind::NotPending { .. })
    ));
    let unknown = "/v2/images/d0000000-0000-4000-8000-000000000000";
    assert!(matches!(
        restore(&app, unknown).await,
        Err(CatalogErrorKind::NotFound { .. })
    ));
}

#[tokio::test]
async fn a_protected_image_is_not_deleted_later_either() {
    let app = app();
    let path = active(&app).await;
    let protect = json!([{"op": "replace", "path": "/protected", "value": true}]);
    assert_eq!(app.patch(&path, MEMBER, &protect).await.status, 200);
    assert_eq!(app.call(Method::DELETE, &path).await.status, 403);
    assert_eq!(app.get(&path).await.status, 200);
}
