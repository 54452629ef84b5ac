use crate::harness::Daemon;
use serde_json::json;

#[test]
fn administrators_find_no_tasks_and_are_told_what_is_wrong_with_theirs() {
    let daemon = Daemon::fresh();
    let admin = daemon.admin();
    let list = admin.get("/v2/tasks?limit=5").expect_status(200).json();
    assert_eq!(list["tasks"], json!([]));
    assert_eq!(list["first"], "/v2/tasks?limit=5");
    let task = json!({"type": "import", "input": {"import_from": "http://mirror.example/x"}});
    let refused = admin.post("/v2/tasks", &task).expect_status(400);
    let text = refused.text();
    assert!(text.contains("import_from_format"), "{text}");
    let id = admin.queued("x");
    let tasks = admin.get(&format!("/v2/images/{id}/tasks")).expect_status(200);
    assert_eq!(tasks.json(), json!({"tasks": []}));
    admin.get("/v2/schemas/tasks").expect_status(200);
}

#[test]
fn tasks_are_none_of_a_member_s_business() {
    let daemon = Daemon::fresh();
    super::identity::add_project(&daemon, "red");
    let red = super::identity::add_user(&daemon, "rita", "red", "member");
    red.get("/v2/tasks").expect_status(403);
    red.get("/v2/schemas/task").expect_status(200);
}
