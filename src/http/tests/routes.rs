//! Paths, methods, versions, identity: what is the same for all resources.

use serde_json::json;

use super::*;

const ID: &str = "/v2/images/868a468f-2906-414e-859e-f54a38d10e38";

#[tokio::test]
async fn the_root_and_unknown_paths_offer_the_versions() {
    let app = App::new();
    for path in ["/", "/v1/images", "/v10", "/nope", "/v2.8/images", "/v3"] {
        let answer = app.get(path).await;
        assert_eq!(answer.status, 300, "{path}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(
            answer.json()["versions"][0]["links"][0]["href"],
            "http://glance.example/v2/"
        );
        assert_eq!(answer.header("x-openstack-request-id"), None);
    }
    assert_eq!(app.get("/versions").await.status, 200);
    let mut anonymous = request(Method::GET, "/versions", MEMBER);
    anonymous.headers_mut().remove("x-auth-token");
    assert_eq!(app.send(anonymous).await.status, 200);
}

#[tokio::test]
async fn the_versions_depend_on_the_stores() {
    let versions = async |app: App| -> Vec<String> {
        let body = app.get("/versions").await.json();
        let versions = body["versions"].as_array().unwrap();
        versions
            .iter()
            .map(|version| version["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let single = versions(App::new()).await;
    assert_eq!(
        single,
        [
            "v2.15", "v2.9", "v2.17", "v2.7", "v2.6", "v2.5", "v2.4", "v2.3", "v2.2", "v2.1", "v2.0"
        ]
    );
    let several = Settings {
        stores: store("fast"),
        ..settings()
    };
    assert_eq!(versions(App::with(several)).await.len(), 16);
}

#[tokio::test]
async fn the_public_endpoint_is_the_base_of_links_in_the_versions_document() {
    let public_endpoint = Some("https://image.example/glance/".to_owned());
    let app = App::with(Settings {
        public_endpoint,
        ..settings()
    });
    let href = app.get("/").await.json()["versions"][0]["links"][0]["href"].clone();
    assert_eq!(href, "https://image.example/glance/v2/");
}

#[tokio::test]
async fn a_version_is_named_by_alias_or_media_type() {
    let app = App::new();
    for path in ["/v2/images", "/v2.0/images", "/v2.17/images", "//v2/images"] {
        assert_eq!(app.get(path).await.status, 200, "{path}");
    }
    let mut by_type = request(Method::GET, "/images?limit=1", MEMBER);
    by_type
        .headers_mut()
        .insert("accept", "application/vnd.openstack.images-v2".parse().unwrap());
    let answer = app.send(by_type).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["first"]),
        (200, &json!("/v2/images?limit=1"))
    );
    let mut unknown = request(Method::GET, "/v2/images", MEMBER);
    unknown
        .headers_mut()
        .insert("accept", "application/vnd.openstack.images-v9".parse().unwrap());
    assert_eq!(app.send(unknown).await.status, 300);
}

#[tokio::test]
async fn the_root_of_the_version_leads_nowhere() {
    let app = App::new();
    let answer = app.get("/v2").await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("location")),
        (302, Some("http://glance.example/v2/"))
    );
    assert_eq!(app.get("/v2/").await.status, 404);
}

#[tokio::test]
async fn whoever_is_unknown_is_challenged_on_every_path_of_the_version() {
    let app = App::new();
    for path in ["/v2/images", "/v2/nope", "/v2/schemas/image", "/v2"] {
        let mut anonymous = request(Method::GET, path, MEMBER);
        anonymous.headers_mut().remove("x-auth-token");
        anonymous.headers_mut().insert("accept", "*/*".parse().unwrap());
        let answer = app.send(anonymous).await;
        assert_eq!(answer.status, 401, "{path}");
        assert_eq!(
            answer.header("www-authenticate"),
            Some("Keystone uri=\"http://127.0.0.1:5000\"")
        );
        assert_eq!(answer.body.len(), 358);
    }
    assert_eq!(
        app.send(request(Method::GET, "/v2/images", "junk")).await.status,
        401
    );
    assert_eq!(
        app.send(request(Method::GET, "/v2/images", "down")).await.status,
        503
    );
}

#[tokio::test]
async fn a_method_that_a_resource_does_not_have_is_405_with_those_it_has() {
    let app = App::new();
    let file = format!("{ID}/file");
    let tag = format!("{ID}/tags/x");
    let members = format!("{ID}/members");
    let member = format!("{members}/them");
    let deactivate = format!("{ID}/actions/deactivate");
    let reactivate = format!("{ID}/actions/reactivate");
    for (path, allow) in [
        ("/v2/images", "GET, POST"),
        (members.as_str(), "GET, POST"),
        (member.as_str(), "GET, PUT, DELETE"),
        (deactivate.as_str(), "POST"),
        (reactivate.as_str(), "POST"),
        ("/v2/info/import", "GET"),
        ("/v2/info/stores", "GET"),
        ("/v2/info/stores/detail", "GET"),
        ("/v2/schemas/member", "GET"),
        ("/v2/schemas/members", "GET"),
        ("/v2/schemas/task", "GET"),
        ("/v2/schemas/tasks", "GET"),
        ("/v2/tasks", "GET, POST"),
        ("/v2/tasks/1", "GET, DELETE"),
        (ID, "GET, PATCH, DELETE"),
        (file.as_str(), "GET, PUT"),
        (tag.as_str(), "PUT, DELETE"),
        ("/v2/schemas/image", "GET"),
        ("/v2/schemas/images", "GET"),
    ] {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "BREW"] {
            if allow.split(", ").any(|allowed| allowed == method) {
                continue;
            }
            let answer = app.call(method.parse().unwrap(), path).await;
            assert_eq!(answer.status, 405, "{method} {path}");
            assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
            assert_eq!(method == "HEAD", answer.body.is_empty(), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn paths_that_lead_nowhere_are_404() {
    let app = App::new();
    let slash = format!("{ID}/");
    let members = format!("{ID}/members");
    let nested = format!("{ID}/members/a/b");
    let encoded = format!("{ID}/tags/a%2Fb");
    for path in [
        "/v2/nope",
        "/v2/images/",
        slash.as_str(),
        members.as_str(),
        nested.as_str(),
        "/v2/info",
        "/v2/images/not-a-uuid",
        ID,
    ] {
        assert_eq!(app.get(path).await.status, 404, "{path}");
    }
    assert_eq!(app.call(Method::PUT, &encoded).await.status, 404);
    assert_eq!(app.call("BREW".parse().unwrap(), "/v2/nope").await.status, 501);
    assert_eq!(app.get("/v2/images/%ff").await.status, 400);
}

#[tokio::test]
async fn a_body_where_none_belongs_is_400() {
    let app = App::new();
    let file = format!("{ID}/file");
    let tag = format!("{ID}/tags/x");
    let members = format!("{ID}/members");
    let member = format!("{members}/them");
    let deactivate = format!("{ID}/actions/deactivate");
    for (method, path) in [
        (Method::GET, members.as_str()),
        (Method::GET, member.as_str()),
        (Method::DELETE, member.as_str()),
        (Method::POST, deactivate.as_str()),
        (Method::GET, "/v2/info/import"),
        (Method::GET, "/v2/info/stores"),
        (Method::GET, "/v2/schemas/member"),
        (Method::GET, ID),
        (Method::DELETE, ID),
        (Method::GET, file.as_str()),
        (Method::PUT, tag.as_str()),
        (Method::DELETE, tag.as_str()),
        (Method::GET, "/v2/schemas/image"),
    ] {
        let mut sized = request(method.clone(), path, MEMBER);
        sized.headers_mut().insert("content-length", 2.into());
        *sized.body_mut() = Body::from("{}");
        assert_eq!(app.send(sized).await.status, 400, "{method} {path}");
    }
    let mut chunked = request(Method::PUT, &tag, MEMBER);
    chunked
        .headers_mut()
        .insert("transfer-encoding", "chunked".parse().unwrap());
    assert_eq!(app.send(chunked).await.status, 400);
    let mut list = request(Method::GET, "/v2/images", MEMBER);
    list.headers_mut().insert("content-length", 2.into());
    assert_eq!(app.send(list).await.status, 200);
}

#[tokio::test]
async fn every_answer_of_the_version_has_a_request_id() {
    let app = App::new();
    let answer = app.get("/v2/nope").await;
    assert!(
        answer
            .header("x-openstack-request-id")
            .unwrap()
            .starts_with("req-")
    );
    let mut own = request(Method::GET, "/v2/images", MEMBER);
    own.headers_mut()
        .insert("x-openstack-request-id", "req-mine".parse().unwrap());
    assert_eq!(
        app.send(own).await.header("x-openstack-request-id"),
        Some("req-mine")
    );
    let mut long = request(Method::GET, "/v2/images", MEMBER);
    long.headers_mut()
        .insert("x-openstack-request-id", "x".repeat(65).parse().unwrap());
    assert_eq!(app.send(long).await.status, 431);
}

#[tokio::test]
async fn the_form_of_an_error_follows_accept() {
    let app = App::new();
    let error = async |accept: Option<&str>| {
        let mut request = request(Method::GET, ID, MEMBER);
        if let Some(accept) = accept {
            request.headers_mut().insert("accept", accept.parse().unwrap());
        }
        app.send(request).await
    };
    let text = error(None).await;
    assert_eq!(text.header("content-type"), Some("text/plain; charset=UTF-8"));
    assert!(
        text.text()
            .starts_with("404 Not Found\n\nNo image found with ID 868a468f"),
        "{text:?}"
    );
    let html = error(Some("*/*")).await;
    assert_eq!(html.header("content-type"), Some("text/html; charset=UTF-8"));
    assert_eq!(html.body.len(), 181);
    let json = error(Some("application/json")).await;
    assert_eq!(json.header("content-type"), Some("application/json"));
    assert_eq!(json.json()["code"], "404 Not Found");
}

#[tokio::test]
async fn the_healthcheck_needs_no_identity_and_says_when_to_stay_away() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("disabled");
    let app = App::with(Settings {
        disable_file: Some(file.clone()),
        ..settings()
    });
    let check = async |method: Method| {
        let mut request = request(method, "/healthcheck", MEMBER);
        request.headers_mut().remove("x-auth-token");
        app.send(request).await
    };
    let well = check(Method::GET).await;
    assert_eq!((well.status.as_u16(), well.text()), (200, "OK"));
    let mut json = request(Method::GET, "/healthcheck/below", MEMBER);
    json.headers_mut()
        .insert("accept", "application/json".parse().unwrap());
    assert_eq!(
        app.send(json).await.json(),
        json!({"detailed": false, "reasons": ["OK"]})
    );
    assert_eq!(check(Method::HEAD).await.status, 204);
    std::fs::write(&file, "").unwrap();
    assert_eq!(check(Method::GET).await.text(), "DISABLED BY FILE");
    std::fs::remove_file(&file).unwrap();
    app.lifecycle.advance(Phase::Draining);
    assert_eq!(check(Method::GET).await.status, 503);
}

#[tokio::test]
async fn routes_from_outside_are_served_beside_the_api() {
    let app = App::new();
    let state = State::from(Parts {
        definitions: crate::definitions::tests::definitions(),
        catalog: app.fixture.catalog.clone(),
        transfers: app.fixture.transfers.clone(),
        imports: app.fixture.imports.clone(),
        identity: Arc::new(Tokens),
        settings: Arc::new(settings()),
        draining: Lifecycle::new().draining(),
    });
    let extra = Router::new().route("/v3/auth/tokens", axum::routing::post(async || "token"));
    let app = App {
        router: router(state, extra),
        ..app
    };
    assert_eq!(app.call(Method::POST, "/v3/auth/tokens").await.text(), "token");
    assert_eq!(app.get("/v3/other").await.status, 300);
}

#[tokio::test]
async fn the_schemas_are_those_of_glance() {
    let app = App::new();
    let image = app.get("/v2/schemas/image").await.json();
    assert_eq!(image["name"], "image");
    assert_eq!(image["additionalProperties"], json!({"type": "string"}));
    assert_eq!(image["properties"].as_object().unwrap().len(), 25);
    assert_eq!(
        image["properties"]["disk_format"]["enum"],
        json!([
            null, "ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop"
        ])
    );
    let images = app.get("/v2/schemas/images").await.json();
    assert_eq!(images["properties"]["images"]["items"], image);
}

#[test]
fn metrics_know_templates_of_paths_and_never_the_paths() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    metrics::with_local_recorder(&recorder, || {
        runtime.block_on(async {
            let app = App::new();
            app.get(ID).await;
            app.get("/v2/secret").await;
            app.get("/elsewhere/secret").await;
            app.call("BREW".parse().unwrap(), "/healthcheck").await;
            // A client that goes away before its upload has ended.
            let path = app
                .create(&json!({"disk_format": "raw", "container_format": "bare"}))
                .await;
            let mut upload = request(Method::PUT, &format!("{path}/file"), MEMBER);
            upload
                .headers_mut()
                .insert("content-type", "application/octet-stream".parse().unwrap());
            *upload.body_mut() =
                Body::from_stream(futures_util::stream::pending::<Result<Bytes, axum::Error>>());
            let gone = tokio::time::timeout(std::time::Duration::from_millis(50), app.respond(upload)).await;
            assert!(gone.is_err());
        });
    });
    let page = handle.render();
    for line in [
        r#"saccade_http_requests_total{method="GET",route="/v2/images/{image_id}",status="404"} 1"#,
        r#"saccade_http_requests_total{method="GET",route="unmatched",status="404"} 1"#,
        r#"saccade_http_requests_total{method="GET",route="unmatched",status="300"} 1"#,
        r#"saccade_http_requests_total{method="PUT",route="/v2/images/{image_id}/file",status="499"} 1"#,
        r#"saccade_http_requests_total{method="OTHER",route="/healthcheck",status="200"} 1"#,
    ] {
        assert!(page.contains(line), "{line}\n{page}");
    }
    assert!(page.contains("saccade_http_request_duration_seconds"), "{page}");
    assert!(!page.contains("secret"), "{page}");
}
