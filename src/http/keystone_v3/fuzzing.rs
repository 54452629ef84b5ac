//! A door for `fuzz/`: the body of a login.

/// `Debug` of what was read, or of the refusal.
pub(in crate::http) fn login(body: &[u8]) -> Result<String, String> {
    super::login::parse(body)
        .map(|read| format!("{read:?}"))
        .map_err(|fault| format!("{fault:?}"))
}
