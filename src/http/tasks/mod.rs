//! `/v2/tasks`, `/v2/images/{id}/tasks` and the schemas of tasks (Glance 33, `api/v2/tasks.py`).
//!
//! A task is an import. One that is made here makes an image first; what is wrong with it is told at once, instead of by
//! a task that fails.

mod encode;
mod query;
mod schemas;

use axum::{
    Extension, Json, Router,
    extract::{FromRequest, RawQuery, Request, State as Shared},
    response::{IntoResponse, Response},
    routing::{any, get},
};
use http::{
    HeaderMap, HeaderValue, Method, StatusCode, Uri,
    header::{ALLOW, LOCATION},
};
use serde_json::{Value, json};

use super::{
    RequestId, State,
    at_stores::AtStores,
    body::{JsonBody, NoBody},
    error::ApiError,
    origin::origin,
    path::Segments,
    query::QueryPairs,
    resource::{resource, unknown},
};
use crate::{identity::Caller, import::LegacyImport};

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
    let page = state.imports.tasks(&query::listing(&query)?).await?;
    let mut answer = json!({
        "tasks": page.tasks.iter().map(encode::stub).collect::<Vec<_>>(),
        "first": query.link(LIST, "marker", None),
        "schema": "/v2/schemas/tasks",
    });
    if let (true, Some(last), Some(answer)) = (page.full, page.tasks.last(), answer.as_object_mut()) {
        let next = query.link(LIST, "marker", Some(("marker", &last.id.to_string())));
        answer.insert("next".to_owned(), next.into());
    }
    Ok(Json(answer))
}

async fn create(
    AtStores(state): AtStores,
    Extension(caller): Extension<Caller>,
    Extension(request_id): Extension<RequestId>,
    uri: Uri,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, ApiError> {
    state.catalog.authorize_tasks(&caller)?;
    let JsonBody(body, _held) = JsonBody::from_request(request, &()).await?;
    let legacy = LegacyImport::parse(input(body)?, state.catalog.rules())?;
    let imports = &state.imports;
    let task = imports.create_task(&caller, legacy, request_id.as_str()).await?;
    let location = format!("{}{LIST}/{}", origin(&uri, &headers, &state.settings), task.id);
    let mut response = (StatusCode::CREATED, Json(encode::whole(&task))).into_response();
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

async fn show(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Segments(id): Segments<String>,
) -> Result<Json<Value>, ApiError> {
    state.catalog.authorize_tasks(&caller)?;
    Ok(Json(encode::whole(&state.imports.task(&id).await?)))
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
    match state.imports.tasks_of(&caller, &id).await.map_err(ApiError::from) {
        Ok(tasks) => {
            let rows: Vec<Value> = tasks.iter().map(encode::row).collect();
            Ok(Json(json!({ "tasks": rows })))
        }
        Err(error) if error.status == StatusCode::NOT_FOUND => Err(ApiError::unknown_path()),
        Err(error) => Err(error),
    }
}

/// The input of a task that imports, of all that may be sent.
fn input(mut body: Value) -> Result<Value, ApiError> {
    let invalid = |reason: String| {
        Err(ApiError::bad_request(format!(
            "Provided object does not match schema 'task': {reason}"
        )))
    };
    for required in ["type", "input"] {
        if body.get(required).is_none() {
            return Err(ApiError::bad_request(format!("Task '{required}' is required")));
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
    if body.get("type").and_then(Value::as_str) != Some("import") {
        return Err(ApiError::bad_request(
            "No task was made: only those of the type 'import' are made here. For others, create an image and \
             POST /v2/images/{image_id}/import or /v2/images/{image_id}/locations.",
        ));
    }
    Ok(body.get_mut("input").map(Value::take).unwrap_or_default())
}
