//! Who is in a Keystone, and the tokens that it gives them: over its own API.

use super::{Answer, Body, Client, Keystone};
use serde_json::{Value, json};
use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, SystemTime},
};

/// What is asked for when a token is.
#[derive(Clone)]
pub(crate) struct Login {
    identity: Value,
    scope: Option<Value>,
}

fn default_domain() -> Value {
    json!({"id": "default"})
}

impl Login {
    /// By name and password, without a scope.
    pub(crate) fn password(user: &str, password: &str) -> Self {
        Self {
            identity: json!({"methods": ["password"], "password": {"user": {
                "name": user, "domain": default_domain(), "password": password}}}),
            scope: Some(json!("unscoped")),
        }
    }

    /// One of those whom `tests/keystone/server.py` lists, in a project.
    pub(crate) fn of(user: &str, project: &str) -> Self {
        Self::password(user, &format!("{user}-password")).on_project(project)
    }

    /// An application credential has its scope in itself.
    pub(crate) fn application_credential(credential: &ApplicationCredential) -> Self {
        Self {
            identity: json!({"methods": ["application_credential"], "application_credential": {
                "id": credential.id, "secret": credential.secret}}),
            scope: None,
        }
    }

    fn on(self, scope: Value) -> Self {
        Self {
            scope: Some(scope),
            ..self
        }
    }

    pub(crate) fn on_project(self, name: &str) -> Self {
        self.on(json!({"project": {"name": name, "domain": default_domain()}}))
    }

    pub(crate) fn on_domain(self) -> Self {
        self.on(json!({"domain": default_domain()}))
    }

    pub(crate) fn on_system(self) -> Self {
        self.on(json!({"system": {"all": true}}))
    }

    pub(crate) fn unscoped(self) -> Self {
        self.on(json!("unscoped"))
    }
}

/// A user with a project, both of one test's own.
pub(crate) struct Account {
    pub(crate) user_id: String,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) project_id: String,
    pub(crate) project: String,
}

impl Account {
    /// In their project.
    pub(crate) fn login(&self) -> Login {
        Login::password(&self.user, &self.password).on_project(&self.project)
    }
}

/// A part of a user's rights, under a secret of its own.
pub(crate) struct ApplicationCredential {
    pub(crate) id: String,
    pub(crate) secret: String,
}

impl Keystone {
    /// The API, without a token.
    pub(crate) fn anonymous(&self) -> Client {
        Client::new(&self.url())
    }

    /// The API, as the administrator.
    pub(crate) fn administrator(&self) -> &Client {
        self.administrator.get_or_init(|| {
            let token = self.token(&Login::of("admin", "admin"));
            self.anonymous().with_token(&token)
        })
    }

    /// What it answers to a request for a token.
    pub(crate) fn try_login(&self, login: &Login) -> Answer {
        let mut auth = json!({"identity": login.identity});
        if let Some(scope) = &login.scope {
            auth["scope"] = scope.clone();
        }
        self.anonymous().post("/v3/auth/tokens", &json!({ "auth": auth }))
    }

    /// A new token.
    pub(crate) fn token(&self, login: &Login) -> String {
        let answer = self.try_login(login).expect_status(201);
        answer.header("X-Subject-Token").to_owned()
    }

    /// What a token says, if it is valid.
    pub(crate) fn validate(&self, token: &str) -> Answer {
        self.administrator().request(
            "GET",
            "/v3/auth/tokens",
            &[("X-Subject-Token", token)],
            Body::None,
        )
    }

    /// Ends a token.
    pub(crate) fn revoke(&self, token: &str) {
        let headers = [("X-Subject-Token", token)];
        self.administrator()
            .request("DELETE", "/v3/auth/tokens", &headers, Body::None)
            .expect_status(204);
    }

    /// A new user in a new project, with these roles in it.
    pub(crate) fn account(&self, roles: &[&str]) -> Account {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let (user, project) = (format!("user{number}"), format!("project{number}"));
        let password = format!("{user}-password");
        let project_id = self.create("project", json!({"name": project, "domain_id": "default"}));
        let user_id = self.create(
            "user",
            json!({"name": user, "domain_id": "default", "password": password,
                "default_project_id": project_id}),
        );
        for role in roles {
            let role = self.role(role);
            self.put(&format!("/v3/projects/{project_id}/users/{user_id}/roles/{role}"));
        }
        Account {
            user_id,
            user,
            password,
            project_id,
            project,
        }
    }

    /// A role in the default domain.
    pub(crate) fn grant_on_domain(&self, user_id: &str, role: &str) {
        let role = self.role(role);
        self.put(&format!("/v3/domains/default/users/{user_id}/roles/{role}"));
    }

    /// A role on the system.
    pub(crate) fn grant_on_system(&self, user_id: &str, role: &str) {
        let role = self.role(role);
        self.put(&format!("/v3/system/users/{user_id}/roles/{role}"));
    }

    pub(crate) fn disable_user(&self, user_id: &str) {
        self.change(
            &format!("/v3/users/{user_id}"),
            &json!({"user": {"enabled": false}}),
        );
    }

    pub(crate) fn delete_project(&self, project_id: &str) {
        let path = format!("/v3/projects/{project_id}");
        self.administrator().delete(&path).expect_status(204);
    }

    /// An application credential that the user makes for themselves, with access rules if there are any: a method, a
    /// path and a service each.
    pub(crate) fn application_credential(
        &self,
        account: &Account,
        rules: Option<&[(&str, &str, &str)]>,
    ) -> ApplicationCredential {
        let fields = rules.map_or_else(
            || json!({}),
            |rules| {
                let rules = rules.iter().map(
                    |(method, path, service)| json!({"method": method, "path": path, "service": service}),
                );
                json!({"access_rules": rules.collect::<Vec<_>>()})
            },
        );
        self.credential(account, fields)
    }

    /// A token that ends after so many seconds, which is when the credential behind it does.
    pub(crate) fn token_for_seconds(&self, account: &Account, seconds: u64) -> String {
        let end = SystemTime::now() + Duration::from_secs(seconds);
        let end = jiff::Timestamp::try_from(end).unwrap();
        let end = end.strftime("%Y-%m-%dT%H:%M:%S.%6f").to_string();
        let credential = self.credential(account, json!({ "expires_at": end }));
        self.token(&Login::application_credential(&credential))
    }

    fn credential(&self, account: &Account, mut fields: Value) -> ApplicationCredential {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        fields["name"] = json!(format!("credential{number}"));
        let owner = self.anonymous().with_token(&self.token(&account.login()));
        let path = format!("/v3/users/{}/application_credentials", account.user_id);
        let made = owner
            .post(&path, &json!({"application_credential": fields}))
            .expect_status(201)
            .json();
        let word = |name: &str| made["application_credential"][name].as_str().unwrap().to_owned();
        ApplicationCredential {
            id: word("id"),
            secret: word("secret"),
        }
    }

    /// A region of a test's own in the catalogue: what clients find there.
    pub(super) fn region(&self, identity_url: &str) -> String {
        let region = self.new_region();
        self.administrator()
            .post("/v3/regions", &json!({"region": {"id": region}}))
            .expect_status(201);
        self.endpoints("identity", &region, &format!("{identity_url}/v3"));
        region
    }

    /// A region of a test's own whose image service is at this URL; its name.
    pub(crate) fn image_region(&self, url: &str) -> String {
        let region = self.region(&self.url());
        self.endpoints("image", &region, url);
        region
    }

    /// Public, internal and for administrators: all the same.
    pub(super) fn endpoints(&self, service_type: &str, region: &str, url: &str) {
        let api = self.administrator();
        let found = api
            .get(&format!("/v3/services?type={service_type}"))
            .expect_status(200);
        let service = found.json()["services"][0]["id"].clone();
        for interface in ["public", "internal", "admin"] {
            let endpoint =
                json!({"service_id": service, "interface": interface, "url": url, "region_id": region});
            self.create("endpoint", endpoint);
        }
    }

    /// The image service of the region that the clients take by default is there.
    pub(super) fn move_images(&self, url: &str) {
        let api = self.administrator();
        let found = api.get("/v3/services?type=image").expect_status(200).json();
        let service = found["services"][0]["id"].as_str().unwrap().to_owned();
        let path = format!("/v3/endpoints?service_id={service}&region_id=RegionOne");
        for endpoint in api.get(&path).expect_status(200).json()["endpoints"]
            .as_array()
            .unwrap()
        {
            let path = format!("/v3/endpoints/{}", endpoint["id"].as_str().unwrap());
            self.change(&path, &json!({"endpoint": {"url": url}}));
        }
    }

    fn role(&self, name: &str) -> String {
        let found = self
            .administrator()
            .get(&format!("/v3/roles?name={name}"))
            .expect_status(200);
        found.json()["roles"][0]["id"]
            .as_str()
            .unwrap_or_else(|| panic!("no role {name}"))
            .to_owned()
    }

    fn create(&self, kind: &str, fields: Value) -> String {
        let answer = self
            .administrator()
            .post(&format!("/v3/{kind}s"), &json!({ kind: fields }))
            .expect_status(201);
        answer.json()[kind]["id"].as_str().unwrap().to_owned()
    }

    fn put(&self, path: &str) {
        self.administrator()
            .request("PUT", path, &[], Body::None)
            .expect_status(204);
    }

    /// What is there, changed.
    pub(crate) fn change(&self, path: &str, body: &Value) {
        self.administrator()
            .request("PATCH", path, &[], Body::Json(body))
            .expect_status(200);
    }
}
