//! What a finished stream yields.

use super::algorithm::Algorithm;

/// The digests of one stream, one for each algorithm it was started with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Digests(Vec<(Algorithm, String)>);

impl Digests {
    /// The digest by `algorithm` in lower-case hex, if the stream was started with that algorithm.
    #[must_use]
    pub fn hex(&self, algorithm: Algorithm) -> Option<&str> {
        self.iter().find_map(|(of, hex)| (of == algorithm).then_some(hex))
    }

    /// Every digest in lower-case hex, in the order of the algorithms the stream was started with.
    pub fn iter(&self) -> impl Iterator<Item = (Algorithm, &str)> {
        self.0.iter().map(|(algorithm, hex)| (*algorithm, hex.as_str()))
    }
}

impl FromIterator<(Algorithm, String)> for Digests {
    fn from_iter<I: IntoIterator<Item = (Algorithm, String)>>(digests: I) -> Self {
        Self(digests.into_iter().collect())
    }
}
