//! Who may read an image's data where it is kept: in stores that others than the daemon can reach (Glance 33, `location.py`,
//! `_set_acls`).
//!
//! It says what the record says. Whoever the record gives more readers tells the stores afterwards, and whoever takes some
//! away, before.

use std::{
    collections::HashSet,
    sync::{MutexGuard, PoisonError},
};

use saccade_store_contract::{ErrorKind, Location as Address, Readers};
use tracing::warn;

use super::{DeleteError, DeleteErrorKind, Janitor, chain, deletion::failed};
use crate::image::{Entry, Image, ImageId, Visibility};

/// How often the stores are told who may read an image, if that changes meanwhile.
const MAX_SAID: u32 = 16;

/// Who may read the image's data, beside its owner: members whatever their answer is, as in Glance.
pub fn readers_of(image: &Image) -> Readers {
    match image.visibility {
        Visibility::Public | Visibility::Community => Readers::Everyone,
        Visibility::Shared => Readers::Projects(image.members.keys().cloned().collect()),
        Visibility::Private => Readers::Projects(Vec::new()),
    }
}

/// Whether somebody who may read before may not afterwards.
pub fn are_fewer(after: &Readers, before: &Readers) -> bool {
    match (before, after) {
        (_, Readers::Everyone) => false,
        (Readers::Everyone, Readers::Projects(_)) => true,
        (Readers::Projects(before), Readers::Projects(after)) => {
            before.iter().any(|project| !after.contains(project))
        }
    }
}

impl Janitor {
    /// Says to the stores of an image's data who may read it, if they want to know; again, where the record says something
    /// else by then: of several who say it side by side, the last then says what holds. A store that fails is told when the
    /// image is changed again ([`Self::is_unshared`]).
    pub async fn share(&self, image: &Image) {
        if !self.stores.are_per_caller() {
            return;
        }
        let mut said = image.clone();
        for _ in 0..MAX_SAID {
            if let Err(error) = self.set_readers(&said, &readers_of(&said)).await {
                self.unshared().insert(image.id);
                warn!(
                    image = %image.id, error = chain(&error),
                    "a store was not told who may read an image; who could before still can"
                );
                return;
            }
            match self.shared.metadata.entry(image.id).await {
                Ok(Some(Entry::Live(now)))
                    if readers_of(&now) != readers_of(&said) || now.locations != said.locations =>
                {
                    said = now;
                }
                Ok(_) => {
                    self.unshared().remove(&image.id);
                    return;
                }
                Err(error) => {
                    self.unshared().insert(image.id);
                    warn!(image = %image.id, error = chain(&error), "it is not known who may read an image now");
                    return;
                }
            }
        }
        self.unshared().insert(image.id);
        warn!(image = %image.id, "the readers of an image change faster than its stores can be told");
    }

    /// The same by what the record says now.
    pub async fn share_current(&self, image: ImageId) {
        if !self.stores.are_per_caller() {
            return;
        }
        match self.shared.metadata.entry(image).await {
            Ok(Some(Entry::Live(image))) => self.share(&image).await,
            Ok(_) => {}
            Err(error) => {
                warn!(%image, error = chain(&error), "it is not known who may read an image");
                self.unshared().insert(image);
            }
        }
    }

    /// Whether a store was not told who may read an image, when it was last to be.
    pub fn is_unshared(&self, image: ImageId) -> bool {
        self.unshared().contains(&image)
    }

    fn unshared(&self) -> MutexGuard<'_, HashSet<ImageId>> {
        self.shared
            .unshared
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the right to read an image's data from all who are not among these.
    ///
    /// # Errors
    /// `Unavailable`: some store may not have done it, and all that could have.
    pub async fn set_readers(&self, image: &Image, readers: &Readers) -> Result<(), DeleteError> {
        if !self.stores.are_per_caller() {
            return Ok(());
        }
        let mut first = Ok(());
        for location in image
            .locations
            .iter()
            .filter(|location| location.is_own_of(image.id))
        {
            let named = location.store.as_ref().map(|store| store.as_str());
            // What is in a store of another node is that node's to say.
            let Ok((_, store)) = self.stores.resolve(named, &location.url) else {
                continue;
            };
            match store
                .set_readers(&Address::new(location.url.as_str()), readers)
                .await
            {
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Invalid) => {}
                other => {
                    let said = other.map_err(|error| failed(DeleteErrorKind::Unavailable, error));
                    first = first.and(said);
                }
            }
        }
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_readers_are_told_from_more() {
        let of = |projects: &[&str]| {
            Readers::Projects(projects.iter().map(|&project| project.to_owned()).collect())
        };
        assert!(are_fewer(&of(&["a"]), &Readers::Everyone));
        assert!(are_fewer(&of(&["a"]), &of(&["a", "b"])));
        assert!(are_fewer(&of(&["a", "c"]), &of(&["a", "b"])));
        assert!(!are_fewer(&of(&["a", "b"]), &of(&["a"])));
        assert!(!are_fewer(&Readers::Everyone, &of(&["a"])));
        assert!(!are_fewer(&Readers::Everyone, &Readers::Everyone));
    }
}
