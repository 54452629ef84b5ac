//! Lists of what few images have: the images under a name, tag, property or hash, found without a walk.
//!
//! Nobody knows beforehand how many images are under a term. So they are counted while they are read: when there are more
//! than a walk in the list's own order would have to look at, that walk is the better way, since it stops where
//! the page is full.

use ::rocksdb::{DBRawIterator, Snapshot};

use super::{
    keys::{self, Term},
    open::{Reach, out_of_reach, read_error, read_options},
};
use crate::{
    image::ImageId,
    metadata::{Condition, Filter, MetadataError, MetadataErrorKind, Text},
};

/// Places that are looked at in the indexes of terms before the walk is taken instead.
#[cfg(not(test))]
const BUDGET: usize = 4096;
/// Few, so that the tests go both ways.
#[cfg(test)]
const BUDGET: usize = 3;

/// Every image that may be wanted, in the order of ids, when the filter names few; `None` when it does not, or names too
/// many. Some that are given may not be wanted, or not be there any more: the caller compares. What is looked up goes beyond
/// [`Reach::Memory`]: it may be thousands of places.
pub(super) fn candidates(
    snapshot: &Snapshot<'_>,
    filter: &Filter,
    reach: Reach,
) -> Result<Option<Vec<ImageId>>, MetadataError> {
    let ids = filter.0.iter().find_map(|condition| match condition {
        Condition::OneOf(Text::Id, ids) => Some(ids),
        _ => None,
    });
    if let Some(ids) = ids {
        // What is no id is no image's.
        let mut ids: Vec<ImageId> = ids.iter().filter_map(|id| id.parse().ok()).collect();
        ids.sort_unstable();
        ids.dedup();
        return Ok(Some(ids));
    }
    let mut lists: Vec<_> = filter
        .0
        .iter()
        .filter_map(term)
        .map(|term| Postings::open(snapshot, term))
        .collect();
    if reach == Reach::Memory && !lists.is_empty() {
        return Err(out_of_reach());
    }
    match lists.split_first_mut() {
        None => Ok(None),
        Some((first, others)) => intersection(first, others),
    }
}

/// The term that every image must stand under for the condition to hold, where there is one.
fn term(condition: &Condition) -> Option<Term<'_>> {
    match condition {
        Condition::Tag(tag) => Some(Term::Tag(tag)),
        Condition::Property(name, value) => Some(Term::Property(name, value)),
        Condition::OneOf(field, values) => match (field, values.as_slice()) {
            (Text::Name, [name]) => Some(Term::Name(name)),
            (Text::Checksum, [checksum]) => Some(Term::Checksum(checksum)),
            (Text::HashValue, [hash]) => Some(Term::HashValue(hash)),
            _ => None,
        },
        _ => None,
    }
}

/// What is in all lists: each in turn is moved on to where the last one stands, until they agree.
fn intersection(
    first: &mut Postings<'_>,
    others: &mut [Postings<'_>],
) -> Result<Option<Vec<ImageId>>, MetadataError> {
    let mut found = Vec::new();
    let mut left = BUDGET;
    let mut wanted = ImageId::from_bytes([0; 16]);
    while let Some(id) = first.from(wanted)? {
        let mut next = id;
        for other in others.iter_mut() {
            match other.from(next)? {
                Some(id) => next = id,
                None => return Ok(Some(found)),
            }
        }
        if next == id {
            found.push(id);
            match after(id) {
                Some(id) => next = id,
                None => break,
            }
        }
        wanted = next;
        match left.checked_sub(1) {
            Some(less) => left = less,
            None => return Ok(None),
        }
    }
    Ok(Some(found))
}

fn after(id: ImageId) -> Option<ImageId> {
    let number = u128::from_be_bytes(*id.as_bytes()).checked_add(1)?;
    Some(ImageId::from_bytes(number.to_be_bytes()))
}

/// The images under a term, in the order of ids.
struct Postings<'a> {
    prefix: Vec<u8>,
    iterator: DBRawIterator<'a>,
    begun: bool,
}

impl<'a> Postings<'a> {
    fn open(snapshot: &'a Snapshot<'_>, term: Term<'_>) -> Self {
        let prefix = term.prefix();
        let mut options = read_options(Reach::Disk);
        options.set_iterate_lower_bound(prefix.clone());
        let mut end = keys::under(&prefix, ImageId::from_bytes([0xFF; 16]));
        // The bound itself is outside.
        end.push(0);
        options.set_iterate_upper_bound(end);
        Self {
            iterator: snapshot.raw_iterator_opt(options),
            prefix,
            begun: false,
        }
    }

    /// The first image that is not before `id`. It only goes forwards.
    fn from(&mut self, id: ImageId) -> Result<Option<ImageId>, MetadataError> {
        let wanted = keys::under(&self.prefix, id);
        if !self.begun {
            self.iterator.seek(&wanted);
            self.begun = true;
        } else if self.iterator.key().is_some_and(|key| key < wanted.as_slice()) {
            // Mostly it is the next one: a step is cheaper than a search.
            self.iterator.next();
            if self.iterator.key().is_some_and(|key| key < wanted.as_slice()) {
                self.iterator.seek(&wanted);
            }
        }
        let Some(key) = self.iterator.key() else {
            self.iterator.status().map_err(read_error)?;
            return Ok(None);
        };
        let id = keys::image_id(key).ok_or(MetadataError::new(MetadataErrorKind::Corrupt))?;
        Ok(Some(id))
    }
}
