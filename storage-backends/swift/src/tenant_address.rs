//! Addresses of projects' accounts, in locations and handles. Takes any text.

use percent_encoding::percent_decode_str;
use saccade_store_contract::{Attempt, BlobName, Error, ErrorKind, Handle, Location, Operation};
use url::Url;
use uuid::Uuid;

use crate::location::{AttemptNames, Place, encode, is_blob, is_container};

/// Version of the handle's form.
const HANDLE_FORM: &str = "swift-tenant:1:";

/// The storage URL of a project's account, in one spelling: without credentials, query and the slash at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TenantAddress(Url);

impl TenantAddress {
    /// `None` if it is no address of a server.
    pub(crate) fn parse(url: &str) -> Option<Self> {
        let mut url = Url::parse(url.trim()).ok()?;
        let is_plain = url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() || !is_plain {
            return None;
        }
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&path);
        Some(Self(url))
    }

    pub(crate) fn url(&self) -> &Url {
        &self.0
    }

    /// Whether it ends in an account, and not in the version of the interface.
    pub(crate) fn names_account(&self) -> bool {
        let last = self.0.path().rsplit('/').next().unwrap_or_default();
        let is_version = last
            .strip_prefix(['v', 'V'])
            .is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit() || c == '.'));
        !last.is_empty() && last != "swift" && !is_version
    }

    /// Whether both are accounts of one server: whoever may be given a token for one may be given it for the other.
    pub(crate) fn is_beside(&self, other: &Self) -> bool {
        let server = |address: &Self| {
            let url = &address.0;
            let path = url.path().rsplit_once('/').map(|(above, _)| above.to_owned());
            (
                url.scheme().to_owned(),
                url.host_str().map(str::to_owned),
                url.port_or_known_default(),
                path,
            )
        };
        server(self) == server(other)
    }

    /// As glance_store writes it (`StoreLocation.get_uri`).
    pub(crate) fn location(&self, place: &Place) -> Location {
        let (scheme, rest) = self.text();
        Location::new(format!(
            "swift+{scheme}://{rest}/{}/{}",
            place.container, place.object
        ))
    }

    /// Where a location in somebody's account is.
    pub(crate) fn resolve(location: &Location, operation: Operation) -> Result<(Self, Place), Error> {
        let invalid = |reason: &'static str| {
            Error::new(ErrorKind::Invalid, operation, "a location of the swift store").caused_by(reason)
        };
        let (scheme, rest) = location
            .as_str()
            .split_once("://")
            .ok_or_else(|| invalid("it is not a URI"))?;
        let scheme = match scheme {
            "swift" | "swift+https" => "https",
            "swift+http" => "http",
            _ => return Err(invalid("it is in no project's account")),
        };
        let mut parts = rest.rsplitn(3, '/');
        let (Some(object), Some(container), Some(at)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(invalid("it is not address/container/object"));
        };
        // What would be taken for a host otherwise.
        if !is_container(container) || !is_blob(object) || at.starts_with('/') {
            return Err(invalid("it does not name an image's object"));
        }
        let address = Self::parse(&format!("{scheme}://{at}"))
            // Every account has a path; without one, this is the address of an account and not of an object.
            .filter(|address| address.0.path() != "/")
            .ok_or_else(|| invalid("it has no address of an account, or credentials in it"))?;
        let place = Place {
            account: 0,
            container: container.to_owned(),
            object: object.to_owned(),
        };
        Ok((address, place))
    }

    pub(crate) fn handle(&self, names: &AttemptNames) -> Result<Handle, Error> {
        let text = format!(
            "{HANDLE_FORM}{}:{}:{}:{}",
            encode(self.0.as_str()),
            encode(&names.place.container),
            names.blob,
            names.attempt
        );
        Handle::new(text).map_err(|source| {
            Error::new(ErrorKind::Invalid, Operation::Create, names.place.to_string()).caused_by(source)
        })
    }

    /// Whether a handle is of something in a project's account.
    pub(crate) fn is_handle(handle: &Handle) -> bool {
        handle.as_str().starts_with(HANDLE_FORM)
    }

    pub(crate) fn parse_handle(handle: &Handle, operation: Operation) -> Result<(Self, AttemptNames), Error> {
        let invalid =
            |reason: &'static str| Error::new(ErrorKind::Invalid, operation, "a handle").caused_by(reason);
        let rest = handle
            .as_str()
            .strip_prefix(HANDLE_FORM)
            .ok_or_else(|| invalid("it is not one of a swift store in projects' accounts"))?;
        let parts: Vec<_> = rest.split(':').collect();
        let [address, container, blob, attempt] = parts.as_slice() else {
            return Err(invalid("it is incomplete"));
        };
        let decoded = |text: &str| {
            let decoded = percent_decode_str(text).decode_utf8().ok()?.into_owned();
            (encode(&decoded) == text).then_some(decoded)
        };
        let address = decoded(address).and_then(|url| Self::parse(&url));
        let address = address.ok_or_else(|| invalid("it names no account"))?;
        let container = decoded(container).filter(|name| is_container(name));
        let container = container.ok_or_else(|| invalid("it names no container"))?;
        let id = |text: &str| {
            Uuid::try_parse(text)
                .ok()
                .filter(|id| id.as_hyphenated().to_string() == text)
                .ok_or_else(|| invalid("it holds something else than ids"))
        };
        let (blob, attempt) = (BlobName(id(blob)?), Attempt(id(attempt)?));
        let place = Place {
            account: 0,
            container,
            object: blob.to_string(),
        };
        Ok((address, AttemptNames::new(place, blob, attempt)))
    }

    /// The scheme, and what follows it.
    fn text(&self) -> (&str, &str) {
        let text = self.0.as_str().trim_end_matches('/');
        text.split_once("://").unwrap_or(("https", text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "6a1c2b3d-0000-4000-8000-000000000001";

    fn address(url: &str) -> TenantAddress {
        TenantAddress::parse(url).unwrap()
    }

    fn place() -> Place {
        Place {
            account: 0,
            container: format!("glance_{ID}"),
            object: ID.to_owned(),
        }
    }

    #[test]
    fn locations_are_as_glance_store_writes_them() {
        for (storage, location) in [
            ("http://swift:8080/v1/AUTH_a", "swift+http://swift:8080/v1/AUTH_a"),
            ("https://Swift/v1/AUTH_a/", "swift+https://swift/v1/AUTH_a"),
            ("https://swift:443/swift/v1", "swift+https://swift/swift/v1"),
        ] {
            let written = address(storage).location(&place());
            assert_eq!(written.as_str(), format!("{location}/glance_{ID}/{ID}"));
            let (found, at) = TenantAddress::resolve(&written, Operation::Read).unwrap();
            assert_eq!((found, at), (address(storage), place()));
        }
    }

    #[test]
    fn other_addresses_are_refused() {
        for text in [
            "swift+config://ref1/glance/x",
            "swift+https://a:b:c@swift/v1/AUTH_a/glance/x",
            "swift+https://swift/x",
            "swift+https://swift/v1/AUTH_a",
            "swift+https:///v1/glance/x",
            "swift+https://swift/v1/AUTH_a?x=/glance/x",
            "swift+https://swift/v1/AUTH_a/glance/.saccade.x",
            "https://swift/v1/AUTH_a/glance/x",
            "swift",
        ] {
            let found = TenantAddress::resolve(&Location::new(text), Operation::Read);
            assert_eq!(found.unwrap_err().kind(), ErrorKind::Invalid, "{text}");
        }
    }

    #[test]
    fn tokens_go_to_accounts_of_the_same_server_only() {
        let own = address("https://swift/v1/AUTH_a");
        for (other, is_beside) in [
            ("https://swift/v1/AUTH_b", true),
            ("https://SWIFT:443/v1/AUTH_b/", true),
            ("https://swift/v1/x/../AUTH_b", true),
            ("http://swift/v1/AUTH_b", false),
            ("https://swift:8443/v1/AUTH_b", false),
            ("https://swift.example/v1/AUTH_b", false),
            ("https://swift/elsewhere/AUTH_b", false),
            ("https://swift/v1/AUTH_b/x", false),
            ("https://swift/AUTH_b", false),
        ] {
            assert_eq!(own.is_beside(&address(other)), is_beside, "{other}");
        }
    }

    #[test]
    fn handles_are_read_back_and_name_the_account() {
        let names = AttemptNames::new(
            place(),
            BlobName(ID.parse().unwrap()),
            Attempt(Uuid::from_u128(7)),
        );
        let own = address("http://swift:8080/v1/AUTH_a");
        let handle = own.handle(&names).unwrap();
        let (found, again) = TenantAddress::parse_handle(&handle, Operation::Discard).unwrap();
        assert_eq!(found, own);
        assert_eq!(
            (&again.place, again.attempt, &again.mark),
            (&names.place, names.attempt, &names.mark)
        );
        let other = Handle::new("swift:1:ref1:glance:x:y").unwrap();
        assert!(!TenantAddress::is_handle(&other) && TenantAddress::is_handle(&handle));
    }

    proptest! {
        #[test]
        fn any_text_is_taken(text in "(swift(\\+https?)?://)?([a-z:@/.%?#_-]|\\PC){0,60}") {
            if let Ok((address, place)) = TenantAddress::resolve(&Location::new(text), Operation::Read) {
                let again = TenantAddress::resolve(&address.location(&place), Operation::Read).unwrap();
                prop_assert_eq!(again, (address, place));
            }
        }

        #[test]
        fn any_handle_is_taken(text in "swift-tenant:1:([a-z0-9:%/._-]|\\PC){0,100}") {
            let _ = TenantAddress::parse_handle(&Handle::new(text).unwrap(), Operation::Discard);
        }
    }
}
