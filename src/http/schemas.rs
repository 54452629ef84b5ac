//! JSON schemas of images and members (Glance 33, `api/v2/images.py`, `get_base_properties`, and
//! `api/v2/image_members.py`). Clients read from them which
//! attributes are no properties, and which formats there are.

use axum::{Json, Router, extract::State as Shared, routing::get};
use serde_json::{Map, Value, json};

use super::{Settings, State, body::NoBody, resource::resource};
use crate::image::{MemberStatus, Status};

const IMAGE_ID: &str =
    "^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$";

pub(super) fn routes() -> Router<State> {
    Router::new()
        .route("/v2/schemas/image", resource("GET", get(image)))
        .route("/v2/schemas/images", resource("GET", get(images)))
        .route("/v2/schemas/member", resource("GET", get(member)))
        .route("/v2/schemas/members", resource("GET", get(members)))
}

async fn image(Shared(state): Shared<State>, _: NoBody) -> Json<Value> {
    Json(image_schema(&state.settings))
}

async fn images(Shared(state): Shared<State>, _: NoBody) -> Json<Value> {
    Json(json!({
        "name": "images",
        "properties": {
            "images": { "type": "array", "items": image_schema(&state.settings) },
            "first": { "type": "string" },
            "next": { "type": "string" },
            "schema": { "type": "string" },
        },
        "links": [
            { "rel": "first", "href": "{first}" },
            { "rel": "next", "href": "{next}" },
            { "rel": "describedby", "href": "{schema}" },
        ],
    }))
}

async fn member(_: NoBody) -> Json<Value> {
    Json(member_schema())
}

async fn members(_: NoBody) -> Json<Value> {
    Json(json!({
        "name": "members",
        "properties": {
            "members": { "type": "array", "items": member_schema() },
            "schema": { "type": "string" },
        },
        "links": [{ "rel": "describedby", "href": "{schema}" }],
    }))
}

fn member_schema() -> Value {
    json!({
        "name": "member",
        "properties": {
            "member_id": plain("An identifier for the image member (tenantId)"),
            "image_id": {
                "type": "string",
                "description": "An identifier for the image",
                "pattern": IMAGE_ID,
            },
            "created_at": plain("Date and time of image member creation"),
            "updated_at": plain("Date and time of last modification of image member"),
            "status": {
                "type": "string",
                "description": "The status of this image member",
                "enum": MemberStatus::ALL.map(MemberStatus::as_str),
            },
            "schema": { "readOnly": true, "type": "string" },
        },
    })
}

fn image_schema(settings: &Settings) -> Value {
    json!({
        "name": "image",
        "properties": properties(settings),
        "additionalProperties": { "type": "string" },
        "links": [
            { "rel": "self", "href": "{self}" },
            { "rel": "enclosure", "href": "{file}" },
            { "rel": "describedby", "href": "{schema}" },
        ],
    })
}

fn properties(settings: &Settings) -> Map<String, Value> {
    let statuses: Vec<&str> = Status::ALL.iter().map(|status| status.as_str()).collect();
    let properties = [
        (
            "id",
            json!({
                "type": "string",
                "description": "An identifier for the image",
                "pattern": IMAGE_ID,
            }),
        ),
        ("name", text("Descriptive name for the image", 255)),
        (
            "status",
            json!({ "type": "string", "readOnly": true, "description": "Status of the image", "enum": statuses }),
        ),
        (
            "visibility",
            json!({
                "type": "string",
                "description": "Scope of image accessibility",
                "enum": ["community", "public", "private", "shared"],
            }),
        ),
        ("protected", flag("If true, image will not be deletable.")),
        (
            "os_hidden",
            flag("If true, image will not appear in default image list response."),
        ),
        ("checksum", read_only(text("md5 hash of image contents.", 32))),
        (
            "os_hash_algo",
            read_only(text("Algorithm to calculate the os_hash_value", 64)),
        ),
        (
            "os_hash_value",
            read_only(text(
                "Hexdigest of the image contents using the algorithm specified by the os_hash_algo",
                128,
            )),
        ),
        ("owner", text("Owner of the image", 255)),
        ("size", read_only(number("Size of image file in bytes"))),
        (
            "virtual_size",
            read_only(number("Virtual size of image in bytes")),
        ),
        (
            "container_format",
            choice("Format of the container", &settings.container_formats),
        ),
        (
            "disk_format",
            choice("Format of the disk", &settings.disk_formats),
        ),
        (
            "created_at",
            read_only(plain("Date and time of image registration")),
        ),
        (
            "updated_at",
            read_only(plain("Date and time of the last image modification")),
        ),
        (
            "tags",
            json!({
                "type": "array",
                "description": "List of strings related to the image",
                "items": { "type": "string", "maxLength": 255 },
            }),
        ),
        (
            "direct_url",
            read_only(plain("URL to access the image file kept in external store")),
        ),
        (
            "min_ram",
            json!({ "type": "integer", "description": "Amount of ram (in MB) required to boot image." }),
        ),
        (
            "min_disk",
            json!({ "type": "integer", "description": "Amount of disk space (in GB) required to boot image." }),
        ),
        ("self", read_only(plain("An image self url"))),
        ("file", read_only(plain("An image file url"))),
        (
            "stores",
            read_only(plain(
                "Store in which image data resides.  Only present when the operator has enabled multiple stores.  May \
                 be a comma-separated list of store identifiers.",
            )),
        ),
        ("schema", read_only(plain("An image schema url"))),
        ("locations", locations()),
    ];
    properties
        .into_iter()
        .map(|(name, schema)| (name.to_owned(), schema))
        .collect()
}

fn plain(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}

fn text(description: &str, max: u32) -> Value {
    json!({ "type": ["null", "string"], "description": description, "maxLength": max })
}

fn number(description: &str) -> Value {
    json!({ "type": ["null", "integer"], "description": description })
}

fn flag(description: &str) -> Value {
    json!({ "type": "boolean", "description": description })
}

fn choice(description: &str, values: &[String]) -> Value {
    let values: Vec<Option<&str>> = std::iter::once(None)
        .chain(values.iter().map(|value| Some(value.as_str())))
        .collect();
    json!({ "type": ["null", "string"], "description": description, "enum": values })
}

fn read_only(mut schema: Value) -> Value {
    if let Value::Object(object) = &mut schema {
        object.insert("readOnly".to_owned(), true.into());
    }
    schema
}

fn locations() -> Value {
    json!({
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "url": { "type": "string", "maxLength": 255 },
                "metadata": { "type": "object" },
                "validation_data": {
                    "description": "Values to be used to populate the corresponding image properties. If the image \
                                    status is not 'queued', values must exactly match those already contained in the \
                                    image properties.",
                    "type": "object",
                    "writeOnly": true,
                    "additionalProperties": false,
                    "properties": {
                        "checksum": { "type": "string", "minLength": 32, "maxLength": 32 },
                        "os_hash_algo": { "type": "string", "maxLength": 64 },
                        "os_hash_value": { "type": "string", "maxLength": 128 },
                    },
                    "required": ["os_hash_algo", "os_hash_value"],
                },
            },
            "required": ["url", "metadata"],
        },
        "description": "A set of URLs to access the image file kept in external store",
    })
}
