use axum::body::Body;
use axum::http::{Method, Request};
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

use super::*;
use crate::identity::{
    Secret,
    local::{AdminRequest, LocalOptions, PasswordCost},
};

struct Cloud {
    _dir: TempDir,
    router: Router,
    password: String,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Cloud {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = LocalOptions {
            password_cost: PasswordCost {
                memory_kib: 8,
                passes: 1,
            },
            ..LocalOptions::new(Endpoint::parse("http://images.test:9292").unwrap())
        };
        let (identity, bootstrap) = LocalIdentity::open(dir.path(), options).unwrap();
        for (name, role) in [("ada", Role::Member), ("nova", Role::Service)] {
            let password = Some(Secret::new("pw".to_owned()));
            let request = AdminRequest::UserAdd {
                name: name.to_owned(),
                project: None,
                role: Some(role),
                password,
            };
            identity.administer(request).await.unwrap();
        }
        let password = bootstrap.unwrap().password.expose().to_owned();
        let options = KeystoneOptions {
            public_endpoint: None,
            scheme: Scheme::Http,
        };
        Self {
            router: router(identity, options),
            _dir: dir,
            password,
        }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header("host", "h:1");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self
            .router
            .clone()
            .oneshot(request.body(body.into()).unwrap())
            .await
            .unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        let body = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes).unwrap()
        };
        assert_eq!(parts.headers["vary"], "X-Auth-Token");
        if !body.is_null() {
            assert_eq!(parts.headers["content-type"], "application/json");
        }
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body,
        }
    }

    async fn get(&self, token: &str, path: &str) -> Answer {
        self.ask(Method::GET, path, &[("x-auth-token", token)], Body::empty())
            .await
    }

    async fn log_in(&self, auth: Value) -> Answer {
        self.ask(
            Method::POST,
            "/v3/auth/tokens",
            &[],
            json!({"auth": auth}).to_string(),
        )
        .await
    }

    async fn token(&self, name: &str) -> String {
        let password = if name == "admin" { &self.password } else { "pw" };
        let answer = self
            .log_in(by_password(name, password, json!({"project": project(name)})))
            .await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.headers["x-subject-token"].to_str().unwrap().to_owned()
    }
}

fn project(name: &str) -> Value {
    json!({"name": name, "domain": {"id": "default"}})
}

fn by_password(name: &str, password: &str, scope: Value) -> Value {
    let user = json!({"name": name, "domain": {"name": "Default"}, "password": password});
    json!({"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope})
}

fn names(answer: &Answer, collection: &str) -> Vec<String> {
    let items = answer.body[collection].as_array().unwrap();
    let mut names: Vec<_> = items
        .iter()
        .map(|item| item["name"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn discovery_answers_as_keystone() {
    let cloud = Cloud::new().await;
    for path in ["/v3", "/v3/"] {
        let answer = cloud.ask(Method::GET, path, &[], Body::empty()).await;
        assert_eq!(answer.status, 200);
        let version = &answer.body["version"];
        assert_eq!(
            (&version["id"], &version["status"]),
            (&json!("v3.14"), &json!("stable"))
        );
        assert_eq!(
            version["links"],
            json!([{"rel": "self", "href": "http://h:1/v3/"}])
        );
    }
    let answer = cloud.ask(Method::GET, "/identity", &[], Body::empty()).await;
    assert_eq!(answer.status, 300);
    assert_eq!(
        answer.body["versions"]["values"][0]["links"][0]["href"],
        "http://h:1/v3/"
    );
}

#[tokio::test]
async fn a_project_token_carries_roles_and_catalog() {
    let cloud = Cloud::new().await;
    let answer = cloud
        .log_in(by_password(
            "admin",
            &cloud.password,
            json!({"project": project("admin")}),
        ))
        .await;
    assert_eq!(answer.status, 201);
    let token = &answer.body["token"];
    assert_eq!(token["methods"], json!(["password"]));
    assert_eq!(token["project"]["name"], "admin");
    assert_eq!(
        token["user"]["domain"],
        json!({"id": "default", "name": "Default"})
    );
    let roles: Vec<_> = token["roles"]
        .as_array()
        .unwrap()
        .iter()
        .map(|role| &role["name"])
        .collect();
    assert_eq!(roles, ["admin", "member", "reader"]);
    let catalog = token["catalog"].as_array().unwrap();
    let urls: Vec<_> = catalog
        .iter()
        .map(|service| (&service["type"], &service["endpoints"][0]["url"]))
        .collect();
    assert_eq!(
        urls,
        [
            (&json!("identity"), &json!("http://h:1/v3/")),
            (&json!("image"), &json!("http://h:1"))
        ]
    );
    for service in catalog {
        let endpoints = service["endpoints"].as_array().unwrap();
        let interfaces: Vec<_> = endpoints.iter().map(|endpoint| &endpoint["interface"]).collect();
        assert_eq!(interfaces, ["public", "internal", "admin"]);
    }
}

#[tokio::test]
async fn an_unscoped_token_has_neither_roles_nor_catalog() {
    let cloud = Cloud::new().await;
    let answer = cloud
        .log_in(by_password("admin", &cloud.password, json!("unscoped")))
        .await;
    assert_eq!(answer.status, 201);
    for absent in ["project", "roles", "catalog", "is_domain"] {
        assert_eq!(answer.body["token"].get(absent), None, "{absent}");
    }
    let unscoped = answer.headers["x-subject-token"].to_str().unwrap();
    assert_eq!(cloud.get(unscoped, "/v3/auth/catalog").await.status, 403);
    assert_eq!(
        names(&cloud.get(unscoped, "/v3/auth/projects").await, "projects"),
        ["admin"]
    );

    let identity = json!({"methods": ["token"], "token": {"id": unscoped}});
    let answer = cloud
        .log_in(json!({"identity": identity, "scope": {"project": project("admin")}}))
        .await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.body["token"]["methods"], json!(["token", "password"]));
    assert_eq!(answer.body["token"]["audit_ids"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn without_a_scope_the_default_project_is_taken() {
    let cloud = Cloud::new().await;
    let answer = cloud.log_in(by_password("ada", "pw", Value::Null)).await;
    assert_eq!(answer.body["token"]["project"]["name"], "ada");
}

#[tokio::test]
async fn a_wrong_login_is_refused_in_keystones_words() {
    let cloud = Cloud::new().await;
    let project = || json!({"project": project("admin")});
    for auth in [
        by_password("admin", "wrong", project()),
        by_password("nobody", "wrong", project()),
        by_password("ada", "pw", project()),
        by_password("admin", &cloud.password, json!({"system": {"all": true}})),
        json!({"identity": {"methods": ["token"], "token": {"id": "nonsense"}}}),
    ] {
        let answer = cloud.log_in(auth).await;
        assert_eq!(answer.status, 401);
        assert_eq!(
            answer.body,
            json!({"error": {
                "code": 401,
                "message": "The request you have made requires authentication.",
                "title": "Unauthorized",
            }})
        );
        assert_eq!(
            answer.headers["www-authenticate"],
            "Keystone uri=\"http://images.test:9292/v3\""
        );
    }
}

#[tokio::test]
async fn a_bad_body_is_refused() {
    let cloud = Cloud::new().await;
    let post = async |body: String| cloud.ask(Method::POST, "/v3/auth/tokens", &[], body).await;
    assert_eq!(post("{".to_owned()).await.body["error"]["code"], 400);
    assert_eq!(post("x".repeat(70_000)).await.body["error"]["code"], 413);
}

#[tokio::test]
async fn a_token_can_be_asked_about_by_its_user_and_by_services() {
    let cloud = Cloud::new().await;
    let (admin, ada, nova) = (
        cloud.token("admin").await,
        cloud.token("ada").await,
        cloud.token("nova").await,
    );
    let ask = async |method: Method, path: &str, caller: &str, subject: &str| {
        cloud
            .ask(
                method,
                path,
                &[("x-auth-token", caller), ("x-subject-token", subject)],
                Body::empty(),
            )
            .await
    };
    for caller in [&admin, &ada, &nova] {
        let answer = ask(Method::GET, "/v3/auth/tokens", caller, &ada).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.headers["x-subject-token"], ada.as_str());
        assert_eq!(answer.body["token"]["user"]["name"], "ada");
    }
    assert!(
        ask(Method::GET, "/v3/auth/tokens?nocatalog", &ada, &ada)
            .await
            .body["token"]
            .get("catalog")
            .is_none()
    );
    assert_eq!(
        ask(Method::GET, "/v3/auth/tokens", &ada, &admin).await.status,
        403
    );
    assert_eq!(
        ask(Method::GET, "/v3/auth/tokens", &admin, "nonsense")
            .await
            .status,
        404
    );
    assert_eq!(
        ask(Method::GET, "/v3/auth/tokens", "nonsense", &ada).await.status,
        401
    );
    let head = ask(Method::HEAD, "/v3/auth/tokens", &ada, &ada).await;
    assert_eq!((head.status, head.body), (200, Value::Null));

    assert_eq!(
        ask(Method::DELETE, "/v3/auth/tokens", &nova, &ada).await.status,
        403
    );
    assert_eq!(
        ask(Method::DELETE, "/v3/auth/tokens", &ada, &ada).await.status,
        204
    );
    assert_eq!(
        ask(Method::GET, "/v3/auth/tokens", &admin, &ada).await.status,
        404
    );
    assert_eq!(cloud.get(&ada, "/v3/auth/projects").await.status, 401);
}

#[tokio::test]
async fn administrators_list_users_and_projects() {
    let cloud = Cloud::new().await;
    let admin = cloud.token("admin").await;
    let get = async |path: &str| cloud.get(&admin, path).await;
    assert_eq!(names(&get("/v3/users").await, "users"), ["ada", "admin", "nova"]);
    assert_eq!(names(&get("/v3/users?name=ada").await, "users"), ["ada"]);
    assert_eq!(names(&get("/v3/users?domain_id=other").await, "users"), [""; 0]);
    assert_eq!(
        names(&get("/v3/projects").await, "projects"),
        ["ada", "admin", "nova"]
    );
    assert_eq!(
        names(&get("/v3/projects?enabled=False").await, "projects"),
        [""; 0]
    );
    assert_eq!(
        names(&get("/v3/roles").await, "roles"),
        ["admin", "member", "reader", "service"]
    );
    assert_eq!(
        names(&get("/v3/domains?name=Default").await, "domains"),
        ["Default"]
    );
    assert_eq!(get("/v3/domains/default").await.body["domain"]["name"], "Default");
    let id = get("/v3/projects?name=ada").await.body["projects"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        get(&format!("/v3/projects/{id}")).await.body["project"]["name"],
        "ada"
    );
    for missing in [
        "/v3/projects/ada",
        "/v3/users/ada",
        "/v3/roles/admin",
        "/v3/domains/x",
        "/v3/groups",
    ] {
        let answer = get(missing).await;
        assert_eq!(
            (answer.status, &answer.body["error"]["title"]),
            (404, &json!("Not Found")),
            "{missing}"
        );
    }
    let assigned = get(&format!(
        "/v3/role_assignments?scope.project.id={id}&include_names=True"
    ))
    .await;
    let assigned = assigned.body["role_assignments"].as_array().unwrap().clone();
    assert_eq!(assigned.len(), 1);
    assert_eq!(
        (&assigned[0]["user"]["name"], &assigned[0]["role"]["name"]),
        (&json!("ada"), &json!("member"))
    );
    let effective = get(&format!("/v3/role_assignments?scope.project.id={id}&effective")).await;
    assert_eq!(effective.body["role_assignments"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn others_see_only_themselves() {
    let cloud = Cloud::new().await;
    let (admin, ada) = (cloud.token("admin").await, cloud.token("ada").await);
    for path in [
        "/v3/users",
        "/v3/projects",
        "/v3/roles",
        "/v3/domains",
        "/v3/role_assignments",
        "/v3/users/x",
    ] {
        assert_eq!(cloud.get(&ada, path).await.status, 403, "{path}");
    }
    let users = cloud.get(&admin, "/v3/users").await;
    for user in users.body["users"].as_array().unwrap() {
        let id = user["id"].as_str().unwrap();
        let expected = if user["name"] == "ada" { 200 } else { 403 };
        assert_eq!(cloud.get(&ada, &format!("/v3/users/{id}")).await.status, expected);
        assert_eq!(
            cloud.get(&ada, &format!("/v3/users/{id}/projects")).await.status,
            expected
        );
    }
    let projects = cloud.get(&admin, "/v3/projects").await;
    for project in projects.body["projects"].as_array().unwrap() {
        let expected = if project["name"] == "ada" { 200 } else { 403 };
        let path = format!("/v3/projects/{}", project["id"].as_str().unwrap());
        assert_eq!(cloud.get(&ada, &path).await.status, expected);
    }
    assert_eq!(cloud.get(&ada, "/v3/domains/default").await.status, 200);
}

#[tokio::test]
async fn without_a_token_only_discovery_and_login_answer() {
    let cloud = Cloud::new().await;
    for path in [
        "/v3/auth/tokens",
        "/v3/auth/catalog",
        "/v3/auth/projects",
        "/v3/auth/domains",
        "/v3/auth/system",
        "/v3/users",
        "/v3/users/x",
        "/v3/users/x/projects",
        "/v3/projects",
        "/v3/projects/x",
        "/v3/domains",
        "/v3/domains/default",
        "/v3/roles",
        "/v3/roles/x",
        "/v3/role_assignments",
    ] {
        let answer = cloud.ask(Method::GET, path, &[], Body::empty()).await;
        assert_eq!(answer.status, 401, "{path}");
        assert!(answer.headers.contains_key("www-authenticate"), "{path}");
    }
}

#[tokio::test]
async fn nothing_is_made_over_http() {
    let cloud = Cloud::new().await;
    let admin = cloud.token("admin").await;
    let answer = cloud
        .ask(Method::POST, "/v3/users", &[("x-auth-token", &admin)], "{}")
        .await;
    assert_eq!((answer.status, &answer.body["error"]["code"]), (405, &json!(405)));
    assert!(answer.headers["allow"].to_str().unwrap().contains("GET"));
    assert!(
        answer.body["error"]["message"]
            .as_str()
            .unwrap()
            .contains("saccade user")
    );
}

#[tokio::test]
async fn a_configured_endpoint_wins_over_the_host() {
    let mut cloud = Cloud::new().await;
    let dir = tempfile::tempdir().unwrap();
    let configured = Endpoint::parse("https://images.example/").unwrap();
    let local = LocalOptions {
        password_cost: PasswordCost {
            memory_kib: 8,
            passes: 1,
        },
        ..LocalOptions::new(configured.clone())
    };
    let (identity, _) = LocalIdentity::open(dir.path(), local).unwrap();
    cloud.router = router(
        identity,
        KeystoneOptions {
            public_endpoint: Some(configured),
            scheme: Scheme::Http,
        },
    );
    let answer = cloud.ask(Method::GET, "/v3", &[], Body::empty()).await;
    assert_eq!(
        answer.body["version"]["links"][0]["href"],
        "https://images.example/v3/"
    );
}

#[tokio::test]
async fn leaves_other_routes_alone_when_merged() {
    let mut cloud = Cloud::new().await;
    let images = Router::new()
        .route("/v2/images", get(async || "images"))
        .fallback(async || (StatusCode::GONE, "mine"));
    cloud.router = images.merge(cloud.router);
    for (path, status) in [("/v2/images", 200), ("/v2/none", 410), ("/v1", 410)] {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = cloud.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{path}");
        assert!(!response.headers().contains_key("vary"), "{path}");
    }
    assert_eq!(cloud.get("nonsense", "/v3/none").await.status, 404);
}

#[test]
fn any_request_is_answered() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let cloud = runtime.block_on(Cloud::new());
    let paths = [
        "/v3/auth/tokens",
        "/v3/users/{}",
        "/v3/projects?{}",
        "/v3/{}",
        "/v3/role_assignments?{}={}",
    ];
    let strategy = (
        0..paths.len(),
        "[!-~]{0,20}",
        proptest::collection::vec(any::<u8>(), 0..100),
        0..3usize,
    );
    proptest!(|((path, text, body, method) in strategy)| {
        let method = [Method::GET, Method::POST, Method::DELETE][method].clone();
        let path = paths[path].replace("{}", &text);
        let Ok(request) = Request::builder().method(method).uri(path).header("x-auth-token", text)
            .body(Body::from(body)) else { return Ok(()) };
        let status = runtime.block_on(cloud.router.clone().oneshot(request)).unwrap().status();
        prop_assert!(!status.is_server_error(), "{}", status);
    });
}
