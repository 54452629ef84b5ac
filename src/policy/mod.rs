//! May they: a caller, an operation and an image → yes or no.
//!
//! * [`language`]: the policy language of oslo.policy, pure
//! * [`Rule`]: Glance's rules and their defaults
//! * [`PolicyFiles`]: where operators change them
//! * [`Policy`]: one version of all rules, with one method per operation of the API
//! * [`LivePolicy`]: the version in force, which follows the files
//! * [`PropertyProtection`]: who may do what to which custom properties
//! * [`Authorized`]: permission as a value that nothing else can make
//!
//! No I/O but looking after policy files, in [`Policy::load`], [`LivePolicy`] and [`PropertyProtection::load`].

mod authorized;
mod definitions;
mod file;
mod files;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod language;
mod live;
#[cfg(test)]
mod old_defaults_tests;
mod operations;
mod ownership;
mod properties;
mod report;
mod rules;
mod stamps;
mod target;
#[cfg(test)]
mod tests;

use crate::{
    identity::{Caller, Scope},
    image::{Image, Viewer},
};

pub use self::{
    authorized::{Adopt, Authorized, Denied, Download, Import, Stage, Upload},
    definitions::Definition,
    files::{PolicyFile, PolicyFiles},
    live::LivePolicy,
    operations::ImportKind,
    properties::{
        PropertyAccess, PropertyOperation, PropertyProtection, PropertyProtectionError, RuleFormat,
        SectionProblem,
    },
    report::{Place, PolicyError, Warning, WarningKind},
    rules::{Defaults, Rule, ScopeType},
    target::{NamespaceTarget, Proposal},
};

use self::{
    definitions::Definitions,
    files::Contents,
    language::{Attributes, RuleSet, Verdict},
    target::{CallerTarget, Credentials, ImageTarget, NoTarget},
};

/// One version of all rules. Never changes: a changed policy file makes a new one.
#[derive(Debug, Clone)]
pub struct Policy {
    rules: RuleSet,
    definitions: Definitions,
    defaults: Defaults,
}

impl Policy {
    /// Glance's defaults (`enforce_new_defaults=True`).
    pub fn with_defaults() -> Self {
        let definitions = Definitions::defaults(Defaults::New);
        Self {
            rules: definitions.rules(DEFAULT_RULE),
            definitions,
            defaults: Defaults::New,
        }
    }

    /// The defaults, changed by policy files.
    ///
    /// What denies where its author may have meant something else, or has no effect, comes back as warnings, for the
    /// log.
    ///
    /// # Errors
    /// A file cannot be read, is not YAML or JSON, or is not a mapping from names to rules; the error names file,
    /// line and rule. A rule that is not in the policy language is no error: it denies, with a warning.
    pub fn load(files: &PolicyFiles) -> Result<(Self, Vec<Warning>), PolicyError> {
        Self::build(&Contents::read(files)?, files)
    }

    fn build(contents: &Contents, files: &PolicyFiles) -> Result<(Self, Vec<Warning>), PolicyError> {
        let mut warnings = Vec::new();
        let mut definitions = Definitions::defaults(files.defaults);
        for (path, text) in &contents.texts {
            definitions.extend(file::parse(path, text, &mut warnings)?);
        }
        let rules = definitions.rules(&files.default_rule);
        warnings.extend(definitions.warnings(&rules, files));
        let policy = Self {
            rules,
            definitions,
            defaults: files.defaults,
        };
        Ok((policy, warnings))
    }

    /// All rules: Glance's in its order, then those that only the files have, by name.
    pub fn definitions(&self) -> Vec<&Definition> {
        self.definitions.listed()
    }

    /// The names of the rules that `other` has otherwise.
    fn differences<'a>(&'a self, other: &'a Self) -> Vec<&'a str> {
        self.definitions.differences(&other.definitions)
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

    /// Whether a rule of this name is defined.
    pub fn defines(&self, name: &str) -> bool {
        self.rules.defined(name).is_some()
    }

    /// Whether a rule of an operator's own says yes, whatever the token's scope. One that is not defined says no: the
    /// default rule does not stand in for it.
    fn allows_named(&self, name: &str, caller: &Caller) -> bool {
        self.rules.defined(name).is_some_and(|check| {
            language::evaluate(check, &self.rules, &Credentials(caller), &NoTarget) == Verdict::True
        })
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

/// The largest policy file that is read, in bytes. One with every rule of every service has about 40 KiB.
const MAX_FILE_BYTES: u64 = 1024 * 1024;
