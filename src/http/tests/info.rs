//! What the service says of itself, and the schemas of members.

use serde_json::json;

use super::*;

fn with_store() -> App {
    App::with(Settings {
        stores: store("fast"),
        ..settings()
    })
}

#[tokio::test]
async fn the_import_methods_are_those_of_the_header_of_new_images() {
    let app = App::new();
    assert_eq!(
        app.get("/v2/info/import").await.text(),
        r#"{"import-methods":{"description":"Import methods available.","type":"array","value":["glance-direct","web-download","copy-image"]}}"#
    );
    let none = App::with(Settings {
        import_methods: Vec::new(),
        ..settings()
    });
    assert_eq!(
        none.get("/v2/info/import").await.json()["import-methods"]["value"],
        json!([])
    );
    let created = none.json(Method::POST, "/v2/images", MEMBER, &json!({})).await;
    assert_eq!(created.header("openstack-image-import-methods"), None);
}

#[tokio::test]
async fn stores_are_listed_where_they_have_ids() {
    let app = with_store();
    assert_eq!(
        app.get("/v2/info/stores").await.text(),
        r#"{"stores":[{"id":"fast","description":"quick","default":"true"}]}"#
    );
    let single = App::new();
    for path in ["/v2/info/stores", "/v2/info/stores/detail"] {
        let answer = single.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(
            answer.text().contains("Multi backend is not supported"),
            "{answer:?}"
        );
    }
}

#[tokio::test]
async fn the_details_of_stores_are_for_administrators_and_services() {
    let app = with_store();
    let detail = async |token: &str| {
        let answer = app
            .send(request(Method::GET, "/v2/info/stores/detail", token))
            .await;
        (answer.status.as_u16(), answer)
    };
    let (status, answer) = detail(ADMIN).await;
    assert_eq!(status, 200);
    assert_eq!(
        answer.text(),
        r#"{"stores":[{"id":"fast","description":"quick","default":"true","type":"file","properties":{"data_dir":"/fast","thin_provisioning":false},"weight":7}]}"#
    );
    assert_eq!(detail("nova:service").await.0, 200);
    assert_eq!(detail(MEMBER).await.0, 403);
}

#[tokio::test]
async fn usage_is_not_counted_and_has_no_other_method() {
    let app = App::new();
    assert_eq!(app.get("/v2/info/usage").await.text(), r#"{"usage":{}}"#);
    for method in [Method::HEAD, Method::POST, Method::PUT, Method::DELETE] {
        let answer = app.call(method.clone(), "/v2/info/usage").await;
        assert_eq!(answer.status, 404, "{method}");
        assert_eq!(answer.header("allow"), None, "{method}");
    }
}

#[tokio::test]
async fn the_schema_of_members_holds_that_of_a_member() {
    let app = App::new();
    let member = app.get("/v2/schemas/member").await.json();
    assert_eq!(member["name"], "member");
    assert_eq!(
        member["properties"]["status"]["enum"],
        json!(["pending", "accepted", "rejected"])
    );
    let members = app.get("/v2/schemas/members").await.json();
    assert_eq!(members["properties"]["members"]["items"], member);
}
