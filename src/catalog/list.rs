//! One page of a list.

use super::{Catalog, CatalogError, CatalogErrorKind, Filter, Order, as_known, protection};
use crate::{
    identity::Caller,
    image::{Entry, Image, ImageId, Listing, MemberStatus, Viewer, VisibilityFilter},
    metadata::{MetadataErrorKind, Query},
};

/// What a client wants to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListRequest {
    /// The `visibility` filter.
    pub visibility: Option<VisibilityFilter>,
    /// Images shared with the caller are listed when its membership has this status; `None` is any.
    pub member_status: Option<MemberStatus>,
    /// Which images.
    pub filter: Filter,
    /// In which order.
    pub order: Order,
    /// The id of the last image of the page before, as the client has it.
    pub marker: Option<String>,
    /// The most images on the page; the operator has the last word.
    pub limit: Option<u64>,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageList {
    /// The images, in order.
    pub images: Vec<Image>,
    /// The marker of the page that may follow.
    pub next: Option<ImageId>,
}

impl Catalog {
    /// One page of the images that the caller may see. It can be shorter than the limit, even empty, and yet be
    /// followed by another: images that a rule hides are left out of it.
    ///
    /// # Errors
    /// `Denied`, `UnknownMarker`, `MarkerInvisible`; `Unavailable`, `Broken`.
    pub async fn list(&self, caller: &Caller, request: ListRequest) -> Result<ImageList, CatalogError> {
        let policy = self.shared.policy.current();
        let viewer = policy
            .authorize_list(caller)
            .map_err(|denied| self.denied(denied, ""))?;
        let marker = match &request.marker {
            Some(marker) => Some(self.marker(marker, &viewer).await?),
            None => None,
        };
        let access = self.shared.properties.access(&policy, caller);
        if protection::asks_for_hidden(&access, &request.filter) {
            return Ok(ImageList {
                images: Vec::new(),
                next: None,
            });
        }
        let rules = self.rules();
        let limit = request
            .limit
            .map_or(rules.page_default, |limit| {
                usize::try_from(limit).unwrap_or(usize::MAX)
            })
            .min(rules.page_max);
        let query = Query {
            listing: Listing {
                viewer: viewer.clone(),
                visibility: request.visibility,
                member_status: request.member_status,
            },
            filter: request.filter,
            order: request.order,
            marker,
            limit,
        };
        let page = self.shared.metadata.list(query).await;
        let mut page = page.map_err(|error| match (error.kind, &request.marker) {
            (MetadataErrorKind::UnknownMarker, Some(marker)) => unknown(marker),
            _ => error.into(),
        })?;
        let next = page.images.last().filter(|_| page.full).map(|image| image.id);
        page.images
            .retain(|image| policy.may_list(&viewer, caller, image));
        let images = page.images.into_iter();
        Ok(ImageList {
            images: images
                .map(|image| access.shown(as_known(&policy, caller, image)))
                .collect(),
            next,
        })
    }

    /// A marker has to be an image that the caller sees, or saw: its place in the order would tell of it.
    async fn marker(&self, text: &str, viewer: &Viewer) -> Result<ImageId, CatalogError> {
        let id: ImageId = text.parse().map_err(|_| unknown(text))?;
        let image = match self.shared.metadata.entry(id).await? {
            None => return Err(unknown(text)),
            Some(Entry::Live(image)) => image,
            Some(Entry::Deleted(tombstone)) => tombstone.image,
        };
        if viewer.sees(&image) {
            Ok(id)
        } else {
            Err(CatalogErrorKind::MarkerInvisible {
                marker: text.to_owned(),
            }
            .into())
        }
    }
}

fn unknown(marker: &str) -> CatalogError {
    let marker = marker.chars().take(64).collect();
    CatalogErrorKind::UnknownMarker { marker }.into()
}
