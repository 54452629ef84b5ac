//! A store that keeps data in its callers' own accounts is used in their names.

use saccade_store_contract::{Attempt, BlobName, Endpoint, OnBehalf, Store};
use serde_json::json;

use super::*;
use crate::{
    catalog::tests::PER_CALLER,
    image::{AttemptId, ChangeKind, Claim, ClaimPhase, Image, ImageId, Timestamp},
    ledger::{Entry as Begun, UploadEntry},
};

const DATA: &[u8] = b"in somebody's account";

fn app() -> App {
    App::with(Settings {
        stores: store(PER_CALLER),
        ..settings()
    })
}

/// With a catalogue, and so in the caller's name.
fn named(method: Method, path: &str, token: &str) -> Request<Body> {
    let mut request = request(method, path, token);
    let region = "One http://glance".parse().unwrap();
    request.headers_mut().insert("x-region", region);
    request
}

fn upload(path: &str, mut request: impl FnMut(Method, &str, &str) -> Request<Body>) -> Request<Body> {
    let mut request = request(Method::PUT, &format!("{path}/file"), MEMBER);
    let octets = "application/octet-stream".parse().unwrap();
    request.headers_mut().insert("content-type", octets);
    *request.body_mut() = Body::from(DATA);
    request
}

fn with_json(mut request: Request<Body>, media_type: &str, body: &Value) -> Request<Body> {
    let text = body.to_string();
    request.headers_mut().insert("content-length", text.len().into());
    request
        .headers_mut()
        .insert("content-type", media_type.parse().unwrap());
    *request.body_mut() = Body::from(text);
    request
}

fn visibility(path: &str, token: &str, value: &str) -> Request<Body> {
    let body = json!([{"op": "replace", "path": "/visibility", "value": value}]);
    let media_type = "application/openstack-images-v2.1-json-patch";
    with_json(named(Method::PATCH, path, token), media_type, &body)
}

impl App {
    async fn queued(&self) -> String {
        let formats = json!({"disk_format": "raw", "container_format": "bare"});
        self.create(&formats).await
    }

    /// What the store was asked, without whose settling, which comes when it likes.
    fn asked(&self) -> Vec<String> {
        let mut asked = self.fixture.accounts.take();
        asked.retain(|call| !call.starts_with("settle"));
        asked
    }

    async fn status(&self, path: &str) -> String {
        self.get(path).await.json()["status"].as_str().unwrap().to_owned()
    }

    /// An image whose upload was cut off by a crash, with what that has left.
    async fn interrupted(&self) -> ImageId {
        let fixture = &self.fixture;
        let formats = |image: &mut Image| {
            image.disk_format = Some("raw".to_owned());
            image.container_format = Some("bare".to_owned());
        };
        let (id, attempt) = (fixture.put(formats).await, AttemptId::random());
        let caller = OnBehalf::new("us", Vec::<Endpoint>::new());
        let store = fixture.stores.on_behalf(&caller);
        let store: &dyn Store = &**store.store(PER_CALLER).unwrap();
        let (name, begun) = (BlobName(id.as_uuid()), Attempt(attempt.as_uuid()));
        let (handle, mut writer) = store.create(name, begun, None).await.unwrap();
        let entry = UploadEntry {
            image: id.as_uuid(),
            attempt: attempt.as_uuid(),
            store: PER_CALLER.to_owned(),
            handle: handle.as_str().to_owned(),
        };
        let held = fixture.ledger.begin(Begun::Upload(entry)).await.unwrap();
        let claim = Claim {
            attempt,
            node: fixture.node,
            expires_at: Timestamp::now(),
            phase: ClaimPhase::Open,
        };
        fixture.commit(id, ChangeKind::Claim(claim)).await;
        writer.write(Bytes::from_static(DATA)).await.unwrap();
        drop((writer, held));
        fixture.accounts.take();
        id
    }
}

#[tokio::test]
async fn data_is_brought_read_and_deleted_in_its_callers_name() {
    let app = app();
    let path = app.queued().await;
    assert_eq!(app.send(upload(&path, named)).await.status, 204);
    assert_eq!(
        app.asked(),
        [
            format!("create by {MEMBER}"),
            format!("say who may read [] by {MEMBER}")
        ]
    );
    let file = format!("{path}/file");
    let answer = app.send(named(Method::GET, &file, ADMIN)).await;
    assert_eq!((answer.status.as_u16(), answer.body.as_ref()), (200, DATA));
    assert_eq!(app.asked(), [format!("read by {ADMIN}")]);
    assert_eq!(app.send(named(Method::DELETE, &path, MEMBER)).await.status, 204);
    assert_eq!(
        app.asked(),
        [
            format!("prepare to delete by {MEMBER}"),
            format!("delete by {MEMBER}")
        ]
    );
}

#[tokio::test]
async fn without_credentials_an_upload_is_refused_and_the_image_as_it_was() {
    let app = app();
    let path = app.queued().await;
    assert_eq!(app.send(upload(&path, request)).await.status, 503);
    assert_eq!(app.status(&path).await, "queued");
    // Keystone is away, and was not when the token was checked.
    let down = |method, path: &str, token: &str| {
        let mut request = request(method, path, token);
        request.headers_mut().insert("x-region", "down".parse().unwrap());
        request
    };
    assert_eq!(app.send(upload(&path, down)).await.status, 503);
    assert_eq!(app.send(upload(&path, named)).await.status, 204);
}

#[tokio::test]
async fn stores_are_told_who_may_read() {
    let app = app();
    let path = app.queued().await;
    assert_eq!(app.send(upload(&path, named)).await.status, 204);
    app.asked();
    let told = |who: &str, token: &str| vec![format!("say who may read [{who}] by {token}")];
    let members = format!("{path}/members");
    let add = json!({"member": "them"});
    let add = with_json(named(Method::POST, &members, MEMBER), "application/json", &add);
    assert_eq!(app.send(add).await.status, 200);
    assert_eq!(app.asked(), told("them", MEMBER));
    // Whoever loses a right does so before the record says it.
    let remove = named(Method::DELETE, &format!("{members}/them"), MEMBER);
    assert_eq!(app.send(remove).await.status, 204);
    assert_eq!(app.asked(), [told("", MEMBER), told("", MEMBER)].concat());
    assert_eq!(app.send(visibility(&path, ADMIN, "public")).await.status, 200);
    assert_eq!(app.asked(), told("everyone", ADMIN));
    // Where that cannot be done, neither is the rest.
    let unnamed = json!([{"op": "replace", "path": "/visibility", "value": "private"}]);
    assert_eq!(app.patch(&path, ADMIN, &unnamed).await.status, 503);
    assert_eq!(app.get(&path).await.json()["visibility"], "public");
    assert_eq!(app.send(visibility(&path, ADMIN, "private")).await.status, 200);
    assert_eq!(app.asked().len(), 2);
    // Nothing that a store would want to know.
    let tag = named(Method::PUT, &format!("{path}/tags/x"), MEMBER);
    assert_eq!(app.send(tag).await.status, 204);
    assert_eq!(app.asked(), [""; 0]);
}

#[tokio::test]
async fn what_a_deleted_image_has_left_is_finished_when_its_owner_deletes_it_again() {
    let app = app();
    let path = format!("/v2/images/{}", app.interrupted().await);
    assert_eq!(app.send(request(Method::DELETE, &path, MEMBER)).await.status, 204);
    assert_eq!(app.fixture.ledger.orphans().len(), 1, "nobody has a right to it");
    assert_eq!(app.send(named(Method::DELETE, &path, MEMBER)).await.status, 404);
    assert!(app.asked().contains(&format!("discard by {MEMBER}")));
    assert!(app.fixture.ledger.orphans().is_empty());
}

#[tokio::test]
async fn what_waits_for_its_owner_is_finished_with_the_owners_next_request() {
    for deletes in [false, true] {
        let app = app();
        let id = app.interrupted().await;
        let path = format!("/v2/images/{id}");
        app.fixture.janitor.sweep().await;
        assert_eq!(app.fixture.ledger.orphans().len(), 1, "nobody has a right to it");
        assert_eq!(app.status(&path).await, "saving");
        if deletes {
            assert_eq!(app.send(named(Method::DELETE, &path, MEMBER)).await.status, 204);
        } else {
            assert_eq!(app.send(upload(&path, named)).await.status, 204);
            assert_eq!(app.status(&path).await, "active");
        }
        assert!(app.asked().contains(&format!("discard by {MEMBER}")));
        assert!(app.fixture.ledger.orphans().is_empty());
    }
}
