//! Making a blob readable, whole and where nothing was. The order of the requests is in `docs/decisions`.

use std::{collections::HashMap, sync::Arc, time::Duration};

use http::StatusCode;
use saccade_store_contract::{ErrorKind, Operation, Result};
use tokio::time::{Instant, sleep};

use crate::{
    client::{Account, backoff},
    failure::{Failure, refused},
    location::AttemptNames,
    plan::Lease,
    segment::Segment,
    store::Inner,
};

/// How long a listing may lag behind. Swift's updates of containers are put off when these are busy.
const LAG: Duration = Duration::from_secs(60);

/// The bytes of a blob.
#[derive(Debug)]
pub(crate) enum Content {
    Whole {
        bytes: Arc<Segment>,
        _lease: Option<Lease>,
    },
    /// They are at the server; the attempt is marked. Length and hash of each.
    Segments(Vec<(u64, String)>),
}

/// What is under the name.
enum Found {
    Nothing,
    /// This attempt's, and whole.
    Own,
    /// This attempt's, of which not all shows yet.
    Short(u64),
}

pub(crate) async fn publish(inner: &Inner, names: &AttemptNames, content: Content) -> Result<()> {
    let subject = names.place.to_string();
    let failed = |failure: Failure| failure.at(Operation::Commit, &subject);
    let account = inner.account(&names.place);
    let size = match &content {
        Content::Whole { bytes, .. } => {
            inner.mark(names).await.map_err(failed)?;
            let (size, _) = bytes.sum().await.ok_or(Failure::GivenUp).map_err(failed)?;
            size
        }
        Content::Segments(segments) => {
            await_listing(account, names, segments).await?;
            segments
                .iter()
                .fold(0, |sum: u64, (length, _)| sum.saturating_add(*length))
        }
    };
    let _held = inner.keys.hold(&names.place.key()).await;
    match look(account, names, size).await? {
        Found::Own => return Ok(()),
        // A manifest that an earlier try has written.
        Found::Short(_) => return await_size(account, names, size).await,
        Found::Nothing => {}
    }
    let published = match &content {
        Content::Whole { bytes, .. } => account.put_whole(names, bytes).await,
        Content::Segments(_) => account.put_manifest(names).await,
    };
    match published {
        // The hash was compared; what segments make is looked at.
        Ok(()) if matches!(content, Content::Whole { .. }) => Ok(()),
        Ok(()) => await_size(account, names, size).await,
        // A reply was lost, perhaps of an earlier try, and what is there may be this attempt's.
        Err(failure) if failure.is_ambiguous() || failure.is(StatusCode::PRECONDITION_FAILED) => {
            match look(account, names, size).await? {
                Found::Own => Ok(()),
                Found::Short(_) => await_size(account, names, size).await,
                Found::Nothing => Err(failed(failure)),
            }
        }
        Err(failure) => Err(failed(failure)),
    }
}

/// Waits until the listing, of which the object is made, has every segment as it was sent.
async fn await_listing(account: &Account, names: &AttemptNames, segments: &[(u64, String)]) -> Result<()> {
    let until = Instant::now() + LAG;
    let sent: HashMap<String, &(u64, String)> =
        (1..).map(|number| names.segment(number)).zip(segments).collect();
    for tried in 0.. {
        let shown = count_listed(account, names, &sent).await?;
        if shown == segments.len() {
            return Ok(());
        }
        if Instant::now() >= until {
            let reason = format!(
                "the container's listing shows {shown} of {} segments that were sent",
                segments.len(),
            );
            return Err(late(names, reason));
        }
        sleep(backoff(tried)).await;
    }
    Ok(())
}

/// How many segments show.
///
/// # Errors
/// One is not as it was sent.
async fn count_listed(
    account: &Account,
    names: &AttemptNames,
    sent: &HashMap<String, &(u64, String)>,
) -> Result<usize> {
    let subject = names.place.to_string();
    let (mut count, mut after) = (0_usize, String::new());
    loop {
        let page = account
            .list(&names.place.container, &names.prefix, &after)
            .await
            .map_err(|failure| failure.at(Operation::Commit, &subject))?;
        for found in &page {
            let is_as_sent = sent
                .get(&found.name)
                .is_some_and(|(length, md5)| (found.bytes, &found.hash) == (*length, md5));
            if !is_as_sent {
                let reason = format!("{} is not what this attempt has sent", found.name);
                return Err(refused(ErrorKind::Corrupt, Operation::Commit, &subject, reason));
            }
        }
        count = count.saturating_add(page.len());
        match page.into_iter().next_back() {
            Some(last) => after = last.name,
            None => return Ok(count),
        }
    }
}

/// Waits until the object is as long as it should be: another copy of the listing may be behind.
async fn await_size(account: &Account, names: &AttemptNames, size: u64) -> Result<()> {
    let until = Instant::now() + LAG;
    for tried in 0.. {
        let found = match look(account, names, size).await? {
            Found::Own => return Ok(()),
            Found::Short(found) => Some(found),
            Found::Nothing => None,
        };
        if Instant::now() >= until {
            let reason = match found {
                Some(found) => format!("{found} bytes show of {size} that were written"),
                None => "the manifest was written, and nothing is there".to_owned(),
            };
            return Err(late(names, reason));
        }
        sleep(backoff(tried)).await;
    }
    Ok(())
}

fn late(names: &AttemptNames, reason: String) -> saccade_store_contract::Error {
    refused(
        ErrorKind::Unavailable,
        Operation::Commit,
        &names.place.to_string(),
        reason,
    )
}

async fn look(account: &Account, names: &AttemptNames, size: u64) -> Result<Found> {
    let subject = names.place.to_string();
    let head = account.head(&names.place).await;
    match head.map_err(|failure| failure.at(Operation::Commit, &subject))? {
        None => Ok(Found::Nothing),
        Some(head) if !head.is_of(names.attempt) => {
            let reason = "an object that this attempt has not written";
            Err(refused(ErrorKind::Exists, Operation::Commit, &subject, reason))
        }
        Some(head) if head.size < size => Ok(Found::Short(head.size)),
        Some(head) if head.size > size => {
            let reason = format!("{} bytes are there of {size} that were written", head.size);
            Err(refused(ErrorKind::Corrupt, Operation::Commit, &subject, reason))
        }
        Some(_) => Ok(Found::Own),
    }
}
