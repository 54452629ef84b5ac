//! Making an image record.

use serde_json::{Map, Value};

use super::{
    Attribute, Catalog, CatalogError, CatalogErrorKind, NameKind, Rules, attribute::invalid, error,
    protection,
};
use crate::{
    identity::Caller,
    image::{Change, ChangeKind, Entry, Image, ImageId, Rejection, Timestamp, Visibility},
    metadata::{MetadataError, MetadataErrorKind},
    policy::{Denied, Proposal, Rule},
    quota::explanation,
};

/// What a client wants an image to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewImage {
    id: Option<ImageId>,
    attributes: Vec<Attribute>,
}

impl NewImage {
    /// What the request's object says.
    ///
    /// # Errors
    /// `ReadOnly`, `Reserved` for names that clients may not set; `Invalid` for values that the schema refuses.
    pub fn parse(object: Map<String, Value>, rules: &Rules) -> Result<Self, CatalogErrorKind> {
        let mut new = Self::default();
        for (name, value) in object {
            if name == "id" {
                new.id = Some(id(&value)?);
            } else if NameKind::of(&name) == NameKind::Locations {
                return Err(CatalogErrorKind::Reserved { name });
            } else {
                new.attributes.push(Attribute::parse(&name, value, rules)?);
            }
        }
        Ok(new)
    }

    fn owner(&self) -> Option<Option<&str>> {
        self.attributes.iter().find_map(|attribute| match attribute {
            Attribute::Owner(owner) => Some(owner.as_deref()),
            _ => None,
        })
    }

    fn visibility(&self) -> Option<Visibility> {
        self.attributes.iter().find_map(|attribute| match attribute {
            Attribute::Visibility(visibility) => Some(*visibility),
            _ => None,
        })
    }
}

fn id(value: &Value) -> Result<ImageId, CatalogErrorKind> {
    let parsed = value.as_str().map(str::parse::<ImageId>);
    match parsed {
        Some(Ok(id)) => Ok(id),
        Some(Err(error)) => Err(invalid("id", error.to_string())),
        None => Err(invalid("id", "it is not a string".to_owned())),
    }
}

impl Catalog {
    /// Makes an image, `queued` and without data, owned by the caller's project unless the request names another.
    ///
    /// # Errors
    /// `Denied`, `ForeignOwner`, `Reserved` (a protected property), `TooManyProperties`, `TooManyTags`, `Exists` (for ids of deleted images, too),
    /// `OverLimit`, `Limits`, `LimitsMisconfigured`;
    /// `Unavailable`, `Unknown`, `Broken`.
    pub async fn create(&self, caller: &Caller, new: &NewImage) -> Result<Image, CatalogError> {
        let owner = new.owner().unwrap_or(caller.project_id.as_deref());
        let proposal = Proposal {
            owner,
            visibility: new.visibility(),
        };
        let policy = self.shared.policy.current();
        let access = self.shared.properties.access(&policy, caller);
        let permission = policy.authorize_create(caller, &proposal);
        permission.map_err(|denied| self.denied_create(denied, caller, owner))?;

        let id = new.id.unwrap_or_else(ImageId::random);
        let now = Timestamp::now();
        let mut image = Image::new(id, now);
        image.owner = owner.map(str::to_owned);
        for attribute in &new.attributes {
            protection::require_create(&access, attribute)?;
            attribute.set(&mut image);
        }
        self.rules().check_tags(&image)?;
        self.rules().check_properties(&image)?;

        let allowance = self.allowance_for_creation(owner).await?;
        let change = Change {
            id,
            at: now,
            kind: ChangeKind::Create(Box::new(image)),
        };
        match self.shared.metadata.commit_within(change, allowance).await {
            Ok(Entry::Live(image)) => Ok(access.shown(image)),
            Err(MetadataError {
                kind: MetadataErrorKind::Rejected(Rejection::OverLimit(excess)),
                ..
            }) => Err(CatalogErrorKind::OverLimit {
                explanation: explanation(owner.unwrap_or_default(), &excess),
            }
            .into()),
            Err(error) if error.kind != MetadataErrorKind::Rejected(Rejection::Deleted) => {
                Err(error::of_change(error, &id.to_string()))
            }
            // The id belongs to the image that had it, for ever.
            Ok(Entry::Deleted(_)) | Err(_) => Err(CatalogErrorKind::Exists { id: id.to_string() }.into()),
        }
    }

    fn denied_create(&self, denied: Denied, caller: &Caller, owner: Option<&str>) -> CatalogError {
        match denied {
            Denied::Forbidden { rule }
                if rule == Rule::AddImage.name() && owner != caller.project_id.as_deref() =>
            {
                CatalogErrorKind::ForeignOwner {
                    owner: owner.unwrap_or("None").to_owned(),
                }
                .into()
            }
            denied => self.denied(denied, ""),
        }
    }
}
