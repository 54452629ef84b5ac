//! Which version of a file was seen last, for a while.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use saccade_outgoing::{Response, Target, headers};
use tokio::time::Instant;

/// How many files are remembered.
const MOST: usize = 256;

/// Longer tags are not remembered.
const LONGEST_TAG: usize = 256;

/// How long one is remembered: reads further apart are not of one reader.
const MEMORY: Duration = Duration::from_secs(600);

/// What tells one version of a file from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    /// Who has answered; mirrors give different tags to the same file.
    place: String,
    tag: Option<String>,
    size: u64,
}

/// The versions that were seen last, by location.
#[derive(Debug, Default)]
pub(crate) struct Versions(Mutex<HashMap<String, (Version, Instant)>>);

impl Version {
    pub(crate) fn of(response: &Response, size: u64) -> Self {
        let mut place = response.target().url().clone();
        // Signatures differ from one redirect to the next.
        place.set_query(None);
        Self {
            place: place.into(),
            tag: headers::strong_etag(response.headers())
                .filter(|tag| tag.len() <= LONGEST_TAG)
                .map(str::to_owned),
            size,
        }
    }

    fn is_another_than(&self, other: &Self) -> bool {
        let tags_differ = match (&self.tag, &other.tag) {
            (Some(one), Some(other)) => one != other,
            _ => false,
        };
        self.size != other.size || (self.place == other.place && tags_differ)
    }
}

impl Versions {
    /// Remembers the version, and says whether it is the one remembered before, as far as one can tell. If it is not,
    /// both are forgotten: the next reader begins anew.
    pub(crate) fn is_as_before(&self, of: &Target, version: Version) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = of.url().as_str();
        let (now, before) = (Instant::now(), seen.remove(key));
        let changed = before
            .filter(|(_, at)| now.duration_since(*at) < MEMORY)
            .is_some_and(|(before, _)| before.is_another_than(&version));
        if !changed {
            remember(&mut seen, key, version, now);
        }
        !changed
    }

    /// Remembers the version of a file that is read whole, and so is one whatever was before.
    pub(crate) fn begin(&self, of: &Target, version: Version) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        remember(&mut seen, of.url().as_str(), version, Instant::now());
    }
}

fn remember(seen: &mut HashMap<String, (Version, Instant)>, key: &str, version: Version, now: Instant) {
    if seen.len() >= MOST && !seen.contains_key(key) {
        let oldest = seen.iter().min_by_key(|(_, (_, at))| *at);
        if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
            seen.remove(&oldest);
        }
    }
    seen.insert(key.to_owned(), (version, now));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(path: usize) -> Target {
        Target::parse(&format!("http://h/{path}")).unwrap()
    }

    fn version(place: &str, tag: Option<&str>, size: u64) -> Version {
        Version {
            place: place.to_owned(),
            tag: tag.map(str::to_owned),
            size,
        }
    }

    #[test]
    fn another_tag_or_length_is_another_version() {
        let versions = Versions::default();
        let same = |version| versions.is_as_before(&target(1), version);
        assert!(same(version("p", Some("a"), 1)));
        assert!(same(version("p", Some("a"), 1)));
        assert!(!same(version("p", Some("b"), 1)));
        // Forgotten: whoever begins now begins with this one.
        assert!(same(version("p", Some("b"), 1)));
        assert!(!same(version("p", Some("b"), 2)));
        assert!(same(version("p", None, 2)));
        assert!(same(version("p", Some("c"), 2)));
    }

    #[test]
    fn a_mirrors_tags_are_its_own() {
        let versions = Versions::default();
        assert!(versions.is_as_before(&target(1), version("p", Some("a"), 1)));
        assert!(versions.is_as_before(&target(1), version("q", Some("b"), 1)));
        assert!(!versions.is_as_before(&target(1), version("p", Some("b"), 2)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_seen_long_ago_does_not_count() {
        let versions = Versions::default();
        assert!(versions.is_as_before(&target(1), version("p", Some("a"), 1)));
        tokio::time::advance(MEMORY).await;
        assert!(versions.is_as_before(&target(1), version("p", Some("b"), 2)));
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_are_remembered_and_the_oldest_go() {
        let versions = Versions::default();
        for path in 0..=MOST {
            tokio::time::advance(Duration::from_millis(1)).await;
            versions.begin(&target(path), version("p", Some("a"), 1));
        }
        assert_eq!(versions.0.lock().unwrap().len(), MOST);
        assert!(!versions.is_as_before(&target(1), version("p", Some("b"), 1)));
        assert!(versions.is_as_before(&target(0), version("p", Some("b"), 1)));
    }
}
