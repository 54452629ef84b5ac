//! Which names and texts an image may have, however they get there: what Glance's schema and tables take, no more and no
//! less.

use serde_json::json;

use super::*;

/// The longest name, in characters; most of them take two bytes.
fn long(characters: usize) -> String {
    "é".repeat(characters)
}

/// Beyond U+FFFF, which MySQL's `utf8` does not hold.
const FOUR_BYTES: &str = "a\u{1f600}b";

/// The status of making an image so, and of changing one to be so.
async fn both(app: &App, name: &str, value: Value) -> [u16; 2] {
    let made = app
        .json(
            Method::POST,
            "/v2/images",
            MEMBER,
            &json!({ name: value.clone() }),
        )
        .await;
    let path = app.create(&json!({})).await;
    let name = name.replace('~', "~0").replace('/', "~1");
    let operation = json!([{"op": "add", "path": format!("/{name}"), "value": value}]);
    let changed = app.patch(&path, MEMBER, &operation).await;
    [made.status.as_u16(), changed.status.as_u16()]
}

#[tokio::test]
async fn names_and_properties_are_as_long_as_the_columns() {
    let app = App::new();
    for (name, value, expected) in [
        ("name", long(255), [201, 200]),
        ("name", long(256), [400, 400]),
        ("name", String::new(), [201, 200]),
        ("p", long(100_000), [201, 200]),
        ("p", String::new(), [201, 200]),
    ] {
        let length = value.chars().count();
        assert_eq!(both(&app, name, json!(value)).await, expected, "{name} {length}");
    }
    assert_eq!(both(&app, &long(255), json!("v")).await, [201, 200]);
    assert_eq!(both(&app, &long(256), json!("v")).await, [400, 400]);
}

#[tokio::test]
async fn characters_that_the_tables_do_not_hold_are_refused_everywhere() {
    let app = App::new();
    for (name, value) in [
        ("name", json!(FOUR_BYTES)),
        ("p", json!(FOUR_BYTES)),
        (FOUR_BYTES, json!("v")),
        ("tags", json!([FOUR_BYTES])),
    ] {
        assert_eq!(both(&app, name, value).await, [400, 400], "{name}");
    }
    let path = app.create(&json!({})).await;
    let put = app
        .call(Method::PUT, &format!("{path}/tags/a%F0%9F%98%80b"))
        .await;
    assert_eq!(put.status, 400);
    let member = json!({ "member": FOUR_BYTES });
    let shared = app
        .json(Method::POST, &format!("{path}/members"), MEMBER, &member)
        .await;
    assert_eq!(shared.status, 400);
    assert_eq!(both(&app, "name", json!("\u{ffff}")).await, [201, 200]);
}

#[tokio::test]
async fn control_characters_and_nulls_are_kept_as_they_are() {
    let app = App::new();
    let odd = "a\u{0}b\n\t\u{7f}\u{200b}";
    let path = app
        .create(&json!({"name": odd, "p": odd, odd: "v", "tags": [odd]}))
        .await;
    let image = app.get(&path).await.json();
    assert_eq!(
        (&image["name"], &image["p"], &image[odd], &image["tags"]),
        (&json!(odd), &json!(odd), &json!("v"), &json!([odd]))
    );
    let found = app.get("/v2/images?name=a%00b%0A%09%7F%E2%80%8B").await.json();
    assert_eq!(found["images"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn tags_are_as_long_as_the_column() {
    let app = App::new();
    assert_eq!(both(&app, "tags", json!([long(255)])).await, [201, 200]);
    assert_eq!(both(&app, "tags", json!([long(256)])).await, [400, 400]);
    let path = app.create(&json!({})).await;
    let put = async |length| {
        let answer = app
            .call(Method::PUT, &format!("{path}/tags/{}", "a".repeat(length)))
            .await;
        answer.status.as_u16()
    };
    assert_eq!((put(255).await, put(256).await), (204, 400));
}

#[tokio::test]
async fn names_of_the_service_are_nobodys() {
    let app = App::new();
    for name in [
        "os_glance_import_task",
        "os_glance",
        "os_glances_own",
        "location",
        "deleted",
        "deleted_at",
    ] {
        for token in [MEMBER, ADMIN] {
            let made = app
                .json(Method::POST, "/v2/images", token, &json!({ name: "v" }))
                .await;
            assert_eq!(made.status, 403, "{name}");
        }
        let path = app.create(&json!({})).await;
        for op in ["add", "replace", "remove"] {
            let operation = json!([{"op": op, "path": format!("/{name}"), "value": "v"}]);
            for token in [MEMBER, "us:admin,member,reader"] {
                assert_eq!(
                    app.patch(&path, token, &operation).await.status,
                    403,
                    "{op} {name}"
                );
            }
        }
    }
    for name in ["my_os_glance", "os_glanc", "locations_too"] {
        assert_eq!(both(&app, name, json!("v")).await, [201, 200], "{name}");
    }
}

#[tokio::test]
async fn values_of_properties_are_texts() {
    let app = App::new();
    for value in [
        json!(1),
        json!(true),
        json!(null),
        json!(["a"]),
        json!({"a": "b"}),
    ] {
        assert_eq!(both(&app, "p", value.clone()).await, [400, 400], "{value}");
    }
}
