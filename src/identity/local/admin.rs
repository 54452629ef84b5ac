//! What an administrator of this machine may do to users and projects, as values that travel over the control socket.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::super::secret::Secret;
use super::bootstrap::ADMIN;
use super::database::DatabaseError;
use super::directory::{Change, Directory};
use super::model::{BadName, Name, Project, ProjectId, Role, Roles, User, UserId};
use super::password::{PasswordHash, check_password};
use super::{Shared, chain};

/// One operation.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum AdminRequest {
    /// Makes a user.
    UserAdd {
        /// Their name.
        name: String,
        /// An existing project; `None`: a new one of the user's name.
        project: Option<String>,
        /// Their role there; `None`: member.
        role: Option<Role>,
        /// Their password; `None`: a random one, told in the reply.
        password: Option<Secret>,
    },
    /// Shows all users.
    UserList,
    /// Removes a user; their tokens are void at once. What their projects own stays.
    UserRemove {
        /// Their name.
        name: String,
    },
    /// Changes a password; the user's tokens are void at once.
    UserPassword {
        /// Their name.
        name: String,
        /// The new one; `None`: a random one, told in the reply.
        password: Option<Secret>,
    },
    /// Lets a user in, or keeps them out.
    UserSwitch {
        /// Their name.
        name: String,
        /// Which.
        to: Switch,
    },
    /// Gives a user a role on a project.
    RoleAdd {
        /// The user's name.
        user: String,
        /// The project's name.
        project: String,
        /// The role.
        role: Role,
    },
    /// Takes a role away.
    RoleRemove {
        /// The user's name.
        user: String,
        /// The project's name.
        project: String,
        /// The role.
        role: Role,
    },
    /// Makes a project.
    ProjectAdd {
        /// Its name.
        name: String,
    },
    /// Shows all projects.
    ProjectList,
}

/// Whether a user can log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Switch {
    /// They can.
    Enabled,
    /// They cannot, and their tokens are void.
    Disabled,
}

/// What came of it. `Display` prints it for a terminal, a new random password included.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum AdminReply {
    /// A user as they are now.
    User {
        /// The user.
        user: UserRow,
        /// The password, where a random one was made.
        password: Option<Secret>,
    },
    /// All users, by name.
    Users(Vec<UserRow>),
    /// A project as it is now.
    Project(ProjectRow),
    /// All projects, by name.
    Projects(Vec<ProjectRow>),
    /// Done; a sentence says what.
    Done(String),
}

/// A user in a reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserRow {
    /// Id.
    pub id: String,
    /// Name.
    pub name: String,
    /// Whether they can log in.
    pub enabled: bool,
    /// `project:role,role`, for each project.
    pub roles: Vec<String>,
}

/// A project in a reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectRow {
    /// Id: the owner of its images.
    pub id: String,
    /// Name.
    pub name: String,
}

impl fmt::Display for AdminReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User { user, password } => {
                write!(
                    f,
                    "id        {}\nname      {}\nroles     {}",
                    user.id,
                    user.name,
                    user.roles.join(" ")
                )?;
                match password {
                    Some(password) => write!(f, "\npassword  {}", password.expose()),
                    None => Ok(()),
                }
            }
            Self::Users(users) => {
                let rows = users.iter().map(|user| {
                    let enabled = if user.enabled { "yes" } else { "no" };
                    [
                        user.id.clone(),
                        user.name.clone(),
                        enabled.to_owned(),
                        user.roles.join(" "),
                    ]
                });
                table(f, ["ID", "NAME", "ENABLED", "ROLES"], rows)
            }
            Self::Project(project) => write!(f, "id        {}\nname      {}", project.id, project.name),
            Self::Projects(projects) => {
                let rows = projects
                    .iter()
                    .map(|project| [project.id.clone(), project.name.clone()]);
                table(f, ["ID", "NAME"], rows)
            }
            Self::Done(what) => f.write_str(what),
        }
    }
}

fn table<const N: usize>(
    f: &mut fmt::Formatter<'_>,
    head: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> fmt::Result {
    let mut lines = vec![head.map(str::to_owned)];
    lines.extend(rows);
    let widths: Vec<usize> = (0..N)
        .map(|column| {
            lines
                .iter()
                .filter_map(|line| line.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    for (number, line) in lines.iter().enumerate() {
        let cells = line
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        write!(f, "{}{}", if number == 0 { "" } else { "\n" }, line.trim_end())?;
    }
    Ok(())
}

/// Why an operation was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
#[serde(deny_unknown_fields)]
pub struct AdminError {
    /// For control flow and exit codes.
    pub kind: AdminErrorKind,
    /// For the administrator.
    pub message: String,
}

/// The kinds of [`AdminError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdminErrorKind {
    /// No such user or project.
    NotFound,
    /// The name is taken.
    Exists,
    /// It makes no sense, or would lock everyone out.
    Refused,
    /// The identity cannot be read, written or reached; of a change it is unknown whether it happened.
    Unavailable,
}

impl AdminError {
    fn new(kind: AdminErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    pub(super) fn refused(message: impl Into<String>) -> Self {
        Self::new(AdminErrorKind::Refused, message)
    }

    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(AdminErrorKind::Unavailable, message)
    }

    fn no_user(name: &str) -> Self {
        Self::new(
            AdminErrorKind::NotFound,
            format!("there is no user {name:?}: see `saccade user list`"),
        )
    }

    fn no_project(name: &str) -> Self {
        Self::new(
            AdminErrorKind::NotFound,
            format!(
                "there is no project {name:?}: see `saccade project list`, or add it with `saccade project add`"
            ),
        )
    }
}

impl From<DatabaseError> for AdminError {
    fn from(error: DatabaseError) -> Self {
        Self::unavailable(chain(&error))
    }
}

impl From<BadName> for AdminError {
    fn from(error: BadName) -> Self {
        Self::refused(error.to_string())
    }
}

type Decision = Result<(Vec<Change>, AdminReply), AdminError>;

impl Shared {
    /// Does one operation; blocks.
    pub(super) fn administer(&self, request: AdminRequest) -> Result<AdminReply, AdminError> {
        match request {
            AdminRequest::UserAdd {
                name,
                project,
                role,
                password,
            } => {
                let name = Name::parse(&name)?;
                let (hash, told) = self.password(password)?;
                let role = role.unwrap_or(Role::Member);
                self.change(|directory| add_user(directory, name, project.as_deref(), role, hash, told))
            }
            AdminRequest::UserList => {
                let directory = self.snapshot();
                let mut rows: Vec<_> = directory.users().map(|user| user_row(&directory, user)).collect();
                rows.sort_by(|a, b| a.name.cmp(&b.name));
                Ok(AdminReply::Users(rows))
            }
            AdminRequest::UserRemove { name } => self.change(|directory| {
                let user = user(directory, &name)?;
                keep_an_admin(directory, user.id)?;
                let mut changes = vec![Change::RemoveUser(user.id)];
                if name == ADMIN {
                    changes.push(Change::Bootstrapped(true));
                }
                Ok((changes, AdminReply::Done(format!("user {name} removed"))))
            }),
            AdminRequest::UserPassword { name, password } => {
                let (hash, told) = self.password(password)?;
                self.change(|directory| set_password(directory, &name, hash, told))
            }
            AdminRequest::UserSwitch { name, to } => self.change(|directory| switch(directory, &name, to)),
            AdminRequest::RoleAdd { user, project, role } => {
                self.change(|directory| set_roles(directory, &user, &project, |roles| roles.with(role)))
            }
            AdminRequest::RoleRemove { user, project, role } => {
                self.change(|directory| set_roles(directory, &user, &project, |roles| roles.without(role)))
            }
            AdminRequest::ProjectAdd { name } => {
                let name = Name::parse(&name)?;
                self.change(|directory| {
                    let project = new_project(directory, name)?;
                    let row = project_row(&project);
                    Ok((vec![Change::PutProject(project)], AdminReply::Project(row)))
                })
            }
            AdminRequest::ProjectList => {
                let mut rows: Vec<_> = self
                    .snapshot()
                    .projects()
                    .map(|project| project_row(project))
                    .collect();
                rows.sort_by(|a, b| a.name.cmp(&b.name));
                Ok(AdminReply::Projects(rows))
            }
        }
    }

    /// The hash of a password, made before anything is locked; and the password, where it is a new random one.
    fn password(&self, given: Option<Secret>) -> Result<(PasswordHash, Option<Secret>), AdminError> {
        let (password, told) = match given {
            Some(password) => {
                check_password(&password).map_err(AdminError::refused)?;
                (password, None)
            }
            None => {
                let random = Secret::random().map_err(|error| AdminError::unavailable(error.to_string()))?;
                (random.clone(), Some(random))
            }
        };
        let hash = PasswordHash::make(&password, self.options.password_cost, self.verifier.workspaces())
            .map_err(AdminError::unavailable)?;
        Ok((hash, told))
    }
}

fn user<'d>(directory: &'d Directory, name: &str) -> Result<&'d User, AdminError> {
    directory
        .user_named(name)
        .map(AsRef::as_ref)
        .ok_or_else(|| AdminError::no_user(name))
}

fn new_project(directory: &Directory, name: Name) -> Result<Project, AdminError> {
    if directory.project_named(name.as_str()).is_some() {
        return Err(AdminError::new(
            AdminErrorKind::Exists,
            format!("there is a project {name} already"),
        ));
    }
    Ok(Project {
        id: ProjectId::random(),
        name,
        enabled: true,
    })
}

fn add_user(
    directory: &Directory,
    name: Name,
    project: Option<&str>,
    role: Role,
    password: PasswordHash,
    told: Option<Secret>,
) -> Decision {
    if directory.user_named(name.as_str()).is_some() {
        return Err(AdminError::new(
            AdminErrorKind::Exists,
            format!("there is a user {name} already"),
        ));
    }
    let mut changes = Vec::new();
    let project = match project {
        Some(project) => {
            directory
                .project_named(project)
                .ok_or_else(|| AdminError::no_project(project))?
                .id
        }
        // Never an existing project by accident: whoever has its name would get at its images.
        None => {
            let project = new_project(directory, name.clone()).map_err(|error| {
                AdminError::new(
                    error.kind,
                    format!("{error}: say `--project {name}` to add the user to it"),
                )
            })?;
            let id = project.id;
            changes.push(Change::PutProject(project));
            id
        }
    };
    let id = UserId::random();
    let user = User {
        id,
        name,
        enabled: true,
        default_project: Some(project),
        password,
        generation: 0,
    };
    changes.push(Change::PutUser(user));
    changes.push(Change::PutRoles(id, project, Roles::of(role)));
    decided(directory, changes, id, told)
}

fn set_password(directory: &Directory, name: &str, password: PasswordHash, told: Option<Secret>) -> Decision {
    let before = user(directory, name)?;
    let id = before.id;
    let after = User {
        password,
        generation: before.generation.wrapping_add(1),
        ..before.clone()
    };
    let mut changes = vec![Change::PutUser(after)];
    if name != ADMIN {
        return decided(directory, changes, id, told);
    }
    // The operator knows a password now: no later start may change it.
    changes.push(Change::Bootstrapped(true));
    if told.is_some() {
        return decided(directory, changes, id, told);
    }
    let note = "password of admin changed; clouds.yaml and openrc, where they exist, still have the old one";
    Ok((changes, AdminReply::Done(note.to_owned())))
}

fn switch(directory: &Directory, name: &str, to: Switch) -> Decision {
    let before = user(directory, name)?;
    if to == Switch::Disabled {
        keep_an_admin(directory, before.id)?;
    }
    let enabled = to == Switch::Enabled;
    // Tokens from before stay void when the user is let in again, as Keystone has it.
    let generation = before
        .generation
        .wrapping_add(u32::from(before.enabled && !enabled));
    let id = before.id;
    decided(
        directory,
        vec![Change::PutUser(User {
            enabled,
            generation,
            ..before.clone()
        })],
        id,
        None,
    )
}

fn set_roles(
    directory: &Directory,
    name: &str,
    project: &str,
    change: impl FnOnce(Roles) -> Roles,
) -> Decision {
    let user = user(directory, name)?;
    let project = directory
        .project_named(project)
        .ok_or_else(|| AdminError::no_project(project))?;
    let before = directory.assigned(user.id, project.id);
    let after = change(before);
    if before.contains(Role::Admin) && !after.contains(Role::Admin) {
        let elsewhere = directory
            .assignments()
            .any(|(id, at, roles)| id == user.id && at != project.id && roles.contains(Role::Admin));
        if !(elsewhere && user.enabled) {
            keep_an_admin(directory, user.id)?;
        }
    }
    decided(
        directory,
        vec![Change::PutRoles(user.id, project.id, after)],
        user.id,
        None,
    )
}

fn keep_an_admin(directory: &Directory, without: UserId) -> Result<(), AdminError> {
    if directory.has_admin_besides(without) || !is_admin(directory, without) {
        return Ok(());
    }
    Err(AdminError::refused(
        "no administrator would be left: give another user the admin role first",
    ))
}

fn is_admin(directory: &Directory, id: UserId) -> bool {
    directory
        .assignments()
        .any(|(user, _, roles)| user == id && roles.contains(Role::Admin))
}

/// The reply shows the user as the changes leave them.
fn decided(directory: &Directory, changes: Vec<Change>, id: UserId, told: Option<Secret>) -> Decision {
    let mut next = directory.clone();
    changes.iter().for_each(|change| next.apply(change));
    let user = next
        .user(id)
        .ok_or_else(|| AdminError::unavailable("the user is gone"))?;
    let reply = AdminReply::User {
        user: user_row(&next, user),
        password: told,
    };
    Ok((changes, reply))
}

fn user_row(directory: &Directory, user: &User) -> UserRow {
    let mut roles: Vec<_> = directory
        .assignments()
        .filter(|(id, ..)| *id == user.id)
        .filter_map(|(_, project, roles)| Some(format!("{}:{roles}", directory.project(project)?.name)))
        .collect();
    roles.sort();
    UserRow {
        id: user.id.to_string(),
        name: user.name.to_string(),
        enabled: user.enabled,
        roles,
    }
}

fn project_row(project: &Project) -> ProjectRow {
    ProjectRow {
        id: project.id.to_string(),
        name: project.name.to_string(),
    }
}
