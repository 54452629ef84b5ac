//! Deleting blobs. Of one in segments nothing can be read from the first step on; a note lets a later call finish.

use std::collections::{BTreeMap, BTreeSet};

use percent_encoding::percent_decode_str;
use saccade_store_contract::{Operation, Result};

use crate::{
    client::Account,
    failure::Failure,
    location::{Place, encode},
    requests::{Head, Kind},
    store::Inner,
    undo::{not_there, remove, remove_segments},
};

/// What a note of a deletion begins with.
const NOTE: &str = "saccade swift deletion:2\n";
/// An earlier form: then one line with what names begin with, as manifests say it.
const NOTE_1: &str = "saccade swift deletion:1\n";
/// What its lines begin with: names by their beginning, or one name.
const PREFIX: &str = "prefix ";
const OBJECT: &str = "object ";

/// What goes with an object: containers, each with what names begin with, or with names.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Remains {
    prefixes: BTreeSet<(String, String)>,
    objects: BTreeSet<(String, String)>,
}

/// Deletes a blob.
pub(crate) async fn delete(inner: &Inner, place: &Place) -> Result<()> {
    let subject = place.to_string();
    let failed = |failure: Failure| failure.at(Operation::Delete, &subject);
    let account = inner.account(place);
    let _held = inner.keys.hold(&place.key()).await;
    let head = account.head(place).await.map_err(failed)?;
    // Of a deletion that was not finished, perhaps of another object that was here before.
    let noted = noted(account, place).await.map_err(failed)?;
    if head.is_none() && noted.is_none() {
        return Err(not_there(Operation::Delete, &subject));
    }
    let mut remains = noted.clone().unwrap_or_default();
    if let Some(head) = head {
        let is_complete = remains.add(account, place, head).await.map_err(failed)?;
        if !is_complete {
            tracing::warn!(
                store = inner.id,
                object = subject,
                "the object is deleted; segments that the server does not tell, or that have other names than this image's, are \
                 left: they may be others'"
            );
        }
        if remains != noted.clone().unwrap_or_default() {
            let noted = account.put_note(place, &place.deletion(), &remains.note()).await;
            noted.map_err(failed)?;
        }
        let deleted = account.delete(&place.container, &place.object).await;
        deleted.map_err(failed)?;
    }
    remains.remove(account, place).await.map_err(failed)?;
    if noted.is_some() || remains != Remains::default() {
        let deleted = account.delete(&place.container, &place.deletion()).await;
        deleted.map_err(failed)?;
    }
    Ok(())
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

/// What a deletion that has begun has still to remove. A note that cannot be read is an error: it may be of segments that nothing
/// else names.
async fn noted(account: &Account, place: &Place) -> Result<Option<Remains>, Failure> {
    let Some(note) = account.note(place, &place.deletion()).await? else {
        return Ok(None);
    };
    let remains = Remains::parse(place, &note).ok_or_else(|| {
        Failure::Corrupt(format!(
            "{}/{} is no note of a deletion that this version can read; once it is gone, the image can be deleted, and segments \
             that it names stay",
            place.container,
            place.deletion()
        ))
    });
    remains.map(Some)
}

/// In a project's account, whoever has written a manifest or a note may have fewer rights than whoever deletes.
fn may_go(account: &Account, place: &Place, (container, _): &(String, String)) -> bool {
    !account.has_containers_of_images() || *container == place.container
}

impl Remains {
    /// Adds the segments that are an object's own; false if there are others.
    async fn add(&mut self, account: &Account, place: &Place, head: Head) -> Result<bool, Failure> {
        match head.kind {
            Kind::Plain => Ok(true),
            Kind::Dynamic(manifest) => {
                let own = place
                    .segments_of(&manifest)
                    .filter(|own| may_go(account, place, own));
                let is_own = own.is_some();
                self.prefixes.extend(own);
                Ok(is_own)
            }
            Kind::Static => {
                let Some(listed) = account.static_segments(place).await? else {
                    return Ok(false);
                };
                let paths = listed.iter().flatten();
                let own = paths.filter_map(|path| place.owned(path));
                let own: Vec<_> = own.filter(|own| may_go(account, place, own)).collect();
                let is_complete = own.len() == listed.len();
                self.objects.extend(own);
                Ok(is_complete)
            }
        }
    }

    /// As a later call reads it.
    fn note(&self) -> String {
        let line = |what: &str, (container, name): &(String, String)| {
            format!("{what}{}/{}\n", encode(container), encode(name))
        };
        let prefixes = self.prefixes.iter().map(|one| line(PREFIX, one));
        let objects = self.objects.iter().map(|one| line(OBJECT, one));
        std::iter::once(NOTE.to_owned())
            .chain(prefixes)
            .chain(objects)
            .collect()
    }

    /// Takes any bytes: what is not the object's own is passed over. `None` if they are no note.
    fn parse(place: &Place, note: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(note).ok()?;
        if let Some(manifest) = text.strip_prefix(NOTE_1) {
            let prefixes = manifest.lines().next().and_then(|path| place.segments_of(path));
            return Some(Self {
                prefixes: prefixes.into_iter().collect(),
                objects: BTreeSet::new(),
            });
        }
        let text = text.strip_prefix(NOTE)?;
        let own = |path: &str| {
            let (container, name) = path.split_once('/')?;
            let decoded = |text| percent_decode_str(text).decode_utf8().ok();
            place.owned(&format!("{}/{}", decoded(container)?, decoded(name)?))
        };
        let mut remains = Self::default();
        for line in text.lines() {
            if let Some(path) = line.strip_prefix(PREFIX) {
                remains.prefixes.extend(own(path));
            } else if let Some(path) = line.strip_prefix(OBJECT) {
                remains.objects.extend(own(path));
            }
        }
        Some(remains)
    }

    async fn remove(&self, account: &Account, place: &Place) -> Result<(), Failure> {
        for own in &self.prefixes {
            if !may_go(account, place, own) {
                continue;
            }
            let (container, prefix) = own;
            remove_segments(account, place, container, prefix).await?;
        }
        let mut containers = BTreeMap::<&str, Vec<&str>>::new();
        for (container, name) in self.objects.iter().filter(|own| may_go(account, place, own)) {
            containers.entry(container).or_default().push(name);
        }
        for (container, names) in containers {
            let names = names.into_iter().map(str::to_owned);
            match remove(account, container, names).await {
                // It holds none; but the object's own is one that has just answered.
                Err(Failure::NoContainer(_)) if container != place.container => {}
                other => other?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "6a1c2b3d-0000-4000-8000-000000000001";

    fn place() -> Place {
        Place {
            account: 0,
            container: "images".to_owned(),
            object: ID.to_owned(),
        }
    }

    fn pair(container: &str, name: &str) -> (String, String) {
        (container.to_owned(), name.to_owned())
    }

    #[test]
    fn notes_are_read_back() {
        let remains = Remains {
            prefixes: [pair("images", &format!("{ID}-"))].into(),
            objects: [pair("images_segments", &format!("{ID}/slo/a b%\n/1"))].into(),
        };
        assert_eq!(Remains::parse(&place(), remains.note().as_bytes()), Some(remains));
    }

    #[test]
    fn notes_of_others_objects_are_passed_over() {
        let note = format!("{NOTE}prefix images/7\nobject images/{ID}\nobject x/y\nprefix {ID}\nwhat\n");
        assert_eq!(
            Remains::parse(&place(), note.as_bytes()),
            Some(Remains::default())
        );
        assert_eq!(Remains::parse(&place(), b"something else"), None);
        assert_eq!(Remains::parse(&place(), b"\xff"), None);
    }

    #[test]
    fn notes_of_the_first_form_are_read() {
        let note = format!("{NOTE_1}images%2Dx/{ID}-7%2F\n");
        let remains = Remains {
            prefixes: [pair("images-x", &format!("{ID}-7/"))].into(),
            objects: BTreeSet::new(),
        };
        assert_eq!(Remains::parse(&place(), note.as_bytes()), Some(remains));
        let others = format!("{NOTE_1}images/7\n");
        assert_eq!(
            Remains::parse(&place(), others.as_bytes()),
            Some(Remains::default())
        );
        let later = b"saccade swift deletion:3\nprefix images/x\n";
        assert_eq!(Remains::parse(&place(), later), None);
    }

    proptest! {
        #[test]
        fn any_note_names_only_what_is_the_objects_own(lines in "((prefix|object) [a-z/%0-9\n-]{0,40}\n)*") {
            if let Some(remains) = Remains::parse(&place(), format!("{NOTE}{lines}").as_bytes()) {
                for (_, name) in remains.prefixes.iter().chain(&remains.objects) {
                    prop_assert!(name.starts_with(ID));
                }
            }
        }
    }
}
