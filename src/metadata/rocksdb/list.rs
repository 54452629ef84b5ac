//! Lists: by what is looked up where that is enough, else the merged walk of the scopes that hold them.

use ::rocksdb::{DB, DBRawIterator, Snapshot};

use super::{
    keys::{self, Scope},
    lookup,
    open::{Reach, out_of_reach, read_error, read_options},
    read_entry,
};
use crate::{
    image::{Claim, Entry, Image, ImageId, Timestamp, Tombstone},
    metadata::{Direction, MetadataError, MetadataErrorKind, Page, Query, SortKey},
};

/// Records that are read at once; also how many ids a walk may be ahead of its page.
const BATCH: usize = 64;

/// Records that [`Reach::Memory`] is enough for: a page of the usual length, and some that are passed over.
const LITTLE: usize = BATCH;

/// One page, from one snapshot. With [`Reach::Memory`], one that takes no more than [`LITTLE`] records to make.
pub(super) fn page(db: &DB, query: &Query, reach: Reach) -> Result<Page, MetadataError> {
    if reach == Reach::Memory && query.limit > LITTLE {
        return Err(out_of_reach());
    }
    let snapshot = db.snapshot();
    let after = match query.marker {
        None => None,
        Some(marker) => {
            let entry = entry(&snapshot, marker, reach)?;
            let entry = entry.ok_or(MetadataError::new(MetadataErrorKind::UnknownMarker))?;
            Some(entry.last_listed())
        }
    };
    if query.limit == 0 {
        return Ok(Page::of(Vec::new(), 0));
    }
    let images = match (
        lookup::candidates(&snapshot, &query.filter, reach)?,
        query.order.single(),
    ) {
        (Some(ids), _) => look_up(&snapshot, query, &ids, after.as_ref(), reach),
        (None, Some((sort, direction))) => walk(&snapshot, query, sort, direction, after.as_ref(), reach),
        (None, None) if reach == Reach::Memory => Err(out_of_reach()),
        (None, None) => scan(&snapshot, query, after.as_ref()),
    }?;
    Ok(Page::of(images, query.limit))
}

/// All claims, from one snapshot.
pub(super) fn claims(db: &DB) -> Result<Vec<(ImageId, Claim)>, MetadataError> {
    let snapshot = db.snapshot();
    let mut options = read_options(Reach::Disk);
    options.set_iterate_upper_bound(keys::end_of(keys::CLAIMS));
    let mut iterator = snapshot.raw_iterator_opt(options);
    iterator.seek(keys::CLAIMS);
    let mut claims = Vec::new();
    while let Some(key) = iterator.key() {
        let id = keys::image_id(key).ok_or(MetadataError::new(MetadataErrorKind::Corrupt))?;
        let claim = entry(&snapshot, id, Reach::Disk)?.and_then(|entry| entry.live()?.claim);
        let claim = claim.ok_or(MetadataError::new(MetadataErrorKind::Corrupt))?;
        claims.push((id, claim));
        iterator.next();
    }
    iterator.status().map_err(read_error)?;
    Ok(claims)
}

/// Images that wait to be deleted, the longest first, from one snapshot: those deleted up to `until` and behind `after`.
pub(super) fn pending(
    db: &DB,
    until: Timestamp,
    after: Option<(Timestamp, ImageId)>,
    limit: usize,
) -> Result<Vec<Tombstone>, MetadataError> {
    let snapshot = db.snapshot();
    let after = after.map(|(deleted_at, id)| keys::pending(deleted_at, id));
    let mut options = read_options(Reach::Disk);
    options.set_iterate_upper_bound(keys::end_of(keys::PENDING_IMAGES));
    let mut iterator = snapshot.raw_iterator_opt(options);
    iterator.seek(after.as_deref().unwrap_or(keys::PENDING_IMAGES));
    let mut found = Vec::new();
    while let Some(key) = iterator.key()
        && found.len() < limit
    {
        if after.as_deref() != Some(key) {
            let id = keys::image_id(key).ok_or(MetadataError::new(MetadataErrorKind::Corrupt))?;
            match entry(&snapshot, id, Reach::Disk)? {
                Some(Entry::Deleted(tombstone)) if tombstone.deleted_at <= until => found.push(tombstone),
                Some(Entry::Deleted(_)) => break,
                _ => return Err(MetadataError::new(MetadataErrorKind::Corrupt)),
            }
        }
        iterator.next();
    }
    iterator.status().map_err(read_error)?;
    Ok(found)
}

/// The page in the order of an index: the walk stops where the page is full.
fn walk(
    snapshot: &Snapshot<'_>,
    query: &Query,
    sort: SortKey,
    direction: Direction,
    after: Option<&Image>,
    reach: Reach,
) -> Result<Vec<Image>, MetadataError> {
    let scopes = Scope::needed(&query.listing, &query.filter);
    let mut walk = Walk::new(snapshot, &scopes, sort, direction, after, reach);
    let mut images = Vec::new();
    let mut looked_at = 0_usize;
    while images.len() < query.limit {
        let missing = query.limit.saturating_sub(images.len());
        if reach == Reach::Memory && looked_at.saturating_add(missing) > LITTLE {
            return Err(out_of_reach());
        }
        let ids = walk.next_ids(missing.min(BATCH))?;
        if ids.is_empty() {
            break;
        }
        looked_at = looked_at.saturating_add(ids.len());
        images.extend(
            read(snapshot, &ids, reach)?
                .into_iter()
                .filter(|image| query.holds(image)),
        );
    }
    Ok(images)
}

/// The page in any other order: every image of the scopes is looked at, and no more than two pages are kept.
fn scan(snapshot: &Snapshot<'_>, query: &Query, after: Option<&Image>) -> Result<Vec<Image>, MetadataError> {
    let scopes = Scope::needed(&query.listing, &query.filter);
    let mut walk = Walk::new(
        snapshot,
        &scopes,
        SortKey::Id,
        Direction::Ascending,
        None,
        Reach::Disk,
    );
    let mut best = Best::of(query, after);
    loop {
        let ids = walk.next_ids(BATCH)?;
        if ids.is_empty() {
            return Ok(best.page());
        }
        best.add(read(snapshot, &ids, Reach::Disk)?);
    }
}

/// The page of these images, as far as they are there and wanted.
fn look_up(
    snapshot: &Snapshot<'_>,
    query: &Query,
    ids: &[ImageId],
    after: Option<&Image>,
    reach: Reach,
) -> Result<Vec<Image>, MetadataError> {
    if reach == Reach::Memory && ids.len() > LITTLE {
        return Err(out_of_reach());
    }
    let mut best = Best::of(query, after);
    for ids in ids.chunks(BATCH) {
        best.add(read_if_there(snapshot, ids, reach)?);
    }
    Ok(best.page())
}

/// The first images of a page, out of many that come in any order; no more than two pages of them are kept.
struct Best<'q> {
    query: &'q Query,
    after: Option<&'q Image>,
    images: Vec<Image>,
}

impl<'q> Best<'q> {
    const fn of(query: &'q Query, after: Option<&'q Image>) -> Self {
        let images = Vec::new();
        Self { query, after, images }
    }

    fn add(&mut self, images: Vec<Image>) {
        let order = &self.query.order;
        let wanted = |image: &Image| {
            self.query.holds(image) && self.after.is_none_or(|after| order.compare(after, image).is_lt())
        };
        self.images.extend(images.into_iter().filter(wanted));
        if self.images.len() >= self.query.limit.saturating_mul(2).max(BATCH) {
            self.cut();
        }
    }

    fn cut(&mut self) {
        self.images
            .sort_unstable_by(|a, b| self.query.order.compare(a, b));
        self.images.truncate(self.query.limit);
    }

    fn page(mut self) -> Vec<Image> {
        self.cut();
        self.images
    }
}

/// Several scopes, walked by one sort key as if they were one; an image that is in several comes once.
struct Walk<'a> {
    scopes: Vec<ScopeWalk<'a>>,
    direction: Direction,
}

struct ScopeWalk<'a> {
    prefix: Vec<u8>,
    iterator: DBRawIterator<'a>,
}

impl<'a> Walk<'a> {
    /// Begins behind the place of `after`, or at the beginning.
    fn new(
        snapshot: &'a Snapshot<'_>,
        scopes: &[Scope<'_>],
        sort: SortKey,
        direction: Direction,
        after: Option<&Image>,
        reach: Reach,
    ) -> Self {
        let after = after.map(|image| keys::position(image, sort));
        let open = |scope: &Scope<'_>| {
            let prefix = keys::index(*scope, sort);
            let mut options = read_options(reach);
            options.set_iterate_lower_bound(prefix.clone());
            options.set_iterate_upper_bound(keys::end_of(&prefix));
            let iterator = snapshot.raw_iterator_opt(options);
            let mut walk = ScopeWalk { prefix, iterator };
            walk.start(direction, after.as_deref());
            walk
        };
        Self {
            scopes: scopes.iter().map(open).collect(),
            direction,
        }
    }

    /// The next ids, `count` of them unless the walk ends.
    fn next_ids(&mut self, count: usize) -> Result<Vec<ImageId>, MetadataError> {
        let mut ids = Vec::new();
        while ids.len() < count {
            let positions = self.scopes.iter().filter_map(ScopeWalk::position);
            let first = match self.direction {
                Direction::Ascending => positions.min(),
                Direction::Descending => positions.max(),
            };
            let Some(first) = first.map(<[u8]>::to_vec) else {
                break;
            };
            ids.push(keys::image_id(&first).ok_or(MetadataError::new(MetadataErrorKind::Corrupt))?);
            for scope in &mut self.scopes {
                if scope.position() == Some(&first) {
                    scope.step(self.direction);
                }
            }
        }
        for scope in &self.scopes {
            scope.iterator.status().map_err(read_error)?;
        }
        Ok(ids)
    }
}

impl ScopeWalk<'_> {
    fn start(&mut self, direction: Direction, after: Option<&[u8]>) {
        match (direction, after) {
            (Direction::Ascending, None) => self.iterator.seek_to_first(),
            (Direction::Descending, None) => self.iterator.seek_to_last(),
            (direction, Some(after)) => {
                let key = [self.prefix.as_slice(), after].concat();
                match direction {
                    Direction::Ascending => self.iterator.seek(&key),
                    Direction::Descending => self.iterator.seek_for_prev(&key),
                }
                if self.position() == Some(after) {
                    self.step(direction);
                }
            }
        }
    }

    fn position(&self) -> Option<&[u8]> {
        self.iterator.key()?.strip_prefix(self.prefix.as_slice())
    }

    fn step(&mut self, direction: Direction) {
        match direction {
            Direction::Ascending => self.iterator.next(),
            Direction::Descending => self.iterator.prev(),
        }
    }
}

/// The images of these ids. That an index names an image that is not there is damage: both are in one snapshot.
fn read(snapshot: &Snapshot<'_>, ids: &[ImageId], reach: Reach) -> Result<Vec<Image>, MetadataError> {
    let images = read_if_there(snapshot, ids, reach)?;
    if images.len() == ids.len() {
        Ok(images)
    } else {
        Err(MetadataError::new(MetadataErrorKind::Corrupt))
    }
}

/// The images of these ids, without those that are not there.
fn read_if_there(
    snapshot: &Snapshot<'_>,
    ids: &[ImageId],
    reach: Reach,
) -> Result<Vec<Image>, MetadataError> {
    let records = snapshot.multi_get_opt(ids.iter().map(|id| keys::entry(*id)), read_options(reach));
    let mut images = Vec::with_capacity(ids.len());
    for (id, record) in ids.iter().zip(records) {
        if let Some(Entry::Live(image)) = read_entry(*id, record)? {
            images.push(image);
        }
    }
    Ok(images)
}

fn entry(snapshot: &Snapshot<'_>, id: ImageId, reach: Reach) -> Result<Option<Entry>, MetadataError> {
    read_entry(id, snapshot.get_pinned_opt(keys::entry(id), read_options(reach)))
}
