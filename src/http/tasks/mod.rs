//! `/v2/tasks`, `/v2/images/{id}/tasks` and the schemas of tasks (Glance 33, `api/v2/tasks.py`).
//!
//! A task is an import, and there are no imports in this version. So there is no task to be found, whoever asks, and
//! none can be made: whoever tries is told so at once, instead of by a task that fails.

mod query;
mod schemas;

use axum::{
    Extension, Json, Router,
    extract::{FromRequest, RawQuery, Request, State as Shared},
    routing::{any, get},
};
use http::{HeaderValue, Method, StatusCode, header::ALLOW};
use serde_json::{Value, json};

use super::{
    State,
    body::{JsonBody, NoBody},
    error::ApiError,
    path::Segments,
    query::QueryPairs,
    resource::{resource, unknown},
};
use crate::identity::Caller;

const LIST: &str = "/v2/tasks";

pub(super) fn routes() -> Router<State> {
    Router::new()
        .route(LIST, resource("GET, POST", get(list).post(create)))
        .route(
            "/v2/tasks/{task_id}",
            resource("GET, DELETE", get(show).delete(delete)),
        )
        .route("/v2/images/{image_id}/tasks", any(of_image))
        .merge(schemas::routes())
}

async fn list(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    state.catalog.authorize_tasks(&caller)?;
    let query = QueryPairs::parse(query.as_deref())?;
    query::check(&query)?;
    Ok(Json(json!({
        "tasks": [],
        "first": query.link(LIST, "marker", None),
        "schema": "/v2/schemas/tasks",
    })))
}

async fn create(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<StatusCode, ApiError> {
    state.catalog.authorize_tasks(&caller)?;
    let JsonBody(body) = JsonBody::from_request(request, &()).await?;
    Err(refusal(&body))
}

async fn show(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Segments(id): Segments<String>,
) -> Result<StatusCode, ApiError> {
    state.catalog.authorize_tasks(&caller)?;
    Err(ApiError::new(StatusCode::NOT_FOUND, not_found(&id)))
}

async fn delete(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
) -> Result<StatusCode, ApiError> {
    state.catalog.authorize_tasks(&caller)?;
    let refused = ApiError::of(StatusCode::METHOD_NOT_ALLOWED).detail(
        "This operation is currently not permitted on Glance Tasks. They are auto deleted after reaching the time \
         based on their expires_at property.",
    );
    Err(refused.header(ALLOW, HeaderValue::from_static("GET")))
}

/// The tasks that made an image, for whoever may see it. Other methods lead nowhere: Glance has no 405 here.
async fn of_image(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Segments(id): Segments<String>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    if request.method() != Method::GET {
        return Err(unknown(request).await);
    }
    NoBody::from_request(request, &()).await?;
    match state.catalog.show(&caller, &id).await.map_err(ApiError::from) {
        Ok(_) => Ok(Json(json!({ "tasks": [] }))),
        Err(error) if error.status == StatusCode::NOT_FOUND => Err(ApiError::unknown_path()),
        Err(error) => Err(error),
    }
}

/// Why no task is made of this: what is wrong with it comes first.
fn refusal(body: &Value) -> ApiError {
    let invalid = |reason: String| {
        ApiError::bad_request(format!("Provided object does not match schema 'task': {reason}"))
    };
    for required in ["type", "input"] {
        if body.get(required).is_none() {
            return ApiError::bad_request(format!("Task '{required}' is required"));
        }
    }
    if let Some(unknown) = body.as_object().and_then(|body| {
        let mut names = body.keys();
        names.find(|name| !schemas::PROPERTIES.contains(&name.as_str()))
    }) {
        return invalid(format!("the property '{unknown}' is unknown"));
    }
    let is_type = |name: &str| schemas::TYPES.contains(&name);
    if !body.get("type").and_then(Value::as_str).is_some_and(is_type) {
        return invalid(format!("'type' is not one of {}", schemas::TYPES.join(", ")));
    }
    if !body.get("input").is_some_and(Value::is_object) {
        return invalid("'input' is not an object".to_owned());
    }
    ApiError::bad_request(
        "No task was made: this version of the service has no imports. Create an image, and send its data with PUT \
         /v2/images/{image_id}/file.",
    )
}

fn not_found(id: &str) -> String {
    format!("Task with the given id {id} was not found")
}
