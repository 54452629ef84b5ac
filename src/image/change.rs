//! One atomic change to one image: a pure value that carries its preconditions, so that it can be replayed whole.
//!
//! | change | needs | does |
//! |---|---|---|
//! | create | no record and no tombstone under the id | the record, at its first revision |
//! | claim | `queued`, both formats set | `saving`, held by the attempt |
//! | adopt | `queued`, both formats set | `importing`, held by the attempt: it looks at data that is there already |
//! | stage | `queued` | `uploading`, held by the attempt: it brings data that waits for an import |
//! | staged | held by the attempt, open, `uploading` | the length of what waits, and where; the claim stays, and never runs out |
//! | unstage | what the attempt has brought waits | `queued`, claim and length gone |
//! | import | `queued`, or `uploading` with what the named attempt has brought; both formats set | `importing`, held by the attempt; says which stores are to have the data |
//! | activate | held by the attempt, open, `importing` | as commit, with several locations, and what the import has made of formats and properties |
//! | copy | `active`, held by none; nothing of it is in the stores that are named, or is being removed there | held by the attempt, and stays `active`; says which stores are to have the data |
//! | copied | held by the attempt, open, no longer `importing` | more locations, claim gone |
//! | mismatch | held by the attempt, open, `importing` | `queued`, claim gone; shows where the data was that was not what it should be |
//! | renew | held by the attempt, open | a later expiry; not a new revision, since nobody sees it |
//! | commit | held by the attempt, open | content and location, `active`, claim gone |
//! | fence | held by the attempt | the attempt can never commit |
//! | release | held by the attempt, fenced | `queued`, claim gone; of an import, also what had been staged; of a copy, nothing but the claim |
//! | update | the expected revision | what users may change; status, content, locations, members and claim stay |
//! | relocate | the expected revision, `active` or `queued` | as update, and the locations: own data that is in none of them any more is retired; data for a queued image makes it `active` |
//! | readdress | the expected revision | the locations, retired ones too: the same data in other words, or in a store of another name; not the image's `updated_at` |
//! | erase | a retired location of that removal, image not deleted for good | it is retired no longer: its data is gone |
//! | describe | content of the attempt, without a hash | its hashes; not the image's `updated_at` |
//! | member | the expected revision, and what [`MemberChange`] says | one member; not the image's `updated_at`, as in Glance |
//! | deactivate | the expected revision, `active` | `deactivated`; nothing else |
//! | reactivate | the expected revision, `deactivated` | `active`; nothing else |
//! | touch | the expected revision, of an image or of one that waits to be deleted | nothing but a new revision: whatever was computed from the old one is void |
//! | delete | the expected revision, not protected, a status that may become `deleted` (one that waits to be, too) | the tombstone |
//! | defer | the expected revision, not protected, a status that may become `pending_delete` | a tombstone that can be restored |
//! | restore | a tombstone that can be restored, at the expected revision | the image as it was |

use super::{
    Amendments, AttemptId, Claim, ClaimPhase, Content, Entry, Excess, Image, ImageId, Location, MemberChange,
    RemovalId, Retired, Revision, Status, StoreId, Timestamp, Tombstone, progress,
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
    Adopt(Claim),
    Stage(Claim),
    Staged {
        /// Its length is all that is known of it.
        content: Content,
        /// The URL at which other nodes reach the one that keeps it, if it has one of its own.
        host: Option<String>,
    },
    Unstage {
        attempt: AttemptId,
    },
    Import {
        claim: Claim,
        /// Whose data it takes; `None` brings its own.
        staged: Option<AttemptId>,
        /// The import's, by its name in the API.
        task: String,
        /// The stores that are to have the data, where stores have names.
        stores: Vec<StoreId>,
    },
    Activate {
        content: Content,
        locations: Vec<Location>,
        amendments: Box<Amendments>,
    },
    Copy {
        claim: Claim,
        /// As with an import.
        task: String,
        /// The stores that are to have the data.
        stores: Vec<StoreId>,
    },
    Copied {
        attempt: AttemptId,
        /// The new ones.
        locations: Vec<Location>,
    },
    Mismatch {
        attempt: AttemptId,
        location: Location,
    },
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
    Relocate {
        expected: Revision,
        /// With the locations that it is to have.
        image: Box<Image>,
        /// What is known of the data, for an image that had none.
        content: Option<Content>,
        /// For the locations that it has no more.
        removal: RemovalId,
    },
    Readdress {
        expected: Revision,
        /// Of the same data as the image's.
        locations: Vec<Location>,
        /// One for each that the image has.
        retired: Vec<Location>,
    },
    Erase {
        removal: RemovalId,
    },
    Describe {
        /// With the hashes.
        content: Content,
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
    Defer {
        expected: Revision,
    },
    Restore {
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
    /// The image is being copied.
    #[error("the image is being copied to other stores")]
    Busy,
    /// The location was removed, and its data is being deleted.
    #[error("the location was removed, and its data is being deleted")]
    Retired,
    /// An image that has data keeps a location.
    #[error("the last location of an image cannot be removed")]
    LastLocation,
    /// There is no such removal, or it is finished.
    #[error("no location waits for that removal")]
    NotRetired,
    /// The content is another, or has its hashes already.
    #[error("the content is not the one that was hashed")]
    OtherContent,
    /// It was deleted, and its data is kept for a time.
    #[error("the image was deleted, and can be restored for a time")]
    Pending,
    /// It is not waiting to be deleted: there is nothing to restore.
    #[error("the image is not waiting to be deleted")]
    NotPending,
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
        match (current, &self.kind) {
            (None, _) => Err(Rejection::NotFound),
            (Some(Entry::Deleted(tombstone)), _) if tombstone.is_pending() => self.pending(tombstone),
            (Some(Entry::Deleted(_)), _) => Err(Rejection::Deleted),
            (Some(Entry::Live(image)), ChangeKind::Delete { expected }) => {
                self.bury(image, *expected, Status::Deleted).map(Entry::Deleted)
            }
            (Some(Entry::Live(image)), ChangeKind::Defer { expected }) => self
                .bury(image, *expected, Status::PendingDelete)
                .map(Entry::Deleted),
            (Some(Entry::Live(image)), _) => self.next(image).map(Entry::Live),
        }
    }

    /// What becomes of an image that waits to be deleted.
    fn pending(&self, tombstone: &Tombstone) -> Result<Entry, Rejection> {
        let mut next = tombstone.clone();
        next.image.revision = next.image.revision.next();
        match &self.kind {
            // Whoever asks has computed from an image that did not wait yet, if not from this very revision.
            ChangeKind::Touch { expected } => {
                at_revision(&tombstone.image, *expected).map_err(|_| Rejection::Pending)?;
            }
            ChangeKind::Erase { removal } => erase(&mut next.image, *removal)?,
            ChangeKind::Delete { expected } => {
                at_revision(&tombstone.image, *expected)?;
                become_status(&mut next.image, Status::Deleted)?;
            }
            ChangeKind::Restore { expected } => {
                at_revision(&tombstone.image, *expected)?;
                become_status(&mut next.image, tombstone.last_status)?;
                next.image.updated_at = self.at.max(next.image.updated_at);
                return Ok(Entry::Live(next.image));
            }
            // Whoever brought the data has to learn that it is kept.
            ChangeKind::Fence { attempt }
            | ChangeKind::Release { attempt }
            | ChangeKind::Copied { attempt, .. }
            | ChangeKind::Mismatch { attempt, .. }
            | ChangeKind::Renew { attempt, .. } => return Err(not_held(&tombstone.image, *attempt)),
            ChangeKind::Commit { content, .. }
            | ChangeKind::Activate { content, .. }
            | ChangeKind::Staged { content, .. } => return Err(not_held(&tombstone.image, content.attempt)),
            _ => return Err(Rejection::Pending),
        }
        Ok(Entry::Deleted(next))
    }

    fn next(&self, image: &Image) -> Result<Image, Rejection> {
        let mut next = image.clone();
        match &self.kind {
            ChangeKind::Create(_) | ChangeKind::Delete { .. } | ChangeKind::Defer { .. } => {}
            ChangeKind::Restore { .. } => return Err(Rejection::NotPending),
            ChangeKind::Claim(claim) => {
                become_status(&mut next, Status::Saving)?;
                with_formats(&next)?;
                next.claim = Some(*claim);
            }
            ChangeKind::Adopt(claim) => {
                become_status(&mut next, Status::Importing)?;
                with_formats(&next)?;
                next.claim = Some(*claim);
            }
            ChangeKind::Stage(claim) => {
                become_status(&mut next, Status::Uploading)?;
                next.claim = Some(*claim);
            }
            ChangeKind::Staged { content, host } => {
                let claim = held(image, content.attempt)?;
                open(&claim)?;
                staged(&mut next, claim, content)?;
                progress::staged(&mut next.properties, host.as_deref());
            }
            ChangeKind::Unstage { attempt } => {
                if image.staged() != Some(*attempt) {
                    return Err(Rejection::NotHeld);
                }
                become_status(&mut next, Status::Queued)?;
                next.claim = None;
                next.content = None;
                progress::staged(&mut next.properties, None);
            }
            ChangeKind::Import {
                claim,
                staged,
                task,
                stores,
            } => {
                // Whatever waits is what is imported; and what has been brought in part does not wait yet.
                if image.staged() != *staged || (staged.is_none() && image.status == Status::Uploading) {
                    return Err(refused(image.status, Status::Importing));
                }
                become_status(&mut next, Status::Importing)?;
                with_formats(&next)?;
                next.claim = Some(*claim);
                progress::begin(&mut next.properties, task, stores);
            }
            ChangeKind::Activate {
                content,
                locations,
                amendments,
            } => {
                open(&held(image, content.attempt)?)?;
                if image.status != Status::Importing {
                    return Err(refused(image.status, Status::Active));
                }
                if locations.is_empty() {
                    return Err(Rejection::LastLocation);
                }
                become_status(&mut next, Status::Active)?;
                next.content = Some(content.clone());
                next.locations.clone_from(locations);
                next.claim = None;
                amendments.apply(&mut next);
                progress::end(&mut next.properties, locations);
            }
            ChangeKind::Copy { claim, task, stores } => {
                if image.status != Status::Active {
                    return Err(refused(image.status, Status::Active));
                }
                if image.claim.is_some() {
                    return Err(Rejection::Busy);
                }
                let is_wanted =
                    |location: &Location| location.store.as_ref().is_some_and(|id| stores.contains(id));
                if image.retired.iter().any(|retired| is_wanted(&retired.location)) {
                    return Err(Rejection::Retired);
                }
                if image.locations.iter().any(is_wanted) {
                    return Err(Rejection::Exists);
                }
                next.claim = Some(*claim);
                progress::begin(&mut next.properties, task, stores);
            }
            ChangeKind::Copied { attempt, locations } => {
                open(&held(image, *attempt)?)?;
                if !image.status.keeps_data() {
                    return Err(refused(image.status, Status::Active));
                }
                // While the claim was held nobody could add or bring back one of these.
                next.locations.extend(locations.iter().cloned());
                next.claim = None;
                progress::end(&mut next.properties, &next.locations);
            }
            ChangeKind::Mismatch { attempt, location } => {
                open(&held(image, *attempt)?)?;
                if image.status != Status::Importing {
                    return Err(refused(image.status, Status::Queued));
                }
                become_status(&mut next, Status::Queued)?;
                next.locations = vec![location.clone()];
                next.content = None;
                next.claim = None;
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
                // It has done what it was to do: what it has brought waits for an import.
                if image.staged() == Some(*attempt) {
                    return Err(Rejection::Committed);
                }
                next.claim = Some(Claim {
                    phase: ClaimPhase::Fenced,
                    ..claim
                });
            }
            ChangeKind::Release { attempt } => {
                if held(image, *attempt)?.phase == ClaimPhase::Open {
                    return Err(Rejection::NotFenced);
                }
                if image.status.keeps_data() {
                    // It was a copy.
                    next.claim = None;
                    progress::end(&mut next.properties, &next.locations);
                } else {
                    become_status(&mut next, Status::Queued)?;
                    next.claim = None;
                    next.content = None;
                    progress::end(&mut next.properties, &[]);
                }
            }
            ChangeKind::Update {
                expected,
                image: wanted,
            } => {
                at_revision(image, *expected)?;
                next = user_fields(next, wanted);
            }
            ChangeKind::Relocate {
                expected,
                image: wanted,
                content,
                removal,
            } => {
                at_revision(image, *expected)?;
                next = user_fields(next, wanted);
                relocate(&mut next, wanted, content.as_ref(), *removal)?;
            }
            ChangeKind::Readdress {
                expected,
                locations,
                retired,
            } => {
                at_revision(image, *expected)?;
                if locations.is_empty() != image.locations.is_empty() {
                    return Err(Rejection::LastLocation);
                }
                next.locations.clone_from(locations);
                for (old, new) in next.retired.iter_mut().zip(retired) {
                    old.location = new.clone();
                }
                next.revision = next.revision.next();
                return Ok(next);
            }
            ChangeKind::Erase { removal } => {
                erase(&mut next, *removal)?;
                next.revision = next.revision.next();
                return Ok(next);
            }
            ChangeKind::Describe { content } => {
                describe(&mut next, content)?;
                next.revision = next.revision.next();
                return Ok(next);
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
                if image.status != Status::Active {
                    return Err(refused(image.status, Status::Deactivated));
                }
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

    fn bury(&self, image: &Image, expected: Revision, to: Status) -> Result<Tombstone, Rejection> {
        at_revision(image, expected)?;
        if image.protected {
            return Err(Rejection::Protected);
        }
        let last_status = image.status;
        let mut image = image.clone();
        become_status(&mut image, to)?;
        if let Some(claim) = image.claim.take() {
            // Were it restored, another copy has to wait until this one's traces are gone.
            let is_copy = last_status.keeps_data() && to == Status::PendingDelete;
            image.claim = is_copy.then_some(Claim {
                phase: ClaimPhase::Fenced,
                ..claim
            });
            progress::end(&mut image.properties, &image.locations);
        }
        image.revision = image.revision.next();
        let deleted_at = self.at.max(image.updated_at);
        Ok(Tombstone {
            image,
            last_status,
            deleted_at,
        })
    }
}

/// Data needs both formats.
fn with_formats(image: &Image) -> Result<(), Rejection> {
    match (&image.disk_format, &image.container_format) {
        (Some(_), Some(_)) => Ok(()),
        _ => Err(Rejection::FormatMissing),
    }
}

/// Gives `next`, which has its old locations, those of `wanted`.
fn relocate(
    next: &mut Image,
    wanted: &Image,
    content: Option<&Content>,
    removal: RemovalId,
) -> Result<(), Rejection> {
    match next.status {
        Status::Active => {}
        Status::Queued => {
            if content.is_none() {
                return Err(refused(Status::Queued, Status::Active));
            }
            become_status(next, Status::Active)?;
            with_formats(next)?;
        }
        from => return Err(refused(from, Status::Active)),
    }
    let has = |locations: &[Location], url: &str| locations.iter().any(|location| location.url == url);
    let is_retired = |url: &str| next.retired.iter().any(|retired| retired.location.url == url);
    if wanted.locations.is_empty() {
        return Err(Rejection::LastLocation);
    }
    if wanted.locations.iter().any(|location| is_retired(&location.url)) {
        return Err(Rejection::Retired);
    }
    // Whoever copies the image has reserved the places that he copies to.
    let had = |location: &Location| has(&next.locations, &location.url);
    if next.claim.is_some() && !wanted.locations.iter().all(had) {
        return Err(Rejection::Busy);
    }
    let removed = next
        .locations
        .iter()
        .filter(|old| !has(&wanted.locations, &old.url));
    let retired: Vec<Retired> = removed
        .filter(|old| old.is_own_of(next.id))
        .map(|old| Retired {
            removal,
            location: old.clone(),
        })
        .collect();
    next.retired.extend(retired);
    next.locations = wanted.locations.clone();
    if next.content.is_none() {
        next.content = content.cloned();
    }
    Ok(())
}

fn erase(image: &mut Image, removal: RemovalId) -> Result<(), Rejection> {
    let before = image.retired.len();
    image.retired.retain(|retired| retired.removal != removal);
    if image.retired.len() == before {
        return Err(Rejection::NotRetired);
    }
    Ok(())
}

fn describe(image: &mut Image, hashed: &Content) -> Result<(), Rejection> {
    match &mut image.content {
        Some(content) if content.attempt == hashed.attempt && content.hash_value.is_none() => {
            content.checksum.clone_from(&hashed.checksum);
            content.hash_algorithm.clone_from(&hashed.hash_algorithm);
            content.hash_value.clone_from(&hashed.hash_value);
            Ok(())
        }
        _ => Err(Rejection::OtherContent),
    }
}

/// What the attempt has brought waits: for as long as its node keeps it.
fn staged(next: &mut Image, claim: Claim, content: &Content) -> Result<(), Rejection> {
    if next.status != Status::Uploading {
        return Err(refused(next.status, Status::Uploading));
    }
    if next.content.is_some() {
        return Err(Rejection::Committed);
    }
    next.content = Some(content.clone());
    next.claim = Some(Claim {
        expires_at: Timestamp::LAST,
        ..claim
    });
    Ok(())
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
        _ => Err(not_held(image, attempt)),
    }
}

fn not_held(image: &Image, attempt: AttemptId) -> Rejection {
    match &image.content {
        Some(content) if content.attempt == attempt => Rejection::Committed,
        _ => Rejection::NotHeld,
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
