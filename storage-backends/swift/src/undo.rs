//! Removing what an attempt has left, or what served only to do so; and removing blobs.

use futures_util::{StreamExt, TryStreamExt, stream};
use saccade_store_contract::{ErrorKind, Operation, Result};

use crate::{
    client::Account,
    failure::{Failure, refused},
    location::{AttemptNames, Place, segment},
    requests::Kind,
    store::Inner,
};

/// What a mark says.
pub(crate) const MARK: &str = "saccade swift:1\n";
/// What a note of a deletion says, before the manifest.
const DELETION: &str = "saccade swift deletion:1\n";

/// How often what is under the name may change while it is being removed.
const LOOKS: usize = 3;
const REQUESTS_AT_ONCE: usize = 8;
/// At least as many as there are requests at once, for segments and for their deletion.
const GAP: u64 = 8;
/// Beyond them, five digits are not in order.
const MOST_NUMBERS: u64 = 99_999;

pub(crate) async fn discard(inner: &Inner, names: &AttemptNames, operation: Operation) -> Result<()> {
    let subject = names.place.to_string();
    let failed = |failure: Failure| failure.at(operation, &subject);
    let account = inner.account(&names.place);
    if let Some(state) = inner.attempts.find(names.blob, names.attempt) {
        state.give_up().await;
    }
    match account.has(&names.place, &names.mark).await {
        Ok(true) => {}
        // It has written nothing, or it is settled; where there is no container, nothing can be.
        Ok(false) | Err(Failure::NoContainer(_)) => return Ok(()),
        Err(failure) => return Err(failed(failure)),
    }
    let held = inner.keys.hold(&names.place.key()).await;
    let mut is_gone = false;
    for _ in 0..LOOKS {
        let head = account.head(&names.place).await.map_err(failed)?;
        is_gone = !head.is_some_and(|head| head.is_of(names.attempt));
        if is_gone {
            break;
        }
        // Looked at once more, for servers that say yes and do it later.
        let deleted = account.delete(&names.place.container, &names.place.object).await;
        deleted.map_err(failed)?;
    }
    if !is_gone {
        let reason = "what the attempt has published is still there after it was deleted";
        return Err(refused(ErrorKind::Unavailable, operation, &subject, reason));
    }
    drop(held);
    // Nobody reads them any more.
    remove_segments(account, &names.place.container, &names.prefix)
        .await
        .map_err(failed)?;
    account
        .delete(&names.place.container, &names.mark)
        .await
        .map_err(failed)
}

/// Without its mark, nothing that an attempt has published is its own.
pub(crate) async fn settle(inner: &Inner, names: &AttemptNames) -> Result<()> {
    let account = inner.account(&names.place);
    let deleted = account.delete(&names.place.container, &names.mark).await;
    deleted.map_err(|failure| failure.at(Operation::Settle, &names.place.to_string()))
}

/// Deletes a blob. Of one in segments, nothing can be read from the first step on; a note lets a later call finish.
pub(crate) async fn delete(inner: &Inner, place: &Place) -> Result<()> {
    let subject = place.to_string();
    let failed = |failure: Failure| failure.at(Operation::Delete, &subject);
    let account = inner.account(place);
    let _held = inner.keys.hold(&place.key()).await;
    let head = account.head(place).await.map_err(failed)?;
    let manifest = match head.map(|head| head.kind) {
        None => match noted(account, place).await.map_err(failed)? {
            Some(manifest) => manifest,
            None => return Err(not_there(Operation::Delete, &subject)),
        },
        Some(Kind::Plain) => {
            let deleted = account.delete(&place.container, &place.object).await;
            return deleted.map_err(failed);
        }
        Some(Kind::Static) => return account.delete_static(place).await.map_err(failed),
        Some(Kind::Dynamic(manifest)) => {
            let note = format!("{DELETION}{manifest}\n");
            let noted = account.put_note(place, &place.deletion(), &note).await;
            noted.map_err(failed)?;
            let deleted = account.delete(&place.container, &place.object).await;
            deleted.map_err(failed)?;
            manifest
        }
    };
    match place.segments_of(&manifest) {
        Some((container, prefix)) => remove_segments(account, &container, &prefix)
            .await
            .map_err(failed)?,
        None => tracing::warn!(
            store = inner.id,
            object = subject,
            "the object is deleted; its segments have other names than an image's, and are left"
        ),
    }
    let deleted = account.delete(&place.container, &place.deletion()).await;
    deleted.map_err(failed)
}

/// Whether there is something to delete.
pub(crate) async fn prepare_delete(inner: &Inner, place: &Place) -> Result<()> {
    let subject = place.to_string();
    let failed = |failure: Failure| failure.at(Operation::PrepareDelete, &subject);
    let account = inner.account(place);
    let is_there = account.head(place).await.map_err(failed)?.is_some()
        || noted(account, place).await.map_err(failed)?.is_some();
    if is_there {
        Ok(())
    } else {
        Err(not_there(Operation::PrepareDelete, &subject))
    }
}

/// The manifest of a blob whose deletion has begun.
async fn noted(account: &Account, place: &Place) -> Result<Option<String>, Failure> {
    let note = account.note(place, &place.deletion()).await?;
    Ok(note.and_then(|note| {
        let text = std::str::from_utf8(&note).ok()?;
        Some(text.strip_prefix(DELETION)?.trim_end().to_owned())
    }))
}

pub(crate) fn not_there(operation: Operation, subject: &str) -> saccade_store_contract::Error {
    refused(
        ErrorKind::NotFound,
        operation,
        subject,
        "the container has no such object",
    )
}

/// Removes what begins with a prefix that is one object's own. Segments have numbers, of which fewer than [`GAP`] can be
/// missing before the last. A listing tells the last one soon; it may be behind, so the next ones are asked for by name.
/// They go from the last on, so that a call that is broken off leaves no gap before which the next would stop.
async fn remove_segments(account: &Account, container: &str, prefix: &str) -> Result<(), Failure> {
    let number = |name: &str| {
        let number = name.strip_prefix(prefix)?.parse::<u64>().ok()?;
        (number <= MOST_NUMBERS && segment(prefix, number) == name).then_some(number)
    };
    let (mut last, mut after) = (0, String::new());
    loop {
        let page = match account.list(container, prefix, &after).await {
            Err(Failure::NoContainer(_)) => return Ok(()),
            other => other?,
        };
        last = page
            .iter()
            .filter_map(|listed| number(&listed.name))
            .fold(last, u64::max);
        match page.last() {
            Some(end) => after.clone_from(&end.name),
            None => break,
        }
        let others = page.into_iter().map(|listed| listed.name);
        remove(account, container, others.filter(|name| number(name).is_none())).await?;
    }
    loop {
        let next = last.saturating_add(1)..=last.saturating_add(GAP);
        let found: Vec<_> = stream::iter(next)
            .map(|number| {
                let name = segment(prefix, number);
                async move { Ok(account.is_there(container, &name).await?.then_some(number)) }
            })
            .buffered(REQUESTS_AT_ONCE)
            .try_collect()
            .await?;
        match found.into_iter().flatten().max() {
            Some(number) => last = number,
            None => break,
        }
    }
    remove(
        account,
        container,
        (1..=last).rev().map(|number| segment(prefix, number)),
    )
    .await
}

async fn remove(
    account: &Account,
    container: &str,
    names: impl Iterator<Item = String>,
) -> Result<(), Failure> {
    stream::iter(names)
        .map(|name| async move { account.delete(container, &name).await })
        .buffered(REQUESTS_AT_ONCE)
        .try_collect()
        .await
}
