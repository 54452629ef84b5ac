//! One atomic change to one image: a pure value that carries its preconditions, so that it can be replayed whole.
//!
//! | change | needs | does |
//! |---|---|---|
//! | create | no record and no tombstone under the id | the record, at its first revision |
//! | claim | `queued`, both formats set | `saving`, held by the attempt |
//! | renew | held by the attempt, open | a later expiry; not a new revision, since nobody sees it |
//! | commit | held by the attempt, open | content and location, `active`, claim gone |
//! | fence | held by the attempt | the attempt can never commit |
//! | release | held by the attempt, fenced | `queued`, claim gone |
//! | update | the expected revision | what users may change; status, content, locations, members and claim stay |
//! | member | the expected revision, and what [`MemberChange`] says | one member; not the image's `updated_at`, as in Glance |
//! | deactivate | the expected revision, `active` | `deactivated`; nothing else |
//! | reactivate | the expected revision, `deactivated` | `active`; nothing else |
//! | touch | the expected revision | nothing but a new revision: whatever was computed from the old one is void |
//! | delete | the expected revision, not protected, a status that may become `deleted` | the tombstone |

use super::{
    AttemptId, Claim, ClaimPhase, Content, Entry, Excess, Image, ImageId, Location, MemberChange, Revision,
    Status, Timestamp, Tombstone,
};

/// One change to one image.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Change {
    /// The image.
    pub id: ImageId,
    /// When the change was asked for; becomes `updated_at`.
    pub at: Timestamp,
    /// What is to be done.
    pub kind: ChangeKind,
}

/// What a [`Change`] does; the table above has the preconditions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // The fields are those of the record.
pub enum ChangeKind {
    Create(Box<Image>),
    Claim(Claim),
    Renew {
        attempt: AttemptId,
        expires_at: Timestamp,
    },
    Commit {
        content: Content,
        location: Location,
    },
    Fence {
        attempt: AttemptId,
    },
    Release {
        attempt: AttemptId,
    },
    Update {
        expected: Revision,
        image: Box<Image>,
    },
    Member {
        expected: Revision,
        project: String,
        change: MemberChange,
    },
    Deactivate {
        expected: Revision,
    },
    Reactivate {
        expected: Revision,
    },
    Touch {
        expected: Revision,
    },
    Delete {
        expected: Revision,
    },
}

/// Why a change does not apply. The record is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Rejection {
    /// There is no such image.
    #[error("there is no such image")]
    NotFound,
    /// There was, and it was deleted: its id is never used again.
    #[error("the image was deleted")]
    Deleted,
    /// There is a record under the id already.
    #[error("an image with this id exists already")]
    Exists,
    /// The status does not allow it.
    #[error("an image that is {from} cannot become {to}")]
    Status {
        /// The status it has.
        from: Status,
        /// The status it would have.
        to: Status,
    },
    /// Data cannot be put into an image without both formats.
    #[error("disk_format and container_format must be set before data is uploaded")]
    FormatMissing,
    /// The attempt does not hold the image: another does, or none.
    #[error("another attempt holds the image, or none")]
    NotHeld,
    /// The attempt holds the image, but was given up: it may only be released.
    #[error("the attempt was given up")]
    Fenced,
    /// A release before the fence: the attempt could still commit.
    #[error("the attempt may still finish")]
    NotFenced,
    /// The attempt has committed its content.
    #[error("the attempt has finished")]
    Committed,
    /// The record was changed since the revision that the change was computed from.
    #[error("the image was changed meanwhile")]
    Revision,
    /// It is protected from deletion.
    #[error("the image is protected and cannot be deleted")]
    Protected,
    /// Only shared images have members.
    #[error("the image is not shared: it has no members")]
    NotShared,
    /// The project is a member already.
    #[error("the project is a member of the image already")]
    MemberExists,
    /// The project is no member.
    #[error("the project is not a member of the image")]
    NoMember,
    /// The image would have more members than it may.
    #[error("the image would have {attempted} members, and may have {maximum}")]
    TooManyMembers {
        /// Those it would have.
        attempted: usize,
        /// Those it may have.
        maximum: usize,
    },
    /// The owner's images would take up more than they may.
    #[error("{0}")]
    OverLimit(Excess),
}

impl Change {
    /// The entry that follows `current` under this change. Pure: every metadata store calls it, inside its own
    /// transaction.
    ///
    /// # Errors
    /// The first precondition that does not hold.
    pub fn apply(&self, current: Option<&Entry>) -> Result<Entry, Rejection> {
        if let ChangeKind::Create(image) = &self.kind {
            return match current {
                None => Ok(Entry::Live(Image {
                    id: self.id,
                    revision: Revision::FIRST,
                    ..(**image).clone()
                })),
                Some(Entry::Live(_)) => Err(Rejection::Exists),
                Some(Entry::Deleted(_)) => Err(Rejection::Deleted),
            };
        }
        let image = match current {
            None => return Err(Rejection::NotFound),
            Some(Entry::Deleted(_)) => return Err(Rejection::Deleted),
            Some(Entry::Live(image)) => image,
        };
        if let ChangeKind::Delete { expected } = &self.kind {
            return self.delete(image, *expected).map(Entry::Deleted);
        }
        self.next(image).map(Entry::Live)
    }

    fn next(&self, image: &Image) -> Result<Image, Rejection> {
        let mut next = image.clone();
        match &self.kind {
            ChangeKind::Create(_) | ChangeKind::Delete { .. } => {}
            ChangeKind::Claim(claim) => {
                become_status(&mut next, Status::Saving)?;
                if next.disk_format.is_none() || next.container_format.is_none() {
                    return Err(Rejection::FormatMissing);
                }
                next.claim = Some(*claim);
            }
            ChangeKind::Renew { attempt, expires_at } => {
                let claim = held(image, *attempt)?;
                open(&claim)?;
                next.claim = Some(Claim {
                    expires_at: *expires_at,
                    ..claim
                });
                return Ok(next);
            }
            ChangeKind::Commit { content, location } => {
                open(&held(image, content.attempt)?)?;
                become_status(&mut next, Status::Active)?;
                next.content = Some(content.clone());
                next.locations = vec![location.clone()];
                next.claim = None;
            }
            ChangeKind::Fence { attempt } => {
                let claim = held(image, *attempt)?;
                next.claim = Some(Claim {
                    phase: ClaimPhase::Fenced,
                    ..claim
                });
            }
            ChangeKind::Release { attempt } => {
                if held(image, *attempt)?.phase == ClaimPhase::Open {
                    return Err(Rejection::NotFenced);
                }
                become_status(&mut next, Status::Queued)?;
                next.claim = None;
            }
            ChangeKind::Update {
                expected,
                image: wanted,
            } => {
                at_revision(image, *expected)?;
                next = user_fields(next, wanted);
            }
            ChangeKind::Member {
                expected,
                project,
                change,
            } => {
                at_revision(image, *expected)?;
                next.members = change.apply(image, project, self.at)?;
                next.revision = next.revision.next();
                return Ok(next);
            }
            ChangeKind::Deactivate { expected } => {
                at_revision(image, *expected)?;
                become_status(&mut next, Status::Deactivated)?;
            }
            ChangeKind::Reactivate { expected } => {
                at_revision(image, *expected)?;
                // Other statuses may become active, too, but not in this way: there would be no data.
                if image.status != Status::Deactivated {
                    return Err(refused(image.status, Status::Active));
                }
                become_status(&mut next, Status::Active)?;
            }
            ChangeKind::Touch { expected } => {
                at_revision(image, *expected)?;
                next.revision = next.revision.next();
                return Ok(next);
            }
        }
        next.updated_at = self.at.max(image.updated_at);
        next.revision = next.revision.next();
        Ok(next)
    }

    fn delete(&self, image: &Image, expected: Revision) -> Result<Tombstone, Rejection> {
        at_revision(image, expected)?;
        if image.protected {
            return Err(Rejection::Protected);
        }
        let last_status = image.status;
        let mut image = image.clone();
        become_status(&mut image, Status::Deleted)?;
        image.claim = None;
        image.revision = image.revision.next();
        let deleted_at = self.at.max(image.updated_at);
        Ok(Tombstone {
            image,
            last_status,
            deleted_at,
        })
    }
}

fn become_status(image: &mut Image, to: Status) -> Result<(), Rejection> {
    if !image.status.may_become(to) {
        return Err(refused(image.status, to));
    }
    image.status = to;
    Ok(())
}

fn refused(from: Status, to: Status) -> Rejection {
    Rejection::Status { from, to }
}

fn at_revision(image: &Image, expected: Revision) -> Result<(), Rejection> {
    if image.revision == expected {
        Ok(())
    } else {
        Err(Rejection::Revision)
    }
}

fn held(image: &Image, attempt: AttemptId) -> Result<Claim, Rejection> {
    match image.claim {
        Some(claim) if claim.attempt == attempt => Ok(claim),
        _ if image
            .content
            .as_ref()
            .is_some_and(|content| content.attempt == attempt) =>
        {
            Err(Rejection::Committed)
        }
        _ => Err(Rejection::NotHeld),
    }
}

fn open(claim: &Claim) -> Result<(), Rejection> {
    match claim.phase {
        ClaimPhase::Open => Ok(()),
        ClaimPhase::Fenced => Err(Rejection::Fenced),
    }
}

/// `current` with everything that users may change taken from `wanted`.
fn user_fields(current: Image, wanted: &Image) -> Image {
    Image {
        name: wanted.name.clone(),
        visibility: wanted.visibility,
        protected: wanted.protected,
        hidden: wanted.hidden,
        owner: wanted.owner.clone(),
        disk_format: wanted.disk_format.clone(),
        container_format: wanted.container_format.clone(),
        min_disk: wanted.min_disk,
        min_ram: wanted.min_ram,
        tags: wanted.tags.clone(),
        properties: wanted.properties.clone(),
        ..current
    }
}
