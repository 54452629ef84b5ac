//! Sharing an image: its members, who adds and removes them, and who answers (Glance's `api/v2/image_members.py`).
//!
//! Who may be known as a member to whom is no rule of policy but a fact of the catalogue
//! ([`Viewer::sees_member`](crate::image::Viewer::sees_member)): a member knows of itself alone.

use super::{Catalog, CatalogError, CatalogErrorKind, attribute};
use crate::{
    identity::Caller,
    image::{ChangeKind, Image, ImageId, Member, MemberChange, MemberStatus, Visibility},
};

/// That an image is shared with a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The image.
    pub image: ImageId,
    /// The project.
    pub project: String,
    /// What became of it.
    pub member: Member,
}

impl Catalog {
    /// The members of an image that the caller may know of, oldest first.
    ///
    /// # Errors
    /// `NotFound`, `NotShared`, `Denied`; `Unavailable`, `Broken`.
    pub async fn list_members(&self, caller: &Caller, id: &str) -> Result<Vec<Membership>, CatalogError> {
        let image = self.read(id).await?;
        self.require_shared(caller, &image, id)?;
        let policy = self.shared.policy.current();
        let permission = policy.authorize_list_members(caller, &image);
        permission.map_err(|denied| self.denied(denied, id))?;
        if policy.authorize_show_member(caller, &image).is_err() {
            return Ok(Vec::new());
        }
        let viewer = policy.viewer(caller);
        let mut members: Vec<Membership> = image
            .members
            .iter()
            .filter(|(project, _)| viewer.sees_member(&image, project))
            .map(|(project, member)| membership(&image, project, member))
            .collect();
        members.sort_by_key(|membership| membership.member.created_at);
        Ok(members)
    }

    /// One member of an image.
    ///
    /// # Errors
    /// `NotFound`, and `MemberNotFound` for every other reason not to show it: nobody learns from the answer whether
    /// a project is a member; `Unavailable`, `Broken`.
    pub async fn show_member(
        &self,
        caller: &Caller,
        id: &str,
        project: &str,
    ) -> Result<Membership, CatalogError> {
        let image = self.read(id).await?;
        let shown = self.shared.policy.current().authorize_show(caller, &image);
        shown.map_err(|denied| self.denied(denied, id))?;
        let found = self.find_member(caller, &image, id, project);
        let member = found.map_err(|_| no_member(id, project))?;
        Ok(membership(&image, project, member))
    }

    /// Offers an image to a project, which is then a member, `pending`. The quota holds however many are added at once.
    ///
    /// # Errors
    /// `InvalidMember`, `NotFound`, `NotShared`, `Denied`, `TooManyMembers`, `MemberExists`, `Contended`; `Unavailable`,
    /// `Unknown`, `Broken`.
    pub async fn add_member(
        &self,
        caller: &Caller,
        id: &str,
        project: &str,
    ) -> Result<Membership, CatalogError> {
        let project = attribute::short(project.to_owned())
            .map_err(|problem| CatalogErrorKind::InvalidMember { problem })?;
        let maximum = self.rules().max_members;
        let image = self
            .commit(id, |current| {
                self.require_shared(caller, current, id)?;
                let permission = self.shared.policy.current().authorize_add_member(caller, current);
                permission.map_err(|denied| self.denied(denied, id))?;
                Ok(Some(change(current, &project, MemberChange::Add { maximum })))
            })
            .await?;
        after(&image, id, &project)
    }

    /// Sets what a project makes of being offered an image; `status` by its name in the API. The project itself does
    /// that, and administrators do; the owner does not.
    ///
    /// # Errors
    /// `NotFound`, `NotShared`, `MemberNotFound`, `Denied`, then `InvalidMemberStatus`; `Contended`; `Unavailable`,
    /// `Unknown`, `Broken`.
    pub async fn set_member_status(
        &self,
        caller: &Caller,
        id: &str,
        project: &str,
        status: &str,
    ) -> Result<Membership, CatalogError> {
        let image = self
            .commit(id, |current| {
                let member = self.find_member(caller, current, id, project)?;
                let permission = self
                    .shared
                    .policy
                    .current()
                    .authorize_modify_member(caller, current);
                permission.map_err(|denied| self.denied(denied, id))?;
                let status = MemberStatus::parse(status).ok_or(CatalogErrorKind::InvalidMemberStatus)?;
                let answer = MemberChange::SetStatus(status);
                Ok((member.status != status).then(|| change(current, project, answer)))
            })
            .await?;
        after(&image, id, project)
    }

    /// Takes an image back from a project.
    ///
    /// # Errors
    /// `NotFound`, `NotShared`, `MemberNotFound`, `Denied`, `Contended`; `Unavailable`, `Unknown`, `Broken`.
    pub async fn remove_member(&self, caller: &Caller, id: &str, project: &str) -> Result<(), CatalogError> {
        self.commit(id, |current| {
            self.find_member(caller, current, id, project)?;
            let permission = self
                .shared
                .policy
                .current()
                .authorize_delete_member(caller, current);
            permission.map_err(|denied| self.denied(denied, id))?;
            Ok(Some(change(current, project, MemberChange::Remove)))
        })
        .await?;
        Ok(())
    }

    /// Whether the image is there for the caller, and is one that has members.
    fn require_shared(&self, caller: &Caller, image: &Image, id: &str) -> Result<(), CatalogError> {
        let shown = self.shared.policy.current().authorize_show(caller, image);
        shown.map_err(|denied| self.denied(denied, id))?;
        match image.visibility {
            Visibility::Shared => Ok(()),
            _ => Err(CatalogErrorKind::NotShared { id: id.to_owned() }.into()),
        }
    }

    /// The member, if the caller may know of it.
    fn find_member<'i>(
        &self,
        caller: &Caller,
        image: &'i Image,
        id: &str,
        project: &str,
    ) -> Result<&'i Member, CatalogError> {
        self.require_shared(caller, image, id)?;
        let policy = self.shared.policy.current();
        let permission = policy.authorize_show_member(caller, image);
        permission.map_err(|denied| self.denied(denied, id))?;
        let visible = policy.viewer(caller).sees_member(image, project);
        let member = image.members.get(project).filter(|_| visible);
        member.ok_or_else(|| no_member(id, project))
    }
}

fn change(image: &Image, project: &str, change: MemberChange) -> ChangeKind {
    ChangeKind::Member {
        expected: image.revision,
        project: project.to_owned(),
        change,
    }
}

fn membership(image: &Image, project: &str, member: &Member) -> Membership {
    Membership {
        image: image.id,
        project: project.to_owned(),
        member: member.clone(),
    }
}

/// The member in the image that the change gave.
fn after(image: &Image, id: &str, project: &str) -> Result<Membership, CatalogError> {
    let member = image.members.get(project);
    let member = member.ok_or_else(|| no_member(id, project))?;
    Ok(membership(image, project, member))
}

fn no_member(id: &str, project: &str) -> CatalogError {
    CatalogErrorKind::MemberNotFound {
        id: id.to_owned(),
        member: project.to_owned(),
    }
    .into()
}
