//! An image of another region of the same cloud (Glance 33, `async_/flows/_internal_plugins/glance_download.py` and
//! `api_image_import.py`, `_ImportMetadata`): its bytes straight to the stores, and what it says of them into the record.
//!
//! The image service there is asked with the caller's own token. It goes to the address that the caller's catalog names, and
//! to no other: no redirect is followed. It is kept for as long as the bytes come, and nowhere else.

use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use saccade_outgoing::{Client, Error, Response, Target, headers};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    Imports,
    reading::{Place, chain},
    request::OriginalImage,
};
use crate::{
    catalog::Catalog,
    identity::{Caller, Delegation},
    image::Image,
    transfer::{Arrival, Incoming, Opening, Original},
};

const TOKEN: HeaderName = HeaderName::from_static("x-auth-token");

/// The largest record of an image that is read, in bytes.
const MAX_RECORD: usize = 1 << 20;

/// What is asked, and with what.
pub(super) struct Asking {
    client: Client,
    catalog: Catalog,
    caller: Caller,
    /// The one that is to have the data.
    image: Image,
    original: OriginalImage,
    delegation: Option<Delegation>,
    extra_properties: Vec<String>,
    retries: u32,
}

/// What matters of the record of an image.
#[derive(Debug, Deserialize)]
struct Record {
    #[serde(default)]
    status: Value,
    #[serde(default)]
    size: Value,
    #[serde(default)]
    checksum: Option<String>,
    #[serde(default)]
    os_hash_algo: Option<String>,
    #[serde(default)]
    os_hash_value: Option<String>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl Imports {
    pub(super) fn asking(
        &self,
        caller: &Caller,
        image: &Image,
        original: OriginalImage,
        delegation: Option<Delegation>,
    ) -> Asking {
        let shared = &self.shared;
        Asking {
            client: shared.cloud.clone(),
            catalog: self.catalog.clone(),
            caller: caller.clone(),
            image: image.clone(),
            original,
            delegation,
            extra_properties: shared.rules.extra_properties.clone(),
            retries: shared.rules.retries,
        }
    }
}

/// Asks for the image, when it is polled.
pub(super) fn open(asking: Asking) -> Opening {
    Box::pin(async move {
        let record = asking.place("")?;
        let told = asking.answered(record.ask(None).await)?;
        let read = read_record(told).await;
        let record = read.map_err(|why| format!("{} sends no image: {why}", record.target))?;
        if record.status != "active" {
            let status = record.status.as_str().unwrap_or("nothing");
            return Err(format!(
                "Source image status should be active instead of {status}"
            ));
        }
        let size = record.size().ok_or_else(|| {
            format!(
                "Size attribute of remote image {} could not be determined.",
                asking.original.id
            )
        })?;
        let original = Some(asking.described(record)?);
        if size == 0 {
            // Glance has no answer to this.
            let data = Incoming {
                size: Some(0),
                chunks: stream::empty().boxed(),
            };
            return Ok(Arrival { data, original });
        }
        let file = asking.place("/file")?;
        let response = asking.answered(file.ask(None).await)?;
        match headers::content_length(response.headers()) {
            Some(length) if length != size => {
                return Err(format!(
                    "{} has {length} bytes, and its image says {size}",
                    file.target
                ));
            }
            _ => {}
        }
        let data = Incoming {
            size: Some(size),
            chunks: file.read(response, Some(size), asking.retries),
        };
        Ok(Arrival { data, original })
    })
}

impl Asking {
    /// Where the image is, or something of it.
    fn place(&self, part: &str) -> Result<Place, String> {
        let OriginalImage {
            region,
            id,
            interface,
        } = &self.original;
        let delegation = self
            .delegation
            .as_ref()
            .ok_or("the caller's token comes with no catalog: no other region can be asked")?;
        let endpoint = delegation
            .image_endpoint(region, interface)
            .ok_or_else(|| format!("{interface} glance endpoint not found for region {region}"))?;
        let unusable = || format!("the {interface} glance endpoint of region {region} is no address");
        // Catalogs of old name the version, too.
        let base = endpoint.trim_end_matches('/');
        let base = base.strip_suffix("/v2").unwrap_or(base);
        let target = Target::parse(&format!("{base}/v2/images/{id}{part}")).map_err(|_| unusable())?;
        let mut token = HeaderValue::from_str(delegation.token().expose()).map_err(|_| unusable())?;
        token.set_sensitive(true);
        Ok(Place {
            client: self.client.clone(),
            target,
            headers: HeaderMap::from_iter([
                (TOKEN, token),
                (header::ACCEPT, HeaderValue::from_static("*/*")),
            ]),
        })
    }

    /// The answer, if it is what was asked for; otherwise the reason, for the person who asked.
    fn answered(&self, answer: Result<Response, Error>) -> Result<Response, String> {
        let OriginalImage { region, id, .. } = &self.original;
        let response = answer.map_err(|error| match error {
            Error::TooManyRedirects { target, .. } => {
                format!("{target} redirects: a token is sent nowhere but to the address in the catalog")
            }
            error => chain(&error),
        })?;
        match response.status() {
            StatusCode::OK => Ok(response),
            StatusCode::NOT_FOUND => Err(format!(
                "region {region} has no image {id}, or none that you may see"
            )),
            StatusCode::UNAUTHORIZED => Err(format!(
                "region {region} does not take your token: it may have expired meanwhile"
            )),
            StatusCode::FORBIDDEN => Err(format!("region {region} does not let you have image {id}")),
            StatusCode::NO_CONTENT => Err(format!("image {id} of region {region} has no data")),
            status => Err(format!("{} answered {status}", response.target())),
        }
    }

    /// What of the record becomes the image's own, and what its bytes are held against.
    fn described(&self, record: Record) -> Result<Original, String> {
        let properties = record.others.iter().filter(|(name, _)| {
            let mut beginnings = self.extra_properties.iter();
            beginnings.any(|beginning| name.starts_with(beginning.as_str()))
        });
        let format = |name: &str| record.others.get(name).and_then(Value::as_str).map(str::to_owned);
        let described = self.catalog.describe(
            &self.caller,
            &self.image,
            format("disk_format"),
            format("container_format"),
            properties.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))),
        );
        Ok(Original {
            description: described
                .map_err(|error| format!("what the source image says cannot be taken over: {error}"))?,
            checksum: record.checksum,
            hash: record.os_hash_algo.zip(record.os_hash_value),
        })
    }
}

impl Record {
    /// As Python's `int()` reads it.
    fn size(&self) -> Option<u64> {
        match &self.size {
            Value::String(text) => text.trim().parse().ok(),
            size => size.as_u64(),
        }
    }
}

async fn read_record(mut response: Response) -> Result<Record, String> {
    let mut text = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| chain(&error))? {
        if text.len().saturating_add(chunk.len()) > MAX_RECORD {
            return Err(format!("its record has more than {MAX_RECORD} bytes"));
        }
        text.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&text).map_err(|error| error.to_string())
}
