//! One method per operation of the API (Glance's `ImageAPIPolicy`, `MemberAPIPolicy`, `CacheImageAPIPolicy`).
//!
//! Unless a method says otherwise, it answers [`Denied::NotFound`] when the caller may not know of the image and
//! [`Denied::Forbidden`] when it may. Images are judged as they are stored, before any change that the request asks
//! for: otherwise a request could first give an image the properties that a rule asks for.

use crate::{
    identity::Caller,
    image::{Image, Status, Viewer, Visibility},
};

use super::{
    Adopt, Authorized, Denied, Download, Import, Policy, Proposal, Rule, Stage, Upload,
    language::Attributes,
    target::{ImageTarget, NamespaceTarget, ProjectTarget},
};

/// How an import gets its data, as far as its permission differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportKind {
    /// Data from outside into a new image.
    NewData,
    /// `copy-image`: an image's own data into more stores.
    Copy,
}

impl Policy {
    /// Making an image (`add_image`), with the visibility that the request names (`publicize_image`,
    /// `communitize_image`).
    ///
    /// # Errors
    /// [`Denied::Forbidden`]; with rule `add_image` and an owner that is not the caller's project, the owner is the
    /// reason.
    pub fn authorize_create(&self, caller: &Caller, proposal: &Proposal<'_>) -> Result<(), Denied> {
        self.require(Rule::AddImage, caller, proposal)?;
        if let Some(rule) = proposal.visibility.and_then(visibility_rule) {
            self.require(rule, caller, proposal)?;
        }
        self.require_own(Rule::AddImage, caller, proposal.owner)
    }

    /// Listing images (`get_images`): on whose behalf. Every image of the list has to pass [`Self::may_list`] too.
    ///
    /// # Errors
    /// [`Denied::Forbidden`].
    pub fn authorize_list(&self, caller: &Caller) -> Result<Viewer, Denied> {
        self.require(
            Rule::GetImages,
            caller,
            &ProjectTarget(caller.project_id.as_deref()),
        )?;
        Ok(self.viewer(caller))
    }

    /// Whether an image of a list is shown (`get_image`); `viewer` is what [`Self::authorize_list`] gave.
    pub fn may_list(&self, viewer: &Viewer, caller: &Caller, image: &Image) -> bool {
        viewer.sees(image) && self.allows(Rule::GetImage, caller, &ImageTarget { image, caller })
    }

    /// Showing an image, and the tasks that made it (`get_image`).
    ///
    /// # Errors
    /// [`Denied::NotFound`].
    pub fn authorize_show(&self, caller: &Caller, image: &Image) -> Result<(), Denied> {
        self.authorize_image(Rule::GetImage, caller, image)
    }

    /// Changing attributes, properties or tags (`modify_image`).
    ///
    /// # Errors
    /// See the module.
    pub fn authorize_modify(&self, caller: &Caller, image: &Image) -> Result<(), Denied> {
        self.authorize_change(Rule::ModifyImage, caller, image)
    }

    /// Changing the visibility (`publicize_image` or `communitize_image`, then `modify_image`), even to what it is.
    ///
    /// # Errors
    /// See the module.
    pub fn authorize_visibility(
        &self,
        caller: &Caller,
        image: &Image,
        visibility: Visibility,
    ) -> Result<(), Denied> {
        if let Some(rule) = visibility_rule(visibility) {
            self.authorize_image(rule, caller, image)?;
        }
        self.authorize_modify(caller, image)
    }

    /// Deleting an image (`delete_image`).
    ///
    /// # Errors
    /// See the module.
    pub fn authorize_delete(&self, caller: &Caller, image: &Image) -> Result<(), Denied> {
        self.authorize_change(Rule::DeleteImage, caller, image)
    }

    /// Uploading data (`upload_image`).
    ///
    /// # Errors
    /// See the module.
    pub fn authorize_upload(&self, caller: &Caller, image: &Image) -> Result<Authorized<Upload>, Denied> {
        self.authorize_change(Rule::UploadImage, caller, image)?;
        Ok(Authorized::new(image))
    }

    /// Staging data for an import (`modify_image`, as in Glance).
    ///
    /// # Errors
    /// See the module.
    pub fn authorize_stage(&self, caller: &Caller, image: &Image) -> Result<Authorized<Stage>, Denied> {
        self.authorize_change(Rule::ModifyImage, caller, image)?;
        Ok(Authorized::new(image))
    }

    /// Importing (`copy_image` for copies, else `modify_image`).
    ///
    /// # Errors
    /// See the module.
    pub fn authorize_import(
        &self,
        caller: &Caller,
        image: &Image,
        kind: ImportKind,
    ) -> Result<Authorized<Import>, Denied> {
        match kind {
            ImportKind::NewData => self.authorize_modify(caller, image)?,
            ImportKind::Copy => self.authorize_image(Rule::CopyImage, caller, image)?,
        }
        Ok(Authorized::new(image))
    }

    /// Downloading (`download_image`).
    ///
    /// # Errors
    /// See the module; [`Denied::Deactivated`] when the image is and the caller is no administrator.
    pub fn authorize_download(&self, caller: &Caller, image: &Image) -> Result<Authorized<Download>, Denied> {
        let viewer = self.viewer(caller);
        self.authorize_image_as(&viewer, Rule::DownloadImage, caller, image)?;
        match (image.status, viewer) {
            (Status::Deactivated, Viewer::Project(_)) => Err(Denied::Deactivated),
            _ => Ok(Authorized::new(image)),
        }
    }

    /// Choosing the stores that a download may come from (`download_from_store`), beside [`Self::authorize_download`].
    ///
    /// # Errors
    /// See the module.
    pub fn authorize_store_choice(&self, caller: &Caller, image: &Image) -> Result<(), Denied> {
        self.authorize_image(Rule::DownloadFromStore, caller, image)
    }

    /// Doing something to what the image cache holds of an image that the caller may know of (`CacheImageAPIPolicy`):
    /// unlike elsewhere, being refused says so.
    ///
    /// # Errors
    /// [`Denied::Forbidden`].
    pub fn authorize_cache(&self, rule: Rule, caller: &Caller, image: &Image) -> Result<(), Denied> {
        self.require(rule, caller, &ImageTarget { image, caller })
    }

    /// Deactivating (`deactivate`).
    ///
    /// # Errors
    /// See the module.
    pub fn authorize_deactivate(&self, caller: &Caller, image: &Image) -> Result<(), Denied> {
        self.authorize_change(Rule::Deactivate, caller, image)
    }

    /// Reactivating (`reactivate`).
    ///
    /// # Errors
    /// See the module.
    pub fn authorize_reactivate(&self, caller: &Caller, image: &Image) -> Result<(), Denied> {
        self.authorize_change(Rule::Reactivate, caller, image)
    }

    /// Adding or replacing locations by PATCH (`set_image_location`).
    ///
    /// # Errors
    /// See the module.
    pub fn authorize_set_locations(&self, caller: &Caller, image: &Image) -> Result<(), Denied> {
        self.authorize_change(Rule::SetImageLocation, caller, image)
    }

    /// Removing locations by PATCH (`delete_image_location`).
    ///
    /// # Errors
    /// See the module.
    pub fn authorize_delete_locations(&self, caller: &Caller, image: &Image) -> Result<(), Denied> {
        self.authorize_change(Rule::DeleteImageLocation, caller, image)
    }

    /// Removing an image's data from one store (`get_image_location`, then `delete_image_location`).
    ///
    /// # Errors
    /// See the module.
    pub fn authorize_delete_from_store(&self, caller: &Caller, image: &Image) -> Result<(), Denied> {
        self.authorize_image(Rule::GetImageLocation, caller, image)?;
        self.authorize_delete_locations(caller, image)
    }

    /// Adding a location by the locations API (`add_image_location`).
    ///
    /// # Errors
    /// See the module.
    pub fn authorize_add_location(
        &self,
        caller: &Caller,
        image: &Image,
    ) -> Result<Authorized<Adopt>, Denied> {
        self.authorize_image(Rule::AddImageLocation, caller, image)?;
        Ok(Authorized::new(image))
    }

    /// Reading locations by the locations API (`fetch_image_location`).
    ///
    /// # Errors
    /// See the module.
    pub fn authorize_fetch_locations(&self, caller: &Caller, image: &Image) -> Result<(), Denied> {
        self.authorize_image(Rule::FetchImageLocation, caller, image)
    }

    /// Sharing an image with a project (`add_member`).
    ///
    /// # Errors
    /// See the module.
    pub fn authorize_add_member(&self, caller: &Caller, image: &Image) -> Result<(), Denied> {
        self.authorize_member(Rule::AddMember, caller, image)?;
        self.require_owner(Rule::AddMember, caller, image)
    }

    /// Listing an image's members (`get_members`).
    ///
    /// # Errors
    /// See the module.
    pub fn authorize_list_members(&self, caller: &Caller, image: &Image) -> Result<(), Denied> {
        self.authorize_member(Rule::GetMembers, caller, image)
    }

    /// Showing one member, and looking it up before it is changed or removed (`get_member`).
    ///
    /// # Errors
    /// See the module. The API answers 404 to either when a member is shown.
    pub fn authorize_show_member(&self, caller: &Caller, image: &Image) -> Result<(), Denied> {
        self.authorize_member(Rule::GetMember, caller, image)
    }

    /// Accepting or rejecting (`get_member`, then `modify_member`). Which member is changed is the caller's project
    /// or, for administrators, any: the rules know nothing of it.
    ///
    /// # Errors
    /// See the module.
    pub fn authorize_modify_member(&self, caller: &Caller, image: &Image) -> Result<(), Denied> {
        self.authorize_show_member(caller, image)?;
        self.authorize_member(Rule::ModifyMember, caller, image)?;
        self.require_other(Rule::ModifyMember, caller, image)
    }

    /// Taking an image back from a project (`get_member`, then `delete_member`).
    ///
    /// # Errors
    /// See the module.
    pub fn authorize_delete_member(&self, caller: &Caller, image: &Image) -> Result<(), Denied> {
        self.authorize_show_member(caller, image)?;
        self.authorize_member(Rule::DeleteMember, caller, image)?;
        self.require_owner(Rule::DeleteMember, caller, image)
    }

    /// Acting on a namespace of metadata definitions or on what is in it, by one of the `metadef` rules
    /// (Glance's `MetadefAPIPolicy`); without a namespace, on the catalogue as a whole.
    ///
    /// The namespace has to be visible to the caller in the first place, as in Glance's database layer.
    ///
    /// # Errors
    /// [`Denied::NotFound`] for `get_metadef_namespace`, and where the caller is refused that one too; else
    /// [`Denied::Forbidden`].
    pub fn authorize_metadef(
        &self,
        rule: Rule,
        caller: &Caller,
        namespace: Option<&NamespaceTarget<'_>>,
    ) -> Result<(), Denied> {
        let own = ProjectTarget(caller.project_id.as_deref());
        let target: &dyn Attributes = match namespace {
            Some(namespace) => namespace,
            None => &own,
        };
        self.require(rule, caller, target).map_err(|denied| {
            if rule == Rule::GetMetadefNamespace || !self.allows(Rule::GetMetadefNamespace, caller, target) {
                Denied::NotFound
            } else {
                denied
            }
        })
    }

    /// Changing an image or its data: by the rule and, with the old defaults, by its owner.
    fn authorize_change(&self, rule: Rule, caller: &Caller, image: &Image) -> Result<(), Denied> {
        self.authorize_image(rule, caller, image)?;
        self.require_owner(rule, caller, image)
    }

    /// Members are there for whoever passes `get_image`, and for nobody else, whatever the rule itself says.
    fn authorize_member(&self, rule: Rule, caller: &Caller, image: &Image) -> Result<(), Denied> {
        self.authorize_show(caller, image)?;
        self.authorize_image(rule, caller, image)
    }
}

/// The rule that guards a visibility beside `add_image` or `modify_image`.
fn visibility_rule(visibility: Visibility) -> Option<Rule> {
    match visibility {
        Visibility::Public => Some(Rule::PublicizeImage),
        Visibility::Community => Some(Rule::CommunitizeImage),
        Visibility::Private | Visibility::Shared => None,
    }
}
