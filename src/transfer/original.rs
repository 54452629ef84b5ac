//! What another place says of an image whose bytes it sends.

use futures_util::{StreamExt, stream, stream::BoxStream};

use super::{Data, Passing, Treatment, UploadError, UploadErrorKind, import::Cause};
use crate::{
    digest::{Algorithm, DigestPool, DigestStream, Digests},
    image::Amendments,
};

/// What another place says of an image whose bytes it sends.
#[derive(Debug, Clone, Default)]
pub struct Original {
    /// Becomes the image's own when it is active.
    pub description: Amendments,
    /// MD5 of the bytes in hex.
    pub checksum: Option<String>,
    /// The name of another algorithm, and its hash of them in hex. Not looked at where the algorithm is not known here.
    pub hash: Option<(String, String)>,
}

/// Bytes that are not those which were promised.
#[derive(Debug, thiserror::Error)]
#[error("the data is not what the source image says it is: its {algorithm} is {came}, and should be {told}")]
struct Other {
    algorithm: Algorithm,
    came: String,
    told: String,
}

/// A stream that is hashed on its way.
type Chunks = BoxStream<'static, Result<bytes::Bytes, Cause>>;

impl Original {
    /// The other algorithm, and the hash by it.
    pub(super) fn hash(&self) -> Option<(Algorithm, &String)> {
        let (algorithm, value) = self.hash.as_ref()?;
        Some((algorithm.parse().ok()?, value))
    }

    /// The image takes over what is said of it; what plugins add counts more.
    pub(super) fn describe(&mut self, passing: &mut Passing, treatment: &mut Treatment) {
        let Amendments {
            disk_format,
            container_format,
            properties,
        } = std::mem::take(&mut self.description);
        if let Some(format) = disk_format {
            passing.disk_format = format;
        }
        if let Some(format) = container_format {
            passing.container_format = format;
        }
        for (name, value) in properties {
            treatment.amendments.properties.entry(name).or_insert(value);
        }
    }

    /// That what came is what the place says it has.
    pub(super) fn check(&self, digests: &Digests) -> Result<(), UploadError> {
        self.compare(digests).map_err(|other| {
            let explanation = other.to_string();
            UploadErrorKind::Origin { explanation }.into()
        })
    }

    fn compare(&self, digests: &Digests) -> Result<(), Other> {
        let checksum = self.checksum.as_ref().map(|value| (Algorithm::Md5, value));
        for (algorithm, told) in self.hash().into_iter().chain(checksum) {
            let came = digests.hex(algorithm).unwrap_or_default();
            if !came.eq_ignore_ascii_case(told) {
                return Err(Other {
                    algorithm,
                    came: came.to_owned(),
                    told: told.clone(),
                });
            }
        }
        Ok(())
    }

    /// The data, whose stream fails at its end when it is other data.
    pub(super) fn checked_on_its_way(&self, data: Data, digests: &DigestPool) -> Data {
        let Data::Stream(mut incoming) = data else {
            return data;
        };
        let mut algorithms: Vec<Algorithm> =
            self.hash().into_iter().map(|(algorithm, _)| algorithm).collect();
        algorithms.extend(self.checksum.is_some().then_some(Algorithm::Md5));
        let state: (Chunks, Option<DigestStream>) = (incoming.chunks, Some(digests.start(&algorithms)));
        let told = self.clone();
        let checked = stream::try_unfold(state, move |(mut chunks, hashing)| {
            let told = told.clone();
            async move {
                let Some(mut hashing) = hashing else {
                    return Ok(None);
                };
                let Some(chunk) = chunks.next().await.transpose()? else {
                    told.compare(&hashing.finish().await?)?;
                    return Ok(None);
                };
                hashing.push(chunk.clone()).await?;
                Ok::<_, Cause>(Some((chunk, (chunks, Some(hashing)))))
            }
        });
        incoming.chunks = checked.boxed();
        Data::Stream(incoming)
    }
}
