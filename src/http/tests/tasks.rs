//! Tasks, where there are none; `import` has some.

use serde_json::json;

use super::*;

const TASK: &str = "/v2/tasks/868a468f-2906-414e-859e-f54a38d10e38";

async fn list(app: &App, query: &str) -> Answer {
    app.send(request(Method::GET, &format!("/v2/tasks{query}"), ADMIN))
        .await
}

#[tokio::test]
async fn the_list_of_tasks_is_empty() {
    let app = App::new();
    assert_eq!(
        list(&app, "").await.json(),
        json!({"tasks": [], "first": "/v2/tasks", "schema": "/v2/schemas/tasks"})
    );
    let query = "?limit=2&status=success&type=import&sort_key=updated_at&sort_dir=asc&x=y";
    let answer = list(&app, query).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["first"]),
        (200, &json!(format!("/v2/tasks{query}")))
    );
}

#[tokio::test]
async fn a_list_that_is_asked_for_wrongly_is_400_with_the_reason() {
    let app = App::new();
    for (query, reason) in [
        ("?status=done", "Invalid status value: done"),
        ("?type=api_image_import", "Invalid type value: api_image_import"),
        ("?sort_dir=up", "Invalid sort direction: up"),
        ("?sort_key=input", "Sort key supplied was not valid."),
        ("?marker=x", "Invalid marker format"),
        (
            "?marker=868a468f-2906-414e-859e-f54a38d10e38",
            "Task with the given id 868a468f-2906-414e-859e-f54a38d10e38 was not found",
        ),
        ("?marker=", "Task with the given id  was not found"),
        ("?limit=x", "limit param must be an integer"),
        ("?limit=-1", "limit param must be positive"),
    ] {
        let answer = list(&app, query).await;
        assert_eq!(answer.status, 400, "{query}");
        assert!(answer.text().contains(reason), "{query}: {answer:?}");
    }
    for query in ["?limit=0", "?status=&type=", "?name=x"] {
        assert_eq!(list(&app, query).await.status, 200, "{query}");
    }
}

#[tokio::test]
async fn tasks_are_for_administrators() {
    let app = App::new();
    for (method, path) in [
        (Method::GET, "/v2/tasks"),
        (Method::GET, "/v2/tasks?limit=x"),
        (Method::GET, TASK),
        (Method::DELETE, TASK),
        (Method::POST, "/v2/tasks"),
    ] {
        let answer = app.call(method.clone(), path).await;
        assert_eq!(answer.status, 403, "{method} {path}");
        assert!(answer.text().contains("tasks_api_access"), "{answer:?}");
    }
}

#[tokio::test]
async fn there_is_no_task_to_be_shown_or_deleted() {
    let app = App::new();
    let answer = app.send(request(Method::GET, TASK, ADMIN)).await;
    assert_eq!(answer.status, 404);
    assert!(answer.text().contains("868a468f"), "{answer:?}");
    let answer = app.send(request(Method::DELETE, TASK, ADMIN)).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("allow")),
        (405, Some("GET"))
    );
    assert!(answer.text().contains("not permitted"), "{answer:?}");
}

fn legacy(from: &str, properties: Value) -> Value {
    let input = json!({"import_from": from, "import_from_format": "raw", "image_properties": properties});
    json!({"type": "import", "input": input})
}

#[tokio::test]
async fn a_task_that_is_asked_for_is_refused_with_the_reason() {
    let app = App::new();
    for (body, reason) in [
        (json!({}), "Task 'type' is required"),
        (json!(["type", "input"]), "Task 'type' is required"),
        (json!({"type": "import"}), "Task 'input' is required"),
        (
            json!({"type": "export", "input": {}}),
            "'type' is not one of import",
        ),
        (json!({"type": "import", "input": 1}), "'input' is not an object"),
        (
            json!({"type": "import", "input": {}, "colour": 1}),
            "'colour' is unknown",
        ),
        (
            json!({"type": "api_image_import", "input": {}}),
            "POST /v2/images/{image_id}/import",
        ),
        (
            json!({"type": "import", "input": {"import_from": "http://mirror/x"}}),
            "Input does not contain 'import_from_format' field",
        ),
        (
            legacy("file:///etc/passwd", json!({})),
            "File based imports are not allowed",
        ),
        (legacy("ftp://mirror/x", json!({})), "The given uri is not valid"),
        (legacy("http://127.0.0.1/x", json!({})), "does not pass filtering"),
        (
            legacy("http://mirror/x", json!([])),
            "'image_properties' must be an object",
        ),
        (
            legacy("http://mirror/x", json!({"disk_format": "floppy"})),
            "disk_format",
        ),
    ] {
        let answer = app.json(Method::POST, "/v2/tasks", ADMIN, &body).await;
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.text().contains(reason), "{body}: {answer:?}");
    }
    let answer = app.send(request(Method::POST, "/v2/tasks", ADMIN)).await;
    assert!(answer.text().contains("Body expected in request."), "{answer:?}");
}

#[tokio::test]
async fn the_tasks_of_an_image_are_for_whoever_sees_it() {
    let app = App::new();
    let path = format!("{}/tasks", app.create(&json!({})).await);
    assert_eq!(app.get(&path).await.text(), r#"{"tasks":[]}"#);
    let answer = app.send(request(Method::GET, &path, STRANGER)).await;
    assert_eq!(answer.status, 404);
    assert!(
        answer.text().contains("The resource could not be found."),
        "{answer:?}"
    );
    for method in [Method::HEAD, Method::POST, Method::DELETE] {
        let answer = app.call(method.clone(), &path).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("allow")),
            (404, None),
            "{method}"
        );
    }
    let answer = app.json(Method::GET, &path, MEMBER, &json!({})).await;
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn the_schema_of_a_list_of_tasks_leaves_out_what_lists_leave_out() {
    let app = App::new();
    let mut task = app.get("/v2/schemas/task").await.json();
    assert_eq!(task["name"], "task");
    assert_eq!(
        task["properties"]["type"]["enum"],
        json!(["import", "api_image_import", "location_import"])
    );
    assert_eq!(task["properties"].as_object().unwrap().len(), 15);
    for hidden in ["input", "result", "message"] {
        assert!(
            task["properties"]
                .as_object_mut()
                .unwrap()
                .remove(hidden)
                .is_some()
        );
    }
    let tasks = app.get("/v2/schemas/tasks").await.json();
    assert_eq!(tasks["properties"]["tasks"]["items"], task);
}
