//! Who may read an image's data where it is kept: in stores that others than the daemon can reach (Glance 33, `location.py`,
//! `_set_acls`).
//!
//! It says what the record says. Whoever the record gives more readers tells the stores afterwards, and whoever takes some
//! away, before.

use saccade_store_contract::{ErrorKind, Location as Address, Readers};
use tracing::warn;

use super::{DeleteError, DeleteErrorKind, Janitor, chain, deletion::failed};
use crate::image::{Image, Visibility};

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
    /// Says to the stores of an image's data who may read it, if they want to know. A store that fails is told when the
    /// image is changed again; until then the daemon alone serves those who are new.
    pub async fn share(&self, image: &Image) {
        if let Err(error) = self.set_readers(image, &readers_of(image)).await {
            warn!(
                image = %image.id, error = chain(&error),
                "a store was not told who may read an image; who could before still can"
            );
        }
    }

    /// Takes the right to read an image's data from all who are not among these.
    ///
    /// # Errors
    /// `Unavailable`: some store may not have done it.
    pub async fn set_readers(&self, image: &Image, readers: &Readers) -> Result<(), DeleteError> {
        if !self.stores.are_per_caller() {
            return Ok(());
        }
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
                other => other.map_err(|error| failed(DeleteErrorKind::Unavailable, error))?,
            }
        }
        Ok(())
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
