//! No identity at all: whoever reaches the listener is an administrator.
//!
//! What Glance does without a flavor (`UnauthenticatedContextMiddleware`). For trying things out on a machine of one's
//! own; the configuration has to ask for it by name.

use async_trait::async_trait;

use super::{Caller, Identity, RequestHead, Scope, Unidentified};

/// Glance's administrator has neither user nor project. Here the rules ask for a project, and images have an owner: it
/// is this one.
const NAME: &str = "everyone-is-admin";

/// Takes every request for an administrator's, whatever its headers say.
#[derive(Debug, Clone, Copy)]
pub struct EveryoneIsAdmin;

#[async_trait]
impl Identity for EveryoneIsAdmin {
    async fn identify(&self, _: RequestHead<'_>) -> Result<Caller, Unidentified> {
        Ok(Caller {
            user_id: NAME.to_owned(),
            user_name: None,
            user_domain_id: None,
            project_id: Some(NAME.to_owned()),
            project_name: None,
            project_domain_id: None,
            scope: Scope::Project,
            roles: vec!["admin".to_owned(), "member".to_owned(), "reader".to_owned()],
            domain_id: None,
            service: None,
            is_admin_project: true,
        })
    }

    /// Nobody is ever refused for want of credentials.
    fn challenge(&self) -> &str {
        "None"
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, Method};

    use super::*;

    #[tokio::test]
    async fn nothing_in_a_request_makes_it_someone_else() {
        let mut headers = HeaderMap::new();
        fn request(headers: &HeaderMap) -> RequestHead<'_> {
            RequestHead {
                method: &Method::GET,
                path: "/v2/images",
                headers,
            }
        }
        let without = EveryoneIsAdmin.identify(request(&headers)).await.unwrap();
        headers.insert("x-roles", HeaderValue::from_static("reader"));
        headers.insert("x-project-id", HeaderValue::from_static("other"));
        headers.insert("x-auth-token", HeaderValue::from_static("t"));
        headers.insert("x-service-roles", HeaderValue::from_static("service"));
        let with = EveryoneIsAdmin.identify(request(&headers)).await.unwrap();
        assert_eq!(without, with);
        assert!(with.has_role("admin") && with.service_roles().is_empty());
    }
}
