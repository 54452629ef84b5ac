//! Users, projects, roles: plain data and the rules that need nothing else.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::password::PasswordHash;

/// The id and name of the only domain.
pub const DOMAIN_ID: &str = "default";
/// The name of the only domain.
pub const DOMAIN_NAME: &str = "Default";

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name([u8; 16]);

        impl $name {
            pub(super) fn random() -> Self {
                Self(*Uuid::new_v4().as_bytes())
            }

            pub(super) fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            pub(super) fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// Reads the 32 hexadecimal digits that Keystone would show, with or without dashes.
            pub fn parse(text: &str) -> Option<Self> {
                Uuid::try_parse(text).ok().map(|uuid| Self(*uuid.as_bytes()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", Uuid::from_bytes(self.0).as_simple())
            }
        }
    };
}

id! {
    /// A user's id, never used again for another user.
    UserId
}
id! {
    /// A project's id, never used again for another project; the owner of images.
    ProjectId
}

/// What may be assigned to a user on a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything, on every project.
    Admin,
    /// Making and changing what the project owns.
    Member,
    /// Reading what the project owns.
    Reader,
    /// What another service of the cloud does on a user's behalf.
    Service,
}

impl Role {
    /// Every role, in the order they are listed.
    pub const ALL: [Self; 4] = [Self::Admin, Self::Member, Self::Reader, Self::Service];

    /// The role of that name, in any case.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|role| role.name().eq_ignore_ascii_case(name))
    }

    /// Its name, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Member => "member",
            Self::Reader => "reader",
            Self::Service => "service",
        }
    }

    /// Its id: the same in every installation, so that nothing has to be stored.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Admin => "5acc0000000000000000000000000001",
            Self::Member => "5acc0000000000000000000000000002",
            Self::Reader => "5acc0000000000000000000000000003",
            Self::Service => "5acc0000000000000000000000000004",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::Admin => 1,
            Self::Member => 2,
            Self::Reader => 4,
            Self::Service => 8,
        }
    }
}

/// A set of roles.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Roles(u8);

impl Roles {
    pub(super) const fn of(role: Role) -> Self {
        Self(role.bit())
    }

    /// `None` for bits that are no role.
    pub(super) const fn from_bits(bits: u8) -> Option<Self> {
        if bits < 16 { Some(Self(bits)) } else { None }
    }

    pub(super) const fn bits(self) -> u8 {
        self.0
    }

    /// Whether no role is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether the role is in it.
    pub const fn contains(self, role: Role) -> bool {
        self.0 & role.bit() != 0
    }

    pub(super) const fn with(self, role: Role) -> Self {
        Self(self.0 | role.bit())
    }

    pub(super) const fn without(self, role: Role) -> Self {
        Self(self.0 & !role.bit())
    }

    /// Implied roles added, as `keystone-manage bootstrap` sets them up: admin implies member implies reader.
    pub const fn expanded(self) -> Self {
        let mut all = self;
        if all.contains(Role::Admin) {
            all = all.with(Role::Member);
        }
        if all.contains(Role::Member) {
            all = all.with(Role::Reader);
        }
        all
    }

    /// The roles in it.
    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |role| self.contains(*role))
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, role) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            f.write_str(role.name())?;
        }
        Ok(())
    }
}

/// Someone who can log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The id.
    pub id: UserId,
    /// The name, unique.
    pub name: Name,
    /// Whether logging in works, and tokens are valid.
    pub enabled: bool,
    /// The project of a token whose request names no scope.
    pub default_project: Option<ProjectId>,
    pub(super) password: PasswordHash,
    /// Counts password changes and the like: a token of an earlier generation is void.
    pub(super) generation: u32,
}

/// An owner of images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// The id.
    pub id: ProjectId,
    /// The name, unique.
    pub name: Name,
    /// Whether tokens can be scoped to it.
    pub enabled: bool,
}

/// A name of a user or project: not blank, at most 64 bytes, on one line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// Keystone's limit for projects; short enough for a table.
    pub const MAX_BYTES: usize = 64;

    /// Checks a name.
    ///
    /// # Errors
    /// [`BadName`] when it is blank, too long, starts or ends with a space, or has control characters.
    pub fn parse(text: &str) -> Result<Self, BadName> {
        let fits = !text.is_empty()
            && text.len() <= Self::MAX_BYTES
            && text.trim() == text
            && !text.chars().any(char::is_control);
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadName)
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that cannot be a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a name has 1 to 64 bytes, no control characters, and no space at either end")]
pub struct BadName;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expands_implied_roles() {
        let names = |role| Roles::of(role).expanded().to_string();
        assert_eq!(names(Role::Admin), "admin,member,reader");
        assert_eq!(names(Role::Member), "member,reader");
        assert_eq!(names(Role::Reader), "reader");
        assert_eq!(names(Role::Service), "service");
    }

    #[test]
    fn refuses_names_that_would_break_a_table_or_a_log() {
        for bad in ["", " ", " a", "a ", "a\nb", "a\u{7f}", &"a".repeat(65)] {
            assert_eq!(Name::parse(bad), Err(BadName), "{bad:?}");
        }
        assert!(Name::parse("Ada Lovelace").is_ok());
    }

    #[test]
    fn shows_ids_as_keystone_does() {
        let id = UserId::random();
        assert_eq!(id.to_string().len(), 32);
        assert_eq!(UserId::parse(&id.to_string()), Some(id));
        assert_eq!(UserId::parse("admin"), None);
    }
}
