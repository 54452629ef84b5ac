//! Who sees which image.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Image, MemberStatus};

/// The scope in which an image can be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Visibility {
    /// Anyone may use it by id; it is in nobody's default list but its owner's.
    Community,
    /// Everyone sees it.
    Public,
    /// Its owner alone.
    Private,
    /// Its owner and its members: the default.
    Shared,
}

impl Visibility {
    /// The name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Community => "community",
            Self::Public => "public",
            Self::Private => "private",
            Self::Shared => "shared",
        }
    }

    /// The visibility of this name in the API.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Community, Self::Public, Self::Private, Self::Shared]
            .into_iter()
            .find(|v| v.as_str() == name)
    }
}

impl fmt::Display for Visibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

/// On whose behalf images are looked at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Viewer {
    /// Sees every image (`context_is_admin`); the project, where there is one, is whose images count as own.
    Admin(Option<String>),
    /// A project's member or reader.
    Project(String),
}

impl Viewer {
    /// The project whose images count as the viewer's own.
    pub fn project(&self) -> Option<&str> {
        match self {
            Self::Admin(project) => project.as_deref(),
            Self::Project(project) => Some(project),
        }
    }

    /// Whether the image can be reached by its id: admin, no owner, public, community, own, or shared with the
    /// project in whatever member status (Glance counts pending and rejected members too).
    pub fn sees(&self, image: &Image) -> bool {
        let Self::Project(project) = self else { return true };
        match (&image.owner, image.visibility) {
            (None, _) | (_, Visibility::Public | Visibility::Community) => true,
            (Some(owner), _) if owner == project => true,
            (_, Visibility::Shared) => image.members.contains_key(project),
            (_, Visibility::Private) => false,
        }
    }
}

/// Which images a list is drawn from, before any filter but visibility and member status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Who asks.
    pub viewer: Viewer,
    /// The `visibility` filter; `None` is the default list, which leaves out others' community images.
    pub visibility: Option<VisibilityFilter>,
    /// Images shared with the project are listed when its membership has this status; `None` is any.
    pub member_status: Option<MemberStatus>,
}

/// The values of the list's `visibility` filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VisibilityFilter {
    /// `visibility=all`: community images of others too.
    All,
    /// One visibility.
    Only(Visibility),
}

impl Listing {
    /// Whether the list holds the image (`glance/db/sqlalchemy/api.py`, `_select_images_query` and
    /// `_make_conditions_from_filters`).
    ///
    /// With `visibility=shared` everybody but an admin sees own shared images and those shared with them.
    pub fn holds(&self, image: &Image) -> bool {
        if let Some(VisibilityFilter::Only(wanted)) = self.visibility
            && image.visibility != wanted
        {
            return false;
        }
        let own = image.owner.is_some() && image.owner.as_deref() == self.viewer.project();
        match &self.viewer {
            Viewer::Admin(_) => own || image.visibility != Visibility::Community || self.visibility.is_some(),
            Viewer::Project(project) => {
                own || match image.visibility {
                    Visibility::Public => true,
                    Visibility::Community => self.visibility.is_some(),
                    Visibility::Shared => self.shared_with(project, image),
                    Visibility::Private => false,
                }
            }
        }
    }

    fn shared_with(&self, project: &str, image: &Image) -> bool {
        image
            .members
            .get(project)
            .is_some_and(|member| self.member_status.is_none_or(|wanted| member.status == wanted))
    }
}
