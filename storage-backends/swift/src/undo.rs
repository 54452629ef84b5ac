//! Removing what an attempt has left, or what served only to do so.

use futures_util::{StreamExt, TryStreamExt, stream};
use saccade_store_contract::{ErrorKind, Operation, Result};

use crate::{
    client::Account,
    failure::{Failure, refused},
    location::{AttemptNames, Place, segment},
    store::Inner,
};

/// What a mark says.
pub(crate) const MARK: &str = "saccade swift:1\n";

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
    // Without a mark it has written nothing, or is settled. Where there is no container, that proves nothing: servers do not
    // remove one that holds something, so it is another account that answers, or whatever stands before the server.
    let is_marked = account.has(&names.place, &names.mark).await.map_err(failed)?;
    if !is_marked {
        return Ok(());
    }
    unpublish(inner, names, operation).await?;
    // Nobody reads them any more.
    remove_segments(account, &names.place, &names.place.container, &names.prefix)
        .await
        .map_err(failed)?;
    // What was on its way when a process died may have come meanwhile.
    unpublish(inner, names, operation).await?;
    account
        .delete(&names.place.container, &names.mark)
        .await
        .map_err(failed)
}

/// Removes what is under the name, if it is this attempt's.
async fn unpublish(inner: &Inner, names: &AttemptNames, operation: Operation) -> Result<()> {
    let subject = names.place.to_string();
    let failed = |failure: Failure| failure.at(operation, &subject);
    let account = inner.account(&names.place);
    let _held = inner.keys.hold(&names.place.key()).await;
    for _ in 0..LOOKS {
        let head = account.head(&names.place).await.map_err(failed)?;
        if !head.is_some_and(|head| head.is_of(names.attempt)) {
            return Ok(());
        }
        // Looked at once more, for servers that say yes and do it later.
        let deleted = account.delete(&names.place.container, &names.place.object).await;
        deleted.map_err(failed)?;
    }
    let reason = "what the attempt has published is still there after it was deleted";
    Err(refused(ErrorKind::Unavailable, operation, &subject, reason))
}

/// Without its mark, nothing that an attempt has published is its own.
pub(crate) async fn settle(inner: &Inner, names: &AttemptNames) -> Result<()> {
    let account = inner.account(&names.place);
    let deleted = account.delete(&names.place.container, &names.mark).await;
    deleted.map_err(|failure| failure.at(Operation::Settle, &names.place.to_string()))
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
///
/// A container that is not there holds none; but the object's own is one that has just answered.
pub(crate) async fn remove_segments(
    account: &Account,
    place: &Place,
    container: &str,
    prefix: &str,
) -> Result<(), Failure> {
    let number = |name: &str| {
        let number = name.strip_prefix(prefix)?.parse::<u64>().ok()?;
        (number <= MOST_NUMBERS && segment(prefix, number) == name).then_some(number)
    };
    let (mut last, mut after) = (0, String::new());
    loop {
        let page = match account.list(container, prefix, &after).await {
            Err(Failure::NoContainer(_)) if container != place.container => return Ok(()),
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
            // They are not there, if the server is.
            None => break account.assert_container(container).await?,
        }
    }
    remove(
        account,
        container,
        (1..=last).rev().map(|number| segment(prefix, number)),
    )
    .await
}

pub(crate) async fn remove(
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
