//! The identity that a request has proved.

/// Who is calling, as the identity provider confirmed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The user's id.
    pub user_id: String,
    /// The user's name, where it is known; for logs and policy only.
    pub user_name: Option<String>,
    /// The domain of the user.
    pub user_domain_id: Option<String>,
    /// The project that the token is scoped to; also the owner of what the caller makes.
    pub project_id: Option<String>,
    /// The project's name, where it is known.
    pub project_name: Option<String>,
    /// The domain of the project.
    pub project_domain_id: Option<String>,
    /// What the token is valid for.
    pub scope: Scope,
    /// Roles in the scope, in lower case, implied roles included.
    pub roles: Vec<String>,
    /// The domain that the token is scoped to.
    pub domain_id: Option<String>,
    /// The service that calls on the user's behalf; `None` without a valid service token.
    pub service: Option<Service>,
    /// Whether the project is the cloud's administrative one.
    pub is_admin_project: bool,
}

impl Caller {
    /// Whether the user's own token has the role; `role` in lower case.
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|own| own == role)
    }

    /// Roles of the service that calls on the user's behalf; empty without one.
    pub fn service_roles(&self) -> &[String] {
        self.service.as_ref().map_or(&[], |service| &service.roles)
    }
}

/// A service that calls on a user's behalf, and has proved it by a token of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Service {
    /// The service user's id.
    pub user_id: Option<String>,
    /// The domain of the service user.
    pub user_domain_id: Option<String>,
    /// The project of the service's token.
    pub project_id: Option<String>,
    /// The domain of that project.
    pub project_domain_id: Option<String>,
    /// Roles in that project, in lower case, implied roles included.
    pub roles: Vec<String>,
}

/// What a token is valid for. Images belong to projects: every default policy rule asks for project scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// One project.
    Project,
    /// One domain.
    Domain,
    /// The whole system.
    System,
    /// Nothing.
    Unscoped,
}
