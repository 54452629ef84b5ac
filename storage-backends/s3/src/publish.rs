//! Making a blob readable, whole and where nothing was. The order of the requests is in `docs/decisions`.

use bytes::Bytes;
use saccade_store_contract::{ErrorKind, Operation, Result};

use crate::{
    attempt::mark,
    endpoint::AttemptNames,
    failure::{Failure, refused},
    store::Inner,
};

/// The bytes of a blob.
#[derive(Debug)]
pub(crate) enum Content {
    Whole(Bytes),
    /// They are at the server, in parts; the attempt is marked.
    Parts {
        upload: String,
        tags: Vec<String>,
        size: u64,
    },
}

/// What is under the key.
enum Found {
    Nothing,
    /// This attempt's, and whole.
    Own,
}

pub(crate) async fn publish(inner: &Inner, names: &AttemptNames, content: Content) -> Result<()> {
    let failed = |failure: Failure| failure.at(Operation::Commit, &names.key);
    let client = &inner.client;
    if let Content::Whole(_) = content {
        client.put_short(&names.mark, mark(None)).await.map_err(failed)?;
    }
    let _held = inner.keys.hold(&names.key).await;
    let size = match &content {
        Content::Whole(bytes) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
        Content::Parts { size, .. } => *size,
    };
    if let Found::Own = look(inner, names, size).await? {
        return Ok(());
    }
    let in_parts = matches!(content, Content::Parts { .. });
    let published = match content {
        Content::Whole(bytes) => client.put_new(&names.key, names.attempt, bytes).await,
        Content::Parts { upload, tags, .. } => client.complete(&names.key, &upload, &tags).await,
    };
    match published {
        // A whole body was taken or not; what parts make is looked at.
        Ok(()) if !in_parts => Ok(()),
        Ok(()) => match look(inner, names, size).await? {
            Found::Own => Ok(()),
            Found::Nothing => {
                let reason = "the server says that the parts were put together, and nothing is there";
                Err(refused(ErrorKind::Corrupt, Operation::Commit, &names.key, reason))
            }
        },
        // A reply was lost, perhaps of an earlier try, and what is there may be this attempt's.
        Err(failure)
            if failure.is_ambiguous() || failure.is_precondition() || failure.is_no_such_upload() =>
        {
            match look(inner, names, size).await? {
                Found::Own => Ok(()),
                Found::Nothing => Err(failed(failure)),
            }
        }
        Err(failure) => Err(failed(failure)),
    }
}

async fn look(inner: &Inner, names: &AttemptNames, size: u64) -> Result<Found> {
    let head = inner.client.head(&names.key).await;
    match head.map_err(|failure| failure.at(Operation::Commit, &names.key))? {
        None => Ok(Found::Nothing),
        Some(head) if !head.is_of(names.attempt) => {
            let reason = "an object that this attempt has not written";
            Err(refused(ErrorKind::Exists, Operation::Commit, &names.key, reason))
        }
        Some(head) if head.size != size => {
            let reason = format!("{} bytes are there of {size} that were written", head.size);
            Err(refused(ErrorKind::Corrupt, Operation::Commit, &names.key, reason))
        }
        Some(_) => Ok(Found::Own),
    }
}
