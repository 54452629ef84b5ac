//! The first start: an administrator, whose password is shown once.

use super::super::secret::Secret;
use super::database::{DatabaseError, OpenError};
use super::directory::Change;
use super::model::{Name, Project, ProjectId, Role, Roles, User, UserId};
use super::password::PasswordHash;
use super::{Shared, chain};

/// The first administrator's name, and that of their project.
pub(super) const ADMIN: &str = "admin";

/// The credentials of the first administrator: the only copy of the password in clear.
#[derive(Debug)]
pub struct Bootstrap {
    /// The user's name.
    pub user: &'static str,
    /// The project's name.
    pub project: &'static str,
    /// The password.
    pub password: Secret,
}

impl Shared {
    /// Makes the administrator where nothing was ever made, and gives them a new password where the first one never
    /// reached the operator: a crash between making and telling must not lock everyone out.
    pub(super) fn bootstrap(&self, bootstrapped: Option<bool>) -> Result<Option<Bootstrap>, OpenError> {
        if bootstrapped == Some(true) {
            return Ok(None);
        }
        let contents = |what: String| OpenError::Contents {
            path: self.data_dir.join("identity"),
            what,
        };
        let password = Secret::random().map_err(|error| OpenError::Passwords(error.to_string()))?;
        let hash = PasswordHash::make(&password, self.options.password_cost, self.verifier.workspaces())
            .map_err(OpenError::Passwords)?;
        let name = Name::parse(ADMIN).map_err(|error| contents(error.to_string()))?;
        self.change::<(), DatabaseError>(|directory| {
            if let Some(admin) = directory.user_named(ADMIN) {
                let user = User {
                    password: hash,
                    generation: admin.generation.wrapping_add(1),
                    ..User::clone(admin)
                };
                return Ok((vec![Change::PutUser(user)], ()));
            }
            let project = Project {
                id: ProjectId::random(),
                name: name.clone(),
                enabled: true,
            };
            let user = User {
                id: UserId::random(),
                name,
                enabled: true,
                default_project: Some(project.id),
                password: hash,
                generation: 0,
            };
            let roles = Change::PutRoles(user.id, project.id, Roles::of(Role::Admin));
            let changes = vec![
                Change::PutProject(project),
                Change::PutUser(user),
                roles,
                Change::Bootstrapped(false),
            ];
            Ok((changes, ()))
        })
        .map_err(|error| contents(chain(&error)))?;
        Ok(Some(Bootstrap {
            user: ADMIN,
            project: ADMIN,
            password,
        }))
    }

    /// From now on the password stays as it is.
    pub(super) fn confirm_bootstrap(&self) -> Result<(), DatabaseError> {
        self.change(|_| Ok((vec![Change::Bootstrapped(true)], ())))
    }
}
