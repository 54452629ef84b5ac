//! Reading identity headers without ever choosing between two of them.

use http::HeaderMap;

use super::Unidentified;

/// The longest token that is looked at. Fernet tokens of a real Keystone stay far below; anything longer cannot be
/// one, and hashing or storing it would only cost.
pub(super) const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// The only value of a header; `None` when it is absent.
///
/// # Errors
/// [`Unidentified::Invalid`] when it comes twice (two readers could choose differently) or is not visible ASCII or
/// UTF-8 text.
pub(super) fn single<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, Unidentified> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Unidentified::Invalid);
    }
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| Unidentified::Invalid)?;
    if text.chars().any(char::is_control) {
        return Err(Unidentified::Invalid);
    }
    Ok(Some(text))
}

/// The user's token: `X-Auth-Token`, or where that is absent the older `X-Storage-Token`, as keystonemiddleware reads
/// them.
///
/// # Errors
/// [`Unidentified::Missing`] without one, [`Unidentified::Invalid`] for one that cannot be a token.
pub(super) fn token(headers: &HeaderMap) -> Result<&str, Unidentified> {
    let token = match single(headers, "x-auth-token")? {
        Some(token) => token,
        None => single(headers, "x-storage-token")?.ok_or(Unidentified::Missing)?,
    };
    if token.is_empty() {
        return Err(Unidentified::Missing);
    }
    if token.len() > MAX_TOKEN_BYTES {
        return Err(Unidentified::Invalid);
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn refuses_a_header_that_comes_twice() {
        let mut headers = HeaderMap::new();
        headers.append("x-auth-token", HeaderValue::from_static("a"));
        assert_eq!(token(&headers), Ok("a"));
        headers.append("x-auth-token", HeaderValue::from_static("a"));
        assert_eq!(token(&headers), Err(Unidentified::Invalid));
    }

    #[test]
    fn falls_back_to_the_storage_token() {
        let mut headers = HeaderMap::new();
        assert_eq!(token(&headers), Err(Unidentified::Missing));
        headers.insert("x-storage-token", HeaderValue::from_static("b"));
        assert_eq!(token(&headers), Ok("b"));
    }

    #[test]
    fn refuses_an_oversize_token_unread() {
        let mut headers = HeaderMap::new();
        let long = "a".repeat(MAX_TOKEN_BYTES + 1);
        headers.insert("x-auth-token", HeaderValue::from_str(&long).unwrap());
        assert_eq!(token(&headers), Err(Unidentified::Invalid));
    }
}
