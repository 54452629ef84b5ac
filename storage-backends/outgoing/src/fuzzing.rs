//! A door for `fuzz/`: where redirects lead, and who goes there.

use crate::target::{InvalidTarget, Target};

/// Where `location` leads to from `target`.
///
/// # Errors
/// As for any URL.
pub fn redirected(target: &Target, location: &str) -> Result<Target, InvalidTarget> {
    target.redirected(location)
}

/// The user and the password that go with a request.
pub fn credentials(target: &Target) -> Option<(&str, &str)> {
    let credentials = target.credentials()?;
    Some((&credentials.user, &credentials.password))
}
