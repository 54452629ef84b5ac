//! Image records over HTTP.

use serde_json::json;

use super::*;

#[tokio::test]
async fn a_new_image_is_answered_as_glance_answers() {
    let app = App::new();
    let body = json!({"name": "raw1", "disk_format": "raw", "container_format": "bare", "p": "v"});
    let answer = app.json(Method::POST, "/v2/images", MEMBER, &body).await;
    assert_eq!(answer.status, 201);
    let image = answer.json();
    let id = image["id"].as_str().unwrap();
    assert_eq!(
        answer.header("location").unwrap(),
        format!("http://glance.example/v2/images/{id}")
    );
    assert_eq!(
        answer.header("openstack-image-import-methods"),
        Some("glance-direct,web-download,copy-image")
    );
    assert_eq!(answer.header("openstack-image-store-ids"), None);
    let expected = json!({
        "p": "v", "name": "raw1", "disk_format": "raw", "container_format": "bare", "visibility": "shared",
        "size": null, "virtual_size": null, "status": "queued", "checksum": null, "protected": false, "min_ram": 0,
        "min_disk": 0, "owner": "us", "os_hidden": false, "os_hash_algo": null, "os_hash_value": null, "id": id,
        "created_at": image["created_at"], "updated_at": image["updated_at"], "tags": [],
        "self": format!("/v2/images/{id}"), "file": format!("/v2/images/{id}/file"),
        "schema": "/v2/schemas/image",
    });
    assert_eq!(image, expected);
    assert_eq!(
        image["created_at"].as_str().unwrap().len(),
        "2026-11-21T08:35:46Z".len()
    );
    assert_eq!(app.get(&format!("/v2/images/{id}")).await.json(), image);
}

#[tokio::test]
async fn bodies_that_are_no_objects_are_400() {
    let app = App::new();
    let post = async |body: &'static str| {
        let mut request = request(Method::POST, "/v2/images", MEMBER);
        request.headers_mut().insert("content-length", body.len().into());
        *request.body_mut() = Body::from(body);
        app.send(request).await.status.as_u16()
    };
    for body in ["", "[]", "1", "{", "nonsense", "{\"name\": 1}"] {
        assert_eq!(post(body).await, 400, "{body:?}");
    }
    assert_eq!(post("{}").await, 201);
    let mut large = request(Method::POST, "/v2/images", MEMBER);
    large
        .headers_mut()
        .insert("transfer-encoding", "chunked".parse().unwrap());
    *large.body_mut() = Body::from(vec![b' '; 11 * 1024 * 1024]);
    assert_eq!(app.send(large).await.status, 413);
}

#[tokio::test]
async fn failures_to_create_have_glances_statuses() {
    let app = App::new();
    let id = "3f9a1c2e-0b5d-4c43-9d0e-5a7f8b6c1d20";
    let post = async |token: &str, body: Value| {
        app.json(Method::POST, "/v2/images", token, &body)
            .await
            .status
            .as_u16()
    };
    assert_eq!(post(MEMBER, json!({"id": id})).await, 201);
    assert_eq!(post(MEMBER, json!({"id": id})).await, 409);
    assert_eq!(
        app.call(Method::DELETE, &format!("/v2/images/{id}")).await.status,
        204
    );
    assert_eq!(post(MEMBER, json!({"id": id})).await, 409);
    assert_eq!(post(READER, json!({})).await, 403);
    assert_eq!(post(MEMBER, json!({"owner": "them"})).await, 403);
    assert_eq!(post(MEMBER, json!({"visibility": "public"})).await, 403);
    assert_eq!(post(ADMIN, json!({"visibility": "public"})).await, 201);
    assert_eq!(post(MEMBER, json!({"stores": "a"})).await, 403);
    assert_eq!(post(MEMBER, json!({"locations": []})).await, 403);
    assert_eq!(post(MEMBER, json!({"tags": ["1", "2", "3", "4"]})).await, 413);
    assert_eq!(
        post(MEMBER, json!({"a": "", "b": "", "c": "", "d": "", "e": ""})).await,
        413
    );
}

#[tokio::test]
async fn a_patch_needs_its_media_type() {
    let app = App::new();
    let path = app.create(&json!({})).await;
    let mut request = request(Method::PATCH, &path, MEMBER);
    request
        .headers_mut()
        .insert("content-type", "application/json".parse().unwrap());
    let answer = app.send(request).await;
    assert_eq!(answer.status, 415);
    assert_eq!(
        answer.header("accept-patch"),
        Some("application/openstack-images-v2.0-json-patch, application/openstack-images-v2.1-json-patch")
    );
    assert!(answer.text().contains("Image PATCH expects Content-Type one of"));
}

#[tokio::test]
async fn a_patch_changes_the_image_and_answers_it_whole() {
    let app = App::new();
    let path = app.create(&json!({"p": "v"})).await;
    let patch = json!([
        {"op": "replace", "path": "/name", "value": "raw2"},
        {"op": "remove", "path": "/p"},
        {"op": "add", "path": "/a~1b", "value": "c"},
    ]);
    let answer = app.patch(&path, MEMBER, &patch).await;
    assert_eq!(answer.status, 200);
    let image = answer.json();
    assert_eq!(
        (&image["name"], &image["a/b"], image.get("p")),
        (&json!("raw2"), &json!("c"), None)
    );
    assert_eq!(app.patch(&path, MEMBER, &json!([])).await.json(), image);
}

#[tokio::test]
async fn failures_to_patch_have_glances_statuses() {
    let app = App::new();
    let path = app.create(&json!({"visibility": "community"})).await;
    let patch = async |token: &str, operation: Value| {
        app.patch(&path, token, &json!([operation])).await.status.as_u16()
    };
    assert_eq!(
        patch(MEMBER, json!({"op": "replace", "path": "/p", "value": "x"})).await,
        409
    );
    assert_eq!(patch(MEMBER, json!({"op": "remove", "path": "/p"})).await, 409);
    assert_eq!(patch(MEMBER, json!({"op": "remove", "path": "/name"})).await, 403);
    assert_eq!(
        patch(MEMBER, json!({"op": "add", "path": "/stores", "value": "x"})).await,
        403
    );
    assert_eq!(
        patch(MEMBER, json!({"op": "add", "path": "/owner", "value": "x"})).await,
        403
    );
    assert_eq!(
        patch(MEMBER, json!({"op": "add", "path": "/tags/-", "value": "x"})).await,
        400
    );
    assert_eq!(
        patch(MEMBER, json!({"op": "add", "path": "/locations/-", "value": {}})).await,
        400
    );
    assert_eq!(
        patch(STRANGER, json!({"op": "add", "path": "/p", "value": "x"})).await,
        403
    );
    assert_eq!(
        patch(READER, json!({"op": "add", "path": "/p", "value": "x"})).await,
        403
    );
    assert_eq!(
        patch("us:foo", json!({"op": "add", "path": "/p", "value": "x"})).await,
        404
    );
}

#[tokio::test]
async fn an_image_that_is_protected_is_not_deleted() {
    let app = App::new();
    let path = app.create(&json!({"protected": true})).await;
    assert_eq!(app.call(Method::DELETE, &path).await.status, 403);
    let unprotect = json!([{"op": "replace", "path": "/protected", "value": false}]);
    assert_eq!(app.patch(&path, MEMBER, &unprotect).await.status, 200);
    let answer = app.call(Method::DELETE, &path).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0));
    assert_eq!(app.call(Method::DELETE, &path).await.status, 404);
    assert_eq!(app.get(&path).await.status, 404);
}

#[tokio::test]
async fn tags_come_and_go() {
    let app = App::new();
    let path = app.create(&json!({})).await;
    let tag = format!("{path}/tags/web%20server");
    assert_eq!(app.call(Method::PUT, &tag).await.status, 204);
    assert_eq!(app.get(&path).await.json()["tags"], json!(["web server"]));
    assert_eq!(app.call(Method::DELETE, &tag).await.status, 204);
    assert_eq!(app.call(Method::DELETE, &tag).await.status, 404);
    let long = format!("{path}/tags/{}", "x".repeat(256));
    assert_eq!(app.call(Method::PUT, &long).await.status, 400);
    for tag in ["a", "b", "c"] {
        assert_eq!(
            app.call(Method::PUT, &format!("{path}/tags/{tag}")).await.status,
            204
        );
    }
    assert_eq!(app.call(Method::PUT, &format!("{path}/tags/d")).await.status, 413);
}

#[tokio::test]
async fn a_walk_follows_the_next_links() {
    let app = App::new();
    for name in ["c", "a", "b", "d"] {
        app.create(&json!({"name": name})).await;
    }
    let mut link = Some("/v2/images?limit=2&sort=name:asc".to_owned());
    let mut names = Vec::new();
    while let Some(path) = link {
        let page = app.get(&path).await.json();
        assert_eq!(page["first"], "/v2/images?limit=2&sort=name%3Aasc");
        assert_eq!(page["schema"], "/v2/schemas/images");
        for image in page["images"].as_array().unwrap() {
            names.push(image["name"].as_str().unwrap().to_owned());
        }
        link = page.get("next").map(|next| next.as_str().unwrap().to_owned());
    }
    assert_eq!(names, ["a", "b", "c", "d"]);
    assert_eq!(app.get("/v2/images").await.json()["first"], "/v2/images");
}

#[tokio::test]
async fn lists_are_filtered_and_others_images_left_out() {
    let app = App::new();
    app.create(&json!({"name": "a,b", "os_distro": "x", "tags": ["t"]}))
        .await;
    app.create(&json!({"name": "c", "min_ram": 5})).await;
    app.create(&json!({"name": "hidden", "os_hidden": true})).await;
    let count = async |token: &str, query: &str| {
        let answer = app
            .send(request(Method::GET, &format!("/v2/images?{query}"), token))
            .await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["images"].as_array().unwrap().len()
    };
    assert_eq!(count(MEMBER, "").await, 2);
    assert_eq!(count(STRANGER, "").await, 0);
    assert_eq!(count(ADMIN, "").await, 2);
    assert_eq!(count(MEMBER, "os_hidden=true").await, 1);
    assert_eq!(count(MEMBER, "name=in:%22a,b%22,c").await, 2);
    assert_eq!(count(MEMBER, "os_distro=x&tag=t").await, 1);
    assert_eq!(count(MEMBER, "min_ram_min=5").await, 1);
    assert_eq!(count(MEMBER, "created_at=gt:2001-01-01T00:00:00Z").await, 2);
    assert_eq!(count(MEMBER, "limit=0").await, 0);
}

#[tokio::test]
async fn lists_that_make_no_sense_are_400_and_forbidden_ones_403() {
    let app = App::new();
    for query in [
        "limit=x",
        "limit=-1",
        "marker=x",
        "sort_key=owner",
        "visibility=x",
        "name=%ff",
        "size_min=x",
    ] {
        assert_eq!(
            app.get(&format!("/v2/images?{query}")).await.status,
            400,
            "{query}"
        );
    }
    let theirs = app
        .json(Method::POST, "/v2/images", STRANGER, &json!({}))
        .await
        .json();
    let marker = format!("/v2/images?marker={}", theirs["id"].as_str().unwrap());
    assert_eq!(app.get(&marker).await.status, 403);
    assert_eq!(
        app.send(request(Method::GET, "/v2/images", "us:member"))
            .await
            .status,
        403
    );
}

#[tokio::test]
async fn a_property_cannot_pass_for_an_attribute_and_internal_ones_are_hidden() {
    let app = App::new();
    let properties = [
        ("status", "fake"),
        ("os_glance_stage_host", "http://inner"),
        ("os_glance_failed_import", ""),
    ];
    let id = app
        .fixture
        .put(|image| {
            image.properties = properties
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into();
        })
        .await;
    let image = app.get(&format!("/v2/images/{id}")).await;
    assert_eq!(image.text().matches("\"status\"").count(), 1);
    assert_eq!(image.json()["status"], "queued");
    assert_eq!(image.json().get("os_glance_stage_host"), None);
    assert_eq!(image.json()["os_glance_failed_import"], "");
}
