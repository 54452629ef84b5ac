//! Limits on projects over HTTP.

use std::sync::Mutex;

use serde_json::json;

use super::*;
use crate::{
    policy::PropertyProtection,
    quota::{Configured, Limits, LimitsError, ProjectLimits, UnifiedLimits},
};

/// What a Keystone would say.
struct Told(Mutex<Result<UnifiedLimits, LimitsError>>);

#[async_trait]
impl Limits for Told {
    async fn of(&self, project: &str) -> Result<ProjectLimits, LimitsError> {
        assert_eq!(project, "us", "the image's owner");
        self.0.lock().unwrap().clone().map(ProjectLimits::Unified)
    }

    fn by_resource(&self) -> bool {
        true
    }
}

fn app(limits: Arc<dyn Limits>) -> App {
    let fixture = Fixture::with(rules(), PropertyProtection::none(), limits);
    App::over(fixture, settings())
}

fn unified() -> (Arc<Told>, App) {
    let limits = UnifiedLimits {
        image_size_total: -1,
        image_stage_total: 10,
        image_count_total: 2,
        image_count_uploading: 1,
    };
    let told = Arc::new(Told(Mutex::new(Ok(limits))));
    (told.clone(), app(told))
}

fn formats() -> Value {
    json!({"disk_format": "raw", "container_format": "bare"})
}

async fn upload(app: &App, path: &str, data: Vec<u8>) -> Answer {
    let mut request = request(Method::PUT, &format!("{path}/file"), MEMBER);
    let headers = request.headers_mut();
    headers.insert("content-type", "application/octet-stream".parse().unwrap());
    headers.insert("x-openstack-image-size", data.len().into());
    *request.body_mut() = data.into();
    app.send(request).await
}

#[tokio::test]
async fn data_beyond_the_quota_is_413_in_glances_words() {
    let app = app(Arc::new(Configured { storage: Some(10) }));
    let path = app.create(&formats()).await;
    let refused = upload(&app, &path, vec![0; 11]).await;
    assert_eq!(refused.status, 413);
    assert!(
        refused
            .text()
            .contains("The size of the data 11 will exceed the limit. 10 bytes remaining."),
        "{refused:?}"
    );
    assert_eq!(app.get(&path).await.json()["status"], "queued");
    assert_eq!(upload(&app, &path, vec![0; 10]).await.status, 204);
    assert_eq!(app.call(Method::DELETE, &path).await.status, 204);
    let again = app.create(&formats()).await;
    assert_eq!(
        upload(&app, &again, vec![0; 10]).await.status,
        204,
        "room was given back"
    );
    assert_eq!(app.get("/v2/info/usage").await.text(), r#"{"usage":{}}"#);
}

#[tokio::test]
async fn more_images_than_allowed_are_413_in_glances_words() {
    let (told, app) = unified();
    let first = app.create(&json!({})).await;
    app.create(&json!({})).await;
    let refused = app.json(Method::POST, "/v2/images", MEMBER, &json!({})).await;
    assert_eq!(refused.status, 413);
    let text = refused.text();
    assert!(
        text.contains("The request returned a 413 Request Entity Too Large."),
        "{text}"
    );
    assert!(
        text.contains(
            "Project us is over a limit for [Resource image_count_total is over limit of 2 due to current usage 2 and \
             delta 1]"
        ),
        "{text}"
    );
    assert_eq!(app.call(Method::DELETE, &first).await.status, 204);
    app.create(&json!({})).await;
    // A limit that was raised holds at once.
    told.0.lock().unwrap().as_mut().unwrap().image_count_total = -1;
    app.create(&json!({})).await;
}

#[tokio::test]
async fn usage_and_limits_are_shown_as_glance_shows_them() {
    let (_, app) = unified();
    let path = app.create(&formats()).await;
    assert_eq!(upload(&app, &path, vec![0; 3 << 20]).await.status, 204);
    let answer = app.send(request(Method::GET, "/v2/info/usage", READER)).await;
    assert_eq!(answer.status, 200);
    let expected = json!({"usage": {
        "image_size_total": {"usage": 3, "limit": -1},
        "image_stage_total": {"usage": 0, "limit": 10},
        "image_count_total": {"usage": 1, "limit": 2},
        "image_count_uploading": {"usage": 0, "limit": 1},
    }});
    assert_eq!(answer.json(), expected);
    assert_eq!(app.call(Method::POST, "/v2/info/usage").await.status, 404);
}

#[tokio::test]
async fn nothing_is_added_while_limits_are_not_known() {
    let (told, app) = unified();
    let path = app.create(&formats()).await;
    for (error, status) in [
        (LimitsError::Unavailable("keystone.internal is down".into()), 503),
        (LimitsError::Misconfigured("wrong endpoint_id".into()), 500),
    ] {
        *told.0.lock().unwrap() = Err(error);
        let answers = [
            app.json(Method::POST, "/v2/images", MEMBER, &json!({})).await,
            upload(&app, &path, vec![0; 10]).await,
            app.get("/v2/info/usage").await,
        ];
        for answer in answers {
            assert_eq!(answer.status, status);
            assert!(!answer.text().contains("endpoint_id") && !answer.text().contains("internal is"));
        }
        assert_eq!(app.get(&path).await.json()["status"], "queued");
        // What adds nothing needs no limits.
        let rename = json!([{"op": "replace", "path": "/name", "value": "n"}]);
        assert_eq!(app.patch(&path, MEMBER, &rename).await.status, 200);
    }
}
