//! JSON schemas of metadata definitions (Glance 33, `api/v2/metadef_*.py`). glanceclient makes its models of them.

use axum::{Json, Router, routing::get};
use serde_json::{Map, Value, json};

use crate::http::{State, body::NoBody, resource::resource};

type Document = fn() -> Value;

const DOCUMENTS: [(&str, Document); 10] = [
    ("/v2/schemas/metadefs/namespace", || NAMESPACE.document()),
    ("/v2/schemas/metadefs/namespaces", || {
        collection("namespaces", &NAMESPACE)
    }),
    ("/v2/schemas/metadefs/resource_type", || ASSOCIATION.document()),
    ("/v2/schemas/metadefs/resource_types", || {
        collection("resource_type_associations", &ASSOCIATION)
    }),
    ("/v2/schemas/metadefs/property", || PROPERTY.document()),
    ("/v2/schemas/metadefs/properties", || {
        dictionary("properties", &PROPERTY_OF_SEVERAL)
    }),
    ("/v2/schemas/metadefs/object", || OBJECT.document()),
    ("/v2/schemas/metadefs/objects", || collection("objects", &OBJECT)),
    ("/v2/schemas/metadefs/tag", || TAG.document()),
    ("/v2/schemas/metadefs/tags", || collection("tags", &TAG)),
];

pub(super) fn routes() -> Router<State> {
    let route = |router: Router<State>, (path, document): (&str, Document)| {
        router.route(
            path,
            resource("GET", get(async move |_: NoBody| Json(document()))),
        )
    };
    DOCUMENTS.into_iter().fold(Router::new(), route)
}

/// One kind of thing.
struct Schema {
    name: &'static str,
    properties: fn() -> Value,
    required: &'static [&'static str],
    /// What its properties refer to.
    definitions: fn() -> Value,
}

const NAMESPACE: Schema = Schema {
    name: "namespace",
    properties: namespace,
    required: &["namespace"],
    definitions,
};
const OBJECT: Schema = Schema {
    name: "object",
    properties: object,
    required: &["name"],
    definitions,
};
const PROPERTY: Schema = Schema {
    name: "property",
    properties: property,
    required: &["type", "title", "name"],
    definitions: property_definitions,
};
/// In a dictionary, the name is the key.
const PROPERTY_OF_SEVERAL: Schema = Schema {
    required: &["type", "title"],
    ..PROPERTY
};
const ASSOCIATION: Schema = Schema {
    name: "resource_type_association",
    properties: association,
    required: &["name"],
    definitions: || Value::Null,
};
const TAG: Schema = Schema {
    name: "tag",
    properties: tag,
    required: &["name"],
    definitions: || Value::Null,
};

impl Schema {
    fn item(&self) -> Map<String, Value> {
        let members = [
            ("name", json!(self.name)),
            ("properties", (self.properties)()),
            ("additionalProperties", json!(false)),
            ("required", json!(self.required)),
        ];
        members
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    fn document(&self) -> Value {
        self.with_definitions(self.item())
    }

    fn with_definitions(&self, mut document: Map<String, Value>) -> Value {
        let definitions = (self.definitions)();
        if !definitions.is_null() {
            document.insert("definitions".to_owned(), definitions);
        }
        Value::Object(document)
    }
}

fn collection(name: &str, schema: &Schema) -> Value {
    several(name, schema, json!({ "type": "array", "items": schema.item() }))
}

fn dictionary(name: &str, schema: &Schema) -> Value {
    several(
        name,
        schema,
        json!({ "type": "object", "additionalProperties": schema.item() }),
    )
}

fn several(name: &str, schema: &Schema, items: Value) -> Value {
    let properties = json!({
        name: items,
        "first": { "type": "string" },
        "next": { "type": "string" },
        "schema": { "type": "string" },
    });
    let links = json!([
        { "rel": "first", "href": "{first}" },
        { "rel": "next", "href": "{next}" },
        { "rel": "describedby", "href": "{schema}" },
    ]);
    let members = [
        ("name", json!(name)),
        ("properties", properties),
        ("links", links),
    ];
    let document = members.into_iter().map(|(name, value)| (name.to_owned(), value));
    schema.with_definitions(document.collect())
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn described(description: &str, max: u32) -> Value {
    json!({ "type": "string", "description": description, "maxLength": max })
}

fn time(description: &str) -> Value {
    json!({ "type": "string", "readOnly": true, "description": description, "format": "date-time" })
}

fn link() -> Value {
    json!({ "readOnly": true, "type": "string" })
}

fn namespace() -> Value {
    json!({
        "namespace": described("The unique namespace text.", 80),
        "display_name": described("The user friendly name for the namespace. Used by UI if available.", 80),
        "description": described("Provides a user friendly description of the namespace.", 500),
        "visibility": {
            "type": "string",
            "description": "Scope of namespace accessibility.",
            "enum": ["public", "private"],
        },
        "protected": { "type": "boolean", "description": "If true, namespace will not be deletable." },
        "owner": described("Owner of the namespace.", 255),
        "created_at": time("Date and time of namespace creation"),
        "updated_at": time("Date and time of the last namespace modification"),
        "schema": link(),
        "self": link(),
        "resource_type_associations": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": { "name": text(), "prefix": text(), "properties_target": text() },
            },
        },
        "properties": { "$ref": "#/definitions/property" },
        "objects": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "name": text(),
                    "description": text(),
                    "required": { "$ref": "#/definitions/stringArray" },
                    "properties": { "$ref": "#/definitions/property" },
                },
            },
        },
        "tags": { "type": "array", "items": { "type": "object", "properties": { "name": text() } } },
    })
}

fn object() -> Value {
    json!({
        "name": { "type": "string", "maxLength": 80 },
        "description": text(),
        "required": { "$ref": "#/definitions/stringArray" },
        "properties": { "$ref": "#/definitions/property" },
        "schema": link(),
        "self": link(),
        "created_at": time("Date and time of object creation"),
        "updated_at": time("Date and time of the last object modification"),
    })
}

fn types() -> Value {
    json!({
        "type": "string",
        "enum": ["array", "boolean", "integer", "number", "object", "string", null],
    })
}

fn property() -> Value {
    json!({
        "name": { "type": "string", "maxLength": 80 },
        "title": text(),
        "description": text(),
        "operators": { "type": "array", "items": text() },
        "type": types(),
        "required": { "$ref": "#/definitions/stringArray" },
        "minimum": { "type": "number" },
        "maximum": { "type": "number" },
        "maxLength": { "$ref": "#/definitions/positiveInteger" },
        "minLength": { "$ref": "#/definitions/positiveIntegerDefault0" },
        "pattern": { "type": "string", "format": "regex" },
        "enum": { "type": "array" },
        "readonly": { "type": "boolean" },
        "default": {},
        "items": {
            "type": "object",
            "properties": { "type": types(), "enum": { "type": "array" } },
        },
        "maxItems": { "$ref": "#/definitions/positiveInteger" },
        "minItems": { "$ref": "#/definitions/positiveIntegerDefault0" },
        "uniqueItems": { "type": "boolean", "default": false },
        "additionalItems": { "type": "boolean" },
    })
}

fn definitions() -> Value {
    json!({
        "positiveInteger": { "type": "integer", "minimum": 0 },
        "positiveIntegerDefault0": {
            "allOf": [{ "$ref": "#/definitions/positiveInteger" }, { "default": 0 }],
        },
        "stringArray": { "type": "array", "items": text(), "uniqueItems": true },
        "property": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["title", "type"],
                "properties": property(),
            },
        },
    })
}

fn property_definitions() -> Value {
    json!({
        "positiveInteger": { "type": "integer", "minimum": 0 },
        "positiveIntegerDefault0": {
            "allOf": [{ "$ref": "#/definitions/positiveInteger" }, { "default": 0 }],
        },
        "stringArray": { "type": "array", "items": text(), "minItems": 1, "uniqueItems": true },
    })
}

fn association() -> Value {
    json!({
        "name": described(
            "Resource type names should be aligned with Heat resource types whenever possible: \
             https://docs.openstack.org/heat/latest/template_guide/openstack.html",
            80,
        ),
        "prefix": described(
            "Specifies the prefix to use for the given resource type. Any properties in the namespace should be \
             prefixed with this prefix when being applied to the specified resource type. Must include prefix \
             separator (e.g. a colon :).",
            80,
        ),
        "properties_target": described(
            "Some resource types allow more than one key / value pair per instance.  For example, Cinder allows user \
             and image metadata on volumes. Only the image properties metadata is evaluated by Nova (scheduling or \
             drivers). This property allows a namespace target to remove the ambiguity.",
            80,
        ),
        "created_at": time("Date and time of resource type association"),
        "updated_at": time("Date and time of the last resource type association modification"),
    })
}

fn tag() -> Value {
    json!({
        "name": { "type": "string", "maxLength": 80 },
        "created_at": time("Date and time of tag creation"),
        "updated_at": time("Date and time of the last tag modification"),
    })
}
