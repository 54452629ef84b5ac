//! What Glance's code checks beside the rules where the old defaults are permitted, which say yes to nearly everyone
//! (`api/v2/policy.py`, `check_is_image_mutable`, `check_admin_or_same_owner`; `api/v2/image_members.py`,
//! `_check_visibility_and_ownership`). With the secure defaults the rules say it all.

use super::{Defaults, Denied, Policy, Rule};
use crate::{identity::Caller, image::Image};

impl Policy {
    /// An image is changed by its owner and by administrators.
    pub(super) fn require_owner(&self, rule: Rule, caller: &Caller, image: &Image) -> Result<(), Denied> {
        let owner = image.owner.as_deref();
        self.require_bound(
            rule,
            caller,
            owner.is_some() && owner == caller.project_id.as_deref(),
        )
    }

    /// An image is made for the caller's own project, but by administrators.
    pub(super) fn require_own(&self, rule: Rule, caller: &Caller, owner: Option<&str>) -> Result<(), Denied> {
        let same = owner == caller.project_id.as_deref();
        self.require_bound(rule, caller, same)
    }

    /// Whether to accept an image is not its owner's to say.
    pub(super) fn require_other(&self, rule: Rule, caller: &Caller, image: &Image) -> Result<(), Denied> {
        let same = image.owner.as_deref() == caller.project_id.as_deref();
        self.require_bound(rule, caller, !same)
    }

    fn require_bound(&self, rule: Rule, caller: &Caller, holds: bool) -> Result<(), Denied> {
        if self.defaults == Defaults::New || holds || self.is_admin(caller) {
            Ok(())
        } else {
            Err(Denied::Forbidden { rule: rule.name() })
        }
    }
}
