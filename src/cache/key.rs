//! Which data: what a cached file has to be for an image.

use crate::{
    digest::Algorithm,
    image::{Image, ImageId},
};

/// The data of an image, as its record describes it. A file that was cached for another key of the same image is stale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    image: ImageId,
    /// In bytes.
    size: u64,
    identity: Identity,
    check: Check,
}

/// What tells one image's data from other data under the same id, as text without secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity(String);

/// How it is known that data is what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Check {
    /// By its hash, in lower-case hex.
    Hash(Algorithm, String),
    /// By its length alone: nobody has said more of it.
    Length,
}

impl Identity {
    /// The longest there is, in bytes: an algorithm's name and its digits.
    const MAX: usize = 256;

    /// The identity with this text, from a file.
    pub(super) fn parse(text: String) -> Option<Self> {
        (!text.is_empty() && text.len() <= Self::MAX && text.bytes().all(|byte| byte.is_ascii_graphic()))
            .then_some(Self(text))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Key {
    /// The key of an image's data; `None` when there is none.
    ///
    /// Data of which no hash is known is told apart by the attempt that brought it and by where it is: addresses may
    /// carry secrets, so that only a digest of them is kept.
    pub fn of(image: &Image) -> Option<Self> {
        let content = image.content.as_ref()?;
        let secure = content
            .hash_algorithm
            .as_deref()
            .zip(content.hash_value.as_deref());
        let secure = secure.and_then(|(name, value)| Some((name.parse::<Algorithm>().ok()?, value)));
        let known = secure.or_else(|| Some((Algorithm::Md5, content.checksum.as_deref()?)));
        let (identity, check) = match known {
            Some((algorithm, value)) => {
                let value = value.to_ascii_lowercase();
                (format!("{algorithm}:{value}"), Check::Hash(algorithm, value))
            }
            None => {
                let mut urls: Vec<&str> = image
                    .locations
                    .iter()
                    .map(|location| location.url.as_str())
                    .collect();
                urls.sort_unstable();
                let mut hasher = blake3::Hasher::new();
                hasher.update(content.attempt.as_uuid().as_bytes());
                for url in urls {
                    hasher.update(url.as_bytes());
                    // No address has one.
                    hasher.update(b"\n");
                }
                (format!("addresses:{}", hasher.finalize().to_hex()), Check::Length)
            }
        };
        Some(Self {
            image: image.id,
            size: content.size,
            identity: Identity::parse(identity)?,
            check,
        })
    }

    /// The image.
    pub fn image(&self) -> ImageId {
        self.image
    }

    /// The length of the data in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(super) fn check(&self) -> &Check {
        &self.check
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{AttemptId, Content, Location, Timestamp};

    fn image(change: impl FnOnce(&mut Content)) -> Image {
        let mut image = Image::new(ImageId::from_bytes([7; 16]), Timestamp::now());
        let mut content = Content {
            attempt: AttemptId::from_bytes([1; 16]),
            size: 9,
            virtual_size: None,
            checksum: None,
            hash_algorithm: None,
            hash_value: None,
        };
        change(&mut content);
        image.content = Some(content);
        image.locations = vec![Location {
            store: None,
            url: "s3://key:SECRET@host/bucket/object".to_owned(),
            metadata: Default::default(),
        }];
        image
    }

    #[test]
    fn the_secure_hash_comes_first_and_then_the_checksum() {
        let both = image(|content| {
            content.checksum = Some("AB".to_owned());
            content.hash_algorithm = Some("sha512".to_owned());
            content.hash_value = Some("CD".to_owned());
        });
        let key = Key::of(&both).unwrap();
        assert_eq!(key.identity().as_str(), "sha512:cd");
        assert_eq!(key.check(), &Check::Hash(Algorithm::Sha512, "cd".to_owned()));
        // The hash is on its way, or of a kind that nobody computes.
        for (name, value) in [("sha512", None), ("shake_128", Some("CD".to_owned()))] {
            let image = image(|content| {
                content.checksum = Some("AB".to_owned());
                content.hash_algorithm = Some(name.to_owned());
                content.hash_value = value;
            });
            assert_eq!(Key::of(&image).unwrap().identity().as_str(), "md5:ab");
        }
    }

    #[test]
    fn data_without_a_hash_is_told_apart_by_where_it_is_and_who_brought_it() {
        let first = image(|_| {});
        let key = Key::of(&first).unwrap();
        assert_eq!(key.check(), &Check::Length);
        assert!(!format!("{key:?}").contains("SECRET"), "{key:?}");
        let again = image(|content| content.attempt = AttemptId::from_bytes([2; 16]));
        assert_ne!(Key::of(&again).unwrap(), key);
        let mut elsewhere = first.clone();
        elsewhere.locations[0].url = "s3://host/bucket/other".to_owned();
        assert_ne!(Key::of(&elsewhere).unwrap(), key);
        assert_eq!(Key::of(&first).unwrap(), key);
        let queued = Image::new(first.id, Timestamp::now());
        assert_eq!(Key::of(&queued), None);
    }
}
