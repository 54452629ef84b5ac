//! What waits on another node.

use std::sync::{Arc, Mutex};

use super::*;
use crate::{
    image::{AttemptId, Change, Claim, ClaimPhase, Content, ImageId, NodeId, Timestamp},
    metadata::Metadata,
};

/// Another node: answers requests with these texts, one connection each.
struct Node {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Node {
    async fn of(answers: Vec<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = asked.clone();
        tokio::spawn(async move {
            for answer in answers {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut text = Vec::new();
                while !text.ends_with(b"\r\n\r\n") {
                    text.push(socket.read_u8().await.unwrap());
                }
                let head = String::from_utf8(text).unwrap();
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: "));
                let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
                socket.read_exact(&mut body).await.unwrap();
                heard
                    .lock()
                    .unwrap()
                    .push(head + std::str::from_utf8(&body).unwrap());
                let _ = socket.write_all(&answer).await;
            }
        });
        Self {
            url: format!("http://127.0.0.1:{port}"),
            asked,
        }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// An image as another node has staged it.
async fn staged_at(app: &App, url: &str) -> String {
    let path = queued(app, "raw").await;
    let id: ImageId = path.rsplit('/').next().unwrap().parse().unwrap();
    let attempt = AttemptId::random();
    let claim = Claim {
        attempt,
        node: NodeId::random(),
        expires_at: Timestamp::now().after(Duration::from_secs(60)),
        phase: ClaimPhase::Open,
    };
    let content = Content {
        attempt,
        size: 4,
        virtual_size: None,
        checksum: None,
        hash_algorithm: None,
        hash_value: None,
    };
    let host = Some(url.to_owned());
    for kind in [ChangeKind::Stage(claim), ChangeKind::Staged { content, host }] {
        let at = Timestamp::now();
        let change = Change { id, at, kind };
        Metadata::commit(&*app.fixture.metadata, change).await.unwrap();
    }
    path
}

async fn send_with(
    app: &App,
    method: Method,
    path: &str,
    body: &str,
    headers: &[(&'static str, &str)],
) -> Answer {
    let mut request = request(method, path, MEMBER);
    if !body.is_empty() {
        request.headers_mut().insert("content-length", body.len().into());
    }
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    *request.body_mut() = Body::from(body.to_owned());
    app.send(request).await
}

fn accepted() -> Vec<u8> {
    answer("202 Accepted", "Content-Length: 0", b"")
}

#[tokio::test]
async fn an_import_of_what_waits_on_another_node_is_sent_on_with_what_matters_of_the_request() {
    let app = named(&["one", "two"]);
    let node = Node::of(vec![accepted()]).await;
    let path = staged_at(&app, &format!("{}/", node.url)).await;
    let body = json!({"method": {"name": "glance-direct", "uri": "http://u:secret@x/"}, "stores": ["two"],
        "all_stores_must_succeed": false, "more": [1]});
    let headers = [
        ("x-openstack-request-id", "mine"),
        ("accept", "application/json"),
        ("cookie", "c"),
        ("x-service-token", "s"),
    ];
    let said = send_with(
        &app,
        Method::POST,
        &format!("{path}/import"),
        &body.to_string(),
        &headers,
    )
    .await;
    assert_eq!((said.status.as_u16(), said.text()), (202, ""), "{said:?}");
    let asked = node.asked();
    let (head, sent) = asked[0].split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with(&format!("POST {path}/import HTTP/1.1\r\n")),
        "{head}"
    );
    for line in [
        format!("x-auth-token: {MEMBER}"),
        "x-openstack-request-id: req-mine".to_owned(),
        "accept: application/json".to_owned(),
        "content-type: application/json".to_owned(),
        "x-saccade-sent-on: 1".to_owned(),
    ] {
        assert!(head.lines().any(|found| found == line), "{line} in {head}");
    }
    assert!(
        !head.contains("cookie") && !head.contains("x-service-token"),
        "{head}"
    );
    assert_eq!(
        serde_json::from_str::<Value>(sent).unwrap(),
        json!({"method": {"name": "glance-direct"}, "stores": ["two"], "all_stores_must_succeed": false})
    );
    // No task, nothing begun here.
    let image = app.get(&path).await.json();
    assert_eq!(image["status"], "uploading");
    assert_eq!(image.get("os_glance_stage_host"), None);
    assert_eq!(
        app.get(&format!("{path}/tasks")).await.json(),
        json!({"tasks": []})
    );
}

#[tokio::test]
async fn what_another_node_refuses_is_refused_in_its_words() {
    let app = App::new();
    let text = br#"{"message": "no<br />", "code": "409 Conflict", "title": "Conflict"}"#;
    let refusal = || {
        let headers = format!("Content-Type: application/json\r\nContent-Length: {}", text.len());
        answer("409 Conflict", &headers, text)
    };
    let node = Node::of(vec![refusal(), refusal()]).await;
    let path = staged_at(&app, &node.url).await;
    for said in [
        import(&app, &path, direct()).await,
        app.call(Method::DELETE, &path).await,
    ] {
        assert_eq!((said.status.as_u16(), said.text().as_bytes()), (409, &text[..]));
        assert_eq!(said.header("content-type"), Some("application/json"));
    }
    assert_eq!(app.get(&path).await.json()["status"], "uploading");
    assert_eq!(node.asked().len(), 2);
}

#[tokio::test]
async fn what_is_not_allowed_here_is_not_sent_on() {
    let app = App::new();
    let node = Node::of(vec![]).await;
    let path = staged_at(&app, &node.url).await;
    let ask = async |method, path: &str, body: &Value| app.json(method, path, STRANGER, body).await.status;
    assert_eq!(ask(Method::POST, &format!("{path}/import"), &direct()).await, 404);
    let refused = app.send(request(Method::DELETE, &path, STRANGER)).await;
    assert_eq!(refused.status, 404, "{refused:?}");
    let refused = app.send(request(Method::DELETE, &path, READER)).await;
    assert_eq!(refused.status, 403, "{refused:?}");
    let web = import(&app, &path, from("http://mirror/image")).await;
    assert_eq!(web.status, 409);
    let protect = json!([{"op": "replace", "path": "/protected", "value": true}]);
    assert_eq!(app.patch(&path, MEMBER, &protect).await.status, 200);
    assert_eq!(app.call(Method::DELETE, &path).await.status, 403);
    // Who waits there could not be told by anybody.
    let add = json!([{"op": "add", "path": "/os_glance_stage_host", "value": "http://evil"}]);
    assert_eq!(app.patch(&path, MEMBER, &add).await.status, 403);
    assert_eq!(node.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn a_node_that_is_none_gets_no_import_and_keeps_nothing_from_being_deleted() {
    let long = vec![b'x'; 100_000];
    let longer = answer(
        "400 Bad Request",
        &format!("Content-Length: {}", long.len()),
        &long,
    );
    let moved = answer(
        "307 Temporary Redirect",
        "Location: http://elsewhere/\r\nContent-Length: 0",
        b"",
    );
    for (what, answers, status) in [
        ("refuses connections", None, 504),
        ("hangs up", Some(vec![Vec::new(); 2]), 504),
        (
            "breaks off",
            Some(vec![answer("400 Bad Request", "Content-Length: 9", b"x"); 2]),
            502,
        ),
        ("never ends", Some(vec![longer; 2]), 502),
        ("redirects", Some(vec![moved; 2]), 502),
    ] {
        let app = App::new();
        let url = match answers {
            Some(answers) => Node::of(answers).await.url,
            None => "http://127.0.0.1:1".to_owned(),
        };
        let path = staged_at(&app, &url).await;
        let said = import(&app, &path, direct()).await;
        assert_eq!(said.status.as_u16(), status, "{what}: {said:?}");
        assert!(
            said.text().contains("Stage host is unavailable"),
            "{what}: {said:?}"
        );
        assert!(!said.text().contains("127.0.0.1"), "{what}: {said:?}");
        assert_eq!(app.get(&path).await.json()["status"], "uploading", "{what}");
        let deleted = app.call(Method::DELETE, &path).await;
        assert_eq!((deleted.status.as_u16(), deleted.text()), (204, ""), "{what}");
        assert_eq!(app.get(&path).await.status, 404, "{what}");
    }
    let app = App::new();
    let path = staged_at(&app, "ftp://node").await;
    assert_eq!(import(&app, &path, direct()).await.status, 502);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_never_answers_is_waited_for_a_minute_at_most() {
    let app = App::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let path = staged_at(&app, &url).await;
    for delete in [false, true] {
        let begun = tokio::time::Instant::now();
        let said = match delete {
            false => import(&app, &path, direct()).await,
            true => app.call(Method::DELETE, &path).await,
        };
        assert_eq!(said.status.as_u16(), if delete { 204 } else { 504 }, "{said:?}");
        assert!(
            begun.elapsed() <= Duration::from_secs(61),
            "{:?}",
            begun.elapsed()
        );
    }
    drop(listener);
}

#[tokio::test]
async fn an_image_is_deleted_here_too_once_it_is_gone_where_it_waits() {
    let gone = answer("404 Not Found", "Content-Length: 0", b"");
    let done = answer("204 No Content", "X: y", b"");
    for there in [gone, done] {
        let app = App::new();
        let node = Node::of(vec![there]).await;
        let path = staged_at(&app, &node.url).await;
        assert_eq!(app.call(Method::DELETE, &path).await.status, 204);
        assert_eq!(app.get(&path).await.status, 404);
        assert!(node.asked()[0].starts_with(&format!("DELETE {path} HTTP/1.1\r\n")));
        // Nothing is asked of what is no more.
        assert_eq!(app.call(Method::DELETE, &path).await.status, 404);
        assert_eq!(node.asked().len(), 1);
    }
}

#[tokio::test]
async fn what_another_node_has_sent_on_is_not_sent_further() {
    let app = App::new();
    let node = Node::of(vec![]).await;
    let path = staged_at(&app, &node.url).await;
    let sent_on = [("x-saccade-sent-on", "1")];
    let body = direct().to_string();
    let said = send_with(&app, Method::POST, &format!("{path}/import"), &body, &sent_on).await;
    assert_eq!(said.status, 502, "{said:?}");
    assert!(said.text().contains("cannot be found"), "{said:?}");
    let said = send_with(&app, Method::DELETE, &path, "", &sent_on).await;
    assert_eq!(said.status, 204, "{said:?}");
    assert_eq!(app.get(&path).await.status, 404);
    assert_eq!(node.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn what_waits_here_is_gone_with_its_image() {
    let app = App::new();
    let path = staged(&app, b"data").await;
    assert_ne!(files(&app, "staging"), Vec::<String>::new());
    assert_eq!(app.call(Method::DELETE, &path).await.status, 204);
    assert_eq!(files(&app, "staging"), Vec::<String>::new());
}

#[tokio::test]
async fn what_is_here_is_imported_here_whatever_the_node_was_called() {
    let app = App::new();
    let path = staged(&app, b"data").await;
    let id: ImageId = path.rsplit('/').next().unwrap().parse().unwrap();
    let entry = app.fixture.metadata.entry(id).await.unwrap().unwrap();
    let mut image = entry.live().unwrap().clone();
    image
        .properties
        .insert("os_glance_stage_host".to_owned(), "http://127.0.0.1:1".to_owned());
    assert_eq!(app.fixture.transfers.stage_host(&image).await, None);
    image.content.as_mut().unwrap().attempt = AttemptId::random();
    assert_eq!(
        app.fixture.transfers.stage_host(&image).await,
        Some("http://127.0.0.1:1")
    );
    for own in ["http://here:9292", "http://here:9292/", ""] {
        image
            .properties
            .insert("os_glance_stage_host".to_owned(), own.to_owned());
        assert_eq!(app.fixture.transfers.stage_host(&image).await, None, "{own}");
    }
}
