//! The schemas of tasks.

use axum::{Json, Router, routing::get};
use serde_json::{Map, Value, json};

use crate::http::{State, body::NoBody, resource::resource};

/// What a task can be.
pub(super) const TYPES: [&str; 3] = ["import", "api_image_import", "location_import"];
/// The attributes of a task.
pub(super) const PROPERTIES: [&str; 15] = [
    "id",
    "type",
    "status",
    "input",
    "result",
    "owner",
    "message",
    "image_id",
    "request_id",
    "user_id",
    "expires_at",
    "created_at",
    "updated_at",
    "self",
    "schema",
];
/// Those that lists leave out.
const ALONE: [&str; 3] = ["input", "result", "message"];

pub(super) fn routes() -> Router<State> {
    Router::new()
        .route("/v2/schemas/task", resource("GET", get(task)))
        .route("/v2/schemas/tasks", resource("GET", get(tasks)))
}

async fn task(_: NoBody) -> Json<Value> {
    Json(schema(&[]))
}

async fn tasks(_: NoBody) -> Json<Value> {
    Json(json!({
        "name": "tasks",
        "properties": {
            "tasks": { "type": "array", "items": schema(&ALONE) },
            "schema": { "type": "string" },
        },
        "links": [{ "rel": "describedby", "href": "{schema}" }],
    }))
}

fn schema(without: &[&str]) -> Value {
    let properties: Map<String, Value> = PROPERTIES
        .into_iter()
        .filter(|name| !without.contains(name))
        .map(|name| (name.to_owned(), property(name)))
        .collect();
    json!({ "name": "task", "properties": properties })
}

fn property(name: &str) -> Value {
    let described = |kind: Value, description: &str| json!({ "type": kind, "description": description });
    let text = |description: &str| described("string".into(), description);
    let choice = |description: &str, values: &[&str]| json!({ "type": "string", "description": description, "enum": values });
    match name {
        "id" => json!({
            "type": "string",
            "description": "An identifier for the task",
            "pattern": "^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$",
        }),
        "type" => choice("The type of task represented by this content", &TYPES),
        "status" => choice(
            "The current status of this task",
            &["pending", "processing", "success", "failure"],
        ),
        "input" => described(
            json!(["null", "object"]),
            "The parameters required by task, JSON blob",
        ),
        "result" => described(json!(["null", "object"]), "The result of current task, JSON blob"),
        "owner" => text("An identifier for the owner of this task"),
        "message" => {
            text("Human-readable informative message only included when appropriate (usually on failure)")
        }
        "image_id" => text("Image associated with the task"),
        "request_id" => text("Human-readable informative request-id"),
        "user_id" => text("User associated with the task"),
        "expires_at" => described(
            json!(["null", "string"]),
            "Datetime when this resource would be subject to removal",
        ),
        "created_at" => text("Datetime when this resource was created"),
        "updated_at" => text("Datetime when this resource was updated"),
        _ => json!({ "readOnly": true, "type": "string" }),
    }
}
