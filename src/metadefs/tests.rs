//! What is accepted, what is refused, and what follows.

use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_assert_eq, prop_oneof, proptest};
use serde_json::{Map, Value, json};

use super::*;
use crate::image::{Timestamp, Viewer};

fn at(micros: u64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn draft(value: Value) -> NamespaceDraft {
    NamespaceDraft::parse(value).unwrap()
}

fn refusal(value: Value) -> String {
    NamespaceDraft::parse(value).unwrap_err().to_string()
}

fn property(value: Value) -> Property {
    let body = json!({ "namespace": "n", "properties": { "p": value } });
    draft(body).properties.remove("p").unwrap()
}

/// With a title and a type, and what is given.
fn with(name: &str, value: Value) -> Value {
    let mut object = json!({ "title": "T", "type": "string" });
    object[name] = value;
    object
}

#[test]
fn a_namespace_needs_a_name_that_a_path_can_hold() {
    for name in ["", "a/b"] {
        assert!(refusal(json!({ "namespace": name })).contains("slash"), "{name}");
    }
    assert!(refusal(json!({})).contains("'namespace' is a required property"));
    draft(json!({ "namespace": "OS::Compute::A b?%é" }));
}

#[test]
fn names_and_descriptions_have_glances_lengths_in_characters() {
    let of = |name: &str, length: usize| json!({ "namespace": "n", name: "é".repeat(length) });
    for (name, max) in [("display_name", 80), ("description", 500), ("owner", 255)] {
        draft(of(name, max));
        assert!(refusal(of(name, max + 1)).contains(&format!("longer than {max}")));
    }
    draft(json!({ "namespace": "é".repeat(80) }));
    refusal(json!({ "namespace": "n".repeat(81) }));
    let long = "x".repeat(81);
    for (part, value) in [
        ("objects", json!([{ "name": long }])),
        ("tags", json!([{ "name": long }])),
        ("resource_type_associations", json!([{ "name": long }])),
        (
            "properties",
            json!({ long.clone(): { "title": "T", "type": "string" } }),
        ),
    ] {
        assert!(
            refusal(json!({ "namespace": "n", part: value })).contains("80"),
            "{part}"
        );
    }
}

#[test]
fn characters_that_glances_tables_cannot_hold_are_refused() {
    for body in [
        json!({ "namespace": "\u{1f600}" }),
        json!({ "namespace": "n", "description": "\u{1f600}" }),
        json!({ "namespace": "n", "properties": { "\u{1f600}": { "title": "T", "type": "string" } } }),
        json!({ "namespace": "n", "tags": [{ "name": "\u{1f600}" }] }),
    ] {
        assert!(refusal(body).contains("4 byte unicode"));
    }
}

#[test]
fn what_the_server_writes_is_refused_at_the_top_and_passed_over_within() {
    for name in ["self", "schema", "created_at", "updated_at"] {
        let refused = NamespaceDraft::parse(json!({ "namespace": "n", name: "x" }));
        assert_eq!(refused, Err(DraftError::ReadOnly(name)));
        assert!(ObjectDraft::parse(json!({ "name": "o", name: "x" })).is_err());
    }
    assert!(matches!(
        parse_property(json!({ "name": "p", "title": "T", "type": "string", "created_at": "x" })),
        Err(DraftError::ReadOnly("created_at"))
    ));
    let sent_back = draft(json!({
        "namespace": "n",
        "objects": [{ "name": "o", "self": "/", "schema": "/", "created_at": "x", "updated_at": "x" }],
        "resource_type_associations": [{ "name": "R", "created_at": "x" }],
        "tags": [{ "name": "t", "updated_at": "x" }],
    }));
    assert_eq!(sent_back.objects[0].name, "o");
}

#[test]
fn what_no_schema_has_is_refused_wherever_it_is() {
    for body in [
        json!({ "namespace": "n", "x": 1 }),
        json!({ "namespace": "n", "objects": [{ "name": "o", "x": 1 }] }),
        json!({ "namespace": "n", "tags": [{ "name": "o", "x": 1 }] }),
        json!({ "namespace": "n", "resource_type_associations": [{ "name": "o", "x": 1 }] }),
        json!({ "namespace": "n", "properties": { "p": with("x", json!(1)) } }),
        json!({ "namespace": "n", "properties": { "p": with("items", json!({ "type": "string", "x": 1 })) } }),
    ] {
        assert!(refusal(body).contains("'x' was unexpected"));
    }
}

#[test]
fn values_of_the_wrong_kind_are_refused() {
    let bodies = [
        json!([]),
        json!({ "namespace": 5 }),
        json!({ "namespace": "n", "protected": "yes" }),
        json!({ "namespace": "n", "visibility": "shared" }),
        json!({ "namespace": "n", "display_name": null }),
        json!({ "namespace": "n", "tags": ["x"] }),
        json!({ "namespace": "n", "tags": {} }),
        json!({ "namespace": "n", "objects": [{}] }),
        json!({ "namespace": "n", "objects": [{ "name": "o", "required": ["a", "a"] }] }),
        json!({ "namespace": "n", "properties": [] }),
    ];
    for body in bodies {
        assert!(NamespaceDraft::parse(body.clone()).is_err(), "{body}");
    }
    for (name, value) in [
        ("type", json!("bogus")),
        ("type", json!(null)),
        ("title", json!(1)),
        ("minLength", json!(-1)),
        ("maxLength", json!(1.5)),
        ("minimum", json!("1")),
        ("operators", json!([1])),
        ("enum", json!("a")),
        ("readonly", json!(1)),
        ("items", json!({ "enum": [] })),
        ("items", json!([])),
    ] {
        let body = json!({ "namespace": "n", "properties": { "p": with(name, value) } });
        assert!(NamespaceDraft::parse(body.clone()).is_err(), "{body}");
    }
    assert!(parse_property(json!({ "title": "T", "type": "string" })).is_err());
    assert!(parse_tags(json!({})).is_err());
    assert!(parse_tag(json!({ "name": 1 })).is_err());
}

#[test]
fn defaults_are_text_as_glance_gives_them() {
    for (given, shown) in [
        (json!(8), json!("8")),
        (json!(1.5), json!("1.5")),
        (json!(true), json!("True")),
        (json!(false), json!("False")),
        (json!("é"), json!("é")),
        (json!(null), json!(null)),
        (json!(["a"]), json!(["a"])),
    ] {
        assert_eq!(property(with("default", given)).default, Some(shown));
    }
}

#[test]
fn numbers_without_fraction_are_integers() {
    let shown = property(json!({
        "title": "T", "type": "number", "minimum": 1.5, "maximum": 5.0, "minLength": 2.0, "maxLength": 3,
    }));
    assert_eq!(
        shown.to_json(),
        r#"{"type":"number","title":"T","minimum":1.5,"maximum":5,"minLength":2,"maxLength":3}"#
    );
    let large = property(with("maximum", json!(1e300)));
    assert_eq!(large.maximum.unwrap().as_f64(), Some(1e300));
}

proptest! {
    #[test]
    fn numbers_do_not_drift_when_they_are_stored(minimum in proptest::num::f64::NORMAL) {
        let stored = property(with("minimum", json!(minimum)));
        let again: Property = serde_json::from_str(&stored.to_json()).unwrap();
        prop_assert_eq!(again, stored);
    }
}

#[test]
fn a_property_is_written_in_glances_order() {
    let all = json!({
        "required": ["a"], "additionalItems": false, "maxItems": 2, "minItems": 1, "uniqueItems": true,
        "items": { "enum": ["x"], "type": "string" }, "confidential": true, "maxLength": 4, "minLength": 3,
        "pattern": "^a", "enum": ["a", null, 1], "maximum": 6, "minimum": 5, "readonly": true, "default": "d",
        "operators": ["<in>"], "description": "e", "title": "T", "type": "array", "name": "p",
    });
    assert_eq!(
        property(all).to_json(),
        concat!(
            r#"{"name":"p","type":"array","title":"T","description":"e","operators":["<in>"],"default":"d","readonly":true,"#,
            r#""minimum":5,"maximum":6,"enum":["a",null,1],"pattern":"^a","minLength":3,"maxLength":4,"confidential":true,"#,
            r#""items":{"type":"string","enum":["x"]},"uniqueItems":true,"minItems":1,"maxItems":2,"#,
            r#""additionalItems":false,"required":["a"]}"#
        )
    );
}

#[test]
fn a_name_is_in_a_namespace_once() {
    for (part, value, kind) in [
        ("objects", json!([{ "name": "a" }, { "name": "a" }]), Kind::Object),
        ("tags", json!([{ "name": "a" }, { "name": "a" }]), Kind::Tag),
        (
            "resource_type_associations",
            json!([{ "name": "a" }, { "name": "a" }]),
            Kind::ResourceType,
        ),
    ] {
        let draft = draft(json!({ "namespace": "n", part: value }));
        let duplicate = Namespace::new(draft, None, at(1)).unwrap_err();
        assert_eq!((duplicate.kind, duplicate.name.as_str()), (kind, "a"));
    }
    let mut namespace = Namespace::new(draft(json!({ "namespace": "n" })), None, at(1)).unwrap();
    namespace.add_tags(vec!["a".into(), "A".into()], at(1)).unwrap();
    assert!(namespace.rename_tag("a", "A".into(), at(2)).is_err());
    assert!(namespace.rename_tag("a", "a".into(), at(2)).unwrap());
    assert!(!namespace.rename_tag("b", "c".into(), at(2)).unwrap());
    assert_eq!(namespace.tag("a").unwrap().updated_at, Some(at(2)));
    assert_eq!(namespace.tag("a").unwrap().created_at, at(1));
}

#[test]
fn properties_are_named_for_a_resource_type_by_its_prefix() {
    let namespace = Namespace::new(
        draft(json!({
            "namespace": "n",
            "resource_type_associations": [{ "name": "R", "prefix": "hw_" }, { "name": "S" }],
            "properties": { "p": { "title": "T", "type": "string" } },
            "objects": [{ "name": "o", "required": ["q"], "properties": { "q": { "title": "T", "type": "string" } } }],
        })),
        None,
        at(1),
    )
    .unwrap();
    for other in ["S", "nothing"] {
        let mut named = namespace.clone();
        named.name_for(other);
        assert_eq!(named, namespace);
    }
    let mut named = namespace;
    named.name_for("R");
    assert!(named.properties.contains_key("hw_p"));
    assert!(named.objects["o"].properties.contains_key("hw_q"));
    assert_eq!(named.objects["o"].required, ["hw_q"]);
}

#[test]
fn a_private_namespace_is_there_for_its_owner_and_administrators() {
    let private = Namespace::new(draft(json!({ "namespace": "n" })), Some("me"), at(1)).unwrap();
    let sees = |viewer| private.head.is_visible_to(&viewer);
    assert!(sees(Viewer::Project("me".into())));
    assert!(!sees(Viewer::Project("them".into())));
    assert!(sees(Viewer::Admin(Some("cloud".into()))));
}

#[test]
fn tags_are_paged_after_the_marker() {
    let mut namespace = Namespace::new(draft(json!({ "namespace": "n" })), None, at(1)).unwrap();
    let names = ["c", "d", "B", "b"].map(str::to_owned);
    namespace.add_tags(names.into(), at(2)).unwrap();
    let page = |order, after, limit| {
        let page = page_of_tags(&namespace.tags, order, after, limit);
        page.map(|tags| tags.into_iter().map(|tag| tag.name.as_str()).collect::<Vec<_>>())
    };
    let newest = (TagKey::CreatedAt, Direction::Descending);
    assert_eq!(page(newest, None, None).unwrap(), ["b", "B", "d", "c"]);
    assert_eq!(page(newest, Some("B"), Some(1)).unwrap(), ["d"]);
    assert_eq!(page(newest, Some("nothing"), None), None);
    let named = (TagKey::Name, Direction::Ascending);
    assert_eq!(page(named, None, None).unwrap(), ["B", "b", "c", "d"]);
    assert!(page(named, None, Some(0)).unwrap().is_empty());
}

/// Any JSON, with the names that mean something.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a\u{1f600}é/]{0,3}".prop_map(Value::from),
        Just(json!("string")),
    ];
    leaf.prop_recursive(5, 64, 6, |inner| {
        let names = proptest::sample::select(vec![
            "namespace",
            "name",
            "title",
            "type",
            "properties",
            "objects",
            "tags",
            "enum",
            "items",
            "default",
            "required",
            "minimum",
            "maxLength",
            "resource_type_associations",
            "prefix",
            "visibility",
            "x",
        ]);
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((names, inner), 0..6).prop_map(|members| {
                let members = members.into_iter().map(|(name, value)| (name.to_owned(), value));
                Value::Object(members.collect::<Map<_, _>>())
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn no_body_panics(body in anything()) {
        let _ = ObjectDraft::parse(body.clone());
        let _ = AssociationDraft::parse(body.clone());
        let _ = parse_tags(body.clone());
        let _ = NamespaceDraft::parse_file(body.clone());
        if let Ok((_, property)) = parse_property(body.clone()) {
            let again: Property = serde_json::from_str(&property.to_json()).unwrap();
            prop_assert_eq!(again, property);
        }
        let mut named = json!({ "namespace": "n", "objects": [], "tags": [] });
        named["properties"] = body;
        let _ = NamespaceDraft::parse(named);
    }
}
