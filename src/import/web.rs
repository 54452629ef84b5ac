//! Bytes from a server that a user names: straight to the stores.

use http::{HeaderMap, StatusCode, header};
use saccade_outgoing::{Client, Target, headers};

use super::{
    ImportError,
    reading::{Place, chain},
};
use crate::transfer::{Arrival, Incoming, Opening};

/// The address that is to be asked, if users may send the daemon there (`[import_filtering_opts]`).
///
/// # Errors
/// `Invalid`.
pub(super) async fn admitted(client: &Client, uri: Option<&str>) -> Result<Target, ImportError> {
    admitted_for(client, uri, "web-download").await
}

/// The same for another purpose, which the error names.
pub(super) async fn admitted_for(
    client: &Client,
    uri: Option<&str>,
    purpose: &str,
) -> Result<Target, ImportError> {
    // The reason would tell what there is in the daemon's network.
    let refused = || {
        let uri = uri.unwrap_or("None");
        ImportError::Invalid(format!("URI for {purpose} does not pass filtering: {uri}"))
    };
    let target = Target::parse(uri.ok_or_else(refused)?).map_err(|_| refused())?;
    client.check(&target).await.map_err(|_| refused())?;
    Ok(target)
}

/// Asks for the whole file, when it is polled.
pub(super) fn open(client: Client, target: Target, retries: u32) -> Opening {
    Box::pin(async move {
        let place = Place {
            client,
            target,
            headers: HeaderMap::new(),
        };
        let response = place.ask(None).await.map_err(|error| chain(&error))?;
        let target = &place.target;
        if response.status() != StatusCode::OK {
            return Err(format!("{target} answered {}", response.status()));
        }
        let size = headers::content_length(response.headers());
        if size.is_none() && !response.headers().contains_key(header::TRANSFER_ENCODING) {
            return Err(format!("{target} does not say where its file ends"));
        }
        let data = Incoming {
            size,
            chunks: place.read(response, size, retries),
        };
        Ok(Arrival { data, original: None })
    })
}
