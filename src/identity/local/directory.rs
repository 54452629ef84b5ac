//! Everyone and everything that exists, in memory: as large as what administrators have made, whatever clients send.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::model::{DOMAIN_ID, DOMAIN_NAME, Name, Project, ProjectId, Role, Roles, User, UserId};
use super::tokens::Token;

/// A snapshot of all users, projects and role assignments. Cloning shares the entries.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    users: BTreeMap<UserId, Arc<User>>,
    user_names: BTreeMap<Name, UserId>,
    projects: BTreeMap<ProjectId, Arc<Project>>,
    project_names: BTreeMap<Name, ProjectId>,
    grants: BTreeMap<(UserId, ProjectId), Roles>,
}

/// One change, as a pure value: written to the database first, then applied here.
#[derive(Debug, Clone)]
pub(super) enum Change {
    PutUser(User),
    /// Takes the user's roles along.
    RemoveUser(UserId),
    PutProject(Project),
    /// An empty set takes the assignment away.
    PutRoles(UserId, ProjectId, Roles),
    /// Whether the first password has reached the operator.
    Bootstrapped(bool),
}

/// What a valid token gives: who, where, and the roles there.
#[derive(Debug, Clone)]
pub struct Session {
    /// The token itself.
    pub token: Token,
    /// Whose it is.
    pub user: Arc<User>,
    /// What it is scoped to.
    pub project: Option<Arc<Project>>,
    /// Roles in that project, implied ones included; empty when unscoped.
    pub roles: Roles,
}

/// How a request names something that lives in a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// By id.
    Id(String),
    /// By name, in a domain.
    Name {
        /// The name.
        name: String,
        /// Its domain.
        domain: DomainReference,
    },
}

/// How a request names a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DomainReference {
    /// By id.
    Id(String),
    /// By name.
    Name(String),
}

impl DomainReference {
    /// Whether it is the one domain that exists.
    pub fn is_default(&self) -> bool {
        match self {
            Self::Id(id) => id == DOMAIN_ID,
            Self::Name(name) => name == DOMAIN_NAME,
        }
    }
}

impl Directory {
    pub(super) fn apply(&mut self, change: &Change) {
        match change {
            Change::PutUser(user) => {
                if let Some(before) = self.users.insert(user.id, Arc::new(user.clone())) {
                    self.user_names.remove(&before.name);
                }
                self.user_names.insert(user.name.clone(), user.id);
            }
            Change::RemoveUser(id) => {
                if let Some(before) = self.users.remove(id) {
                    self.user_names.remove(&before.name);
                }
                self.grants.retain(|(user, _), _| user != id);
            }
            Change::PutProject(project) => {
                if let Some(before) = self.projects.insert(project.id, Arc::new(project.clone())) {
                    self.project_names.remove(&before.name);
                }
                self.project_names.insert(project.name.clone(), project.id);
            }
            Change::PutRoles(user, project, roles) => {
                if roles.is_empty() {
                    self.grants.remove(&(*user, *project));
                } else {
                    self.grants.insert((*user, *project), *roles);
                }
            }
            Change::Bootstrapped(_) => {}
        }
    }

    /// All users, by id.
    pub fn users(&self) -> impl Iterator<Item = &Arc<User>> {
        self.users.values()
    }

    /// All projects, by id.
    pub fn projects(&self) -> impl Iterator<Item = &Arc<Project>> {
        self.projects.values()
    }

    /// Role assignments as they were made, implied roles not included.
    pub fn assignments(&self) -> impl Iterator<Item = (UserId, ProjectId, Roles)> {
        self.grants
            .iter()
            .map(|((user, project), roles)| (*user, *project, *roles))
    }

    /// The user of that id.
    pub fn user(&self, id: UserId) -> Option<&Arc<User>> {
        self.users.get(&id)
    }

    /// The user of that name.
    pub fn user_named(&self, name: &str) -> Option<&Arc<User>> {
        self.users.get(self.user_names.get(&Name::parse(name).ok()?)?)
    }

    /// The project of that id.
    pub fn project(&self, id: ProjectId) -> Option<&Arc<Project>> {
        self.projects.get(&id)
    }

    /// The project of that name.
    pub fn project_named(&self, name: &str) -> Option<&Arc<Project>> {
        self.projects
            .get(self.project_names.get(&Name::parse(name).ok()?)?)
    }

    /// The user that a request names.
    pub fn find_user(&self, reference: &Reference) -> Option<&Arc<User>> {
        match reference {
            Reference::Id(id) => self.user(UserId::parse(id)?),
            Reference::Name { name, domain } if domain.is_default() => self.user_named(name),
            Reference::Name { .. } => None,
        }
    }

    /// The project that a request names.
    pub fn find_project(&self, reference: &Reference) -> Option<&Arc<Project>> {
        match reference {
            Reference::Id(id) => self.project(ProjectId::parse(id)?),
            Reference::Name { name, domain } if domain.is_default() => self.project_named(name),
            Reference::Name { .. } => None,
        }
    }

    /// Roles that were assigned, implied ones not included.
    pub fn assigned(&self, user: UserId, project: ProjectId) -> Roles {
        self.grants.get(&(user, project)).copied().unwrap_or_default()
    }

    /// Enabled projects on which the user has a role.
    pub fn projects_of(&self, user: UserId) -> impl Iterator<Item = &Arc<Project>> {
        self.grants
            .keys()
            .filter(move |(grantee, _)| *grantee == user)
            .filter_map(|(_, project)| self.projects.get(project))
            .filter(|project| project.enabled)
    }

    /// The project, when the user can get a token for it.
    pub(super) fn scope(&self, user: UserId, project: ProjectId) -> Option<(&Arc<Project>, Roles)> {
        let roles = self.assigned(user, project).expanded();
        let project = self.project(project).filter(|project| project.enabled)?;
        (!roles.is_empty()).then_some((project, roles))
    }

    /// What the token gives at this time (seconds since 1970); `None` when it gives nothing any more.
    pub(super) fn session(&self, token: Token, now: u64) -> Option<Session> {
        if now >= token.expires_at {
            return None;
        }
        let user = self
            .user(token.user)
            .filter(|user| user.enabled && user.generation == token.generation)?;
        let (project, roles) = match token.project {
            Some(project) => {
                let (project, roles) = self.scope(user.id, project)?;
                (Some(Arc::clone(project)), roles)
            }
            None => (None, Roles::default()),
        };
        Some(Session {
            user: Arc::clone(user),
            project,
            roles,
            token,
        })
    }

    /// Whether an enabled user other than `without` is administrator of an enabled project.
    pub(super) fn has_admin_besides(&self, without: UserId) -> bool {
        self.grants.iter().any(|((user, project), roles)| {
            *user != without
                && roles.contains(Role::Admin)
                && self.user(*user).is_some_and(|user| user.enabled)
                && self.project(*project).is_some_and(|project| project.enabled)
        })
    }
}
