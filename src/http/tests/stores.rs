//! Images in several stores: removing them from one, and records that say where data is in words of before.

use serde_json::json;

use super::*;
use crate::image::{AttemptId, ChangeKind, Content, Entry, Image, ImageId, Location, Status, StoreId};

const DATA: &[u8] = b"the same everywhere";

/// Two stores of files, `a` and `b`; locations are shown.
fn app() -> App {
    let info = |id: &str| match store(id) {
        StoreNames::Shown(mut stores) => stores.remove(0),
        StoreNames::Hidden => panic!("it has a name"),
    };
    let stores = StoreNames::Shown(vec![
        info("a"),
        StoreInfo {
            is_default: false,
            ..info("b")
        },
    ]);
    App::with(Settings {
        show_locations: true,
        stores,
        ..settings()
    })
}

impl App {
    /// Where a store has the file of an image.
    fn file(&self, store: &str, id: ImageId) -> std::path::PathBuf {
        let directory = if store == "a" { "images" } else { store };
        self.fixture.dir.path().join(directory).join(id.to_string())
    }

    fn url(&self, store: &str, id: ImageId) -> String {
        format!("file://{}", self.file(store, id).display())
    }

    /// An active image with a file in each of the stores, and these locations.
    async fn image(
        &self,
        stores: &[&str],
        locations: impl Fn(&Self, ImageId) -> Vec<(Option<&'static str>, String)>,
    ) -> ImageId {
        let id = self.fixture.put(|image| {
            image.status = Status::Active;
            image.disk_format = Some("raw".to_owned());
            image.container_format = Some("bare".to_owned());
            image.content = Some(Content {
                attempt: AttemptId::random(),
                size: DATA.len() as u64,
                virtual_size: None,
                checksum: None,
                hash_algorithm: None,
                hash_value: None,
            });
            let location = |(store, url): (Option<&str>, String)| Location {
                store: store.map(StoreId::new),
                url,
                metadata: Default::default(),
            };
            image.locations = locations(self, image.id).into_iter().map(location).collect();
        });
        let id = id.await;
        for store in stores {
            std::fs::write(self.file(store, id), DATA).unwrap();
        }
        id
    }

    async fn in_both(&self) -> ImageId {
        let both = |app: &Self, id| vec![(Some("a"), app.url("a", id)), (Some("b"), app.url("b", id))];
        self.image(&["a", "b"], both).await
    }

    async fn remove(&self, store: &str, id: &str, token: &str) -> Answer {
        let path = format!("/v2/stores/{store}/{id}");
        self.send(request(Method::DELETE, &path, token)).await
    }

    async fn record(&self, id: ImageId) -> Image {
        use crate::metadata::Metadata;
        match self.fixture.metadata.entry(id).await.unwrap() {
            Some(Entry::Live(image)) => image,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn an_image_is_removed_from_one_store_and_stays_in_the_other() {
    let app = app();
    let id = app.in_both().await;
    let answer = app.remove("a", &id.to_string(), ADMIN).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (204, ""));
    assert!(!app.file("a", id).exists() && app.file("b", id).exists());
    let path = format!("/v2/images/{id}");
    assert_eq!(app.get(&path).await.json()["stores"], "b");
    assert_eq!(app.get(&format!("{path}/file")).await.body, DATA);
    assert_eq!(app.record(id).await.retired, []);
    assert_eq!(app.fixture.ledger.len(), 0);
    let last = app.remove("b", &id.to_string(), ADMIN).await;
    assert_eq!(last.status, 403);
    assert!(
        last.text().contains("the only store containing it"),
        "{}",
        last.text()
    );
    assert!(app.file("b", id).exists());
}

#[tokio::test]
async fn removing_from_a_store_is_refused_with_the_statuses_of_glance() {
    let app = app();
    let id = app.in_both().await;
    let text = id.to_string();
    for (store, image, token, status, part) in [
        (
            "nowhere",
            text.as_str(),
            ADMIN,
            409,
            "The selected store nowhere is not available",
        ),
        ("a", "no-such-image", ADMIN, 404, "no-such-image"),
        ("a", &text, MEMBER, 403, "delete_image_location"),
        ("a", &text, READER, 403, "delete_image_location"),
        ("a", &text, STRANGER, 404, ""),
    ] {
        let answer = app.remove(store, image, token).await;
        assert_eq!(answer.status, status, "{store} {image} {token}");
        assert!(answer.text().contains(part), "{}", answer.text());
    }
    let elsewhere = |app: &App, id| {
        vec![
            (Some("a"), app.url("a", id)),
            (Some("web"), "http://web/x".to_owned()),
        ]
    };
    let other = app.image(&["a"], elsewhere).await;
    let answer = app.remove("b", &other.to_string(), ADMIN).await;
    assert_eq!(answer.status, 404);
    assert!(
        answer
            .text()
            .contains(&format!("Image {other} is not stored in store b.")),
        "{}",
        answer.text()
    );
    let revision = app.record(id).await.revision;
    app.fixture
        .commit(id, ChangeKind::Deactivate { expected: revision })
        .await;
    let answer = app.remove("a", &text, ADMIN).await;
    assert_eq!(answer.status, 409);
    assert!(
        answer.text().contains("if image status is not 'active'"),
        "{}",
        answer.text()
    );
    assert!(app.file("a", id).exists() && app.file("b", id).exists());
}

#[tokio::test]
async fn stores_without_names_have_no_copies_to_remove() {
    let app = App::new();
    let answer = app.remove("file", "x", ADMIN).await;
    assert_eq!(answer.status, 404);
    let answer = app.call(Method::GET, "/v2/stores/file/x").await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("allow")),
        (405, Some("DELETE"))
    );
}

#[tokio::test]
async fn a_file_that_is_gone_already_is_no_obstacle() {
    let app = app();
    let id = app.in_both().await;
    std::fs::remove_file(app.file("a", id)).unwrap();
    assert_eq!(app.remove("a", &id.to_string(), ADMIN).await.status, 204);
    assert_eq!(app.record(id).await.locations.len(), 1);
}

#[tokio::test]
async fn locations_of_before_are_put_right_once_when_the_image_is_shown() {
    let app = app();
    let before = |app: &App, id| vec![(None, app.url("a", id)), (Some("gone"), app.url("b", id))];
    let id = app.image(&["a", "b"], before).await;
    let was = app.record(id).await;
    let shown = app.get(&format!("/v2/images/{id}")).await.json();
    assert_eq!(shown["stores"], "a,b");
    let now = app.record(id).await;
    let stores: Vec<_> = now
        .locations
        .iter()
        .map(|location| location.store.clone().unwrap())
        .collect();
    assert_eq!(stores, [StoreId::new("a"), StoreId::new("b")]);
    assert_eq!(now.updated_at, was.updated_at);
    app.get(&format!("/v2/images/{id}")).await;
    assert_eq!(app.record(id).await.revision, now.revision);
}

#[tokio::test]
async fn two_spellings_of_one_file_are_one_location() {
    let app = app();
    let twice = |app: &App, id| {
        let url = app.url("a", id);
        let other = url.replace("file://", "filesystem:///");
        vec![
            (Some("a"), url),
            (Some("a"), other),
            (Some("b"), app.url("b", id)),
        ]
    };
    let id = app.image(&["a", "b"], twice).await;
    let path = format!("/v2/images/{id}");
    let urls = |image: &Value| -> Vec<String> {
        let locations = image["locations"].as_array().unwrap().iter();
        locations
            .map(|location| location["url"].as_str().unwrap().to_owned())
            .collect()
    };
    let shown = app.get(&path).await.json();
    assert_eq!(urls(&shown), [app.url("a", id), app.url("b", id)]);
    // Whoever removed the one spelling would have deleted the file of the other.
    let first = json!([{"op": "remove", "path": "/locations/0"}]);
    assert_eq!(app.patch(&path, ADMIN, &first).await.status, 200);
    assert!(!app.file("a", id).exists());
    assert_eq!(app.get(&format!("{path}/file")).await.body, DATA);
}

#[tokio::test]
async fn a_location_that_the_image_has_is_not_added_in_other_words() {
    let app = app();
    let id = app.in_both().await;
    let path = format!("/v2/images/{id}");
    let name = saccade_store_contract::BlobName(id.as_uuid());
    app.fixture.elsewhere.plant(name, Bytes::from_static(DATA));
    let add =
        |url: String| json!([{"op": "add", "path": "/locations/-", "value": {"url": url, "metadata": {}}}]);
    let lower = format!("memory:///{id}");
    let upper = format!("memory:///{}", id.to_string().to_uppercase());
    let added = app.patch(&path, ADMIN, &add(upper.clone())).await;
    assert_eq!(added.status, 200, "{added:?}");
    assert_eq!(
        added.json()["locations"][2]["url"],
        lower,
        "as the store spells it"
    );
    for url in [lower, upper] {
        let again = app.patch(&path, ADMIN, &add(url)).await;
        assert_eq!(again.status, 400);
        assert!(again.text().contains("already exists"), "{}", again.text());
    }
}

#[tokio::test]
async fn data_in_a_store_that_is_not_configured_is_unavailable_and_stays() {
    let app = app();
    let gone = |_: &App, id: ImageId| vec![(Some("gone"), format!("rbd://pool/{id}"))];
    let id = app.image(&[], gone).await;
    let path = format!("/v2/images/{id}");
    assert_eq!(app.get(&path).await.json()["stores"], "gone");
    assert_eq!(app.get(&format!("{path}/file")).await.status, 503);
    assert_eq!(app.call(Method::DELETE, &path).await.status, 503);
    assert_eq!(app.record(id).await.status, Status::Active);
}
