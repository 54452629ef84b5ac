//! Metadata definitions over HTTP, through the whole daemon.

use super::identity::{add_project, add_user};
use crate::harness::{Answer, Body, Client, Daemon};
use serde_json::{Value, json};

const NAMESPACES: &str = "/v2/metadefs/namespaces";

fn full(name: &str) -> Value {
    json!({
        "namespace": name, "display_name": "Full", "description": "d", "visibility": "public", "protected": false,
        "resource_type_associations": [
            { "name": "OS::Glance::Image", "prefix": "hw_", "properties_target": "image" },
            { "name": "OS::Nova::Flavor" },
        ],
        "properties": {
            "b": { "title": "B", "type": "integer", "default": 3, "maximum": 5.0 },
            "a": { "title": "A", "type": "array", "items": { "type": "string", "enum": ["x"] } },
        },
        "objects": [{
            "name": "o1", "required": ["p1"], "properties": { "p1": { "title": "P1", "type": "string" } },
        }, { "name": "o2" }],
        "tags": [{ "name": "t1" }, { "name": "T2" }],
    })
}

fn put(client: &Client, path: &str, body: &Value) -> Answer {
    client.request("PUT", path, &[], Body::Json(body))
}

fn of(namespace: &str, rest: &str) -> String {
    format!("{NAMESPACES}/{namespace}{rest}")
}

#[track_caller]
fn message(answer: Answer, status: u16) -> String {
    let answer = answer.expect_status(status);
    String::from_utf8(answer.body).unwrap()
}

/// A member of another project, whose namespaces are not the administrator's.
fn member(daemon: &Daemon) -> Client {
    add_project(daemon, "theirs");
    add_user(daemon, "someone", "theirs", "member")
}

#[test]
fn a_namespace_with_all_that_is_in_it_is_made_at_once() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let answer = admin.post(NAMESPACES, &full("NS::Full")).expect_status(201);
    assert!(
        answer
            .header("location")
            .ends_with("/v2/metadefs/namespaces/NS::Full")
    );
    let made = answer.json();
    let shown = admin.get(&of("NS::Full", "")).expect_status(200);
    assert_eq!(shown.json(), made);
    // Glance's order.
    let text = String::from_utf8(shown.body.clone()).unwrap();
    let places: Vec<_> = [
        "\"namespace\"",
        "\"display_name\"",
        "\"description\"",
        "\"visibility\"",
        "\"protected\"",
        "\"owner\"",
        "\"created_at\"",
        "\"updated_at\"",
        "\"resource_type_associations\"",
        "\"properties\":{\"a\"",
        "\"objects\"",
        "\"tags\"",
        "\"self\":\"/v2/metadefs/namespaces/NS::Full\"}",
        "\"schema\":\"/v2/schemas/metadefs/namespace\"}",
    ]
    .iter()
    .map(|part| {
        text.find(part.trim_end_matches('}'))
            .unwrap_or_else(|| panic!("no {part} in {text}"))
    })
    .collect();
    assert!(places.is_sorted(), "{text}");

    assert_eq!(made["tags"], json!([{ "name": "T2" }, { "name": "t1" }]));
    let time = &made["created_at"];
    assert_eq!(
        made["objects"][1],
        json!({
            "name": "o2", "required": [], "properties": {}, "created_at": time, "updated_at": time,
            "self": "/v2/metadefs/namespaces/NS::Full/objects/o2", "schema": "/v2/schemas/metadefs/object",
        })
    );
    assert_eq!(
        made["properties"]["b"],
        json!({ "type": "integer", "title": "B", "default": "3", "maximum": 5 })
    );
    assert_eq!(
        made["resource_type_associations"][1],
        json!({ "name": "OS::Nova::Flavor", "created_at": time, "updated_at": time })
    );

    let again = message(admin.post(NAMESPACES, &full("NS::Full")), 409);
    assert!(again.contains("already exists"), "{again}");
    let mut broken = full("broken");
    broken["tags"] = json!([{ "name": "a" }, { "name": "a" }]);
    admin.post(NAMESPACES, &broken).expect_status(409);
    admin.get(&of("broken", "")).expect_status(404);
}

#[test]
fn properties_are_named_as_on_the_resource_that_is_asked_for() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    admin.post(NAMESPACES, &full("N")).expect_status(201);
    let named = admin.get(&of("N", "?resource_type=OS::Glance::Image")).json();
    assert!(named["properties"]["hw_a"].is_object() && named["properties"].get("a").is_none());
    assert_eq!(named["objects"][0]["required"], json!(["hw_p1"]));
    let one =
        |name: &str, kind: &str| admin.get(&of("N", &format!("/properties/{name}?resource_type={kind}")));
    assert_eq!(
        one("hw_a", "OS::Glance::Image").expect_status(200).json()["name"],
        "a"
    );
    one("a", "OS::Glance::Image").expect_status(404);
    one("a", "nothing").expect_status(404);
    // Glance fails on parameters that it does not know.
    admin.get(&of("N", "/properties/a?x=1")).expect_status(200);
    admin.get(&of("N", "?x=1")).expect_status(200);
}

#[test]
fn a_namespace_is_changed_renamed_and_deleted_with_what_is_in_it() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    admin.post(NAMESPACES, &full("old")).expect_status(201);
    admin
        .post(NAMESPACES, &json!({ "namespace": "other" }))
        .expect_status(201);
    let changed = put(
        &admin,
        &of("old", ""),
        &json!({ "namespace": "new", "description": "e", "tags": [] }),
    );
    let changed = changed.expect_status(200).json();
    assert_eq!(changed["description"], "e");
    assert_eq!(
        changed["visibility"], "private",
        "what is left out is as in a new one"
    );
    assert!(changed.get("display_name").is_none() && changed.get("objects").is_none());
    admin.get(&of("old", "")).expect_status(404);
    let shown = admin.get(&of("new", "")).expect_status(200).json();
    assert_eq!(
        shown["objects"][0]["self"],
        "/v2/metadefs/namespaces/new/objects/o1"
    );
    assert_eq!(shown["tags"].as_array().unwrap().len(), 2);
    put(&admin, &of("new", ""), &json!({ "namespace": "other" })).expect_status(409);
    put(&admin, &of("nothing", ""), &json!({ "namespace": "x" })).expect_status(404);
    put(
        &admin,
        &of("new", ""),
        &json!({ "namespace": "new", "schema": "x" }),
    )
    .expect_status(403);
    admin.delete(&of("new", "")).expect_status(204);
    admin.get(&of("new", "/objects")).expect_status(404);
    admin.delete(&of("new", "")).expect_status(404);
    let types = admin.get("/v2/metadefs/resource_types").expect_status(200).json();
    assert_eq!(types["resource_types"].as_array().unwrap().len(), 2);
}

#[test]
fn nothing_of_a_protected_namespace_is_deleted() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let mut body = full("P");
    body["protected"] = json!(true);
    admin.post(NAMESPACES, &body).expect_status(201);
    let before = admin.get(&of("P", "")).json();
    for rest in [
        "",
        "/objects",
        "/properties",
        "/tags",
        "/objects/o1",
        "/properties/a",
        "/tags/t1",
        "/resource_types/OS::Nova::Flavor",
    ] {
        let refused = message(admin.delete(&of("P", rest)), 403);
        assert!(
            refused.contains("is protected and cannot be deleted"),
            "{refused}"
        );
    }
    admin.delete(&of("P", "/tags/nothing")).expect_status(404);
    assert_eq!(admin.get(&of("P", "")).json(), before);
    put(
        &admin,
        &of("P", ""),
        &json!({ "namespace": "P", "protected": false }),
    )
    .expect_status(200);
    for rest in [
        "/objects/o1",
        "/properties/a",
        "/tags/t1",
        "/resource_types/OS::Nova::Flavor",
        "/tags",
        "",
    ] {
        admin.delete(&of("P", rest)).expect_status(204);
    }
}

#[test]
fn objects_are_made_listed_replaced_and_deleted() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    admin
        .post(NAMESPACES, &json!({ "namespace": "N" }))
        .expect_status(201);
    let objects = of("N", "/objects");
    let made = admin.post(
        &objects,
        &json!({ "name": "o", "description": "d", "properties": { "p": { "title": "P", "type": "string" } } }),
    );
    let made = made.expect_status(201).json();
    assert_eq!(made["self"], "/v2/metadefs/namespaces/N/objects/o");
    admin.post(&objects, &json!({ "name": "o" })).expect_status(409);
    admin.post(&objects, &json!({ "name": "a" })).expect_status(201);
    admin.post(&objects, &json!({})).expect_status(400);
    admin
        .post(&objects, &json!({ "name": "x", "foo": 1 }))
        .expect_status(400);
    admin
        .post(&objects, &json!({ "name": "x", "self": "x" }))
        .expect_status(403);
    admin
        .post(&of("nothing", "/objects"), &json!({ "name": "x" }))
        .expect_status(404);
    let list = admin.get(&objects).expect_status(200).json();
    assert_eq!(list["schema"], "v2/schemas/metadefs/objects");
    assert_eq!(list["objects"][1], made);
    assert_eq!(list["objects"][0]["name"], "a");
    for query in ["limit=0", "limit=x", "sort_dir=up", "visibility=x"] {
        admin.get(&format!("{objects}?{query}")).expect_status(400);
    }
    put(&admin, &of("N", "/objects/o"), &json!({ "name": "a" })).expect_status(409);
    put(&admin, &of("N", "/objects/nothing"), &json!({ "name": "b" })).expect_status(404);
    let renamed = put(&admin, &of("N", "/objects/o"), &json!({ "name": "b" }))
        .expect_status(200)
        .json();
    assert_eq!(renamed["properties"], json!({}));
    assert_eq!(renamed["created_at"], made["created_at"]);
    admin.get(&of("N", "/objects/o")).expect_status(404);
    admin.get(&of("N", "/objects/b")).expect_status(200);
    admin.delete(&of("N", "/objects/b")).expect_status(204);
    admin.delete(&of("N", "/objects/b")).expect_status(404);
    admin.delete(&objects).expect_status(204);
    assert_eq!(admin.get(&objects).json()["objects"], json!([]));
}

#[test]
fn properties_are_made_listed_replaced_and_deleted() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    admin
        .post(NAMESPACES, &json!({ "namespace": "N" }))
        .expect_status(201);
    let properties = of("N", "/properties");
    let p = json!({ "name": "p", "title": "P", "type": "string", "enum": ["a"] });
    let made = admin.post(&properties, &p).expect_status(201).json();
    assert_eq!(made, p);
    admin.post(&properties, &p).expect_status(409);
    admin
        .post(&properties, &json!({ "title": "P", "type": "string" }))
        .expect_status(400);
    admin
        .post(&properties, &json!({ "name": "x", "title": "P", "type": "x" }))
        .expect_status(400);
    assert_eq!(admin.get(&properties).json(), json!({ "properties": { "p": p } }));
    assert_eq!(admin.get(&of("N", "/properties/p")).json(), p);
    let q = json!({ "name": "q", "title": "Q", "type": "integer" });
    admin.post(&properties, &q).expect_status(201);
    put(&admin, &of("N", "/properties/q"), &p).expect_status(409);
    put(&admin, &of("N", "/properties/nothing"), &p).expect_status(404);
    let r = json!({ "name": "r", "title": "R", "type": "integer" });
    assert_eq!(
        put(&admin, &of("N", "/properties/q"), &r)
            .expect_status(200)
            .json(),
        r
    );
    admin.get(&of("N", "/properties/q")).expect_status(404);
    admin.delete(&of("N", "/properties/r")).expect_status(204);
    admin.delete(&properties).expect_status(204);
    assert_eq!(admin.get(&properties).json(), json!({ "properties": {} }));
}

#[test]
fn tags_are_made_paged_replaced_and_appended() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    admin
        .post(NAMESPACES, &json!({ "namespace": "N" }))
        .expect_status(201);
    let tags = of("N", "/tags");
    let names = |query: &str| {
        let list = admin.get(&format!("{tags}{query}")).expect_status(200).json();
        let names = list["tags"].as_array().unwrap().iter();
        names
            .map(|tag| tag["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let post = |rest: &str| admin.request("POST", &of("N", rest), &[], Body::None);
    let made = post("/tags/a").expect_status(201).json();
    assert_eq!(admin.get(&of("N", "/tags/a")).json(), made);
    post("/tags/a").expect_status(409);
    post(&format!("/tags/{}", "x".repeat(81))).expect_status(400);
    admin
        .post(&of("N", "/tags/b"), &json!({ "name": "b" }))
        .expect_status(400);
    let renamed = put(&admin, &of("N", "/tags/a"), &json!({ "name": "b" }))
        .expect_status(200)
        .json();
    assert_eq!(renamed["created_at"], made["created_at"]);
    put(&admin, &of("N", "/tags/a"), &json!({ "name": "c" })).expect_status(404);

    let many = json!({ "tags": [{ "name": "c" }, { "name": "d" }, { "name": "B" }] });
    let answer = admin.post(&tags, &many).expect_status(201).json();
    assert_eq!(answer, many);
    assert_eq!(names(""), ["B", "d", "c"], "they took the place of b");
    let append =
        |body: &Value| admin.request("POST", &tags, &[("X-Openstack-Append", "True")], Body::Json(body));
    append(&json!({ "tags": [{ "name": "e" }] })).expect_status(201);
    append(&json!({ "tags": [{ "name": "f" }, { "name": "e" }] })).expect_status(409);
    assert_eq!(names(""), ["e", "B", "d", "c"]);
    admin
        .post(&tags, &json!({ "tags": [{ "name": "g" }, { "name": "g" }] }))
        .expect_status(409);
    admin.post(&tags, &json!({ "tags": [] })).expect_status(201);
    assert_eq!(names("?limit=2"), ["e", "B"]);
    assert_eq!(names("?limit=2&marker=B"), ["d", "c"]);
    assert_eq!(names("?sort_key=name&sort_dir=asc"), ["B", "c", "d", "e"]);
    admin.get(&format!("{tags}?marker=nothing")).expect_status(404);
    for query in [
        "limit=-1",
        "limit=x",
        "sort_key=bogus",
        "sort_dir=x",
        "visibility=x",
    ] {
        admin.get(&format!("{tags}?{query}")).expect_status(400);
    }
    for body in [
        json!({}),
        json!({ "tags": [{}] }),
        json!({ "tags": [{ "name": "h", "x": 1 }] }),
        json!([]),
    ] {
        admin.post(&tags, &body).expect_status(400);
    }
    admin.delete(&of("N", "/tags/e")).expect_status(204);
    admin.delete(&tags).expect_status(204);
    assert!(names("").is_empty());
}

#[test]
fn resource_types_are_associated_and_remembered() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    admin
        .post(NAMESPACES, &json!({ "namespace": "N" }))
        .expect_status(201);
    let types = of("N", "/resource_types");
    let made = admin
        .post(&types, &json!({ "name": "R", "prefix": "x:" }))
        .expect_status(201)
        .json();
    assert_eq!(made["prefix"], "x:");
    admin.post(&types, &json!({ "name": "R" })).expect_status(409);
    admin.post(&types, &json!({})).expect_status(400);
    admin
        .post(&types, &json!({ "name": "S", "created_at": "x" }))
        .expect_status(403);
    assert_eq!(
        admin.get(&types).json(),
        json!({ "resource_type_associations": [made] })
    );
    admin.delete(&of("N", "/resource_types/R")).expect_status(204);
    let gone = message(admin.delete(&of("N", "/resource_types/R")), 404);
    assert!(gone.contains("Failed to find resource type R"), "{gone}");
    let all = admin.get("/v2/metadefs/resource_types").json();
    assert_eq!(all["resource_types"][0]["name"], "R");
}

#[test]
fn namespaces_are_listed_in_pages() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    for number in 0..5 {
        let visibility = if number % 2 == 0 { "private" } else { "public" };
        let body = json!({
            "namespace": format!("n{number}"), "visibility": visibility,
            "resource_type_associations": [{ "name": format!("R{}", number % 2) }],
        });
        admin.post(NAMESPACES, &body).expect_status(201);
    }
    let page = |query: &str| {
        admin
            .get(&format!("{NAMESPACES}?{query}"))
            .expect_status(200)
            .json()
    };
    let names = |page: &Value| {
        let all = page["namespaces"].as_array().unwrap().iter();
        all.map(|namespace| namespace["namespace"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let first = page("limit=2");
    assert_eq!(names(&first), ["n4", "n3"]);
    assert_eq!(first["first"], "/v2/metadefs/namespaces?limit=2");
    assert_eq!(first["next"], "/v2/metadefs/namespaces?limit=2&marker=n3");
    assert_eq!(first["schema"], "/v2/schemas/metadefs/namespaces");
    assert_eq!(
        first["namespaces"][0]["resource_type_associations"][0]["name"],
        "R0"
    );
    let second = admin.get(first["next"].as_str().unwrap()).json();
    assert_eq!(names(&second), ["n2", "n1"]);
    let third = admin.get(second["next"].as_str().unwrap()).json();
    assert_eq!(names(&third), ["n0"]);
    assert!(third.get("next").is_none());
    assert_eq!(names(&page("visibility=public")), ["n3", "n1"]);
    assert_eq!(
        names(&page("resource_types=R1,other&sort_key=namespace&sort_dir=asc")),
        ["n1", "n3"]
    );
    assert_eq!(names(&page("x=y&limit=1&limit=3")), ["n4"]);
    assert!(names(&page("limit=0")).is_empty() && names(&page("visibility=")).is_empty());
    admin
        .get(&format!("{NAMESPACES}?marker=nothing"))
        .expect_status(404);
    for query in [
        "limit=-1",
        "limit=x",
        "limit=",
        "sort_key=bogus",
        "sort_dir=x",
        "visibility=shared",
    ] {
        admin.get(&format!("{NAMESPACES}?{query}")).expect_status(400);
    }
}

#[test]
fn members_read_what_is_public_or_theirs_and_change_nothing() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let member = member(&daemon);
    admin.post(NAMESPACES, &full("public")).expect_status(201);
    admin
        .post(NAMESPACES, &json!({ "namespace": "private" }))
        .expect_status(201);
    let project = member.create(&json!({ "name": "mine" }))["owner"]
        .as_str()
        .unwrap()
        .to_owned();
    admin
        .post(NAMESPACES, &json!({ "namespace": "theirs", "owner": project }))
        .expect_status(201);

    let list = member.get(NAMESPACES).expect_status(200).json();
    let mut names: Vec<_> = list["namespaces"]
        .as_array()
        .unwrap()
        .iter()
        .map(|n| n["namespace"].clone())
        .collect();
    names.sort_by_key(Value::to_string);
    assert_eq!(names, ["public", "theirs"]);
    for rest in [
        "",
        "/objects",
        "/objects/o1",
        "/properties",
        "/properties/a",
        "/tags",
        "/tags/t1",
        "/resource_types",
    ] {
        member.get(&of("public", rest)).expect_status(200);
        member.get(&of("private", rest)).expect_status(404);
    }
    member.get(&of("theirs", "")).expect_status(200);
    member
        .get(&format!("{NAMESPACES}?marker=private"))
        .expect_status(404);
    member.get("/v2/metadefs/resource_types").expect_status(200);

    let refused = message(member.post(NAMESPACES, &json!({ "namespace": "x" })), 403);
    assert!(
        refused.contains("You are not authorized to complete add_metadef_namespace action."),
        "{refused}"
    );
    for (namespace, status) in [
        ("public", 403),
        ("theirs", 403),
        ("private", 404),
        ("nothing", 404),
    ] {
        put(&member, &of(namespace, ""), &json!({ "namespace": "x" })).expect_status(status);
        member.delete(&of(namespace, "")).expect_status(status);
        member.delete(&of(namespace, "/tags")).expect_status(status);
        member
            .post(&of(namespace, "/objects"), &json!({ "name": "x" }))
            .expect_status(status);
        member
            .post(&of(namespace, "/resource_types"), &json!({ "name": "x" }))
            .expect_status(status);
        member
            .post(&of(namespace, "/tags"), &json!({ "tags": [{ "name": "x" }] }))
            .expect_status(status);
    }
    daemon.anonymous().get(NAMESPACES).expect_status(401);
}

#[test]
fn wrong_methods_and_unexpected_bodies_are_told() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    admin.post(NAMESPACES, &full("N")).expect_status(201);
    let all = [
        (NAMESPACES.to_owned(), "GET, POST"),
        (of("N", ""), "GET, PUT, DELETE"),
        (of("N", "/objects"), "GET, POST, DELETE"),
        (of("N", "/objects/o1"), "GET, PUT, DELETE"),
        (of("N", "/properties"), "GET, POST, DELETE"),
        (of("N", "/properties/a"), "GET, PUT, DELETE"),
        (of("N", "/tags"), "GET, POST, DELETE"),
        (of("N", "/tags/t1"), "GET, POST, PUT, DELETE"),
        (of("N", "/resource_types"), "GET, POST"),
        (of("N", "/resource_types/R"), "DELETE"),
        ("/v2/metadefs/resource_types".to_owned(), "GET"),
        ("/v2/schemas/metadefs/tag".to_owned(), "GET"),
    ];
    for (path, allow) in &all {
        for method in ["PATCH", "HEAD"] {
            let answer = admin.request(method, path, &[], Body::None).expect_status(405);
            assert_eq!(answer.header("allow"), *allow, "{path}");
        }
    }
    let body = json!({ "x": 1 });
    for rest in [
        "",
        "/objects/o1",
        "/tags/t1",
        "/tags",
        "/objects",
        "/properties",
        "/resource_types/R",
    ] {
        admin
            .request("DELETE", &of("N", rest), &[], Body::Json(&body))
            .expect_status(400);
    }
    admin.get(&of("N", "/tags/a%2Fb")).expect_status(404);
    admin.get("/v2/metadefs").expect_status(404);
    for path in [NAMESPACES.to_owned(), of("N", "/objects"), of("N", "/tags")] {
        admin.post(&path, &json!([])).expect_status(400);
        admin.request("POST", &path, &[], Body::None).expect_status(400);
    }
}

#[test]
fn every_schema_names_what_clients_make_their_models_of() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    for (path, name, members) in [
        (
            "namespace",
            "namespace",
            &["namespace", "visibility", "properties", "objects", "tags", "self"][..],
        ),
        (
            "resource_type",
            "resource_type_association",
            &["name", "prefix", "properties_target"],
        ),
        (
            "property",
            "property",
            &["name", "title", "type", "enum", "minLength", "items"],
        ),
        (
            "object",
            "object",
            &["name", "required", "properties", "created_at"],
        ),
        ("tag", "tag", &["name", "created_at", "updated_at"]),
    ] {
        let schema = admin
            .get(&format!("/v2/schemas/metadefs/{path}"))
            .expect_status(200)
            .json();
        assert_eq!(schema["name"], name);
        assert_eq!(schema["additionalProperties"], false);
        for member in members {
            assert!(schema["properties"][member].is_object(), "{path}: {member}");
        }
        let refers = schema["properties"].to_string().contains("#/definitions/");
        assert_eq!(schema["definitions"].is_object(), refers, "{path}");
    }
    for (path, name) in [
        ("namespaces", "namespaces"),
        ("resource_types", "resource_type_associations"),
        ("objects", "objects"),
        ("tags", "tags"),
    ] {
        let schema = admin
            .get(&format!("/v2/schemas/metadefs/{path}"))
            .expect_status(200)
            .json();
        assert_eq!(schema["name"], name);
        assert!(
            schema["properties"][name]["items"]["properties"]["name"].is_object() || path == "namespaces"
        );
        assert_eq!(schema["links"][2]["rel"], "describedby");
    }
    let properties = admin.get("/v2/schemas/metadefs/properties").json();
    let item = &properties["properties"]["properties"]["additionalProperties"];
    assert_eq!(item["required"], json!(["type", "title"]));
    admin.get("/v2/schemas/metadefs/bogus").expect_status(404);
}

#[test]
fn definitions_survive_a_restart() {
    let mut daemon = Daemon::fresh();
    daemon.admin().post(NAMESPACES, &full("N")).expect_status(201);
    let before = daemon.admin().get(&of("N", "")).json();
    daemon.kill();
    daemon.start();
    assert_eq!(daemon.admin().get(&of("N", "")).expect_status(200).json(), before);
}
