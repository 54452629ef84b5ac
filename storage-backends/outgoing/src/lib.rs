//! Requests to addresses that somebody else has named: a user who imports from the web, an image's location, a server
//! that redirects.
//!
//! Such a request is made in the name of the daemon, from where it stands in the network. [`Client`] sees to it that
//!
//! 1. a URL means one thing only: what is checked is what is connected to ([`Target`]);
//! 2. it passes the operator's `[import_filtering_opts]` ([`Filter`], with Glance's precedence);
//! 3. no connection is opened to an address that was not checked: names are resolved in the connector itself, which gets
//!    only the addresses that passed, so that there is no second look-up for a name server to answer differently
//!    (DNS rebinding). Loopback, link-local and metadata addresses pass only for hosts in `allowed_hosts`, in whatever
//!    form of IPv6 they are wrapped;
//! 4. redirects are followed here, a few, and each is checked as the first URL was;
//! 5. no proxy is used that the configuration does not name;
//! 6. time and memory are bounded whatever the server does: [`Limits`], and the buffer of one HTTP/1 connection, below
//!    half a MiB;
//! 7. user names, passwords and queries (signatures of presigned URLs) are in no error and no log.

mod address;
mod client;
mod error;
mod excerpt;
mod filter;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod headers;
mod proxies;
mod resolve;
mod response;
mod target;
mod tls;

pub use self::{
    address::Forbidden,
    client::{Call, Client, ClientOptions, Limits, Order, Provenance},
    error::{Error, OpenError},
    excerpt::excerpt,
    filter::{Filter, FilterOptions, HostName, InvalidHost, Lists, Refusal},
    proxies::{InvalidProxy, Proxies},
    resolve::{Lookup, Resolver, SystemResolver},
    response::Response,
    target::{InvalidTarget, Target},
    tls::{Verification, tls_client},
};
