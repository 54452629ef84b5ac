//! Removing what an attempt has left, or what served only to do so.

use saccade_store_contract::{ErrorKind, Operation, Result};

use crate::{
    attempt::marked_upload,
    endpoint::AttemptNames,
    failure::{Failure, refused},
    store::Inner,
};

/// How often what is under the key may change while it is being removed.
const LOOKS: usize = 3;

pub(crate) async fn discard(inner: &Inner, names: &AttemptNames, operation: Operation) -> Result<()> {
    let failed = |failure: Failure| failure.at(operation, &names.key);
    let client = &inner.client;
    let live = inner.attempts.find(names.blob, names.attempt);
    let mut known = None;
    if let Some(state) = live {
        state.give_up().await;
        known = state.upload();
    }
    let mark = client.get_short(&names.mark).await.map_err(failed)?;
    let marked = mark.as_deref().and_then(marked_upload);
    // First, so that nothing is put together any more when the key is looked at.
    for upload in known
        .iter()
        .chain(marked.iter().filter(|id| known.as_ref() != Some(id)))
    {
        client.abort(&names.key, upload).await.map_err(failed)?;
    }
    if mark.is_none() {
        // It has published nothing, or it is settled.
        return Ok(());
    }
    let _held = inner.keys.hold(&names.key).await;
    for _ in 0..LOOKS {
        let head = client.head(&names.key).await.map_err(failed)?;
        let Some(head) = head.filter(|head| head.is_of(names.attempt)) else {
            return client.delete(&names.mark, None).await.map_err(failed);
        };
        match client.delete(&names.key, head.tag.as_deref()).await {
            // Once more, for servers that say yes and do it later.
            Ok(()) => {}
            Err(failure) if failure.is_precondition() => {}
            Err(failure) => return Err(failed(failure)),
        }
    }
    let reason = "what the attempt has published is still there after it was deleted";
    Err(refused(ErrorKind::Unavailable, operation, &names.key, reason))
}

/// Without its mark, nothing that an attempt has published is its own.
pub(crate) async fn settle(inner: &Inner, names: &AttemptNames) -> Result<()> {
    let deleted = inner.client.delete(&names.mark, None).await;
    deleted.map_err(|failure| failure.at(Operation::Settle, &names.key))
}
