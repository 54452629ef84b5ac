use std::{collections::VecDeque, sync::Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderValue;
use serde_json::{Value, json};

use super::{
    super::fake::{in_seconds, options, wall},
    *,
};

/// A Keystone that has limits.
#[derive(Default)]
struct State {
    calls: Vec<String>,
    /// For questions, not logins, in turn.
    faults: VecDeque<Result<u16, Broken>>,
    logins: usize,
    login_status: Option<u16>,
    model: &'static str,
    services: Value,
    endpoints: Value,
    limits: Value,
    registered: Value,
    pause: Duration,
}

#[derive(Clone)]
struct Fake(Arc<Mutex<State>>);

impl Fake {
    fn new() -> Self {
        let registered = |name: &str, limit: i64| json!({"resource_name": name, "default_limit": limit});
        let limit = |project: &str, name: &str, limit: i64| json!({"project_id": project, "resource_name": name, "resource_limit": limit});
        Self(Arc::new(Mutex::new(State {
            model: "flat",
            services: json!([{"id": "s1"}]),
            endpoints: json!([{"service_id": "s1", "region_id": "R1"}]),
            limits: json!([limit("p", "a", 5), limit("other", "b", 6)]),
            registered: json!([registered("a", 1), registered("b", 2), registered("z", 3)]),
            ..State::default()
        })))
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.lock().unwrap());
    }

    fn calls(&self) -> Vec<String> {
        self.0.lock().unwrap().calls.clone()
    }
}

fn answer(status: u16, body: &Value) -> Answer {
    Answer {
        status: StatusCode::from_u16(status).unwrap(),
        headers: HeaderMap::new(),
        body: Bytes::from(body.to_string()),
    }
}

#[async_trait]
impl Transport for Fake {
    async fn exchange(&self, call: &Call) -> Result<Answer, Broken> {
        let pause = self.0.lock().unwrap().pause;
        tokio::time::sleep(pause).await;
        let mut state = self.0.lock().unwrap();
        if call.method == Method::POST {
            state.logins += 1;
            if let Some(status) = state.login_status {
                return Ok(answer(status, &json!({"error": {"message": "no"}})));
            }
            let endpoint = json!({"interface": "internal", "region_id": "R1", "region": "R1", "url": "http://k:5000/v3"});
            let body = json!({"token": {
                "methods": ["password"], "expires_at": in_seconds(3600), "issued_at": in_seconds(0),
                "user": {"id": "g", "name": "glance", "domain": {"id": "default", "name": "Default"}},
                "roles": [], "catalog": [{"type": "identity", "name": "keystone", "endpoints": [endpoint]}],
            }});
            let mut answer = answer(201, &body);
            let token = HeaderValue::from_str(&format!("token-{}", state.logins)).unwrap();
            answer.headers.insert("x-subject-token", token);
            return Ok(answer);
        }
        let path = call.url.path().to_owned();
        state
            .calls
            .push(format!("{path}?{}", call.url.query().unwrap_or_default()));
        if let Some(fault) = state.faults.pop_front() {
            return fault.map(|status| answer(status, &json!({"error": {"message": "m"}})));
        }
        Ok(match path.as_str() {
            "/v3/limits/model" => answer(200, &json!({"model": {"name": state.model}})),
            "/v3/services" => answer(200, &json!({"services": state.services})),
            "/v3/endpoints" => answer(200, &json!({"endpoints": state.endpoints})),
            "/v3/endpoints/e1" => answer(200, &json!({"endpoint": {"service_id": "s9", "region_id": null}})),
            "/v3/limits" => answer(200, &json!({"limits": state.limits})),
            "/v3/registered_limits" => answer(200, &json!({"registered_limits": state.registered})),
            _ => answer(404, &json!({"error": {"message": "m"}})),
        })
    }
}

fn by_service() -> LimitsEndpoint {
    LimitsEndpoint::OfService {
        service_type: Some("image".into()),
        service_name: None,
        region: Some("R1".into()),
        interface: "public".into(),
    }
}

fn limits(fake: &Fake, endpoint: LimitsEndpoint) -> KeystoneLimits {
    KeystoneLimits::over(&options(), endpoint, Arc::new(fake.clone()), wall).unwrap()
}

async fn ask(limits: &KeystoneLimits) -> Result<Vec<(String, i64)>, LimitsFailure> {
    let found = limits.of_project("p", &["a", "b"]).await?;
    Ok(found.into_iter().collect())
}

fn is_misconfigured(outcome: &Result<Vec<(String, i64)>, LimitsFailure>, said: &str) {
    let Err(LimitsFailure::Misconfigured(text)) = outcome else {
        panic!("{outcome:?}")
    };
    assert!(text.contains(said), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_projects_own_limits_come_before_registered_ones() {
    let fake = Fake::new();
    let limits = limits(&fake, by_service());
    let expected = [("a".to_owned(), 5), ("b".to_owned(), 2)];
    assert_eq!(ask(&limits).await.unwrap(), expected);
    let asked = [
        "/v3/limits/model?",
        "/v3/services?type=image",
        "/v3/endpoints?service_id=s1&interface=public&region_id=R1",
        "/v3/limits?service_id=s1&region_id=R1&project_id=p",
        "/v3/registered_limits?service_id=s1&region_id=R1",
    ];
    assert_eq!(fake.calls(), asked);
    assert_eq!(ask(&limits).await.unwrap(), expected);
    assert_eq!(
        fake.calls().len(),
        7,
        "the endpoint is remembered, limits are not"
    );
    tokio::time::advance(ENDPOINT_KEPT).await;
    ask(&limits).await.unwrap();
    assert_eq!(fake.calls().len(), 12);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_is_found_by_its_id_too() {
    let fake = Fake::new();
    let found = limits(&fake, LimitsEndpoint::Id("e1".into()));
    assert!(ask(&found).await.is_ok());
    assert_eq!(fake.calls()[2], "/v3/limits?service_id=s9&project_id=p");
    is_misconfigured(
        &ask(&limits(&fake, LimitsEndpoint::Id("e/../2".into()))).await,
        "endpoint_id",
    );
}

#[tokio::test(start_paused = true)]
async fn a_resource_that_is_not_registered_is_not_there() {
    let fake = Fake::new();
    fake.set(|state| state.registered = json!([]));
    assert_eq!(
        ask(&limits(&fake, by_service())).await.unwrap(),
        [("a".to_owned(), 5)]
    );
}

#[tokio::test(start_paused = true)]
async fn what_an_operator_has_to_change_is_told_as_such() {
    for (change, said) in [
        (
            (|state| state.services = json!([])) as fn(&mut State),
            "Keystone has 0 services where there must be one: check endpoint_service_type",
        ),
        (
            |state| {
                state.endpoints =
                    json!([{"service_id": "s", "region_id": "a"}, {"service_id": "s", "region_id": "b"}])
            },
            "Keystone has 2 endpoints where there must be one",
        ),
        (|state| state.model = "strict_two_level", "only flat is supported"),
        (|state| state.login_status = Some(401), "refuses the login"),
        (|state| state.faults = [Ok(403)].into(), "system_scope = all"),
        (
            |state| state.faults = [Ok(404)].into(),
            "Keystone has no /v3/limits/model",
        ),
    ] {
        let fake = Fake::new();
        fake.set(change);
        is_misconfigured(&ask(&limits(&fake, by_service())).await, said);
    }
}

#[tokio::test(start_paused = true)]
async fn a_keystone_out_of_reach_is_unavailable_and_left_alone() {
    let fake = Fake::new();
    let limits = limits(&fake, by_service());
    fake.set(|state| state.faults = (0..99).map(|_| Err(Broken::Timeout)).collect());
    assert!(matches!(ask(&limits).await, Err(LimitsFailure::Unavailable(_))));
    let asked = fake.calls().len();
    assert!(matches!(ask(&limits).await, Err(LimitsFailure::Unavailable(_))));
    assert_eq!(fake.calls().len(), asked, "not asked again at once");
    fake.set(|state| state.faults.clear());
    tokio::time::advance(Duration::from_secs(2)).await;
    assert!(ask(&limits).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn garbage_is_not_taken_for_limits() {
    let fake = Fake::new();
    fake.set(|state| state.limits = json!([{"resource_name": "a", "resource_limit": "many"}]));
    assert!(matches!(
        ask(&limits(&fake, by_service())).await,
        Err(LimitsFailure::Unavailable(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn a_rejected_token_is_replaced_once() {
    let fake = Fake::new();
    let limits = limits(&fake, by_service());
    ask(&limits).await.unwrap();
    tokio::time::advance(Duration::from_secs(10)).await;
    fake.set(|state| state.faults = [Ok(401)].into());
    assert!(ask(&limits).await.is_ok());
    assert_eq!(fake.0.lock().unwrap().logins, 2);
}

#[tokio::test(start_paused = true)]
async fn many_that_ask_for_a_project_at_once_share_the_answer() {
    let fake = Fake::new();
    fake.set(|state| state.pause = Duration::from_millis(50));
    let limits = limits(&fake, by_service());
    let all = futures_util::future::join_all((0..20).map(|_| ask(&limits))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(fake.calls().len(), 5);
}
