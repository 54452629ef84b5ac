//! A task as JSON (Glance 33, `api/v2/tasks.py`, `ResponseSerializer`, and the rows of `db/sqlalchemy/api.py`).

use serde_json::{Value, json};

use crate::image::{Task, TaskStatus, Timestamp};

/// A task in a list: without what it was asked and what it came to.
pub(super) fn stub(task: &Task) -> Value {
    let mut stub = json!({
        "id": task.id.to_string(),
        "type": task.kind.as_str(),
        "status": task.status.as_str(),
        "owner": task.owner,
        "created_at": task.created_at.to_string(),
        "updated_at": task.updated_at.to_string(),
        "self": format!("/v2/tasks/{}", task.id),
        "schema": "/v2/schemas/task",
    });
    if let (Some(expires_at), Some(stub)) = (task.expires_at, stub.as_object_mut()) {
        stub.insert("expires_at".to_owned(), expires_at.to_string().into());
    }
    stub
}

/// A task by itself.
pub(super) fn whole(task: &Task) -> Value {
    let mut whole = stub(task);
    if let Some(whole) = whole.as_object_mut() {
        whole.insert("input".to_owned(), input(task));
        whole.insert("result".to_owned(), result(task));
        whole.insert("message".to_owned(), task.message.clone().into());
        whole.insert("image_id".to_owned(), task.image_id.to_string().into());
        whole.insert("request_id".to_owned(), task.request_id.clone().into());
        whole.insert("user_id".to_owned(), task.user_id.clone().into());
    }
    whole
}

/// A task among those of an image: the row of Glance's database, with its way of writing times.
pub(super) fn row(task: &Task) -> Value {
    json!({
        "id": task.id.to_string(),
        "type": task.kind.as_str(),
        "status": task.status.as_str(),
        "owner": task.owner,
        "expires_at": task.expires_at.map(Timestamp::with_fraction),
        "created_at": task.created_at.with_fraction(),
        "updated_at": task.updated_at.with_fraction(),
        "deleted_at": null,
        "deleted": false,
        "image_id": task.image_id.to_string(),
        "request_id": task.request_id,
        "user_id": task.user_id,
        "input": input(task),
        "result": result(task),
        "message": task.message,
    })
}

fn input(task: &Task) -> Value {
    serde_json::from_str(&task.input).unwrap_or_default()
}

fn result(task: &Task) -> Value {
    match task.status {
        TaskStatus::Success => json!({ "image_id": task.image_id.to_string() }),
        _ => Value::Null,
    }
}
