//! The image cache: its routes, and downloads through it.

use std::time::Duration;

use crate::file_answer::FileAnswer;
use serde_json::json;

use super::*;
use crate::{cache::Cache, http::CacheSettings, transfer::Transfers};

const DATA: &[u8] = b"cached, and read again";

fn cache_settings() -> CacheSettings {
    CacheSettings {
        legacy: true,
        tells_nodes: true,
        node_url: Some("http://glance-1:9292".to_owned()),
    }
}

fn app_with(cache: CacheSettings) -> App {
    let settings = Settings {
        cache: Some(cache),
        ..settings()
    };
    App::over(Fixture::caching(rules()), settings)
}

fn app() -> App {
    app_with(cache_settings())
}

impl App {
    fn cache(&self) -> &Cache {
        self.fixture.cache.as_ref().unwrap()
    }

    async fn admin(&self, method: Method, path: &str) -> Answer {
        self.send(request(method, path, ADMIN)).await
    }

    /// An active image of a member; its id.
    async fn active_image(&self) -> String {
        let formats = json!({"disk_format": "raw", "container_format": "bare"});
        let path = self.create(&formats).await;
        let mut upload = request(Method::PUT, &format!("{path}/file"), MEMBER);
        let octets = "application/octet-stream".parse().unwrap();
        upload.headers_mut().insert("content-type", octets);
        *upload.body_mut() = Body::from(DATA);
        assert_eq!(self.send(upload).await.status, 204);
        path.rsplit('/').next().unwrap().to_owned()
    }

    async fn download(&self, id: &str) -> Answer {
        self.get(&format!("/v2/images/{id}/file")).await
    }

    async fn until_cached(&self, images: usize) {
        for _ in 0..5000 {
            if self.cache().cached().len() == images && self.cache().queue().is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!("{:?}", self.cache().cached());
    }

    fn work_the_queue(&self) -> tokio::task::JoinHandle<()> {
        let transfers: Transfers = self.fixture.transfers.clone();
        tokio::spawn(transfers.run_cache())
    }
}

/// Every route, with what Glance answers an administrator where there is no cache.
fn every_route(id: &str) -> Vec<(Method, String)> {
    [
        (Method::GET, "/v2/cache".to_owned()),
        (Method::DELETE, "/v2/cache".to_owned()),
        (Method::PUT, format!("/v2/cache/{id}")),
        (Method::DELETE, format!("/v2/cache/{id}")),
        (Method::GET, format!("/v2/cache/nodes/{id}")),
        (Method::POST, "/v2/cache/clean".to_owned()),
        (Method::POST, "/v2/cache/prune".to_owned()),
    ]
    .into()
}

#[tokio::test]
async fn without_a_cache_every_route_says_so() {
    let app = App::new();
    let id = app.active_image().await;
    for (method, path) in every_route(&id) {
        let answer = app.admin(method.clone(), &path).await;
        assert_eq!(answer.status, 404, "{method} {path}");
        let told = "Caching via API is not supported at this site.";
        assert!(answer.text().contains(told), "{method} {path}: {}", answer.text());
        assert_eq!(
            app.call(method.clone(), &path).await.status,
            403,
            "{method} {path}"
        );
    }
    for path in ["/v2/cached_images", "/v2/queued_images"] {
        assert_eq!(app.admin(Method::GET, path).await.status, 404);
    }
}

#[tokio::test]
async fn the_routes_are_for_administrators() {
    let app = app();
    let id = app.active_image().await;
    let legacy = [
        (Method::GET, "/v2/cached_images".to_owned()),
        (Method::DELETE, "/v2/cached_images".to_owned()),
        (Method::DELETE, format!("/v2/cached_images/{id}")),
        (Method::GET, "/v2/queued_images".to_owned()),
        (Method::PUT, format!("/v2/queued_images/{id}")),
        (Method::DELETE, format!("/v2/queued_images/{id}")),
        (Method::DELETE, "/v2/queued_images".to_owned()),
    ];
    for (method, path) in every_route(&id).into_iter().chain(legacy) {
        let answer = app.call(method.clone(), &path).await;
        assert_eq!(answer.status, 403, "{method} {path}");
    }
    // Whoever may not know of the image is told that there is none.
    for (method, path) in [(Method::PUT, "/v2/cache"), (Method::DELETE, "/v2/cache")] {
        let answer = app.send(request(method, &format!("{path}/{id}"), STRANGER)).await;
        assert_eq!(answer.status, 404);
    }
    assert_eq!(app.cache().queue(), []);
}

#[tokio::test]
async fn an_image_is_cached_by_name_and_listed_and_removed() {
    let app = app();
    let worker = app.work_the_queue();
    let id = app.active_image().await;
    let empty = app.admin(Method::GET, "/v2/cache").await;
    assert_eq!(empty.json(), json!({"cached_images": [], "queued_images": []}));
    let nodes = format!("/v2/cache/nodes/{id}");
    assert_eq!(app.admin(Method::GET, &nodes).await.json(), json!([]));

    let queued = app.admin(Method::PUT, &format!("/v2/cache/{id}")).await;
    assert_eq!((queued.status.as_u16(), queued.text()), (202, ""));
    app.until_cached(1).await;
    let shown = app.admin(Method::GET, "/v2/cache").await;
    assert_eq!(shown.header("content-type"), Some("application/json"));
    let shown = shown.json();
    let cached = &shown["cached_images"][0];
    assert_eq!(
        (
            &cached["image_id"],
            &cached["size"],
            &cached["hits"],
            &cached["id"]
        ),
        (&json!(id), &json!(DATA.len()), &json!(0), &json!(1))
    );
    assert!(cached["checksum"].is_null());
    let modified = cached["last_modified"].as_f64().unwrap();
    assert!(cached["last_accessed"].as_f64().unwrap() >= modified && modified > 1.7e9);
    assert_eq!(shown["queued_images"], json!([]));
    assert_eq!(
        app.admin(Method::GET, &nodes).await.json(),
        json!(["http://glance-1:9292"])
    );

    assert_eq!(app.download(&id).await.body, DATA);
    let shown = app.admin(Method::GET, "/v2/cache").await.json();
    assert_eq!(shown["cached_images"][0]["hits"], 1);

    let removed = app.admin(Method::DELETE, &format!("/v2/cache/{id}")).await;
    assert_eq!((removed.status.as_u16(), removed.text()), (204, ""));
    assert_eq!(app.cache().cached(), []);
    // Again: the image is there, and is not cached.
    let again = app.admin(Method::DELETE, &format!("/v2/cache/{id}")).await;
    assert_eq!(again.status, 204);
    worker.abort();
}

#[tokio::test]
async fn what_cannot_be_cached_is_refused_with_the_statuses_of_glance() {
    let app = app();
    let queued = app.create(&json!({})).await;
    let queued = queued.rsplit('/').next().unwrap();
    let unknown = "11111111-1111-4111-8111-111111111111";
    for (method, id, status, part) in [
        (
            Method::PUT,
            queued,
            400,
            "Only images with status active can be targeted for queueing",
        ),
        (
            Method::PUT,
            unknown,
            404,
            "Image 11111111-1111-4111-8111-111111111111 not found.",
        ),
        (Method::PUT, "no-uuid", 404, "Image no-uuid not found."),
        (Method::DELETE, unknown, 404, "not found."),
        (Method::DELETE, queued, 204, ""),
    ] {
        let answer = app.admin(method.clone(), &format!("/v2/cache/{id}")).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {id}");
        assert!(answer.text().contains(part), "{}", answer.text());
    }
    let nodes = app
        .admin(Method::GET, &format!("/v2/cache/nodes/{unknown}"))
        .await;
    assert_eq!(nodes.status, 404);
    let app = app_with(CacheSettings {
        tells_nodes: false,
        ..cache_settings()
    });
    let nodes = app
        .admin(Method::GET, &format!("/v2/cache/nodes/{unknown}"))
        .await;
    assert_eq!(nodes.status, 409);
    assert!(nodes.text().contains("Centralized caching is not enabled"));
}

#[tokio::test]
async fn the_cache_and_the_queue_are_cleared_together_or_apart() {
    let app = app();
    let id = app.active_image().await;
    let clear = async |target: Option<&str>| {
        let mut request = request(Method::DELETE, "/v2/cache", ADMIN);
        if let Some(target) = target {
            let name = "x-image-cache-clear-target";
            request.headers_mut().insert(name, target.parse().unwrap());
        }
        app.send(request).await
    };
    for (target, cached, queued) in [
        (Some("CACHE"), 0, 1),
        (Some("queue"), 1, 0),
        (Some(""), 0, 0),
        (None, 0, 0),
    ] {
        app.cache().clear();
        app.cache().clear_queue();
        assert_eq!(app.download(&id).await.body, DATA);
        app.until_cached(1).await;
        app.cache().enqueue(crate::image::ImageId::random());
        let answer = clear(target).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (204, ""), "{target:?}");
        assert_eq!(
            (app.cache().cached().len(), app.cache().queue().len()),
            (cached, queued),
            "{target:?}"
        );
    }
    let wrong = clear(Some("invalid")).await;
    assert_eq!(wrong.status, 400);
    assert!(wrong.text().contains("'cache', 'queue' or empty string"));
}

#[tokio::test]
async fn cleaning_and_pruning_are_answered_as_in_glance() {
    let app = app();
    let cleaned = app.admin(Method::POST, "/v2/cache/clean").await;
    assert_eq!((cleaned.status.as_u16(), cleaned.text()), (200, ""));
    let pruned = app.admin(Method::POST, "/v2/cache/prune").await;
    assert_eq!(pruned.status, 200);
    assert_eq!(
        pruned.json(),
        json!({"total_files_pruned": 0, "total_bytes_pruned": 0})
    );
}

#[tokio::test]
async fn other_methods_are_not_allowed() {
    let app = app();
    for (method, path, allow) in [
        (Method::PUT, "/v2/cache", "GET, DELETE"),
        (Method::GET, "/v2/cache/some-id", "DELETE, PUT"),
        (Method::POST, "/v2/cache/some-id", "DELETE, PUT"),
        (Method::GET, "/v2/cache/clean", "POST"),
        (Method::DELETE, "/v2/cache/prune", "POST"),
        (Method::GET, "/v2/cache/nodes", "DELETE, PUT"),
        (Method::DELETE, "/v2/cache/nodes/some-id", "GET"),
    ] {
        let answer = app.admin(method.clone(), path).await;
        assert_eq!(answer.status, 405, "{method} {path}");
        assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
    }
    let mut with_body = request(Method::GET, "/v2/cache", ADMIN);
    with_body.headers_mut().insert("content-length", 2.into());
    *with_body.body_mut() = Body::from("{}");
    assert_eq!(app.send(with_body).await.status, 400);
}

#[tokio::test]
async fn the_routes_of_before_are_there_where_the_pipeline_has_them() {
    let app = app();
    let id = app.active_image().await;
    let call = async |method, path: &str| {
        let answer = app.admin(method, path).await;
        assert_eq!(
            answer.header("content-type"),
            Some("application/json"),
            "{answer:?}"
        );
        (answer.status.as_u16(), answer.json())
    };
    let (cached_image, queued_image) = (
        format!("/v2/cached_images/{id}"),
        format!("/v2/queued_images/{id}"),
    );
    assert_eq!(
        call(Method::GET, "/v2/queued_images").await,
        (200, json!({"queued_images": []}))
    );
    assert_eq!(call(Method::PUT, &queued_image).await, (200, json!(null)));
    assert_eq!(
        call(Method::GET, "/v2/queued_images").await,
        (200, json!({"queued_images": [id]}))
    );
    assert_eq!(call(Method::DELETE, &queued_image).await, (200, json!(null)));
    assert_eq!(call(Method::PUT, &queued_image).await, (200, json!(null)));
    assert_eq!(
        call(Method::DELETE, "/v2/queued_images").await,
        (200, json!({"num_deleted": 1}))
    );
    assert_eq!(app.download(&id).await.body, DATA);
    app.until_cached(1).await;
    let (_, listed) = call(Method::GET, "/v2/cached_images").await;
    assert_eq!(listed["cached_images"][0]["image_id"], id.as_str());
    assert_eq!(call(Method::DELETE, &cached_image).await, (200, json!(null)));
    assert_eq!(call(Method::DELETE, &cached_image).await, (200, json!(null)));
    assert_eq!(
        call(Method::DELETE, "/v2/cached_images").await,
        (200, json!({"num_deleted": 0}))
    );
    for (method, path) in [
        (Method::GET, cached_image.as_str()),
        (Method::POST, "/v2/cached_images"),
        (Method::GET, queued_image.as_str()),
    ] {
        assert_eq!(app.admin(method, path).await.status, 404, "{path}");
    }
    let without = app_with(CacheSettings {
        legacy: false,
        ..cache_settings()
    });
    assert_eq!(without.admin(Method::GET, "/v2/cached_images").await.status, 404);
}

#[tokio::test]
async fn an_image_that_was_read_is_read_again_from_the_cache() {
    let app = app();
    let id = app.active_image().await;
    let first = app.download(&id).await;
    app.until_cached(1).await;
    let path = format!("/v2/images/{id}/file");
    let response = app.respond(request(Method::GET, &path, MEMBER)).await;
    assert!(
        response.extensions().get::<FileAnswer>().is_some(),
        "for sendfile"
    );
    let second = app.download(&id).await;
    assert_eq!((&first.body[..], &second.body[..]), (DATA, DATA));
    for name in ["content-type", "content-length", "content-md5"] {
        assert_eq!(first.header(name), second.header(name), "{name}");
    }
    let mut part = request(Method::GET, &path, MEMBER);
    part.headers_mut().insert("range", "bytes=8-10".parse().unwrap());
    let part = app.send(part).await;
    assert_eq!((part.status.as_u16(), part.text()), (206, "and"));
    assert_eq!(part.header("content-range"), Some("bytes 8-10/22"));
    assert_eq!(app.cache().cached()[0].hits, 3);
    // Who may not read it does not, cached or not.
    let stranger = app.send(request(Method::GET, &path, STRANGER)).await;
    assert_eq!(stranger.status, 404);
}

#[tokio::test]
async fn deleted_images_leave_the_cache_and_deactivated_ones_are_not_served_from_it() {
    let app = app();
    let id = app.active_image().await;
    app.download(&id).await;
    app.until_cached(1).await;
    let path = format!("/v2/images/{id}");
    let deactivated = app
        .call(Method::POST, &format!("{path}/actions/deactivate"))
        .await;
    assert_eq!(deactivated.status, 204);
    assert_eq!(app.download(&id).await.status, 403);
    let hits = app.cache().cached()[0].hits;
    let admin = app.admin(Method::GET, &format!("{path}/file")).await;
    assert_eq!((&admin.body[..], app.cache().cached()[0].hits), (DATA, hits));
    assert_eq!(
        app.admin(Method::PUT, &format!("/v2/cache/{id}")).await.status,
        400
    );
    assert_eq!(app.call(Method::DELETE, &path).await.status, 204);
    assert_eq!(app.cache().cached(), []);
    assert_eq!(app.download(&id).await.status, 404);
}

#[tokio::test]
async fn a_cache_shows_in_the_versions() {
    let ids = async |app: &App| {
        let versions = app.get("/versions").await.json()["versions"].clone();
        let ids = versions.as_array().unwrap().iter().map(|version| {
            let current = version["status"] == "CURRENT";
            format!(
                "{}{}",
                version["id"].as_str().unwrap(),
                if current { "*" } else { "" }
            )
        });
        ids.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        ids(&app()).await,
        "v2.18* v2.17 v2.16 v2.15 v2.14 v2.9 v2.7 v2.6 v2.5 v2.4 v2.3 v2.2 v2.1 v2.0"
    );
    assert_eq!(
        ids(&App::new()).await,
        "v2.15 v2.9 v2.17* v2.7 v2.6 v2.5 v2.4 v2.3 v2.2 v2.1 v2.0"
    );
}
