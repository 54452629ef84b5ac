//! The API over HTTP, as a well-behaved client uses it.

use serde_json::Value;
use std::{io::Read, time::Duration};
use ureq::{Agent, SendBody, http};

/// Talks to one daemon, with a token or without.
#[derive(Clone)]
pub(crate) struct Client {
    agent: Agent,
    base: String,
    token: Option<String>,
}

/// What is sent.
pub(crate) enum Body<'a> {
    None,
    Json(&'a Value),
    /// With its length.
    Sized(&'a str, &'a [u8]),
    /// Chunked.
    Chunked(&'a str, &'a mut dyn Read),
}

impl Client {
    /// Talks to whatever is at a URL.
    pub(crate) fn new(base: &str) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .allow_non_standard_methods(true)
            .timeout_global(Some(Duration::from_secs(60)))
            .build()
            .into();
        Self {
            agent,
            base: base.to_owned(),
            token: None,
        }
    }

    /// The same with another token.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..self.clone()
        }
    }

    /// The token.
    pub(crate) fn token(&self) -> &str {
        self.token.as_deref().unwrap()
    }

    /// Sends a request, and reads the answer whole. `Err` when the connection broke.
    pub(crate) fn try_request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Body<'_>,
    ) -> Result<Answer, ureq::Error> {
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("X-Auth-Token", token);
        }
        if let Some(content_type) = match &body {
            Body::None => None,
            Body::Json(_) => Some("application/json"),
            Body::Sized(content_type, _) | Body::Chunked(content_type, _) => Some(*content_type),
        } && !headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("Content-Type"))
        {
            request = request.header("Content-Type", content_type);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = match body {
            // Without this ureq takes a body for chunked where the method may have one.
            Body::None if ["PUT", "POST", "PATCH"].contains(&method) => {
                self.agent.run(request.body(&[][..]).unwrap())
            }
            Body::None => self.agent.run(request.body(()).unwrap()),
            Body::Json(value) => self.agent.run(request.body(value.to_string()).unwrap()),
            Body::Sized(_, bytes) => self.agent.run(request.body(bytes).unwrap()),
            Body::Chunked(_, reader) => self
                .agent
                .run(request.body(SendBody::from_reader(reader)).unwrap()),
        }?;
        let (parts, mut body) = response.into_parts();
        let mut bytes = Vec::new();
        body.as_reader().read_to_end(&mut bytes)?;
        Ok(Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: bytes,
        })
    }

    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Body<'_>,
    ) -> Answer {
        self.try_request(method, path, headers, body)
            .unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[("Accept", "application/json")], Body::None)
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.request("DELETE", path, &[], Body::None)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.request("POST", path, &[], Body::Json(body))
    }

    /// Operations of JSON patch.
    pub(crate) fn patch(&self, path: &str, operations: &Value) -> Answer {
        let content_type = "application/openstack-images-v2.1-json-patch";
        self.request(
            "PATCH",
            path,
            &[("Content-Type", content_type)],
            Body::Json(operations),
        )
    }

    /// A new image's record.
    pub(crate) fn create(&self, body: &Value) -> Value {
        self.post("/v2/images", body).expect_status(201).json()
    }

    /// A new raw image without data: its id.
    pub(crate) fn queued(&self, name: &str) -> String {
        let image = self.create(&serde_json::json!({
            "name": name, "disk_format": "raw", "container_format": "bare",
        }));
        image["id"].as_str().unwrap().to_owned()
    }

    /// A new raw image with these bytes: its id.
    pub(crate) fn active(&self, name: &str, bytes: &[u8]) -> String {
        let id = self.queued(name);
        self.upload(&id, bytes).expect_status(204);
        id
    }

    pub(crate) fn upload(&self, id: &str, bytes: &[u8]) -> Answer {
        let body = Body::Sized("application/octet-stream", bytes);
        self.request("PUT", &format!("/v2/images/{id}/file"), &[], body)
    }

    pub(crate) fn download(&self, id: &str) -> Answer {
        self.request("GET", &format!("/v2/images/{id}/file"), &[], Body::None)
    }

    /// An image's record.
    pub(crate) fn show(&self, id: &str) -> Value {
        self.get(&format!("/v2/images/{id}")).expect_status(200).json()
    }

    /// An image's status.
    pub(crate) fn status(&self, id: &str) -> String {
        self.show(id)["status"].as_str().unwrap().to_owned()
    }

    /// The images of one page.
    pub(crate) fn list(&self, query: &str) -> Vec<Value> {
        let page = self.get(&format!("/v2/images?{query}")).expect_status(200).json();
        page["images"].as_array().unwrap().clone()
    }

    /// The names of the images of one page.
    pub(crate) fn list_names(&self, query: &str) -> Vec<String> {
        let name = |image: &Value| image["name"].as_str().unwrap_or_default().to_owned();
        self.list(query).iter().map(name).collect()
    }
}

/// What came back, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: http::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Panics with the answer's text when it has another status.
    #[track_caller]
    pub(crate) fn expect_status(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// A header that must be there.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        self.optional_header(name)
            .unwrap_or_else(|| panic!("no {name} in {:?}", self.headers))
    }

    pub(crate) fn optional_header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The body, for people.
    pub(crate) fn text(&self) -> String {
        let end = self.body.len().min(2000);
        String::from_utf8_lossy(&self.body[..end]).into_owned()
    }
}
