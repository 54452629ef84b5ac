//! Doors to private parsers, for `fuzz/` alone: thin, and with plain or public types.

use http::{HeaderMap, Method};
use jiff::Timestamp;

pub use super::memcached::fuzzing::{Answer, Dialect, Step, address, answer, entry, login_answer, protected};
use super::{super::Caller, access_rules::AccessRules, token};
use crate::identity::RequestHead;

/// What is made of a token's body.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Token {
    pub caller: Caller,
    pub expires: Timestamp,
    pub weight: usize,
    pub restricted: bool,
}

/// A token, or why it is none.
pub fn token(body: &[u8]) -> Result<Token, String> {
    let token = token::Token::parse(body).map_err(|error| error.to_string())?;
    Ok(Token {
        weight: token.weight(),
        restricted: token.access_rules.is_some(),
        expires: token.expires,
        caller: token.caller,
    })
}

/// Whether one of the paths of these rules covers a request of the service `image`; `None` when they are beyond the bounds.
pub fn covers(paths: &[String], path: &str) -> Option<bool> {
    let service = "image";
    let rules: Vec<_> = paths
        .iter()
        .map(|path| (service.to_owned(), "GET".to_owned(), path.clone()))
        .collect();
    let rules = AccessRules::new(rules.into_iter(), Some(vec![service.to_owned()])).ok()?;
    let request = RequestHead {
        method: &Method::GET,
        path,
        headers: &HeaderMap::new(),
    };
    Some(rules.check(request, Some(service), false).is_ok())
}
