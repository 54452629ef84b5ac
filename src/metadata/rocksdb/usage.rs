//! What each project's images take up, counted as they change.
//!
//! The figures are written in the batch of the changes they follow from, so that both are there or neither. A start
//! counts everything anew when the last group was not written by a program that keeps them: a new database, one
//! of an earlier version, or one that an earlier version has written since.

use std::collections::HashMap;

use ::rocksdb::{DB, Direction, IteratorMode, WriteBatch};

use super::{
    keys,
    open::{Database, Reach, read_error, read_options},
};
use crate::{
    image::{Entry, ImageId, Usage},
    metadata::{MetadataError, MetadataErrorKind},
};

/// What is counted, and how. Another way of counting gets another number.
const VERSION: u32 = 1;

/// What the project's images take up.
pub(super) fn of_project(db: &DB, project: &str, reach: Reach) -> Result<Usage, MetadataError> {
    let stored = db
        .get_pinned_opt(keys::usage(project), &read_options(reach))
        .map_err(read_error)?;
    match stored {
        None => Ok(Usage::NONE),
        Some(bytes) => decode(&bytes).ok_or(MetadataError::new(MetadataErrorKind::Corrupt)),
    }
}

/// What a group changes.
#[derive(Default)]
pub(super) struct Pending(HashMap<String, Usage>);

/// What one change changes, of at most two projects.
#[derive(Default)]
pub(super) struct Step(Vec<(String, Usage)>);

impl Pending {
    /// What the project's images take up after the group so far.
    fn of_project(&self, db: &DB, project: &str) -> Result<Usage, MetadataError> {
        match self.0.get(project) {
            Some(usage) => Ok(*usage),
            None => of_project(db, project, Reach::Disk),
        }
    }

    /// What follows when an entry takes the place of another, and what the new one's owner has before and after.
    pub(super) fn step(
        &self,
        db: &DB,
        current: Option<&Entry>,
        next: &Entry,
    ) -> Result<(Step, [Usage; 2]), MetadataError> {
        let old = current.and_then(Entry::live).and_then(Usage::of);
        let new = next.live().and_then(Usage::of);
        if old == new {
            return Ok((Step::default(), [Usage::NONE; 2]));
        }
        let mut step = Step::default();
        let mut owners = [Usage::NONE; 2];
        if let Some((owner, amount)) = old
            && new.is_none_or(|(next, _)| next != owner)
        {
            let before = self.of_project(db, owner)?;
            step.0.push((owner.to_owned(), before.minus(amount)));
        }
        if let Some((owner, amount)) = new {
            let before = self.of_project(db, owner)?;
            let given_back = old.filter(|(old, _)| *old == owner).map(|(_, amount)| amount);
            let after = before.minus(given_back.unwrap_or(Usage::NONE)).plus(amount);
            owners = [before, after];
            step.0.push((owner.to_owned(), after));
        }
        Ok((step, owners))
    }

    /// Makes the step a part of the group.
    pub(super) fn take(&mut self, step: Step, batch: &mut WriteBatch) {
        for (project, usage) in step.0 {
            write(batch, &project, &usage);
            self.0.insert(project, usage);
        }
    }
}

/// Marks the figures as those after the group.
pub(super) fn mark(batch: &mut WriteBatch, group: u64) {
    batch.put(keys::USAGE, marker(group));
}

/// Counts everything anew, unless the figures are those after the last group.
///
/// Reads every record, in a few seconds for a million of them.
pub(super) fn count_if_stale(db: &DB, group: u64) -> Result<(), MetadataError> {
    let marked = db.get(keys::USAGE).map_err(read_error)?;
    if marked.as_deref() == Some(&marker(group)) {
        return Ok(());
    }
    let mut batch = WriteBatch::default();
    for key in keys_below(db, keys::USAGES)? {
        batch.delete(key);
    }
    let usages = count(db)?;
    for (project, usage) in &usages {
        write(&mut batch, project, usage);
    }
    mark(&mut batch, group);
    Database::write_synced(db, batch)
        .map_err(|error| MetadataError::caused_by(MetadataErrorKind::Unavailable, error))?;
    if !usages.is_empty() {
        tracing::info!(
            projects = usages.len(),
            "what each project's images take up was counted"
        );
    }
    Ok(())
}

/// What every project's images take up, from the records themselves.
pub(super) fn count(db: &DB) -> Result<HashMap<String, Usage>, MetadataError> {
    let mut usages: HashMap<String, Usage> = HashMap::new();
    let from = IteratorMode::From(keys::ENTRIES, Direction::Forward);
    for item in db.iterator_opt(from, read_options(Reach::Disk)) {
        let (key, record) = item.map_err(read_error)?;
        if !key.starts_with(keys::ENTRIES) {
            break;
        }
        let id: ImageId = keys::image_id(&key).ok_or(MetadataError::new(MetadataErrorKind::Corrupt))?;
        let entry = super::record::decode(id, &record)
            .map_err(|error| MetadataError::caused_by(MetadataErrorKind::Corrupt, error))?;
        if let Some((owner, amount)) = entry.live().and_then(Usage::of) {
            let usage = usages.entry(owner.to_owned()).or_default();
            *usage = usage.plus(amount);
        }
    }
    Ok(usages)
}

fn keys_below(db: &DB, prefix: &[u8]) -> Result<Vec<Box<[u8]>>, MetadataError> {
    let mut found = Vec::new();
    for item in db.iterator_opt(
        IteratorMode::From(prefix, Direction::Forward),
        read_options(Reach::Disk),
    ) {
        let (key, _) = item.map_err(read_error)?;
        if !key.starts_with(prefix) {
            break;
        }
        found.push(key);
    }
    Ok(found)
}

fn write(batch: &mut WriteBatch, project: &str, usage: &Usage) {
    let key = keys::usage(project);
    if *usage == Usage::NONE {
        batch.delete(key);
    } else {
        batch.put(key, encode(usage));
    }
}

fn marker(group: u64) -> [u8; 12] {
    let mut marker = [0; 12];
    let (number, version) = marker.split_at_mut(8);
    number.copy_from_slice(&group.to_be_bytes());
    version.copy_from_slice(&VERSION.to_be_bytes());
    marker
}

fn encode(usage: &Usage) -> Vec<u8> {
    [usage.images, usage.uploading, usage.stored, usage.staged]
        .iter()
        .flat_map(|figure| figure.to_be_bytes())
        .collect()
}

fn decode(bytes: &[u8]) -> Option<Usage> {
    let (figures, []) = bytes.as_chunks::<8>() else {
        return None;
    };
    let [images, uploading, stored, staged] = <[[u8; 8]; 4]>::try_from(figures).ok()?.map(u64::from_be_bytes);
    Some(Usage {
        images,
        uploading,
        stored,
        staged,
    })
}
