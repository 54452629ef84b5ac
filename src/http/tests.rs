//! The router, without a socket, over the real catalogue, transfers and file store.

mod cache;
mod cors;
mod data;
mod delayed_delete;
mod gzip;
mod images;
mod import;
mod import_plugins;
mod info;
mod locations;
mod members;
mod per_caller;
mod protection;
mod quotas;
mod routes;
mod stores;
mod tasks;
mod texts;
mod wire;

use std::sync::Arc;

use async_trait::async_trait;
use axum::{Router, body::Body, response::Response};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

use super::{Parts, Settings, State, StoreInfo, StoreNames, router};
use crate::{
    catalog::{
        Rules,
        tests::{Fixture, caller},
    },
    config::{self, Overrides, Sources, StoreNaming},
    identity::{Caller, CatalogEndpoint, Delegation, Identity, RequestHead, Secret, Unidentified},
    lifecycle::{Lifecycle, Phase},
};

pub(super) fn settings() -> Settings {
    let sources = Sources {
        overrides: Overrides {
            data_dir: Some("/nowhere".into()),
            bind: None,
        },
        ..Sources::default()
    };
    Settings {
        bind: "127.0.0.1:9292".parse().unwrap(),
        public_endpoint: None,
        believe_proxy: false,
        cors: config::load(&sources).unwrap().config.cors,
        max_request_id_length: 64,
        gzip_responses: false,
        disable_file: None,
        import_methods: vec!["glance-direct", "web-download", "copy-image"],
        stores: StoreNames::Hidden,
        cache: None,
        show_direct_url: false,
        show_locations: false,
        disk_formats: [
            "ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop",
        ]
        .map(str::to_owned)
        .into(),
        container_formats: ["ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed"]
            .map(str::to_owned)
            .into(),
    }
}

/// One store of this id, the default.
pub(super) fn store(id: &str) -> StoreNames {
    StoreNames::Shown(vec![StoreInfo {
        id: id.to_owned(),
        description: Some("quick".to_owned()),
        is_default: true,
        read_only: false,
        driver: "file",
        weight: 7,
        properties: serde_json::json!({ "data_dir": "/fast", "thin_provisioning": false }),
    }])
}

pub(crate) fn rules() -> Rules {
    let settings = settings();
    Rules {
        disk_formats: settings.disk_formats,
        container_formats: settings.container_formats,
        max_properties: Some(4),
        max_tags: Some(3),
        max_members: Some(3),
        max_locations: Some(4),
        show_locations: false,
        hash_algorithm: "sha512".to_owned(),
        hash_length: 128,
        deferred_deletion: false,
        page_default: 25,
        page_max: 1000,
    }
}

/// `X-Auth-Token: project:role,role`.
struct Tokens;

#[async_trait]
impl Identity for Tokens {
    async fn identify(&self, request: RequestHead<'_>) -> Result<Caller, Unidentified> {
        let token = request.headers.get("x-auth-token").ok_or(Unidentified::Missing)?;
        let token = token.to_str().map_err(|_| Unidentified::Invalid)?;
        if token == "down" {
            return Err(Unidentified::Unavailable("no answer".to_owned()));
        }
        let (project, roles) = token.split_once(':').ok_or(Unidentified::Invalid)?;
        Ok(caller(project, &roles.split(',').collect::<Vec<_>>()))
    }

    /// `X-Region: NAME URL` is the only region of the catalog; without it there is none.
    async fn delegation(&self, headers: &HeaderMap) -> Result<Option<Delegation>, Unidentified> {
        let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        let Some(region) = text("x-region") else {
            return Ok(None);
        };
        if region == "down" {
            return Err(Unidentified::Unavailable("no answer".to_owned()));
        }
        let (region, url) = region.split_once(' ').unwrap();
        let endpoint = CatalogEndpoint {
            service_type: "image".to_owned(),
            region: Some(region.to_owned()),
            interface: "public".to_owned(),
            url: url.to_owned(),
        };
        let token = Secret::new(text("x-auth-token").unwrap());
        Ok(Some(Delegation::new(token, vec![endpoint])))
    }

    fn challenge(&self) -> &str {
        "Keystone uri=\"http://127.0.0.1:5000\""
    }
}

const MEMBER: &str = "us:reader,member";
const READER: &str = "us:reader";
const ADMIN: &str = "cloud:reader,member,admin";
const STRANGER: &str = "them:reader,member";

struct App {
    fixture: Fixture,
    router: Router,
    lifecycle: Lifecycle,
}

/// A whole answer.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl App {
    fn new() -> Self {
        Self::with(settings())
    }

    fn with(settings: Settings) -> Self {
        let rules = Rules {
            show_locations: settings.show_locations,
            ..rules()
        };
        Self::of(settings, rules)
    }

    fn of(settings: Settings, rules: Rules) -> Self {
        let fixture = match settings.stores.shown().as_slice() {
            [] => Fixture::new(rules),
            ids => Fixture::with_stores(StoreNaming::Named, ids, rules),
        };
        Self::over(fixture, settings)
    }

    fn over(fixture: Fixture, settings: Settings) -> Self {
        let lifecycle = Lifecycle::new();
        let state = State::from(Parts {
            catalog: fixture.catalog.clone(),
            definitions: crate::definitions::tests::definitions(),
            transfers: fixture.transfers.clone(),
            imports: fixture.imports.clone(),
            identity: Arc::new(Tokens),
            settings: Arc::new(settings),
            draining: lifecycle.draining(),
        });
        let router = router(state, Router::new());
        Self {
            fixture,
            router,
            lifecycle,
        }
    }

    async fn respond(&self, request: Request<Body>) -> Response {
        self.router.clone().oneshot(request).await.unwrap()
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let (head, body) = self.respond(request).await.into_parts();
        let answer = Answer {
            status: head.status,
            headers: head.headers,
            body: body.collect().await.unwrap().to_bytes(),
        };
        if let Some(length) = answer.header("content-length") {
            assert_eq!(length, answer.body.len().to_string(), "{answer:?}");
        }
        answer
    }

    /// As a member of `us`.
    async fn call(&self, method: Method, path: &str) -> Answer {
        self.send(request(method, path, MEMBER)).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path).await
    }

    async fn json(&self, method: Method, path: &str, token: &str, body: &Value) -> Answer {
        let mut request = request(method, path, token);
        let text = body.to_string();
        request.headers_mut().insert("content-length", text.len().into());
        *request.body_mut() = Body::from(text);
        self.send(request).await
    }

    async fn patch(&self, path: &str, token: &str, body: &Value) -> Answer {
        let mut request = request(Method::PATCH, path, token);
        let media_type = "application/openstack-images-v2.1-json-patch";
        let text = body.to_string();
        request.headers_mut().insert("content-length", text.len().into());
        request
            .headers_mut()
            .insert("content-type", media_type.parse().unwrap());
        *request.body_mut() = Body::from(text);
        self.send(request).await
    }

    /// A new image; its path.
    async fn create(&self, body: &Value) -> String {
        let answer = self.json(Method::POST, "/v2/images", MEMBER, body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()["self"].as_str().unwrap().to_owned()
    }
}

fn request(method: Method, path: &str, token: &str) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "glance.example")
        .header("x-auth-token", token)
        .body(Body::empty())
        .unwrap()
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}
