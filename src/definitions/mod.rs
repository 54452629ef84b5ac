//! What may be done to metadata definitions. Asks policy.
//!
//! * [`Definitions`]: one method per operation; each reads the namespace, asks policy, and commits one change
//! * `namespaces`, `contents`, `resource_types`: the operations
//! * [`DefinitionError`]: why not, in the client's terms
//!
//! A change is computed from the namespace as it was read, and committed at that version. When somebody else was faster, the whole
//! operation is done again, policy included.

mod contents;
mod error;
mod namespaces;
mod resource_types;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

pub use self::{
    contents::TagMode,
    error::{DefinitionError, DefinitionErrorKind},
    namespaces::{ListRequest, NamespaceList},
};
use crate::{
    identity::Caller,
    image::Timestamp,
    metadata::{DefineError, MetadefStore},
    metadefs::{Change, ChangeKind, Head, Kind, Namespace, Rejection},
    policy::{Denied, LivePolicy, NamespaceTarget, Policy, Rule},
};

/// The metadata definitions, and what may be done to them. Clones are handles to the same ones.
#[derive(Clone)]
pub struct Definitions {
    shared: Arc<Parts>,
}

/// What it works with.
pub struct Parts {
    /// Where definitions are kept.
    pub store: Arc<dyn MetadefStore>,
    /// Who may do what.
    pub policy: Arc<LivePolicy>,
    /// Namespaces on a page when the client does not say (`limit_param_default`).
    pub page_default: usize,
    /// The most namespaces on a page (`api_limit_max`).
    pub page_max: usize,
}

/// How often an operation is begun again because somebody else changed the namespace meanwhile.
const MAX_TRIES: u32 = 16;

impl Definitions {
    /// With these parts.
    pub fn new(parts: Parts) -> Self {
        Self {
            shared: Arc::new(parts),
        }
    }

    /// The namespace, when it is there for the caller and every rule lets the caller.
    async fn permitted(
        &self,
        caller: &Caller,
        name: &str,
        rules: &[Rule],
    ) -> Result<Namespace, DefinitionError> {
        let missing = || DefinitionErrorKind::NamespaceNotFound {
            name: name.to_owned(),
        };
        let namespace = self.shared.store.namespace(name).await?.ok_or_else(missing)?;
        let policy = self.shared.policy.current();
        if !namespace.head.is_visible_to(&policy.viewer(caller)) {
            return Err(missing().into());
        }
        for rule in rules {
            Self::ask(&policy, caller, *rule, Some(&namespace.head)).map_err(|denied| match denied {
                Denied::Forbidden { rule } => DefinitionErrorKind::Denied { rule },
                Denied::NotFound | Denied::Deactivated => missing(),
            })?;
        }
        Ok(namespace)
    }

    fn ask(policy: &Policy, caller: &Caller, rule: Rule, head: Option<&Head>) -> Result<(), Denied> {
        let target = head.map(|head| NamespaceTarget {
            owner: head.owner.as_deref(),
            visibility: head.visibility.as_str(),
        });
        policy.authorize_metadef(rule, caller, target.as_ref())
    }

    /// Whether every rule lets the caller act on the catalogue of definitions as a whole.
    fn permit_all(&self, caller: &Caller, rules: &[Rule]) -> Result<(), DefinitionError> {
        let policy = self.shared.policy.current();
        for rule in rules {
            Self::ask(&policy, caller, *rule, None).map_err(|denied| match denied {
                Denied::Forbidden { rule } => DefinitionErrorKind::Denied { rule },
                Denied::NotFound | Denied::Deactivated => DefinitionErrorKind::Hidden,
            })?;
        }
        Ok(())
    }

    /// Changes a namespace by `edit`, which is called again with the newer state when somebody else was faster.
    async fn edit(
        &self,
        caller: &Caller,
        name: &str,
        rules: &[Rule],
        edit: impl Fn(&mut Namespace, Timestamp) -> Result<(), DefinitionErrorKind> + Send + Sync,
    ) -> Result<Namespace, DefinitionError> {
        for _ in 0..MAX_TRIES {
            let current = self.permitted(caller, name, rules).await?;
            let at = Timestamp::now();
            let mut next = current.clone();
            edit(&mut next, at)?;
            let new_name = next.head.name.clone();
            let kind = ChangeKind::Replace {
                name: name.to_owned(),
                expected: current.version(),
                namespace: Box::new(next),
            };
            match self.shared.store.define(Change { at, kind }).await {
                Ok(Some(namespace)) => return Ok(namespace),
                Ok(None) | Err(DefineError::Rejected(Rejection::Version)) => {}
                Err(error) => return Err(error::of_change(error, &new_name)),
            }
        }
        Err(DefinitionErrorKind::Contended.into())
    }
}

/// That there is none of this name.
fn missing(kind: Kind, name: &str) -> DefinitionErrorKind {
    DefinitionErrorKind::NotFound {
        kind,
        name: name.to_owned(),
    }
}

/// # Errors
/// `Protected` when nothing of the namespace may be deleted.
fn unprotected(namespace: &Namespace, kind: Kind, name: &str) -> Result<(), DefinitionErrorKind> {
    if namespace.head.protected {
        return Err(DefinitionErrorKind::Protected {
            kind,
            name: name.to_owned(),
        });
    }
    Ok(())
}
