//! Property protection over HTTP.

use serde_json::json;

use super::*;
use crate::{
    policy::{PropertyProtection, RuleFormat},
    quota::Configured,
};

const FILE: &str = "
[^x_hidden]
create = member
read = admin
update = admin
delete = admin
[^x_fixed]
create = member
read = @
update = !
delete = admin
[^x_none]
create = !
read = @
update = !
delete = !
[^open]
create = @
read = @
update = @
delete = @
";

fn app() -> App {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pp.conf");
    std::fs::write(&path, FILE).unwrap();
    let (properties, warnings) = PropertyProtection::load(&path, RuleFormat::Roles).unwrap();
    assert_eq!(warnings, [""; 0]);
    let fixture = Fixture::with(rules(), properties, Arc::new(Configured::default()));
    App::over(fixture, settings())
}

async fn patch(app: &App, token: &str, path: &str, operation: Value) -> (u16, String) {
    let answer = app.patch(path, token, &json!([operation])).await;
    (answer.status.as_u16(), answer.text().to_owned())
}

async fn shown(app: &App, token: &str, path: &str, name: &str) -> Value {
    let answer = app.send(request(Method::GET, path, token)).await;
    assert_eq!(answer.status, 200);
    answer.json()[name].clone()
}

#[tokio::test]
async fn an_image_is_made_with_permitted_properties_only() {
    let app = app();
    let made = app
        .json(
            Method::POST,
            "/v2/images",
            MEMBER,
            &json!({"x_hidden": "1", "open": "2", "x_fixed": "3"}),
        )
        .await;
    assert_eq!(made.status, 201);
    let image = made.json();
    assert_eq!((&image["open"], &image["x_fixed"]), (&json!("2"), &json!("3")));
    assert_eq!(image.get("x_hidden"), None, "it may be set, not read");
    let path = image["self"].as_str().unwrap();
    assert_eq!(
        shown(&app, ADMIN, path, "x_hidden").await,
        "1",
        "it was kept all the same"
    );
    for name in ["x_none", "unheard_of"] {
        for token in [MEMBER, ADMIN] {
            let refused = app
                .json(Method::POST, "/v2/images", token, &json!({name: "1"}))
                .await;
            assert_eq!(refused.status, 403);
            assert!(
                refused
                    .text()
                    .contains(&format!("Attribute '{name}' is reserved.")),
                "{refused:?}"
            );
        }
    }
}

#[tokio::test]
async fn unreadable_properties_are_left_out_of_every_answer_and_kept_by_changes() {
    let app = app();
    let path = app.create(&json!({"x_hidden": "1", "open": "2"})).await;
    assert_eq!(app.get(&path).await.json().get("x_hidden"), None);
    let list = app.get("/v2/images").await.json();
    assert_eq!(list["images"][0].get("x_hidden"), None);
    assert_eq!(list["images"][0]["open"], "2");
    let changed = app
        .patch(
            &path,
            MEMBER,
            &json!([{"op": "replace", "path": "/open", "value": "3"}]),
        )
        .await;
    assert_eq!(changed.status, 200);
    assert_eq!(changed.json().get("x_hidden"), None);
    let empty = app.patch(&path, MEMBER, &json!([])).await;
    assert_eq!((empty.status.as_u16(), empty.json().get("x_hidden")), (200, None));
    app.call(Method::PUT, &format!("{path}/tags/a")).await;
    assert_eq!(shown(&app, ADMIN, &path, "x_hidden").await, "1");
}

#[tokio::test]
async fn a_filter_does_not_tell_what_cannot_be_read() {
    let app = app();
    app.create(&json!({"x_hidden": "1", "open": "2"})).await;
    let found = async |token, query: &str| {
        let path = format!("/v2/images?{query}");
        let answer = app.send(request(Method::GET, &path, token)).await;
        assert_eq!(answer.status, 200);
        answer.json()["images"].as_array().unwrap().len()
    };
    assert_eq!(found(MEMBER, "open=2").await, 1);
    for query in ["x_hidden=1", "x_hidden=2", "x_hidden=", "open=2&x_hidden=1"] {
        assert_eq!(found(MEMBER, query).await, 0, "{query}");
    }
    assert_eq!(found("us:admin,reader", "x_hidden=1").await, 1);
}

#[tokio::test]
async fn changes_are_permitted_one_by_one() {
    let app = app();
    let path = app.create(&json!({"x_fixed": "1", "open": "2"})).await;
    let op = |op: &str, name: &str| json!({"op": op, "path": format!("/{name}"), "value": "9"});
    let reserved = |name: &str| format!("Attribute '{name}' is reserved.");
    for operation in ["add", "replace", "remove"] {
        let (status, text) = patch(&app, MEMBER, &path, op(operation, "x_fixed")).await;
        assert_eq!(status, 403, "{operation}");
        assert!(text.contains(&reserved("x_fixed")), "{text}");
    }
    assert_eq!(patch(&app, MEMBER, &path, op("add", "x_none")).await.0, 403);
    assert_eq!(patch(&app, MEMBER, &path, op("add", "nowhere")).await.0, 403);
    assert_eq!(patch(&app, MEMBER, &path, op("add", "open_too")).await.0, 200);
    assert_eq!(patch(&app, MEMBER, &path, op("remove", "open_too")).await.0, 200);
    // All or nothing.
    let both = app
        .patch(
            &path,
            MEMBER,
            &json!([op("replace", "open"), op("replace", "x_fixed")]),
        )
        .await;
    assert_eq!(both.status, 403);
    assert_eq!(shown(&app, MEMBER, &path, "open").await, "2");
    assert_eq!(shown(&app, MEMBER, &path, "x_fixed").await, "1");
}

#[tokio::test]
async fn taking_away_and_making_anew_needs_both_permissions() {
    let app = app();
    let path = app.create(&json!({"x_fixed": "1"})).await;
    let again =
        json!([{"op": "remove", "path": "/x_fixed"}, {"op": "add", "path": "/x_fixed", "value": "2"}]);
    assert_eq!(app.patch(&path, MEMBER, &again).await.status, 403);
    // May delete, not create.
    assert_eq!(app.patch(&path, "us:admin", &again).await.status, 403);
    assert_eq!(app.patch(&path, "us:admin,member", &again).await.status, 200);
    assert_eq!(shown(&app, MEMBER, &path, "x_fixed").await, "2");
}

#[tokio::test]
async fn what_cannot_be_read_looks_as_if_it_were_not_there_and_cannot_be_overwritten() {
    let app = app();
    let path = app.create(&json!({"x_hidden": "1"})).await;
    let op = |op: &str| json!({"op": op, "path": "/x_hidden", "value": "9"});
    assert_eq!(patch(&app, MEMBER, &path, op("replace")).await.0, 409);
    assert_eq!(patch(&app, MEMBER, &path, op("remove")).await.0, 409);
    assert_eq!(patch(&app, MEMBER, &path, op("add")).await.0, 403);
    assert_eq!(shown(&app, ADMIN, &path, "x_hidden").await, "1");
    assert_eq!(patch(&app, ADMIN, &path, op("replace")).await.0, 200);
    assert_eq!(shown(&app, ADMIN, &path, "x_hidden").await, "9");
    assert_eq!(patch(&app, ADMIN, &path, op("remove")).await.0, 200);
    assert_eq!(patch(&app, MEMBER, &path, op("add")).await.0, 200);
    assert_eq!(shown(&app, ADMIN, &path, "x_hidden").await, "9");
}
