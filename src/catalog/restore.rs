//! Bringing a deleted image back, while its data is kept (`delayed_delete`).

use super::{CatalogError, CatalogErrorKind, MAX_TRIES, error, not_found};
use crate::{
    image::{Change, ChangeKind, Entry, Image, ImageId, Rejection, Status, Timestamp},
    metadata::{Metadata, MetadataErrorKind},
};

/// Makes an image that waits to be deleted what it was before: status, properties, tags, members and locations. For the
/// operator, whom no policy stops; the API has no such operation.
///
/// # Errors
/// `NotFound`, `NotPending`, `Contended`; `Unavailable`, `Unknown`, `Broken`.
pub async fn restore(metadata: &dyn Metadata, id: &str) -> Result<Image, CatalogError> {
    let parsed: ImageId = id.parse().map_err(|_| not_found(id))?;
    for _ in 0..MAX_TRIES {
        let expected = match metadata.entry(parsed).await? {
            None => return Err(not_found(id)),
            Some(Entry::Live(image)) => return Err(not_pending(image.status)),
            Some(Entry::Deleted(tombstone)) if tombstone.is_pending() => tombstone.image.revision,
            Some(Entry::Deleted(_)) => return Err(not_pending(Status::Deleted)),
        };
        let change = Change {
            id: parsed,
            at: Timestamp::now(),
            kind: ChangeKind::Restore { expected },
        };
        match metadata.commit(change).await {
            Ok(Entry::Live(image)) => return Ok(image),
            Ok(Entry::Deleted(_)) => return Err(not_found(id)),
            // It was scrubbed, restored or touched: the record says which.
            Err(error) if matches!(error.kind, MetadataErrorKind::Rejected(rejection) if is_lost_race(rejection)) =>
                {}
            Err(error) => return Err(error::of_change(error, id)),
        }
    }
    Err(CatalogErrorKind::Contended.into())
}

const fn is_lost_race(rejection: Rejection) -> bool {
    matches!(
        rejection,
        Rejection::Revision | Rejection::Deleted | Rejection::NotPending
    )
}

fn not_pending(status: Status) -> CatalogError {
    CatalogErrorKind::NotPending { status }.into()
}
