//! What objects are called: in requests, in locations and in the ledger. Pure.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use saccade_store_contract::{Attempt, BlobName, Error, ErrorKind, Handle, Location, Operation};
use url::Url;
use uuid::Uuid;

use crate::{config::SwiftStoreConfig, references::Reference, tenant_address::TenantAddress};

/// What the names of the store's own notes begin with, and no blob's.
pub(crate) const RESERVED: &str = ".saccade.";

/// Version of the handle's form.
const HANDLE_FORM: &str = "swift:1";

/// Swift's own bound is 256, and 1024 for objects; marks and segments add to theirs.
const LONGEST_NAME: usize = 256;

/// Everything but what RFC 3986 leaves as it is.
const STRICT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// Where an object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Which account, in the order of [`Names::accounts`].
    pub(crate) account: usize,
    pub(crate) container: String,
    pub(crate) object: String,
}

/// What an address proves about whoever has named it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It has the account's own user and key.
    KnowsTheKey,
    /// It has not.
    Nothing,
}

/// The names of one attempt.
#[derive(Debug, Clone)]
pub(crate) struct AttemptNames {
    pub(crate) place: Place,
    pub(crate) blob: BlobName,
    pub(crate) attempt: Attempt,
    /// Of its mark: while that is there, what the attempt has published can be undone.
    pub(crate) mark: String,
    /// What the names of its segments begin with, and those of no other attempt and no other program.
    pub(crate) prefix: String,
}

/// How names are made and read.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    accounts: Vec<Reference>,
    endpoint: Option<String>,
    container: String,
    seed: usize,
    /// Of a project's account, instead of all others.
    tenant: Option<TenantAddress>,
}

impl Names {
    pub(crate) fn new(config: &SwiftStoreConfig, accounts: Vec<Reference>) -> Result<Self, &'static str> {
        if !is_container(&config.swift_store_container) {
            return Err("swift_store_container");
        }
        let seed = usize::try_from(config.swift_store_multiple_containers_seed)
            .ok()
            .filter(|seed| *seed <= 32)
            .ok_or("swift_store_multiple_containers_seed")?;
        Ok(Self {
            endpoint: config.swift_store_endpoint.as_deref().map(address_key),
            accounts,
            container: config.swift_store_container.clone(),
            seed,
            tenant: None,
        })
    }

    /// Of what is in a project's account.
    pub(crate) fn of_tenant(tenant: TenantAddress) -> Self {
        Self {
            accounts: Vec::new(),
            endpoint: None,
            container: String::new(),
            seed: 0,
            tenant: Some(tenant),
        }
    }

    /// Where a blob is kept: the container is chosen by so many digits of the id, whose hyphens do not count
    /// (`get_container_name` in glance_store).
    pub(crate) fn place(&self, blob: BlobName) -> Place {
        let id = blob.to_string();
        let container = if self.seed == 0 {
            self.container.clone()
        } else {
            let hyphens = id.chars().take(self.seed).filter(|c| *c == '-').count();
            let digits: String = id.chars().take(self.seed.saturating_add(hyphens)).collect();
            format!("{}_{digits}", self.container)
        };
        Place {
            account: 0,
            container,
            object: id,
        }
    }

    /// The address of a blob, as glance_store writes it with `swift_store_config_file`; without that it finds the one
    /// account by the same name.
    pub(crate) fn location(&self, place: &Place) -> Location {
        if let Some(tenant) = &self.tenant {
            return tenant.location(place);
        }
        let reference = self
            .accounts
            .get(place.account)
            .map_or("", |account| account.name.as_str());
        Location::new(format!(
            "swift+config://{reference}/{}/{}",
            place.container, place.object
        ))
    }

    /// What a location names, if it is in one of the accounts. Credentials in it choose among those, and nothing else:
    /// the accounts' own are used, at the addresses that are configured.
    pub(crate) fn resolve(
        &self,
        location: &Location,
        operation: Operation,
    ) -> Result<(Place, Standing), Error> {
        let invalid = |reason: &'static str| {
            Error::new(ErrorKind::Invalid, operation, "a location of the swift store").caused_by(reason)
        };
        let (scheme, rest) = location
            .as_str()
            .split_once("://")
            .ok_or_else(|| invalid("it is not a URI"))?;
        if rest.contains("://") {
            return Err(invalid("it has more than one scheme"));
        }
        // From the end: an unescaped key may hold slashes.
        let mut parts = rest.rsplitn(3, '/');
        let (Some(object), Some(container), Some(at)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(invalid("it is not address/container/object"));
        };
        if !is_container(container) || !is_blob(object) {
            return Err(invalid("it does not name an image's object"));
        }
        let (account, standing) = match scheme {
            "swift+config" => {
                let mut accounts = self.accounts.iter();
                let account = accounts.position(|account| account.name == at);
                let account = account.ok_or_else(|| {
                    invalid("its reference is not in swift_store_config_file, nor default_swift_reference")
                })?;
                (account, Standing::Nothing)
            }
            "swift" | "swift+https" | "swift+http" => {
                let default = if scheme == "swift+http" { "http" } else { "https" };
                self.account_at(at, default)
                    .ok_or_else(|| invalid("it is in an account that is not configured"))?
            }
            _ => return Err(invalid("its scheme is not one of Swift's")),
        };
        let place = Place {
            account,
            container: container.to_owned(),
            object: object.to_owned(),
        };
        Ok((place, standing))
    }

    /// The account that `[user:key@]host[:port][/path]` names.
    fn account_at(&self, at: &str, scheme: &str) -> Option<(usize, Standing)> {
        let (credentials, address) = match at.rsplit_once('@') {
            Some((credentials, address)) => (Some(credentials), address),
            None => (None, at),
        };
        let address = address_key(&format!("{scheme}://{address}"));
        let same = |account: &&Reference| address_key(account.auth_address.as_str()) == address;
        let Some(credentials) = credentials else {
            let at_log_in = self.accounts.iter().position(|account| same(&account));
            let at_endpoint = (self.endpoint.as_ref() == Some(&address)).then_some(0);
            return Some((at_log_in.or(at_endpoint)?, Standing::Nothing));
        };
        // A colon of the key's own is written as %3A.
        let (user, key) = credentials.rsplit_once(':')?;
        let user = percent_decode_str(user).decode_utf8().ok()?;
        let key = percent_decode_str(key).decode_utf8().ok()?;
        let of = |is_wanted: &dyn Fn(Option<&str>) -> bool| {
            let mut accounts = self.accounts.iter().enumerate();
            accounts.find(|(_, account)| same(account) && is_wanted(account.login.user().as_deref()))
        };
        let project = user.split_once(':').map(|(project, _)| project);
        let of_project = |name: &str| name.split_once(':').map(|(project, _)| project) == project;
        // Users come and go; an account of Swift's is a project's. Of application credentials nobody says whose they are.
        let (index, account) = of(&|name| name == Some(&*user))
            .or_else(|| of(&|name| name.is_some_and(of_project)))
            .or_else(|| of(&|name| name.is_none()))?;
        let is_user = account.login.user().as_deref() == Some(&*user);
        let standing = if is_user && is_same(account.login.key().reveal(), &key) {
            Standing::KnowsTheKey
        } else {
            Standing::Nothing
        };
        Some((index, standing))
    }

    pub(crate) fn handle(&self, names: &AttemptNames) -> Result<Handle, Error> {
        let reference = self
            .accounts
            .get(names.place.account)
            .map_or("", |account| account.name.as_str());
        let text = format!(
            "{HANDLE_FORM}:{}:{}:{}:{}",
            encode(reference),
            encode(&names.place.container),
            names.blob,
            names.attempt
        );
        Handle::new(text).map_err(|source| {
            Error::new(ErrorKind::Invalid, Operation::Create, names.place.to_string()).caused_by(source)
        })
    }

    pub(crate) fn parse_handle(&self, handle: &Handle, operation: Operation) -> Result<AttemptNames, Error> {
        let invalid =
            |reason: &'static str| Error::new(ErrorKind::Invalid, operation, "a handle").caused_by(reason);
        let rest = handle
            .as_str()
            .strip_prefix(HANDLE_FORM)
            .and_then(|rest| rest.strip_prefix(':'))
            .ok_or_else(|| invalid("it is not one of a swift store"))?;
        let parts: Vec<_> = rest.split(':').collect();
        let [reference, container, blob, attempt] = parts.as_slice() else {
            return Err(invalid("it is incomplete"));
        };
        let account = self
            .accounts
            .iter()
            .position(|account| encode(&account.name) == *reference)
            .ok_or_else(|| invalid("its account is not configured"))?;
        let decoded = percent_decode_str(container).decode_utf8_lossy().into_owned();
        if encode(&decoded) != *container || !is_container(&decoded) {
            return Err(invalid("it names no container"));
        }
        let id = |text: &str| {
            Uuid::try_parse(text)
                .ok()
                .filter(|id| id.as_hyphenated().to_string() == text)
                .ok_or_else(|| invalid("it holds something else than ids"))
        };
        let (blob, attempt) = (BlobName(id(blob)?), Attempt(id(attempt)?));
        let place = Place {
            account,
            container: decoded,
            object: blob.to_string(),
        };
        Ok(AttemptNames::new(place, blob, attempt))
    }
}

impl AttemptNames {
    pub(crate) fn new(place: Place, blob: BlobName, attempt: Attempt) -> Self {
        Self {
            mark: format!("{RESERVED}{blob}.{attempt}"),
            // Not with a hyphen after the id: all that begins so is in the manifests that glance_store writes.
            prefix: format!("{blob}.{attempt}-"),
            place,
            blob,
            attempt,
        }
    }

    /// The name of a segment, counted from 1.
    pub(crate) fn segment(&self, number: u64) -> String {
        segment(&self.prefix, number)
    }

    /// `X-Object-Manifest`, which servers decode.
    pub(crate) fn manifest(&self) -> String {
        format!("{}/{}", encode(&self.place.container), encode(&self.prefix))
    }
}

impl Place {
    /// The note that its deletion has begun.
    pub(crate) fn deletion(&self) -> String {
        format!("{RESERVED}{}.deletion", self.object)
    }

    /// For locks.
    pub(crate) fn key(&self) -> String {
        format!("{}/{}/{}", self.account, self.container, self.object)
    }

    /// Where a manifest says that this object's segments are, if they are its own: glance_store's or this store's.
    /// Whatever else a manifest names stays when the object goes.
    pub(crate) fn segments_of(&self, manifest: &str) -> Option<(String, String)> {
        let manifest = percent_decode_str(manifest).decode_utf8().ok()?;
        self.owned(&manifest)
    }

    /// The container and the name, or the beginning of names, in `container/name`, if that is this object's own.
    pub(crate) fn owned(&self, path: &str) -> Option<(String, String)> {
        let (container, name) = path.trim_start_matches('/').split_once('/')?;
        let rest = name.strip_prefix(self.object.as_str())?;
        let is_own = rest.starts_with(['-', '.', '/', '_']);
        (is_own && is_container(container)).then(|| (container.to_owned(), name.to_owned()))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.container, self.object)
    }
}

/// The name of a segment, counted from 1, with glance_store's five digits.
pub(crate) fn segment(prefix: &str, number: u64) -> String {
    format!("{prefix}{number:05}")
}

/// The URL of an object or a container.
pub(crate) fn url(storage: &Url, container: &str, object: Option<&str>, query: &[(&str, &str)]) -> Url {
    let mut url = storage.clone();
    let base = storage.path().trim_end_matches('/');
    let path = match object {
        Some(object) => format!("{base}/{}/{}", encode(container), encode(object)),
        None => format!("{base}/{}", encode(container)),
    };
    url.set_path(&path);
    let pairs: Vec<_> = query
        .iter()
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect();
    url.set_query((!pairs.is_empty()).then(|| pairs.join("&")).as_deref());
    url
}

pub(crate) fn encode(text: &str) -> String {
    utf8_percent_encode(text, STRICT).to_string()
}

pub(crate) fn is_container(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= LONGEST_NAME
        && !matches!(name, "." | "..")
        && !name.contains(['/', '?', '#', '@'])
        && !name.contains(char::is_control)
}

/// Neither a note of the store's, nor a segment of an attempt.
pub(crate) fn is_blob(name: &str) -> bool {
    let is_segment = || {
        let (blob, rest) = name.split_once('.')?;
        let (attempt, rest) = rest.split_at_checked(uuid::fmt::Hyphenated::LENGTH)?;
        let ids = Uuid::try_parse(blob).and(Uuid::try_parse(attempt));
        Some(ids.is_ok() && rest.starts_with('-'))
    };
    is_container(name) && !name.starts_with(RESERVED) && is_segment() != Some(true)
}

/// Addresses are the same in any case, with any scheme, with or without the scheme's own port, and whatever version of
/// Keystone's interface they were written for.
pub(crate) fn address_key(address: &str) -> String {
    let (scheme, rest) = address.split_once("://").unwrap_or(("https", address));
    let rest = rest.trim_matches('/');
    let (authority, path) = match rest.split_once('/') {
        Some((authority, path)) => (authority, format!("/{path}")),
        None => (rest, String::new()),
    };
    let port = if scheme == "http" { ":80" } else { ":443" };
    let authority = authority.to_ascii_lowercase();
    let authority = authority.strip_suffix(port).unwrap_or(&authority);
    let path = path
        .strip_suffix("/v3")
        .or_else(|| path.strip_suffix("/v2.0"))
        .unwrap_or(&path);
    format!("{authority}{path}")
}

/// In a time that does not tell where they differ.
fn is_same(one: &str, other: &str) -> bool {
    let differences = one
        .bytes()
        .zip(other.bytes())
        .fold(0, |all, (a, b)| all | (a ^ b));
    one.len() == other.len() && differences == 0
}

#[cfg(test)]
mod tests;
