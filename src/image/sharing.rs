//! With whom an image is shared: its members, and what may be done to one of them.
//!
//! | change | needs | does |
//! |---|---|---|
//! | add | a `shared` image, fewer members than allowed, the project not among them | a member, `pending` |
//! | set status | a `shared` image, the member | the status, and the member's `updated_at` |
//! | remove | a `shared` image, the member | the member is gone |

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Image, Rejection, Timestamp, Viewer, Visibility};

/// A project that an image is shared with.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Member {
    /// What the project made of the offer.
    pub status: MemberStatus,
    /// When it was added.
    pub created_at: Timestamp,
    /// When its status last changed.
    pub updated_at: Timestamp,
}

/// What a project made of being offered an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum MemberStatus {
    /// Nothing yet.
    Pending,
    /// It is in the project's lists.
    Accepted,
    /// It can be used by id, and is in no list.
    Rejected,
}

impl MemberStatus {
    /// All statuses, in the order of the API's schema.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Accepted, Self::Rejected];

    /// The name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
        }
    }

    /// The status of this name in the API.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

/// What is done to one member of an image; the table above has the preconditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MemberChange {
    /// The image is offered to the project.
    Add {
        /// The most members that the image may then have; `None` is no limit.
        maximum: Option<usize>,
    },
    /// The project answers.
    SetStatus(MemberStatus),
    /// The offer is taken back.
    Remove,
}

impl MemberChange {
    /// The members of the image after the change.
    pub(super) fn apply(
        self,
        image: &Image,
        project: &str,
        at: Timestamp,
    ) -> Result<BTreeMap<String, Member>, Rejection> {
        if image.visibility != Visibility::Shared {
            return Err(Rejection::NotShared);
        }
        let mut members = image.members.clone();
        match self {
            Self::Add { maximum } => {
                // In Glance's order: who is a member already learns it only where there is room for another.
                let attempted = members.len().saturating_add(1);
                if let Some(maximum) = maximum.filter(|maximum| attempted > *maximum) {
                    return Err(Rejection::TooManyMembers { attempted, maximum });
                }
                let added = Member {
                    status: MemberStatus::Pending,
                    created_at: at,
                    updated_at: at,
                };
                if members.insert(project.to_owned(), added).is_some() {
                    return Err(Rejection::MemberExists);
                }
            }
            Self::SetStatus(status) => {
                let member = members.get_mut(project).ok_or(Rejection::NoMember)?;
                member.status = status;
                member.updated_at = at.max(member.updated_at);
            }
            Self::Remove => {
                members.remove(project).ok_or(Rejection::NoMember)?;
            }
        }
        Ok(members)
    }
}

impl Viewer {
    /// Whether the viewer may know that the image is shared with the project: admin, the image's owner, and the project
    /// itself (`glance/db/sqlalchemy/api.py`, `_image_member_find`).
    pub fn sees_member(&self, image: &Image, project: &str) -> bool {
        match self {
            Self::Admin(_) => true,
            Self::Project(viewer) => viewer == project || image.owner.as_ref() == Some(viewer),
        }
    }
}
