//! May they: a caller, an operation and an image → yes or no.
//!
//! * [`language`]: the policy language of oslo.policy, pure
//! * [`Rule`]: Glance's rules and their defaults
//! * [`PolicyFiles`]: what operators changed
//! * [`Policy`]: the rules in force, with one method per operation of the API; all that callers need
//! * [`Authorized`]: permission as a value that nothing else can make
//!
//! No I/O but reading policy files, once, in [`Policy::load`].

mod authorized;
mod file;
pub mod language;
mod operations;
mod rules;
mod target;
#[cfg(test)]
mod tests;

use crate::{
    identity::{Caller, Scope},
    image::{Image, Viewer},
};

pub use self::{
    authorized::{Authorized, Denied, Download, Stage, Upload},
    file::{PolicyError, PolicyFile, PolicyFiles, Warning, WarningKind},
    operations::ImportKind,
    rules::{Rule, ScopeType},
    target::{NamespaceTarget, Proposal},
};

use self::{
    language::{Attributes, RuleSet, Verdict},
    target::{CallerTarget, Credentials, ImageTarget, NoTarget},
};

/// The rules in force. Never changes: a changed policy file makes a new one.
#[derive(Debug, Clone)]
pub struct Policy {
    rules: RuleSet,
}

impl Policy {
    /// Glance's defaults (`enforce_new_defaults=True`).
    pub fn with_defaults() -> Self {
        Self {
            rules: default_rules(DEFAULT_RULE),
        }
    }

    /// The defaults, changed by policy files.
    ///
    /// What denies where its author may have meant something else comes back as warnings, for the log.
    ///
    /// # Errors
    /// A file cannot be read, is not YAML or JSON, or is not a mapping from names to rules; the error names file
    /// and rule. A rule that is not in the policy language is no error: it denies, with a warning.
    pub fn load(files: &PolicyFiles) -> Result<(Self, Vec<Warning>), PolicyError> {
        let mut rules = default_rules(&files.default_rule);
        let mut warnings = file::load(files, &mut rules)?;
        warnings.extend(rules.faults().into_iter().map(|(rule, fault)| Warning {
            file: None,
            kind: WarningKind::Rule { rule, fault },
        }));
        Ok((Self { rules }, warnings))
    }

    /// Whether the caller is an administrator of the cloud: rule `context_is_admin`, whatever the token's scope.
    /// Such a caller sees every image.
    pub fn is_admin(&self, caller: &Caller) -> bool {
        self.allows(Rule::ContextIsAdmin, caller, &CallerTarget(caller))
    }

    /// On whose behalf the caller looks at images: administrators see all, others what their project sees.
    ///
    /// A caller without a project is denied by every rule; as a viewer it is a project that owns nothing.
    pub fn viewer(&self, caller: &Caller) -> Viewer {
        if self.is_admin(caller) {
            Viewer::Admin(caller.project_id.clone())
        } else {
            Viewer::Project(caller.project_id.clone().unwrap_or_default())
        }
    }

    /// Whether the rule lets the caller do something that concerns no image: tasks, store details, the whole
    /// cache.
    ///
    /// # Errors
    /// [`Denied::Forbidden`].
    pub fn authorize(&self, rule: Rule, caller: &Caller) -> Result<(), Denied> {
        self.require(rule, caller, &NoTarget)
    }

    /// Whether the rule lets the caller act on the image.
    ///
    /// The image has to be visible to the caller in the first place ([`Viewer::sees`]), as in Glance's database
    /// layer: several rules say yes to any shared image and count on that.
    ///
    /// # Errors
    /// [`Denied::NotFound`] when the caller does not see the image or is refused `get_image`, else
    /// [`Denied::Forbidden`]: nobody learns that an image exists by being forbidden to touch it.
    pub fn authorize_image(&self, rule: Rule, caller: &Caller, image: &Image) -> Result<(), Denied> {
        self.authorize_image_as(&self.viewer(caller), rule, caller, image)
    }

    fn authorize_image_as(
        &self,
        viewer: &Viewer,
        rule: Rule,
        caller: &Caller,
        image: &Image,
    ) -> Result<(), Denied> {
        let target = ImageTarget { image, caller };
        if !viewer.sees(image) {
            return Err(Denied::NotFound);
        }
        self.require(rule, caller, &target).map_err(|denied| {
            if rule == Rule::GetImage || !self.allows(Rule::GetImage, caller, &target) {
                Denied::NotFound
            } else {
                denied
            }
        })
    }

    fn require(&self, rule: Rule, caller: &Caller, target: &dyn Attributes) -> Result<(), Denied> {
        if self.allows(rule, caller, target) {
            Ok(())
        } else {
            Err(Denied::Forbidden { rule: rule.name() })
        }
    }

    fn allows(&self, rule: Rule, caller: &Caller, target: &dyn Attributes) -> bool {
        let in_scope = match rule.scope() {
            ScopeType::Any => true,
            ScopeType::Project => caller.scope == Scope::Project && caller.project_id.is_some(),
        };
        in_scope
            && self.rules.resolve(rule.name()).is_some_and(|check| {
                language::evaluate(check, &self.rules, &Credentials(caller), target) == Verdict::True
            })
    }
}

/// The name of the default rule where the configuration does not say otherwise (`policy_default_rule`).
const DEFAULT_RULE: &str = "default";

fn default_rules(default_rule: &str) -> RuleSet {
    let mut rules = RuleSet::new(default_rule);
    for rule in Rule::ALL {
        rules.define(rule.name(), language::parse(rule.default_check()).check);
    }
    rules
}
